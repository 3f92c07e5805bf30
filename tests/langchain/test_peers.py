"""What released provider packages were seen to get wrong against a vLLM-like server, and what their users complain of.

One row a finding, each in both worlds. Most have closer tests elsewhere; this table is the list.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_support import GEMMA, MODEL, SEES, F, Movie, add
from support import raw_server, sse

from wandb_inference import (
    BadRequestError,
    Catalog,
    ConfigurationError,
    ContextLengthError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    RequestReviewError,
    StreamInterruptedError,
    TimedOutError,
    UnknownModelError,
)
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference

PNG = "data:image/png;base64,AAAA"
COUNTS = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def json_body(body: bytes) -> bytes:
    return b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def whole(message: dict[str, Any], **fields: Any) -> bytes:
    """A whole answer."""
    choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]
    body = json.dumps({"id": "1", "model": "served", "choices": choices, "usage": COUNTS, **fields}).encode()
    return b"HTTP/1.1 200 OK\r\n%b" % json_body(body)


def pieces(*deltas: dict[str, Any], end: bool = True, **fields: Any) -> bytes:
    """A streamed answer."""
    chunks = [{"id": "1", "model": "served", "choices": [{"index": 0, "delta": delta}], **fields} for delta in deltas]
    last = {"id": "1", "model": "served", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **fields}
    return sse(*chunks, *([last, {"id": "1", "model": "served", "choices": [], "usage": COUNTS}] if end else []))


def refusal(status: int, message: str, **fields: Any) -> bytes:
    body = json.dumps({"error": {"message": message, "type": "BadRequestError", "code": status, **fields}}).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


def called(arguments: str, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    return {
        "tool_calls": [{"index": index, **fields, "function": {"name": fields.get("name"), "arguments": arguments}}]
    }


class Bench:
    """A model in one of the two worlds, on the emulator or on bytes of one's own."""

    def __init__(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, *, later: bool) -> None:
        self.emulator, self.monkeypatch, self.later = emulator, monkeypatch, later

    def model(self, **fields: Any) -> ChatWandbInference:
        where = {"base_url": self.emulator.url, "api_key": self.emulator.api_key}
        return ChatWandbInference(**{"model": MODEL, "max_retries": 0, **where, **fields})

    @contextmanager
    def on(self, *answers: bytes, **fields: Any) -> Iterator[ChatWandbInference]:
        with raw_server(*answers) as url:
            yield self.model(**{"model": "me/mine", "base_url": url, **fields})

    def invoke(self, model: Any, prompt: Any = "x", **kwargs: Any) -> Any:
        return asyncio.run(model.ainvoke(prompt, **kwargs)) if self.later else model.invoke(prompt, **kwargs)

    def stream(self, model: Any, prompt: Any = "x", **kwargs: Any) -> list[Any]:
        async def run() -> list[Any]:
            return [chunk async for chunk in model.astream(prompt, **kwargs)]

        return asyncio.run(run()) if self.later else list(model.stream(prompt, **kwargs))

    def added(self, model: Any, prompt: Any = "x", **kwargs: Any) -> Any:
        return add(self.stream(model, prompt, **kwargs))

    def events(self, model: Any, prompt: Any = "x") -> Any:
        async def run() -> Any:
            return await (await model.astream_events(prompt, version="v3")).output

        return asyncio.run(run()) if self.later else model.stream_events(prompt, version="v3").output

    def sent(self, prompt: Any, model: Any = None, **kwargs: Any) -> Any:
        """What leaves for this prompt."""
        self.invoke(model or self.model(), prompt, **kwargs)
        return self.emulator.requests[-1].json()


ROWS: dict[str, Callable[[Bench], None]] = {}


def row(name: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    def keep(check: Callable[[Bench], None]) -> Callable[[Bench], None]:
        assert name not in ROWS
        ROWS[name] = check
        return check

    return keep


# Reasoning


@row("reasoning out: the field `reasoning`")
def _(b: Bench) -> None:
    with b.on(whole({"content": "a", "reasoning": "r"}), pieces({"reasoning": "r"}, {"content": "a"})) as model:
        for answer in (b.invoke(model), b.added(model)):
            assert answer.additional_kwargs["reasoning_content"] == "r"
            assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]


