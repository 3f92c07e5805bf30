"""Streams: chunks that add up and content-block events, from the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_support import BOTH, STREAMED, F, Make, add, astream, invoke, stream
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from langgraph.graph import START, MessagesState, StateGraph
from support import KEY, MODEL, calls_of, raw_server, sse

from wandb_inference import (
    ConfigurationError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCallDelta,
    Usage,
    collect,
)
from wandb_inference.chat import ReasoningDelta
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.langchain.facts import Facts
from wandb_inference.langchain.provider import PROVIDER
from wandb_inference.langchain.results import to_result
from wandb_inference.langchain.streams import Chunks, Delta, Events, plain


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "m", "object": "chat.completion.chunk", "choices": [choice], **fields}


def fragment(arguments: str, *, index: int | None = 0, name: str | None = None, **given: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"function": function, **({} if index is None else {"index": index}), **given}


def calls(*fragments: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(fragments)}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": counts}


END = [chunk(finish="stop"), {"id": "chatcmpl-1", "model": "m", "choices": [], **usage(7, 3)}]
PARIS, ROME = ("f", {"city": "Paris"}), ("f", {"city": "Rome"})

WIRE: dict[str, tuple[list[dict[str, Any]], str, str, list[Any]]] = {
    # name: (chunks as a server sends them, text, reasoning, calls)
    "plain": ([chunk({"content": "a"}), chunk({"content": "b"}), *END], "ab", "", []),
    "reasoning, under either name": (
        [chunk({"reasoning": "r"}), chunk({"reasoning_content": "s"}), chunk({"content": "a"}), *END],
        "a",
        "rs",
        [],
    ),
    "both names at once": ([chunk({"reasoning": "r", "reasoning_content": "r"}), *END], "", "r", []),
    "text and a call's first fragment in one delta": (
        [
            chunk({"content": "a", **calls(fragment('{"city": "Pa', id="1", name="f"))}),
            chunk(calls(fragment('ris"}'))),
            *END,
        ],
        "a",
        "",
        [PARIS],
    ),
    "reasoning, text and a call in one delta": (
        [chunk({"reasoning": "r", "content": "a", **calls(fragment('{"city": "Rome"}', id="1", name="f"))}), *END],
        "a",
        "r",
        [ROME],
    ),
    "parallel calls, alternating": (
        [
            chunk(calls(fragment('{"city"', id="1", name="f"), fragment("{", index=1, id="2", name="f"))),
            chunk(calls(fragment(': "Paris"'))),
            chunk(calls(fragment('"city": "Rome"', index=1))),
            chunk(calls(fragment("}"), fragment("}", index=1))),
            *END,
        ],
        "",
        "",
        [PARIS, ROME],
    ),
    "calls between pieces of text and reasoning": (
        [
            chunk({"reasoning": "r"}),
            chunk({"content": "a"}),
            chunk(calls(fragment('{"city": ', id="1", name="f"))),
            chunk({"content": "b"}),
            chunk({"reasoning": "s"}),
            chunk(calls(fragment('"Paris"}'))),
            *END,
        ],
        "ab",
        "rs",
        [PARIS],
    ),
    "no index": (
        [
            chunk(calls(fragment('{"city": "Paris"}', index=None, id="1", name="f"))),
            chunk(calls(fragment('{"city": ', index=None, id="2", name="f"))),
            chunk(calls(fragment('"Rome"}', index=None))),
            *END,
        ],
        "",
        "",
        [PARIS, ROME],
    ),
    "one index for two calls": (
        [
            chunk(calls(fragment('{"city": "Paris"}', id="1", name="f"))),
            chunk(calls(fragment('{"city": "Rome"}', id="2", name="f"))),
            *END,
        ],
        "",
        "",
        [PARIS, ROME],
    ),
    "no arguments": ([chunk(calls(fragment("", id="1", name="f"))), *END], "", "", [("f", {})]),
    "the name after the id": (
        [chunk(calls(fragment("", id="1"))), chunk(calls(fragment('{"city": "Paris"}', name="f"))), *END],
        "",
        "",
        [PARIS],
    ),
    "the finish chunk twice": ([chunk({"content": "a"}), chunk(finish="stop"), *END], "a", "", []),
    "growing token counts on every chunk": (
        [
            chunk({"content": "a"}, **usage(7, 1)),
            chunk({"content": "b"}, **usage(7, 2)),
            chunk(finish="stop", **usage(7, 3)),
            END[1],
        ],
        "ab",
        "",
        [],
    ),
    "choices null": ([{"id": "chatcmpl-1", "model": "m", "choices": None}, chunk({"content": "a"}), *END], "a", "", []),
}


@STREAMED
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("name", WIRE)
def test_what_servers_send(name: str, coalesce: bool, version: Any, run: Any) -> None:
    chunks, text, reasoning, called = WIRE[name]
    with raw_server(sse(*chunks)) as url:
        model = ChatWandbInference(
            model="me/mine", base_url=url, api_key="k", max_retries=0, coalesce=coalesce, output_version=version
        )
        answer = run(model, "x")
    assert answer.text == text
    assert answer.additional_kwargs.get("reasoning_content", "") == reasoning
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == called
    assert answer.invalid_tool_calls == []
    assert [block["type"] for block in answer.content_blocks] == (
        ["reasoning"] * bool(reasoning) + ["text"] * bool(text) + ["tool_call"] * len(called)
    )
    assert answer.usage_metadata["total_tokens"] == 10
    metadata = answer.response_metadata
    assert (metadata["finish_reason"], metadata["model_name"], metadata["id"]) == ("stop", "m", "chatcmpl-1")
    assert metadata["model_provider"] == "wandb"


deltas = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(max_size=3)),
        st.builds(ReasoningDelta, st.text(max_size=3)),
        st.sampled_from([0, 1, 2]),  # the next piece of that call
    ),
    max_size=20,
)
ARGUMENTS = ['{"a": [1, {"b": "}"}]}', '{"a": "é\\n"}', "{}"]


def stream_of(pieces: list[Any]) -> Iterator[StreamEvent]:
    yield StreamStart("1", "m")
    told: dict[int, int] = {}
    for piece in pieces:
        if not isinstance(piece, int):
            yield piece
            continue
        at = told.get(piece, 0)
        about: Any = {} if piece in told else {"id": f"c{piece}", "name": f"f{piece}"}
        yield ToolCallDelta(piece, ARGUMENTS[piece][at : at + 5], **about)
        told[piece] = at + 5
    for index, at in told.items():
        yield ToolCallDelta(index, ARGUMENTS[index][at:])
    yield StreamEnd({0: "stop"}, Usage(input_tokens=7, output_tokens=3), "fp")


@given(deltas, st.lists(st.integers(1, 6), max_size=20), st.booleans())
def test_every_form_says_the_same_however_the_pieces_alternate(
    pieces: list[Any], cuts: list[int], coalesce: bool
) -> None:
    told = list(stream_of(pieces))
    rest, reads = list(told), []
    for size in cuts:
        reads.append(rest[:size])
        rest = rest[size:]
    reads.append(rest)

    (whole,) = to_result(collect(told), Facts()).generations
    added = add([made.message for read in reads for made in Chunks(Facts(), coalesce=coalesce).of(read)])  # type: ignore[misc]
    writer = Events(Facts(), coalesce=coalesce, message_id="m1")
    events = [*(event for read in reads for event in writer.of(read)), *writer.finish()]
    assert_valid_event_stream(events)
    grown = ChatModelStream()
    for event in events:
        grown.dispatch(event)

    expected = whole.message
    assert isinstance(expected, AIMessage)
    for answer in (added, grown.output):
        assert answer.text == expected.text
        assert answer.additional_kwargs == expected.additional_kwargs
        assert sorted(map(str, answer.tool_calls)) == sorted(map(str, expected.tool_calls))
        assert answer.usage_metadata == expected.usage_metadata
    assert grown.output.response_metadata == {**expected.response_metadata, "output_version": "v1"}

    def content(blocks: Any) -> list[str]:  # of one kind each, whatever came first
        return sorted(json.dumps({k: v for k, v in block.items() if k != "index"}, sort_keys=True) for block in blocks)

    assert content(added.content_blocks) == content(expected.content_blocks) == content(grown.output.content_blocks)


def test_a_call_that_does_not_parse_is_invalid_in_events_too() -> None:
    writer = Events(Facts())
    read: list[StreamEvent] = [StreamStart("1", "m"), ToolCallDelta(0, '{"a', "c", "f"), StreamEnd({0: "length"})]
    grown = ChatModelStream()
    for event in (*writer.of(read), *writer.finish()):
        grown.dispatch(event)
    (bad,) = grown.output.invalid_tool_calls
    assert (bad["id"], bad["name"], bad["args"]) == ("c", "f", '{"a')
    assert "not JSON" in str(bad["error"])


UNREADABLE = [
    '{"path": "/home/us',
    '{"path": "/home/us\\',
    '{"path": ["/home", {"a": 1',
    '{"path": ["/home"',
    '{"path": "a"',
    "{bad",
    '{"a": 1}}',
    "[1]",
    "null",
    '"text',
]


@BOTH
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("arguments", UNREADABLE)
def test_a_call_that_was_cut_is_not_completed(
    arguments: str, version: Any, run: Any, make: Make, emulator: Emulator
) -> None:
    """An agent would remove half a path."""
    emulator.script(*[Reply("", "", (ToolUse("rm", arguments), ToolUse("ls", {})), finish_reason="length")] * 3)
    model = make(output_version=version, streaming=True).bind_tools(F)
    for answer in (run(model, "x"), (stream if run is invoke else astream)(model, "x")):
        assert [call["name"] for call in answer.tool_calls] == ["ls"]
        (bad,) = answer.invalid_tool_calls
        assert (bad["name"], str(bad["args"]).startswith(arguments)) == ("rm", True)
        kinds = {block["type"] for block in answer.content_blocks}
        # Of v1 content inside invoke, langchain-core itself finishes the blocks of valid calls only.
        assert kinds in ({"invalid_tool_call", "tool_call"}, {"tool_call_chunk", "tool_call"})


class _Asked(ChatWandbInference):
    """Counts who asks for the native events."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        object.__setattr__(self, "asked", [])

    def _stream_chat_model_events(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append("sync")  # type: ignore[attr-defined]
        return super()._stream_chat_model_events(*args, **kwargs)

    def _astream_chat_model_events(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append("async")  # type: ignore[attr-defined]
        return super()._astream_chat_model_events(*args, **kwargs)


def test_langchain_core_still_looks_for_the_native_events(emulator: Emulator) -> None:
    """If this fails, the hook has a new name, and every event costs several times what it could."""
    model = _Asked(model="openai/gpt-oss-20b", base_url=emulator.url, api_key=emulator.api_key)
    assert model.stream_events("x", version="v3").output.text == "You said: x"
    bound: Any = model.bind(temperature=0)
    assert bound.stream_events("x", version="v3").output.text == "You said: x"

    async def run() -> str:
        return str((await (await model.astream_events("x", version="v3")).output).text)

    assert asyncio.run(run()) == "You said: x"
    assert model.asked == ["sync", "sync", "async"]  # type: ignore[attr-defined]


def test_the_messages_of_a_graph_are_the_native_events(emulator: Emulator) -> None:
    model = _Asked(model="openai/gpt-oss-20b", base_url=emulator.url, api_key=emulator.api_key)
    graph: Any = (
        StateGraph(MessagesState)
        .add_node("talk", lambda state: {"messages": [model.invoke(state["messages"])]})
        .add_edge(START, "talk")
        .compile()
    )
    run = graph.stream_events({"messages": [("human", "Hello")]}, version="v3")
    said = [str(message.text) for message in run.messages]
    assert said == ["You said: Hello"]
    assert model.asked == ["sync"]  # type: ignore[attr-defined]
    last = run.output["messages"][-1]
    assert last.additional_kwargs["reasoning_content"]
    assert last.usage_metadata["output_tokens"] > 0
    assert last.response_metadata["cost"] > 0


def test_events_leave_their_connection_to_the_next_call(make: Make) -> None:
    """langchain-core stops reading at the last event."""
    with httpx.Client() as http:
        model = make(http_client=http)
        for _ in range(3):
            assert model.stream_events("x", version="v3").output.text == "You said: x"
        assert len(http._transport._pool.connections) == 1  # type: ignore[attr-defined]
        assert http._transport._pool.connections[0].is_idle()  # type: ignore[attr-defined]


def test_events_carry_the_ids_of_the_run_and_of_the_service(make: Make) -> None:
    run: Any = make().stream_events("Hello", version="v3")
    first, *_, last = list(run)
    assert first["id"].startswith("lc_run--")
    assert first["id"] == run.output.id
    assert first["metadata"] == {"provider": "wandb", "model": "openai/gpt-oss-20b"}
    assert last["metadata"]["id"].startswith("chatcmpl-")


def test_each_fact_is_in_one_chunk(make: Make) -> None:
    chunks = list(make(include_response_headers=True, coalesce=False).stream("Hello", logprobs=True))
    for name in ("model_name", "finish_reason", "cost", "headers", "id", "token_usage"):
        assert sum(name in chunk.response_metadata for chunk in chunks) == 1, name
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert all(chunk.response_metadata["model_provider"] == "wandb" for chunk in chunks)
    assert chunks[-1].chunk_position == "last"
    full = add(chunks)
    assert "".join(t["token"] for t in full.response_metadata["logprobs"]["content"]).endswith("You said: Hello")


@pytest.mark.parametrize(("coalesce", "texts"), [(True, ["ab", "", "c", ""]), (False, ["", "a", "b", "", "", "c", ""])])
def test_coalescing_joins_neighbours_of_one_read(coalesce: bool, texts: list[str]) -> None:
    fragments = [ToolCallDelta(0, "{", "c", "f"), ToolCallDelta(0, "}")]
    read: list[StreamEvent] = [StreamStart("1", "m"), TextDelta("a"), TextDelta("b"), *fragments, TextDelta("c")]
    read.append(StreamEnd({0: "stop"}))
    chunks = list(Chunks(Facts(), coalesce=coalesce).of(read))
    assert [chunk.text for chunk in chunks] == texts
    calls = [call for chunk in chunks for call in chunk.message.tool_call_chunks]  # type: ignore[attr-defined]
    assert "".join(call["args"] for call in calls) == "{}"
    assert {call["index"] for call in calls} == {0}


def test_stream_usage_can_be_declined(make: Make, emulator: Emulator) -> None:
    chunks = list(make(stream_usage=False).stream("x"))
    assert "stream_options" not in emulator.requests[0].json()
    assert all(chunk.usage_metadata is None and "cost" not in chunk.response_metadata for chunk in chunks)


def test_invoke_that_streams(make: Make, emulator: Emulator) -> None:
    assert make(streaming=True).invoke("x").text == "You said: x"
    assert emulator.requests[0].json()["stream"] is True


def test_new_tokens_are_told_once(make: Make) -> None:
    class Tokens(BaseCallbackHandler):
        text = ""

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.text += token

    for run in (stream, astream):
        handler = Tokens()
        run(make(callbacks=[handler]), "Hello")
        assert handler.text == "You said: Hello"


def test_a_read_of_many_http_chunks_is_one_chunk() -> None:
    pieces = [chunk(calls(fragment('{"n": [', id="1", name="f"))), *(chunk(calls(fragment("1,"))) for _ in range(300))]
    body = sse(*pieces, chunk(calls(fragment("1]}"))), *END)
    with raw_server(body, body) as url:
        model = ChatWandbInference(model="me/mine", base_url=url, api_key="k")
        joined, single = (list(model.model_copy(update={"coalesce": on}).stream("x")) for on in (True, False))
    assert len(joined) < 10
    assert len(single) > 300
    assert (
        add(joined).tool_calls
        == add(single).tool_calls
        == [{"name": "f", "args": {"n": [1] * 301}, "id": "1", "type": "tool_call"}]
    )


def test_n_answers_inside_something_that_streams(make: Make) -> None:
    def ask(prompt: str) -> str:
        return str(make(n=2).invoke(prompt).text)

    chain = RunnableLambda(ask)

    async def run() -> list[Any]:
        return [event["data"] async for event in chain.astream_events("x", version="v2")]

    assert asyncio.run(run())[-1] == {"output": "You said: x"}
    with pytest.raises(ConfigurationError, match="n=2 cannot be streamed"):
        make(n=2).invoke("x", stream=True)


@STREAMED
@pytest.mark.parametrize("kind", ["cut", "no_finish", "error_event", "empty"])
def test_broken_streams_raise_with_what_arrived(kind: Any, run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Fault(kind, after=4))
    with pytest.raises(core.ModelError) as caught:
        run(make(), "x")
    error: Any = caught.value
    assert (error.partial is None) == (kind == "empty")
    assert error.is_retryable == (kind == "empty")  # what was handed out would come again


PLAIN = {
    "text": Delta(text="Hi"),
    "reasoning": Delta(reasoning="Hm"),
    "nothing": Delta(),
    "the middle of a call": Delta(calls={3: ToolCallDelta(3, ': "a b ')}),
    "the ends of two": Delta(calls={0: ToolCallDelta(0, '"}'), 1: ToolCallDelta(1, " 1}", "c1", "f")}),
    "a list": Delta(calls={0: ToolCallDelta(0, "[{}]")}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_chunk_is_what_validation_makes(name: str) -> None:
    delta = PLAIN[name]
    chunk, again = plain(delta), plain(delta)
    calls = [{"name": c.name, "args": c.arguments, "id": c.id, "index": i} for i, c in delta.calls.items()]
    validated = ChatGenerationChunk(
        message=AIMessageChunk(
            content=delta.text,
            additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
            tool_call_chunks=calls,
            usage_metadata=None,
            response_metadata={"model_provider": PROVIDER},
            chunk_position=None,
        ),
        generation_info=None,
    )
    assert (chunk, chunk.model_dump()) == (validated, validated.model_dump())
    assert chunk.model_fields_set == validated.model_fields_set
    assert chunk.message.model_fields_set == validated.message.model_fields_set
    assert repr(chunk) == repr(validated)
    mutable = [name for name, value in vars(chunk.message).items() if isinstance(value, list | dict)]
    assert not [name for name in mutable if vars(chunk.message)[name] is vars(again.message)[name]]


def test_the_work_for_tool_arguments_is_that_for_text() -> None:
    """langchain-core tries each fragment as JSON from every one of its ends: coalesced, that would take for ever."""

    def work(*deltas: dict[str, Any]) -> int:
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        with raw_server(sse(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})) as url:
            model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY)
            return calls_of(lambda: [chunk for chunk in model.stream("Hello")])  # noqa: C416 (read, and nothing else)

    first = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"text": "'}}
    middle = [{"index": 0, "function": {"arguments": f"word{n} "}} for n in range(500)]
    last = {"index": 0, "function": {"arguments": '"}'}}
    tools = work(*({"tool_calls": [call]} for call in (first, *middle, last)))
    assert tools < 2 * work(*({"content": f"word{n} "} for n in range(502)))
