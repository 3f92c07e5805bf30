"""LangChain messages to the wire, a row a shape."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from wandb_inference import RequestReviewError
from wandb_inference.langchain.messages import to_wire

URL = "data:image/png;base64,AAAA"
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": URL}}
DEEP = "[" * 100_000


def call(id_: str = "c", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def human(*blocks: Any) -> HumanMessage:
    return HumanMessage(list(blocks))


BLOCKS = [
    {"type": "text", "text": "a"},
    {"type": "tool_call", "id": "c", "name": "f", "args": {}},
    {"type": "tool_call", "id": "d", "name": "g", "args": {}},
]


def taken_out(blocks: list[Any], kept: list[str], **change: Any) -> AIMessage:
    """A message in blocks of whose calls a guardrail has left some."""
    whole = AIMessage(blocks, tool_calls=[{"id": "c", "name": "f", "args": {}}, {"id": "d", "name": "g", "args": {}}])
    calls = [{**one, **change} for one in whole.tool_calls if one["id"] in kept]
    return whole.model_copy(update={"tool_calls": calls})


CASES: dict[str, tuple[list[BaseMessage], list[dict[str, Any]]]] = {
    # name: (messages, wire)
    "plain": (
        [SystemMessage("s"), HumanMessage("h"), AIMessage("a")],
        [{"role": "system", "content": "s"}, {"role": "user", "content": "h"}, {"role": "assistant", "content": "a"}],
    ),
    "another role": ([ChatMessage(content="d", role="developer")], [{"role": "developer", "content": "d"}]),
    "one text block is a string": ([human({"type": "text", "text": "a"})], [{"role": "user", "content": "a"}]),
    "strings among blocks": (
        [human("a", {"type": "text", "text": "b"})],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    ),
    "cache_control stays here": (
        [human({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}})],
        [{"role": "user", "content": "a"}],
    ),
    "text-plain": (
        [human({"type": "text-plain", "text": "a", "mime_type": "text/plain"})],
        [{"role": "user", "content": "a"}],
    ),
    "text-plain, encoded": (
        [human({"type": "text-plain", "base64": "aGVsbG8=", "mime_type": "text/plain"})],
        [{"role": "user", "content": "hello"}],
    ),
    "Anthropic text document": (
        [human({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}})],
        [{"role": "user", "content": "hello"}],
    ),
    "Anthropic document": (
        [human({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}})],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "file", "file_data": "data:application/pdf;base64,AAAA"}}
                ],
            }
        ],
    ),
    "OpenAI image": ([human(WIRE_IMAGE)], [{"role": "user", "content": [WIRE_IMAGE]}]),
    "OpenAI image as a string": (
        [human({"type": "image_url", "image_url": URL})],
        [{"role": "user", "content": [WIRE_IMAGE]}],
    ),
    "image detail": (
        [human({"type": "image_url", "image_url": {"url": URL, "detail": "low", "format": "png"}})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]}],
    ),
    "v1 image, base64": (
        [human({"type": "image", "base64": "AAAA", "mime_type": "image/png"})],
        [{"role": "user", "content": [WIRE_IMAGE]}],
    ),
    "v1 image, url": (
        [human({"type": "image", "url": "https://x.example/a.png"})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}],
    ),
    "Anthropic image": (
        [human({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})],
        [{"role": "user", "content": [WIRE_IMAGE]}],
    ),
    "v1 audio": (
        [human({"type": "audio", "base64": "AAAA", "mime_type": "audio/x-wav"})],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}],
    ),
    "v1 video": (
        [human({"type": "video", "url": "https://x.example/a.mp4"})],
        [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}}]}],
    ),
    "v1 file": (
        [human({"type": "file", "base64": "AAAA", "mime_type": "application/pdf", "filename": "a.pdf"})],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
                ],
            }
        ],
    ),
    "names": (
        [
            HumanMessage("h", name="My Agent!"),
            AIMessage("a", name="My Agent"),
            SystemMessage("s", name="example_user"),
            HumanMessage("h", name="你好"),
        ],
        [
            {"role": "user", "name": "My_Agent", "content": "h"},
            {"role": "assistant", "name": "My_Agent", "content": "a"},
            {"role": "system", "name": "example_user", "content": "s"},
            {"role": "user", "content": "h"},
        ],
    ),
    "a call that was taken out of a message with blocks": (
        [taken_out(BLOCKS, ["c"]), ToolMessage("r", tool_call_id="c")],
        [
            {"role": "assistant", "content": "a", "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
    ),
    "all calls taken out of a message with blocks": (
        [taken_out(BLOCKS, []), HumanMessage("h")],
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "h"}],
    ),
    "all calls taken out of Anthropic's blocks": (
        [taken_out([{"type": "tool_use", "id": "c", "name": "f", "input": {}}], [])],
        [{"role": "assistant", "content": ""}],
    ),
    "arguments that somebody has changed": (
        [taken_out(BLOCKS, ["c"], args={"a": 2})],
        [{"role": "assistant", "content": "a", "tool_calls": [call(arguments='{"a": 2}')]}],
    ),
    "calls in OpenAI's old form": (
        [
            HumanMessage("h"),
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
            FunctionMessage(content="r", name="f"),
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a'}}),
            FunctionMessage(content="s", name="f"),
            FunctionMessage(content="t", name="g"),
        ],
        [
            {"role": "user", "content": "h"},
            {"role": "assistant", "content": "", "tool_calls": [call("call_1")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [call("call_3", arguments='{"invalid_arguments": "{\\"a"}')],
            },
            {"role": "tool", "tool_call_id": "call_3", "content": "s"},
            {"role": "tool", "tool_call_id": "", "content": "t"},
        ],
    ),
    "an image in bytes": (
        [human({"type": "image", "data": b"\x89PNG", "mime_type": "image/png"})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]}],
    ),
    "an image in bytes that are base64": (
        [human({"type": "image", "base64": b"AAAA"})],
        [{"role": "user", "content": [WIRE_IMAGE]}],
    ),
    "an image in bytes that only should be": (
        [human({"type": "image", "base64": bytearray(b"\x89PNG")})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]}],
    ),
    "Anthropic's image in bytes": (
        [human({"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": b"GIF"}})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}}]}],
    ),
    "sound in bytes": (
        [human({"type": "audio", "data": memoryview(b"RIFF"), "mime_type": "audio/wav"})],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]}],
    ),
    "a tool call alone has empty text, not null": (
        [AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {"a": "ü"}}])],
        [{"role": "assistant", "content": "", "tool_calls": [call(arguments='{"a": "ü"}')]}],
    ),
    "an invalid call stays pairable": (
        [
            AIMessage(
                "",
                invalid_tool_calls=[{"id": "c", "name": "f", "args": '{"a', "error": "x", "type": "invalid_tool_call"}],
            ),
            ToolMessage("mend it", tool_call_id="c"),
        ],
        [
            {"role": "assistant", "content": "", "tool_calls": [call(arguments='{"invalid_arguments": "{\\"a"}')]},
            {"role": "tool", "tool_call_id": "c", "content": "mend it"},
        ],
    ),
    "Anthropic's calls are sent once": (
        [
            AIMessage(
                [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
                tool_calls=[{"id": "c", "name": "f", "args": {}}],
            )
        ],
        [{"role": "assistant", "content": "a", "tool_calls": [call()]}],
    ),
    "Anthropic's calls without tool_calls": (
        [AIMessage([{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}])],
        [{"role": "assistant", "content": "", "tool_calls": [call(arguments='{"a": 1}')]}],
    ),
    "Anthropic's results": (
        [
            human(
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}]},
                {"type": "text", "text": "t"},
            )
        ],
        [{"role": "tool", "tool_call_id": "c", "content": "r"}, {"role": "user", "content": "t"}],
    ),
    "tool text in blocks": (
        [ToolMessage([{"type": "text", "text": "a"}, "b"], tool_call_id="c")],
        [{"role": "tool", "tool_call_id": "c", "content": "a\nb"}],
    ),
    "tool pictures are shown after all results": (
        [
            ToolMessage([{"type": "text", "text": "a"}, WIRE_IMAGE], tool_call_id="c"),
            ToolMessage("b", tool_call_id="d"),
            HumanMessage("h"),
        ],
        [
            {"role": "tool", "tool_call_id": "c", "content": "a"},
            {"role": "tool", "tool_call_id": "d", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "Shown in the turns above:"}, WIRE_IMAGE]},
            {"role": "user", "content": "h"},
        ],
    ),
    "reasoning, from additional_kwargs": (
        [AIMessage("a", additional_kwargs={"reasoning_content": "r"})],
        [{"role": "assistant", "content": "a", "reasoning": "r"}],
    ),
    "reasoning, from v1 blocks": (
        [AIMessage([{"type": "reasoning", "reasoning": "r"}, {"type": "text", "text": "a", "index": "lc_text"}])],
        [{"role": "assistant", "content": "a", "reasoning": "r"}],
    ),
    "reasoning, from both, once": (
        [AIMessage([{"type": "reasoning", "reasoning": "r"}], additional_kwargs={"reasoning_content": "r"})],
        [{"role": "assistant", "content": "", "reasoning": "r"}],
    ),
    # What other providers leave in a history, after a fallback
    "OpenAI's Responses": (
        [
            AIMessage(
                [
                    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "r"}]},
                    {"type": "text", "text": "a", "annotations": [], "id": "msg_1"},
                    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
                ],
                tool_calls=[{"id": "c", "name": "f", "args": {"a": 1}}],
                response_metadata={"model_provider": "openai"},
            )
        ],
        [{"role": "assistant", "content": "a", "reasoning": "r", "tool_calls": [call(arguments='{"a": 1}')]}],
    ),
    "OpenAI's Responses, older": (
        [
            AIMessage(
                [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "No."}],
                additional_kwargs={"reasoning": {"id": "rs_1", "summary": [{"type": "summary_text", "text": "r"}]}},
            )
        ],
        [{"role": "assistant", "content": "aNo.", "reasoning": "r"}],
    ),
    "a call that only the content names": (
        [AIMessage([{"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}])],
        [{"role": "assistant", "content": "", "tool_calls": [call(arguments='{"a": 1}')]}],
    ),
    "Bedrock": (
        [
            AIMessage(
                [
                    {"type": "reasoning_content", "reasoning_content": {"text": "r", "signature": "s"}},
                    {"type": "text", "text": "a"},
                ]
            ),
            human({"text": "h"}, {"cachePoint": {"type": "default"}}),
        ],
        [{"role": "assistant", "content": "a", "reasoning": "r"}, {"role": "user", "content": "h"}],
    ),
    "what only its provider can read": (
        [AIMessage([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}])],
        [{"role": "assistant", "content": "a"}],
    ),
    "a tool of the provider's server": (
        [AIMessage([{"type": "web_search_call", "status": "completed"}, {"type": "text", "text": "a"}])],
        [{"role": "assistant", "content": '{"type": "web_search_call", "status": "completed"}a'}],
    ),
    "a picture that a model made": (
        [
            AIMessage(
                [{"type": "text", "text": "a"}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}],
                tool_calls=[{"id": "c", "name": "f", "args": {}}],
            ),
            ToolMessage("r", tool_call_id="c"),
            HumanMessage("h"),
        ],
        [
            {"role": "assistant", "content": "a", "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
            {"role": "user", "content": [{"type": "text", "text": "Shown in the turns above:"}, WIRE_IMAGE]},
            {"role": "user", "content": "h"},
        ],
    ),
    "a picture before Anthropic's results": (
        [
            AIMessage([{"type": "image", "base64": "AAAA"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}]),
            human({"type": "tool_result", "tool_use_id": "c", "content": "r"}, {"type": "text", "text": "t"}),
        ],
        [
            {"role": "assistant", "content": "", "tool_calls": [call()]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Shown in the turns above:"},
                    WIRE_IMAGE,
                    {"type": "text", "text": "t"},
                ],
            },
        ],
    ),
    "an invalid call that only the content names": (
        [
            AIMessage([{"type": "invalid_tool_call", "id": "c", "name": "f", "args": '{"a', "error": "x"}]),
            ToolMessage("mend it", tool_call_id="c"),
        ],
        [
            {"role": "assistant", "content": "", "tool_calls": [call(arguments='{"invalid_arguments": "{\\"a"}')]},
            {"role": "tool", "tool_call_id": "c", "content": "mend it"},
        ],
    ),
    "an invalid call nested without end": (
        [AIMessage([{"type": "invalid_tool_call", "id": "c", "name": "f", "args": DEEP, "error": "x"}])],
        [
            {"role": "assistant", "content": "", "tool_calls": [call(arguments=f'{{"invalid_arguments": "{DEEP}"}}')]},
        ],
    ),
    "calls without an id, in both places": (
        [
            AIMessage(
                [{"type": "tool_call", "id": None, "name": "f", "args": {}}],
                tool_calls=[{"id": None, "name": "f", "args": {}}],
            )
        ],
        [{"role": "assistant", "content": "", "tool_calls": [call("")]}],
    ),
    "a text file of LangChain v0": (
        [human({"type": "file", "source_type": "text", "text": "hello", "mime_type": "text/plain"})],
        [{"role": "user", "content": "hello"}],
    ),
    "Responses' input blocks": (
        [human({"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": URL})],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, WIRE_IMAGE]}],
    ),
    "Gemini's media": (
        [human({"type": "media", "mime_type": "image/png", "data": "AAAA"})],
        [{"role": "user", "content": [WIRE_IMAGE]}],
    ),
    "a v3 answer": (
        [
            AIMessage(
                [
                    {"type": "reasoning", "reasoning": "r", "index": 0},
                    {"type": "text", "text": "a", "index": 1},
                    {"type": "tool_call", "id": "c", "name": "f", "args": {}},
                ],
                tool_calls=[{"id": "c", "name": "f", "args": {}}],
                additional_kwargs={"reasoning_content": "r"},
            )
        ],
        [{"role": "assistant", "content": "a", "reasoning": "r", "tool_calls": [call()]}],
    ),
    "Anthropic's thinking": (
        [AIMessage([{"type": "thinking", "thinking": "r", "signature": "s"}, {"type": "text", "text": "a"}])],
        [{"role": "assistant", "content": "a", "reasoning": "r"}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_to_wire(name: str) -> None:
    messages, wire = CASES[name]
    assert to_wire(messages) == wire


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("all", ["old", "loop", "last"]), ("since_last_human", ["loop", "last"]), ("none", [])],
)
def test_replay_of_reasoning(policy: Any, kept: list[str]) -> None:
    def turn(thought: str) -> AIMessage:
        return AIMessage(
            "a", additional_kwargs={"reasoning_content": thought}, tool_calls=[{"id": thought, "name": "f", "args": {}}]
        )

    messages: list[BaseMessage] = [HumanMessage("h"), turn("old"), ToolMessage("r", tool_call_id="old")]
    messages += [HumanMessage("h"), turn("loop"), ToolMessage("r", tool_call_id="loop"), turn("last")]
    wire = to_wire(messages, policy)
    assert [message["reasoning"] for message in wire if "reasoning" in message] == kept
    assert len(wire) == len(messages)


def test_results_in_a_humans_turn_do_not_end_a_tool_loop() -> None:
    thinks = AIMessage(
        [{"type": "thinking", "thinking": "r"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    )
    results = human({"type": "tool_result", "tool_use_id": "c", "content": "t"})
    assert to_wire([HumanMessage("h"), thinks, results], "since_last_human")[1]["reasoning"] == "r"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (human({"type": "hologram"}), r"messages\[0\]\.content\[0\]: .*'hologram'.*Types that can: text"),
        (human({"type": "image", "file_id": "f-1"}), "the image cannot be sent.*url or base64"),
        (human({"type": "text-plain", "url": "https://x.example/a.txt"}), "text-plain block without text"),
        (human({"type": "input_image", "file_id": "f-1"}), "an image without a url cannot be sent"),
        (human({"type": "image_url"}), "an image without a url cannot be sent"),
        (human({"type": "input_audio"}), "input_audio without input_audio cannot be sent"),
        (human({"type": "tool_result", "tool_use_id": "c", "content": 5}), "content of type int cannot be sent"),
        (human({"type": "tool_result", "tool_use_id": "c", "content": [5]}), "content of type list cannot be sent"),
        (
            AIMessage("", tool_calls=[{"id": "c", "name": "f", "args": {"a": object()}}]),
            r"messages\[0\]\.tool_calls: what is no JSON",
        ),
        (AIMessage([{"type": "image", "file_id": "f-1"}]), r"messages\[0\]\.content\[0\]: the image cannot be sent"),
    ],
)
def test_what_cannot_be_sent_is_named(message: BaseMessage, words: str) -> None:
    with pytest.raises(RequestReviewError, match=words):
        to_wire([message])