@row("reasoning out: the field `reasoning_content`")
def _(b: Bench) -> None:
    with b.on(whole({"content": "a", "reasoning_content": "r"}), pieces({"reasoning_content": "r"})) as model:
        assert b.invoke(model).additional_kwargs["reasoning_content"] == "r"
        assert b.added(model).additional_kwargs["reasoning_content"] == "r"


@row("complaint 1: reasoning dropped on output")
def _(b: Bench) -> None:
    for answer in (b.invoke(b.model()), b.added(b.model()), b.events(b.model())):
        assert answer.additional_kwargs["reasoning_content"] == "The user says 1 words. I will answer in one line."


@row("complaint 2: the field renamed by vLLM, or both at once")
def _(b: Bench) -> None:
    both = {"reasoning": "r", "reasoning_content": "r"}
    with b.on(whole(both), pieces(both)) as model:
        assert b.invoke(model).additional_kwargs["reasoning_content"] == "r"
        assert b.added(model).additional_kwargs["reasoning_content"] == "r"


@row("reasoning replay from additional_kwargs")
def _(b: Bench) -> None:
    history = [HumanMessage("h"), AIMessage("a", additional_kwargs={"reasoning_content": "r"}), HumanMessage("h")]
    assert b.sent(history)["messages"][1] == {"role": "assistant", "content": "a", "reasoning": "r"}


@row("reasoning replay from v1 blocks, never twice")
def _(b: Bench) -> None:
    first = b.invoke(b.model(output_version="v1"))
    assert isinstance(first.content, list)
    sent = b.sent([HumanMessage("x"), first, HumanMessage("y")])["messages"][1]
    assert sent["reasoning"] == first.additional_kwargs["reasoning_content"]
    assert "indexes" not in sent["content"]
    assert "lc_" not in json.dumps(sent)


@row("complaint 3: reasoning not replayed in tool loops, with a policy")
def _(b: Bench) -> None:
    call = {"id": "c", "name": "f", "args": {}}
    turn = AIMessage("", additional_kwargs={"reasoning_content": "r"}, tool_calls=[call])
    history = [HumanMessage("h"), turn, ToolMessage("t", tool_call_id="c")]
    for policy, kept in (("all", True), ("since_last_human", True), ("none", False)):
        sent = b.sent(history, b.model(replay_reasoning=policy))["messages"][1]
        assert ("reasoning" in sent) == kept


@row("reasoning controls, as each model is told")
def _(b: Bench) -> None:
    assert b.sent("x", reasoning_effort="low")["reasoning_effort"] == "low"
    switch = b.sent("x", b.model(model=GEMMA, reasoning=True))["chat_template_kwargs"]
    assert switch == {"enable_thinking": True}
    with pytest.raises(RequestReviewError, match="cannot be switched off"):
        b.invoke(b.model(reasoning=False))


# Usage


@row("usage in a stream by default")
def _(b: Bench) -> None:
    assert b.added(b.model()).usage_metadata["output_tokens"] > 0


@row("complaint 4: no usage in streams with a base_url of one's own")
def _(b: Bench) -> None:
    with b.on(pieces({"content": "a"})) as model:
        assert b.added(model).usage_metadata["total_tokens"] == 10


@row("cumulative usage chunks")
def _(b: Bench) -> None:
    with b.on(pieces({"content": "a"}, {"content": "b"}, usage=COUNTS)) as model:
        assert b.added(model).usage_metadata["total_tokens"] == 10


@row("usage absent is None")
def _(b: Bench) -> None:
    with b.on(whole({"content": "a"}, usage=None), sse({"choices": [{"index": 0, "finish_reason": "stop"}]})) as model:
        assert b.invoke(model).usage_metadata is None
        assert b.added(model).usage_metadata is None


@row("cached and reasoning token details")
def _(b: Bench) -> None:
    for answer in (b.invoke(b.model()), b.added(b.model())):
        assert answer.usage_metadata["output_token_details"]["reasoning"] > 0
        assert "cache_read" in answer.usage_metadata["input_token_details"]


