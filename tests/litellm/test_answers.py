"""Answers as LiteLLM reads and bills them: bodies, and chunks in the order that it needs."""

from __future__ import annotations

from typing import Any

import pytest
from cards import card
from litellm.types.utils import ModelResponse

from wandb_inference import (
    Choice,
    Completion,
    LogprobsDelta,
    ReasoningDelta,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from wandb_inference.litellm.answers import Chunks, to_body, to_usage

PRICED = card(price={"input": 4, "output": 10, "cached_input": 1})
USAGE = Usage(input_tokens=100, output_tokens=10, cached_tokens=50, reasoning_tokens=3)
COUNTS = {
    "prompt_tokens": 100,
    "completion_tokens": 10,
    "total_tokens": 110,
    "prompt_tokens_details": {"cached_tokens": 50},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}


def test_counts() -> None:
    assert to_usage(USAGE, None) == to_usage(USAGE, card()) == COUNTS
    assert to_usage(USAGE, PRICED) == {**COUNTS, "cost": 0.00035}
    bare = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert to_usage(Usage(input_tokens=1, output_tokens=2), None) == bare


def call(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_whole_answer() -> None:
    completion = Completion(
        id="c",
        model="me/m",
        created=7,
        system_fingerprint="fp",
        usage=USAGE,
        choices=(
            Choice(text="Hi", reasoning="Hm", finish_reason="stop", logprobs=(TOKEN,)),
            Choice(index=1, tool_calls=(ToolCall("1", "f", "{}"),), finish_reason="tool_calls"),
        ),
    )
    body = to_body(completion, PRICED)
    assert body == {
        "id": "c",
        "object": "chat.completion",
        "created": 7,
        "model": "me/m",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"},
                "finish_reason": "stop",
                "logprobs": {"content": [TOKEN]},
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": None, "tool_calls": [call("1", "f", "{}")]},
                "finish_reason": "tool_calls",
                "logprobs": None,
            },
        ],
        "usage": {**COUNTS, "cost": 0.00035},
    }
    read_by_litellm: Any = ModelResponse(**body)
    assert read_by_litellm.choices[0].message.reasoning_content == "Hm"


def test_the_least_of_an_answer() -> None:
    assert to_body(Completion()) == {
        "id": "",
        "object": "chat.completion",
        "created": None,
        "model": "",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": None, "logprobs": None}
        ],
    }


START = StreamStart("c", "me/m", 7)


def shown(chunk: Any) -> dict[str, Any]:
    """Return what a chunk says: its choices by index, and what stands beside them."""
    beside = {"usage": chunk.get("usage"), "fingerprint": chunk.get("system_fingerprint")}
    found: dict[str, Any] = {name: value for name, value in beside.items() if value}
    if "usage" in found:
        found["usage"] = found["usage"].total_tokens
    for choice in chunk.choices:
        delta = choice.delta
        said: dict[str, Any] = {
            "role": delta.role,
            "text": delta.content,
            "reasoning": getattr(delta, "reasoning_content", None),
            "calls": [(c.index, c.id, c.function.name, c.function.arguments) for c in delta.tool_calls or ()],
            "logprobs": choice.logprobs and len(choice.logprobs["content"]),
            "finish": choice.finish_reason,
        }
        found[choice.index] = {name: value for name, value in said.items() if value not in (None, [])}
    return found


def read(*batches: list[StreamEvent], **keywords: Any) -> list[dict[str, Any]]:
    chunks = Chunks(**keywords)
    return [shown(chunk) for batch in batches for chunk in chunks.of(batch)]


def begun(index: int = 0, **said: Any) -> dict[Any, Any]:
    """The first chunk of a choice tells its role."""
    return {index: {"role": "assistant", **said}}


MERGED: dict[str, tuple[list[StreamEvent], str]] = {
    # name: (what came, the text that leaves)
    "text": ([TextDelta("a")], "a"),
    "reasoning before text": ([ReasoningDelta("r"), ReasoningDelta("s"), TextDelta("a")], "<think>rs</think>a"),
    "reasoning twice": (
        [ReasoningDelta("r"), TextDelta("a"), ReasoningDelta("s"), TextDelta("b")],
        "<think>r</think>a<think>s</think>b",
    ),
    "reasoning before a call": ([ReasoningDelta("r"), ToolCallDelta(0, "{}", "1", "f")], "<think>r</think>"),
    "reasoning alone": ([ReasoningDelta("r")], "<think>r</think>"),
    "of two choices": ([ReasoningDelta("r", 1), TextDelta("a"), TextDelta("b", 1)], "<think>ra</think>b"),
}