@row("complaint 5: token_usage in response_metadata when streaming")
def _(b: Bench) -> None:
    one, other = b.invoke(b.model()), b.added(b.model())
    assert set(one.response_metadata) == set(other.response_metadata)
    assert one.response_metadata["token_usage"] == other.response_metadata["token_usage"]


@row("complaint 6: 'stopstop', doubled model_name")
def _(b: Bench) -> None:
    finish = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    with b.on(sse(finish, finish)) as model:
        metadata = b.added(model).response_metadata
    assert (metadata["finish_reason"], metadata["model_name"]) == ("stop", "m")


@row("log probabilities, whole and streamed")
def _(b: Bench) -> None:
    for run in (b.invoke, b.added):
        tokens = run(b.model(), logprobs=True, top_logprobs=2).response_metadata["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens).endswith("You said: x")
        assert len(tokens[0]["top_logprobs"]) == 2


# Structured output and tools


@row("json_schema, strict, json_mode")
def _(b: Bench) -> None:
    for method, strict in (
        ("json_schema", None),
        ("json_schema", False),
        ("function_calling", True),
        ("json_mode", None),
    ):
        structured = b.model().with_structured_output(Movie, method=method, strict=strict)  # type: ignore[arg-type]
        assert isinstance(b.invoke(structured, "The movie 'Metropolis' of 1927"), Movie)
    formats = [seen.json().get("response_format", {}) for seen in b.emulator.requests]
    assert [f.get("type") for f in formats] == ["json_schema", "json_schema", None, "json_object"]
    assert [f["json_schema"]["strict"] for f in formats[:2]] == [True, False]
    assert b.emulator.requests[2].json()["tools"][0]["function"]["strict"] is True


@row("complaint 7: json_schema where the model does not enforce it names the other methods")
def _(b: Bench) -> None:
    row = {"id": "me/mine", "name": "m", "family": "m", "status": "active", "checked": "2026-11-21", "source": "test"}
    catalog = Catalog.empty().with_overrides({"model": [{**row, "structured_output": False}]})
    model = b.model(model="me/mine", catalog=catalog).with_structured_output(Movie)
    with pytest.raises(RequestReviewError, match="ask for json_object, or let a tool carry the schema"):
        b.invoke(model)


@row("complaint 8: response_format + tools, and no tool is called")
def _(b: Bench) -> None:
    for model in (MODEL, GEMMA):  # strict tools; the schema as a tool
        answer = b.invoke(
            b.model(model=model).bind_tools(
                [{"name": "get_weather", "description": "the weather", "input_schema": {"type": "object"}}],
                response_format={"type": "json_schema", "json_schema": {"name": "M", "schema": {"type": "object"}}},
            ),
            "What is the weather?",
        )
        assert [call["name"] for call in answer.tool_calls] == ["get_weather"]


@row("tool_choice 'any'")
def _(b: Bench) -> None:
    assert b.sent("x", b.model().bind_tools(F, tool_choice="any"))["tool_choice"] == "required"


@row("complaint 9: tool_choice by name, validated before it is sent")
def _(b: Bench) -> None:
    chosen = b.sent("x", b.model().bind_tools(F, tool_choice="f"))["tool_choice"]
    assert chosen == {"type": "function", "function": {"name": "f"}}
    with pytest.raises(ConfigurationError, match="none of the tools"):
        b.model().bind_tools(F, tool_choice="g")
    assert "tool_choice" not in b.sent("x", b.model().bind_tools([], tool_choice="any"))


@row("parallel_tool_calls")
def _(b: Bench) -> None:
    assert b.sent("x", b.model().bind_tools(F, parallel_tool_calls=False))["parallel_tool_calls"] is False


TOGETHER = pieces({"content": "a", **called('{"city": "Pa', id="1", name="f")}, called('ris"}'))


@row("tool arguments when text and tool come in one delta, v3")
def _(b: Bench) -> None:
    with b.on(TOGETHER) as model:
        answer = b.events(model)
    assert answer.tool_calls == [{"name": "f", "args": {"city": "Paris"}, "id": "1", "type": "tool_call"}]
    assert (answer.text, answer.invalid_tool_calls) == ("a", [])


@row("complaint 18: the same, as chunks")
def _(b: Bench) -> None:
    with b.on(TOGETHER, TOGETHER) as model:
        for version in ("v0", "v1"):
            answer = b.added(model.model_copy(update={"output_version": version}))
            assert (answer.text, answer.tool_calls[0]["args"]) == ("a", {"city": "Paris"})


@row("parallel tools, v3")
def _(b: Bench) -> None:
    with b.on(
        pieces(called("{", id="1", name="f"), called("{", 1, id="2", name="g"), called("}"), called("}", 1))
    ) as model:
        assert [call["name"] for call in b.events(model).tool_calls] == ["f", "g"]


@row("v1 stream of reasoning and tools")
def _(b: Bench) -> None:
    b.emulator.script(Reply("", "I should call", (ToolUse("f", {"city": "Paris"}), ToolUse("f", {"city": "Rome"}))))
    answer = b.added(b.model(output_version="v1").bind_tools(F))
    assert [block["type"] for block in answer.content] == ["reasoning", "tool_call", "tool_call"]
    assert [block["args"] for block in answer.content[1:]] == [{"city": "Paris"}, {"city": "Rome"}]


@row("native v3 events")
def _(b: Bench) -> None:
    own = "_astream_chat_model_events" if b.later else "_stream_chat_model_events"
    b.monkeypatch.setattr(ChatWandbInference, "_stream", None)
    b.monkeypatch.setattr(ChatWandbInference, "_astream", None)
    assert hasattr(ChatWandbInference, own)
    assert b.events(b.model()).text == "You said: x"


@row("chunk without a tool index")
def _(b: Bench) -> None:
    bare = {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}]}
    with b.on(pieces(bare)) as model:
        assert b.added(model).tool_calls[0]["args"] == {"a": 1}


@row("complaint 17: missing index, one index for two calls")
def _(b: Bench) -> None:
    bare = [{"tool_calls": [{"id": id_, "function": {"name": "f", "arguments": "{}"}}]} for id_ in "12"]
    with b.on(pieces(*bare), pieces(called("{}", 0, id="1", name="f"), called("{}", 0, id="2", name="f"))) as model:
        for _ in range(2):
            assert [call["id"] for call in b.added(model).tool_calls] == ["1", "2"]


@row("arguments that are no JSON are invalid_tool_calls")
def _(b: Bench) -> None:
    b.emulator.script(Reply("", "", (ToolUse("f", '{"a": '),)))
    (bad,) = b.invoke(b.model().bind_tools(F)).invalid_tool_calls
    assert (bad["name"], bad["args"]) == ("f", '{"a": ')
    assert "not JSON" in bad["error"]


@row("replay of invalid_tool_calls, as JSON and pairable")
def _(b: Bench) -> None:
    bad = {"id": "c", "name": "f", "args": '{"a": ', "error": "x", "type": "invalid_tool_call"}
    history = [HumanMessage("h"), AIMessage("", invalid_tool_calls=[bad]), ToolMessage("mend it", tool_call_id="c")]
    (call,) = b.sent(history)["messages"][1]["tool_calls"]
    assert call["id"] == "c"
    assert json.loads(call["function"]["arguments"]) == {"invalid_arguments": '{"a": '}


@row("`tools: []` with ProviderStrategy")
def _(b: Bench) -> None:
    agent: Any = create_agent(b.model(), response_format=ProviderStrategy(Movie))
    state = {"messages": [("human", "The movie 'Metropolis' of 1927")]}
    end = asyncio.run(agent.ainvoke(state)) if b.later else agent.invoke(state)
    assert isinstance(end["structured_response"], Movie)
    assert "tools" not in b.emulator.requests[0].json()


# Messages


@row("content of an AIMessage of tool calls only")
def _(b: Bench) -> None:
    turn = AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {}}])
    assert b.sent([HumanMessage("h"), turn, ToolMessage("t", tool_call_id="c")])["messages"][1]["content"] == ""