@pytest.mark.parametrize("name", MERGED)
@pytest.mark.parametrize("coalesce", [True, False])
def test_reasoning_merged_into_the_text(coalesce: bool, name: str) -> None:
    came, text = MERGED[name]
    chunks = Chunks(merge=True, coalesce=coalesce)
    found = [chunk for event in [*came, StreamEnd({0: "stop"}, None)] for chunk in chunks.of([event])]
    deltas: list[Any] = [choice.delta for chunk in found for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == text
    assert not any(getattr(delta, "reasoning_content", None) for delta in deltas)


CALL = ToolCallDelta(0, "{}", "1", "f")
ENDS: dict[str, tuple[list[StreamEvent], dict[int, str], dict[int, str]]] = {
    # name: (what came, the service's reasons, the reasons that leave)
    "text": ([TextDelta("a")], {0: "stop"}, {0: "stop"}),
    "a call": ([CALL], {0: "tool_calls"}, {0: "tool_calls"}),
    "a call that the request named": ([CALL], {0: "stop"}, {0: "tool_calls"}),
    "a call that was cut": ([CALL], {0: "length"}, {0: "length"}),
    "a call in one of two": ([CALL, TextDelta("a", 1)], {0: "stop", 1: "stop"}, {0: "tool_calls", 1: "stop"}),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_reason_of_a_call(name: str) -> None:
    came, reasons, leave = ENDS[name]
    choices = [choice for chunk in Chunks().of([*came, StreamEnd(reasons, None)]) for choice in chunk.choices]
    assert {c.index: c.finish_reason for c in choices if c.finish_reason} == leave


BATCHES: dict[str, tuple[list[list[StreamEvent]], list[dict[Any, Any]]]] = {
    # name: (what the reads brought, the chunks)
    "the start waits for what it is the start of": ([[START]], []),
    "text": ([[TextDelta("a"), TextDelta("b")], [TextDelta("c")]], [begun(text="ab"), {0: {"text": "c"}}]),
    "reasoning and text": (
        [[ReasoningDelta("r"), TextDelta("a"), ReasoningDelta("s")]],
        [begun(reasoning="r"), {0: {"text": "a"}}, {0: {"reasoning": "s"}}],
    ),
    "log probabilities go with their text": (
        [[TextDelta("a"), LogprobsDelta((TOKEN,)), TextDelta("b"), LogprobsDelta((TOKEN, TOKEN))]],
        [begun(text="a", logprobs=1), {0: {"text": "b", "logprobs": 2}}],
    ),
    "log probabilities of reasoning": (
        [[ReasoningDelta("r"), LogprobsDelta((TOKEN,))]],
        [begun(reasoning="r", logprobs=1)],
    ),
    "log probabilities alone": ([[LogprobsDelta((TOKEN,))]], [begun(text="", logprobs=1)]),
    "log probabilities twice": (
        [[TextDelta("a"), LogprobsDelta((TOKEN,)), LogprobsDelta((TOKEN,))]],
        [begun(text="a", logprobs=1), {0: {"text": "", "logprobs": 1}}],
    ),
    "log probabilities of the next read": (
        [[TextDelta("a")], [LogprobsDelta((TOKEN,))]],
        [begun(text="a"), {0: {"text": "", "logprobs": 1}}],
    ),
    "two choices": (
        [[TextDelta("a", 1), TextDelta("b"), TextDelta("c", 1)]],
        [begun(1, text="a"), begun(text="b"), {1: {"text": "c"}}],
    ),
    "a call": (
        [[ToolCallDelta(0, "", "1", "f")], [ToolCallDelta(0, "{"), ToolCallDelta(0, "}")]],
        [begun(calls=[(0, "1", "f", "")]), {0: {"calls": [(0, None, None, "{}")]}}],
    ),
    "text before a call": (
        [[TextDelta("a"), ToolCallDelta(0, "{}", "1", "f")]],
        [begun(text="a"), {0: {"calls": [(0, "1", "f", "{}")]}}],
    ),
    "a call waits until the one before it is whole": (
        [
            [ToolCallDelta(0, "{", "1", "f"), ToolCallDelta(1, "{", "2", "g")],
            [ToolCallDelta(1, "}")],
            [ToolCallDelta(0, "}")],
            [ToolCallDelta(2, "{}", "3", "h")],
        ],
        [
            begun(calls=[(0, "1", "f", "{")]),
            {0: {"calls": [(0, None, None, "}")]}},
            {0: {"calls": [(1, "2", "g", "{")]}},
            {0: {"calls": [(1, None, None, "}")]}},
            {0: {"calls": [(2, "3", "h", "{}")]}},
        ],
    ),
    "a bracket in a string ends no call": (
        [[ToolCallDelta(0, '{"a": "}', "1", "f")], [ToolCallDelta(1, "{}", "2", "g")], [ToolCallDelta(0, '"} ')]],
        [
            begun(calls=[(0, "1", "f", '{"a": "}')]),
            {0: {"calls": [(0, None, None, '"} ')]}},
            {0: {"calls": [(1, "2", "g", "{}")]}},
        ],
    ),
    "arguments nested without end": (
        [
            [ToolCallDelta(0, '{"a":' * 100_000 + "}", "1", "f")],
            [ToolCallDelta(1, "{}", "2", "g")],
        ],
        [begun(calls=[(0, "1", "f", '{"a":' * 100_000 + "}")])],
    ),
    "the lowest call of those that wait is the next": (
        [
            [ToolCallDelta(0, "{", "1", "f")],
            [ToolCallDelta(2, "{}", "3", "h"), ToolCallDelta(1, "{}", "2", "g")],
            [ToolCallDelta(0, "}")],
        ],
        [
            begun(calls=[(0, "1", "f", "{")]),
            {0: {"calls": [(0, None, None, "}")]}},
            {0: {"calls": [(1, "2", "g", "{}")]}},
            {0: {"calls": [(2, "3", "h", "{}")]}},
        ],
    ),
    "calls of another choice do not wait": (
        [[ToolCallDelta(0, "{", "1", "f"), ToolCallDelta(0, "{}", "2", "g", 1)]],
        [begun(calls=[(0, "1", "f", "{")]), begun(1, calls=[(0, "2", "g", "{}")])],
    ),
    "the counts before the reason": (
        [[TextDelta("a"), StreamEnd({0: "stop"}, USAGE, "fp")]],
        [begun(text="a"), {"usage": 110}, {"fingerprint": "fp", 0: {"finish": "stop"}}],
    ),
    "an end alone": ([[StreamEnd({0: "length"})]], [begun(finish="length")]),
    "other choices end before the first": (
        [[StreamEnd({0: "stop", 2: "length", 1: "tool_calls"}, USAGE)]],
        [
            {**begun(), **begun(1, finish="tool_calls"), **begun(2, finish="length")},
            {"usage": 110},
            {0: {"finish": "stop"}},
        ],
    ),
    "calls that still wait leave before the end": (
        [
            [ToolCallDelta(0, "{", "1", "f"), ToolCallDelta(2, "{", "3", "h"), ToolCallDelta(1, "{}", "2", "g")],
            [StreamEnd({0: "length"})],
        ],
        [
            begun(calls=[(0, "1", "f", "{")]),
            {0: {"calls": [(1, "2", "g", "{}")]}},
            {0: {"calls": [(2, "3", "h", "{")]}},
            {0: {"finish": "length"}},
        ],
    ),
}


@pytest.mark.parametrize("name", BATCHES)
def test_chunks(name: str) -> None:
    batches, chunks = BATCHES[name]
    assert read(*batches) == chunks


def test_pieces_as_they_came() -> None:
    assert read([TextDelta("a"), TextDelta("b")], coalesce=False) == [begun(text="a"), {0: {"text": "b"}}]


def test_every_chunk_says_whose_it_is() -> None:
    batch: list[StreamEvent] = [START, TextDelta("a"), ToolCallDelta(0, "{}", "1", "f"), StreamEnd({0: "stop"}, USAGE)]
    found: list[Any] = list(Chunks(PRICED).of(batch))
    assert [(chunk.id, chunk.created, chunk.model) for chunk in found] == [("c", 7, "me/m")] * 4
    assert found[1].choices[0].delta.tool_calls[0].type == "function"
    assert found[2].usage.cost == 0.00035
    assert found[2].choices == []


def test_a_stream_without_an_id_has_one_of_its_own() -> None:
    (chunk,) = Chunks().of([TextDelta("a")])
    assert (chunk.id.startswith("chatcmpl-"), chunk.model) == (True, "")  # LiteLLM's