@row("complaint 11: `content: null` on tool-call turns, also in blocks")
def _(b: Bench) -> None:
    block: Any = [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    turn = AIMessage(block, tool_calls=[{"id": "c", "name": "f", "args": {}}])
    assert b.sent([HumanMessage("h"), turn, ToolMessage("t", tool_call_id="c")])["messages"][1]["content"] == ""


@row("ToolMessage with a list: text joined, pictures in a user turn")
def _(b: Bench) -> None:
    turn = AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {}}])
    content: Any = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}]
    sent = b.sent([HumanMessage("h"), turn, ToolMessage(content, tool_call_id="c")], b.model(model=SEES))["messages"]
    assert sent[2]["content"] == "a"
    assert (sent[3]["role"], sent[3]["content"][1]["type"]) == ("user", "image_url")


@row("complaint 10: list content in tool messages")
def _(b: Bench) -> None:
    turn = AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {}}])
    result = ToolMessage(["a", {"type": "text", "text": "b"}], tool_call_id="c")
    assert b.sent([HumanMessage("h"), turn, result])["messages"][2]["content"] == "a\nb"


def parts(b: Bench, *blocks: Any, model: str = SEES) -> Any:
    return b.sent([HumanMessage(["x", *blocks])], b.model(model=model, review="off"))["messages"][0]["content"][1:]


@row("image, url and base64, v1")
def _(b: Bench) -> None:
    given: list[Any] = [
        {"type": "image", "url": "https://x.example/a.png"},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
    ]
    assert [part["image_url"]["url"] for part in parts(b, *given)] == ["https://x.example/a.png", PNG]
    with pytest.raises(RequestReviewError, match="the model reads text only"):
        b.invoke(b.model(), [HumanMessage(given)])


@row("Anthropic's image source")
def _(b: Bench) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert parts(b, {"type": "image", "source": source}) == [{"type": "image_url", "image_url": {"url": PNG}}]


def refused_or_sent(b: Bench, block: dict[str, Any], sent: dict[str, Any]) -> None:
    with pytest.raises(RequestReviewError, match=r"messages\[0\]\.content\[0\] is .* input, the model reads text only"):
        b.invoke(b.model(), [HumanMessage([block])])
    with b.on(whole({"content": "a"}), http_client=None) as model:  # a model the catalog does not know takes all
        assert b.invoke(model, [HumanMessage([block])]).text == "a"
    request = b.model(model="me/mine")._request([HumanMessage([block])], None, {})
    assert request.messages[0]["content"] == [sent]


@row("audio, v1")
def _(b: Bench) -> None:
    block = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}
    refused_or_sent(b, block, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})


@row("file, v1")
def _(b: Bench) -> None:
    block = {"type": "file", "base64": "AAAA", "mime_type": "application/pdf", "filename": "a.pdf"}
    data = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    refused_or_sent(b, block, {"type": "file", "file": data})


@row("video, v1")
def _(b: Bench) -> None:
    block = {"type": "video", "url": "https://x.example/a.mp4"}
    refused_or_sent(b, block, {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}})


@row("text-plain, v1")
def _(b: Bench) -> None:
    assert parts(b, {"type": "text-plain", "text": "a", "mime_type": "text/plain"}) == [{"type": "text", "text": "a"}]


@row("cache_control")
def _(b: Bench) -> None:
    assert parts(b, {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}) == [
        {"type": "text", "text": "a"}
    ]


@row("`name` on messages")
def _(b: Bench) -> None:
    named = [SystemMessage("s", name="a b"), HumanMessage("h", name="My Agent"), AIMessage("a", name="My Agent")]
    assert [m.get("name") for m in b.sent([*named, HumanMessage("h")])["messages"]] == [
        "a_b",
        "My_Agent",
        "My_Agent",
        None,
    ]


@row("complaint 12: an agent's name breaks its requests")
def _(b: Bench) -> None:
    agent: Any = create_agent(b.model(), name="My Agent")
    end = agent.invoke({"messages": [("human", "x")]})
    assert end["messages"][-1].name == "My Agent"
    assert b.sent([*end["messages"], HumanMessage("y")])["messages"][1].get("name") == "My_Agent"


@row("arguments that are not ASCII")
def _(b: Bench) -> None:
    turn = AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {"a": "ü🙂"}}])
    b.invoke(b.model(), [HumanMessage("h"), turn, ToolMessage("t", tool_call_id="c")])
    assert "ü🙂" in b.emulator.requests[-1].content.decode()


# Parameters


@row("n > 1, whole")
def _(b: Bench) -> None:
    prompts: Any = [[HumanMessage("x")]]
    result = asyncio.run(b.model(n=2).agenerate(prompts)) if b.later else b.model(n=2).generate(prompts)
    assert [generation.text for generation in result.generations[0]] == ["You said: x", "You said: x (2)"]


@row("n > 1, streamed")
def _(b: Bench) -> None:
    with pytest.raises(ConfigurationError, match="n=2 cannot be streamed: LangChain adds all chunks up"):
        b.stream(b.model(n=2))
    assert b.emulator.requests == ()


@row("stop, seed")
def _(b: Bench) -> None:
    sent = b.sent("x", b.model(stop=["a"], seed=5))
    assert (sent["stop"], sent["seed"]) == (["a"], 5)
    assert b.sent("x", b.model(stop=["a"]), stop=["b"])["stop"] == ["b"]


@row("the field for max tokens")
def _(b: Bench) -> None:
    assert b.sent("x", b.model(max_tokens=9))["max_tokens"] == 9


@row("complaint 14: max_tokens rewritten; either name is taken")
def _(b: Bench) -> None:
    for sent in (b.sent("x", b.model(max_completion_tokens=9)), b.sent("x", max_completion_tokens=9)):
        assert (sent["max_tokens"], "max_completion_tokens" in sent) == (9, False)


@row("fields that nobody asked for")
def _(b: Bench) -> None:
    assert set(b.sent("x")) == {"model", "messages"}
    b.stream(b.model())
    assert set(b.emulator.requests[-1].json()) == {"model", "messages", "stream", "stream_options"}


@row("parameters are validated before they are sent")
def _(b: Bench) -> None:
    for given, words in (
        ({"temperature": -1}, "at least 0"),
        ({"max_tokens": 10**6}, "131,072"),
        ({"top_p": 2}, "at most 1"),
    ):
        with pytest.raises(RequestReviewError, match=words):
            b.invoke(b.model(), **given)
    with pytest.raises(ConfigurationError, match="Did you mean 'temperature'"):
        b.invoke(b.model(), temprature=1)
    assert b.emulator.requests == ()


@row("the service's own headers")
def _(b: Bench) -> None:
    b.invoke(b.model(project="team/project", default_headers={"x-mine": "1"}))
    headers = b.emulator.requests[-1].headers
    assert (headers["openai-project"], headers["x-mine"]) == ("team/project", "1")


@row("response headers: the request id always, all on request")
def _(b: Bench) -> None:
    for run in (b.invoke, b.added):
        metadata = run(b.model()).response_metadata
        assert metadata["request_id"]
        assert "headers" not in metadata
        assert run(b.model(include_response_headers=True)).response_metadata["headers"]["content-type"]


# Errors


@row("langchain-core's ModelError classes, 402 and 422 included")
def _(b: Bench) -> None:
    for status, theirs, retryable in (
        (400, core.ModelInvalidRequestError, False),
        (401, core.ModelAuthenticationError, False),
        (402, core.ModelPermissionDeniedError, False),
        (403, core.ModelPermissionDeniedError, False),
        (404, core.ModelNotFoundError, False),
        (422, core.ModelInvalidRequestError, False),
        (429, core.ModelRateLimitError, True),
        (500, core.ModelAPIError, True),
        (503, core.ModelAPIError, True),
    ):
        for run in (b.invoke, b.stream, b.events):
            b.emulator.script(Fault(status=status))
            with pytest.raises(theirs) as caught:
                run(b.model())
            error: Any = caught.value
            assert error.is_retryable is retryable
            assert error.response.status_code == status
            assert error.response.json()
            assert error.request_id


VLLM = "This model's maximum context length is 100 tokens. However, your prompt contains at least 140 input tokens."
DECODER = "The decoder prompt (length 140) is longer than the maximum model length of 100. Make sure of it."


@row("ContextOverflowError on vLLM's texts, with the numbers")
def _(b: Bench) -> None:
    for text in (VLLM, DECODER):
        with b.on(refusal(400, text)) as model, pytest.raises(core.ContextOverflowError) as caught:
            b.invoke(model)
        error: Any = caught.value
        assert isinstance(error, ContextLengthError)
        assert (error.limit, error.prompt_tokens) == (100, 140)


@row("complaint 15: the overflow in streams and before sending, too")
def _(b: Bench) -> None:
    for run in (b.stream, b.events):
        with b.on(refusal(400, VLLM)) as model, pytest.raises(core.ContextOverflowError):
            run(model)
        with pytest.raises(core.ContextOverflowError):
            run(b.model(), "word " * 140_000)


@row("an SSE error mid-stream")
def _(b: Bench) -> None:
    broken = sse(
        {"choices": [{"index": 0, "delta": {"content": "so far"}}]}, {"error": {"message": "boom", "code": 500}}
    )
    for run in (b.stream, b.events):
        with b.on(broken) as model, pytest.raises(core.ModelAPIError, match="boom") as caught:
            run(model)
        error: Any = caught.value
        assert error.partial.text == "so far"


@row("complaint 19: not retried once text was handed out")
def _(b: Bench) -> None:
    for kind, retryable in (("cut", False), ("empty", True)):
        b.emulator.script(Fault(kind))  # type: ignore[arg-type]
        with pytest.raises(StreamInterruptedError) as caught:
            b.stream(b.model(max_retries=2))
        assert caught.value.is_retryable is retryable  # type: ignore[attr-defined]
    assert len(b.emulator.requests) == 2


@row("a truncated stream")
def _(b: Bench) -> None:
    with b.on(pieces({"content": "so far"}, end=False)) as model, pytest.raises(core.ModelConnectionError) as caught:
        b.stream(model)
    error: Any = caught.value
    assert error.partial.text == "so far"


@row("an empty stream")
def _(b: Bench) -> None:
    with b.on(sse()) as model, pytest.raises(core.ModelError, match="the stream was empty"):
        b.stream(model)


@row("`choices: null`")
def _(b: Bench) -> None:
    with b.on(whole({}, choices=None)) as model, pytest.raises(core.ModelAPIError, match="choices"):
        b.invoke(model)


@row("complaint 13: a chunk without choices")
def _(b: Bench) -> None:
    empty: list[Any] = [{"id": "1", "model": "m", "choices": None}, {"id": "1", "model": "m", "choices": []}]
    finish = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    with b.on(sse(*empty, finish, *empty)) as model:
        assert b.added(model).text == "a"


@row("429 with Retry-After, retries on")
def _(b: Bench) -> None:
    b.emulator.script(Fault(status=429, retry_after=1.2))  # longer than the pause of our own choice
    began = time.monotonic()
    assert b.invoke(b.model(max_retries=1)).text == "You said: x"
    assert time.monotonic() - began > 1.2
    assert len(b.emulator.requests) == 2


@row("5xx with max_retries=0 is one request")
def _(b: Bench) -> None:
    b.emulator.script(Fault(status=503))
    with pytest.raises(OverloadedError):
        b.invoke(b.model(max_retries=0))
    assert len(b.emulator.requests) == 1


@row("complaint 21: the exact number of attempts")
def _(b: Bench) -> None:
    b.emulator.script(*[Fault(status=429, retry_after=0)] * 3)
    with pytest.raises(RateLimitedError):
        b.invoke(b.model(max_retries=2))
    assert len(b.emulator.requests) == 3


@row("complaint 20: a structured answer that was cut")
def _(b: Bench) -> None:
    model = b.model(max_tokens=25).with_structured_output(Movie)
    with pytest.raises(core.OutputParserException, match=r"cut after 25 tokens.*raise max_tokens"):
        b.invoke(model, "The movie 'Metropolis' of 1927")


@row("fallbacks, for an overflow as well")
def _(b: Bench) -> None:
    b.emulator.script(Fault(status=402))
    spent = b.model().with_fallbacks([b.model(model=SEES)], exceptions_to_handle=(QuotaExceededError,))
    assert b.invoke(spent).response_metadata["model_name"] == SEES
    larger = b.model().with_fallbacks([b.model(model=SEES)], exceptions_to_handle=(core.ContextOverflowError,))
    assert b.invoke(larger, "word " * 135_000).response_metadata["model_name"] == SEES


@row("a retired model says what to use instead")
def _(b: Bench) -> None:
    with pytest.raises(UnknownModelError, match="not served any more"):
        b.invoke(b.model(model="Qwen/Qwen3.6-27B"))


@row("a wrong request is the service's to refuse when the review is off")
def _(b: Bench) -> None:
    with pytest.raises(BadRequestError):
        b.invoke(b.model(review="off", temperature=-1))


# Metadata, profile, counting, clients


@row("cost")
def _(b: Bench) -> None:
    for run in (b.invoke, b.added, b.events):
        assert run(b.model()).response_metadata["cost"] > 0


@row("model_name: served, and what was asked for")
def _(b: Bench) -> None:
    for run in (b.invoke, b.added, b.events):
        metadata = run(b.model(model="gpt-oss-20b")).response_metadata  # an alias
        assert (metadata["model_name"], metadata["requested_model"]) == (MODEL, "gpt-oss-20b")
    assert "requested_model" not in b.invoke(b.model()).response_metadata


@row("ls_provider is model_provider")
def _(b: Bench) -> None:
    model = b.model()
    assert model._get_ls_params()["ls_provider"] == "wandb"
    assert b.invoke(model).response_metadata["model_provider"] == "wandb"
    assert all(chunk.response_metadata["model_provider"] == "wandb" for chunk in b.stream(model))


@row("a profile for every model that is served")
def _(b: Bench) -> None:
    for card in Catalog.bundled():
        if card.status == "active":
            profile = b.model(model=card.id).profile
            assert profile is not None
            assert profile["max_input_tokens"] == card.context_window


@row("token counting")
def _(b: Bench) -> None:
    b.monkeypatch.setattr("socket.socket.connect", None)  # nothing is downloaded
    assert 100 < b.model().get_num_tokens("word " * 200) < 600


@row("complaint 16: token counting for foreign model names")
def _(b: Bench) -> None:
    model = b.model(model="me/mine")
    assert model.get_num_tokens_from_messages([HumanMessage("word " * 200)], tools=F) > 100


@row("native async streaming")
def _(b: Bench) -> None:
    assert inspect.isasyncgenfunction(ChatWandbInference._astream)
    assert isinstance(b.stream(b.model())[0], AIMessageChunk)


@row("HTTP straight through httpx, with clients of one's own")
def _(b: Bench) -> None:
    seen: list[str] = []

    async def anote(request: httpx.Request) -> None:
        seen.append(request.url.path)

    def note(request: httpx.Request) -> None:
        seen.append(request.url.path)

    http = (
        httpx.AsyncClient(event_hooks={"request": [anote]})
        if b.later
        else httpx.Client(event_hooks={"request": [note]})
    )
    given: Any = {"http_async_client": http} if b.later else {"http_client": http}
    b.invoke(b.model(**given))
    assert seen == ["/v1/chat/completions"]


@row("making another model makes no TLS context")
def _(b: Bench) -> None:
    b.invoke(b.model())
    made: list[Any] = []
    b.monkeypatch.setattr(ssl, "create_default_context", lambda *a, **_: made.append(a))
    b.invoke(b.model(temperature=0.5))
    assert made == []


@row("close and aclose")
def _(b: Bench) -> None:
    model = b.model()
    b.invoke(model)
    asyncio.run(model.aclose()) if b.later else model.close()
    assert b.invoke(model).text == "You said: x"


@row("a guard against stalls")
def _(b: Bench) -> None:
    b.emulator.script(Fault("stall", after=2))
    with pytest.raises(TimedOutError) as caught:
        b.stream(b.model(timeout=0.2))
    assert isinstance(caught.value, core.ModelTimeoutError)


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, later: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    ROWS[name](Bench(emulator, monkeypatch, later=later))


def test_every_complaint_has_its_row() -> None:
    numbers = sorted(int(name.split()[1].rstrip(":")) for name in ROWS if name.startswith("complaint"))
    assert numbers == list(range(1, 22))
