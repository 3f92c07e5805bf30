"""A stream as LangChain's chunks and as its events: what each read brings, and what the end adds."""

from __future__ import annotations

from typing import Any

import pytest
from cards import card
from langchain_core.messages import AIMessageChunk

from wandb_inference import (
    LogprobsDelta,
    ReasoningDelta,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from wandb_inference.langchain.facts import Facts
from wandb_inference.langchain.streams import Chunks, Delta, Events

PROVIDER = {"model_provider": "wandb"}
START = StreamStart("c", "me/m", 7)
BEGUN = {**PROVIDER, "model_name": "me/m", "requested_model": "auto", "id": "c"}
USAGE = Usage(input_tokens=100, output_tokens=10)
COSTS = {"input_cost": 0.0004, "output_cost": 0.0001, "total_cost": 0.0005}
COUNTS: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, **COSTS}
END = StreamEnd({0: "stop"}, USAGE, "fp", {"requested": "auto"})
ENDED: dict[str, Any] = {
    **PROVIDER,
    "finish_reason": "stop",
    "system_fingerprint": "fp",
    "route": {"requested": "auto"},
    "token_usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    "cost": 0.0005,
    "cost_details": {"currency": "USD", "input": 0.0004, "cached_input": 0.0, "output": 0.0001},
}
FACTS = Facts("auto", card(price={"input": 4, "output": 10}))
TOKEN = {"token": "a"}


def shown(chunk: Any) -> dict[str, Any]:
    """Return what a chunk says."""
    message = chunk.message
    assert chunk.text == message.text
    fields: dict[str, Any] = {
        "text": message.content,
        "reasoning": message.additional_kwargs.get("reasoning_content"),
        "calls": [(c["index"], c["id"], c["name"], c["args"]) for c in message.tool_call_chunks],
        "read": [(c["id"], c["name"], c["args"]) for c in message.tool_calls],
        "unread": [(c["id"], c["name"], c["args"]) for c in message.invalid_tool_calls],
        "usage": message.usage_metadata,
        "metadata": message.response_metadata,
        "info": chunk.generation_info,
        "last": message.chunk_position,
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def said(**fields: Any) -> dict[str, Any]:
    return {"metadata": PROVIDER, **fields}


LOGPROBS = {"logprobs": {"content": [TOKEN]}}
BATCHES: dict[str, tuple[list[StreamEvent], list[dict[str, Any]]]] = {
    # name: (what one read brought, the chunks of it)
    "the start": ([START], [said(metadata=BEGUN)]),
    "the start with text": ([START, TextDelta("a")], [said(metadata=BEGUN, text="a")]),
    "the start with reasoning": ([START, ReasoningDelta("r")], [said(metadata=BEGUN, reasoning="r")]),
    "text": ([TextDelta("a"), TextDelta("b")], [said(text="ab")]),
    "reasoning": ([ReasoningDelta("a"), ReasoningDelta("b")], [said(reasoning="ab")]),
    "one kind at a time": (
        [ReasoningDelta("r"), TextDelta("a"), ReasoningDelta("s")],
        [said(reasoning="r"), said(text="a"), said(reasoning="s")],
    ),
    "log probabilities go with what they are of": (
        [TextDelta("a"), LogprobsDelta((TOKEN,)), TextDelta("b"), LogprobsDelta((TOKEN,))],
        [said(text="ab", info={"logprobs": {"content": [TOKEN, TOKEN]}})],
    ),
    "log probabilities alone": ([LogprobsDelta((TOKEN,))], [said(info=LOGPROBS)]),
    "the fragments of a call": (
        [ToolCallDelta(0, "", "1", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ": 1}")],
        [said(calls=[(0, "1", "f", '{"a": 1}')], read=[("1", "f", {"a": 1})])],
    ),
    "the middle of a call": (
        [ToolCallDelta(0, ": 1"), ToolCallDelta(0, "}")],
        [said(calls=[(0, None, None, ": 1}")], unread=[(None, None, ": 1}")])],
    ),
    "two calls": (
        [ToolCallDelta(0, "{", "1", "f"), ToolCallDelta(1, "{", "2", "g"), ToolCallDelta(0, "}")],
        [said(calls=[(0, "1", "f", "{}"), (1, "2", "g", "{")], read=[("1", "f", {}), ("2", "g", {})])],
    ),
    "the end of one call, and all of another": (
        [ToolCallDelta(0, "}"), ToolCallDelta(1, "{}", "2", "g")],
        [
            said(
                calls=[(0, None, None, "}"), (1, "2", "g", "{}")],
                read=[("2", "g", {})],
                unread=[(None, None, "}")],
            )
        ],
    ),
    "the beginning of a call without its arguments": (
        [ToolCallDelta(0, "", "1", "f")],
        [said(calls=[(0, "1", "f", "")], read=[("1", "f", {})])],
    ),
    "white space before the arguments of a call": (
        [ToolCallDelta(0, " {", "1", "f")],
        [said(calls=[(0, "1", "f", " {")], read=[("1", "f", {})])],
    ),
    "a name in pieces, and a late id": (
        [ToolCallDelta(0, "", None, "get_"), ToolCallDelta(0, "{}", "1", "weather")],
        [said(calls=[(0, "1", "get_weather", "{}")], read=[("1", "get_weather", {})])],
    ),
    "the end": (
        [END],
        [said(metadata=ENDED, usage=COUNTS, last="last", info={"finish_reason": "stop"})],
    ),
    "text and the end": (
        [TextDelta("a"), END],
        [said(text="a"), said(metadata=ENDED, usage=COUNTS, last="last", info={"finish_reason": "stop"})],
    ),
    "an end without counts": (
        [StreamEnd({0: "length"})],
        [said(metadata={**PROVIDER, "finish_reason": "length"}, last="last", info={"finish_reason": "length"})],
    ),
    "all in one read": (
        [START, TextDelta("a"), LogprobsDelta((TOKEN,)), END],
        [
            said(metadata=BEGUN, text="a", info=LOGPROBS),
            said(metadata=ENDED, usage=COUNTS, last="last", info={"finish_reason": "stop"}),
        ],
    ),
    "nothing": ([], []),
}


@pytest.mark.parametrize("name", BATCHES)
def test_chunks(name: str) -> None:
    batch, chunks = BATCHES[name]
    assert [shown(chunk) for chunk in Chunks(FACTS).of(batch)] == chunks


def test_pieces_as_they_came() -> None:
    batch: list[StreamEvent] = [TextDelta("a"), TextDelta("b"), ToolCallDelta(0, "{", "1", "f"), ToolCallDelta(0, "}")]
    assert [shown(chunk) for chunk in Chunks(FACTS, coalesce=False).of(batch)] == [
        said(text="a"),
        said(text="b"),
        said(calls=[(0, "1", "f", "{")], read=[("1", "f", {})]),
        said(calls=[(0, None, None, "}")], unread=[(None, None, "}")]),
    ]


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ('{"a": "b', None),
        ('{"a":', None),
        ('{"a": [1', None),
        ('{"a": {"b": 1', None),
        ('{"a": "b\\', None),
        ("[1]", None),
        ("Hi", None),
    ],
)
def test_a_call_that_was_cut_is_an_invalid_one(arguments: str, read: Any) -> None:
    chunks = Chunks(FACTS)
    fed: list[StreamEvent] = [ToolCallDelta(0, arguments, "1", "f"), StreamEnd({0: "length"})]
    made = [chunk.message for event in fed for chunk in chunks.of([event])]
    whole: Any = made[0]
    for message in made[1:]:
        whole = whole + message
    assert isinstance(whole, AIMessageChunk)
    assert [call["args"] for call in whole.tool_calls] == ([] if read is None else [read])
    assert [call["id"] for call in whole.invalid_tool_calls] == (["1"] if read is None else [])
    ended = {call["args"] for call in whole.invalid_tool_calls}
    assert all((args or "").startswith(arguments) for args in ended)
    assert all(set((args or "")[len(arguments) :]) <= set('."]}') for args in ended)
    assert read is not None or ended == {arguments} or arguments.startswith("{")  # what is no object stays as it is


def test_a_delta_takes_more_of_its_kind() -> None:
    delta = Delta()
    assert delta.takes(TextDelta("a"))
    delta.add(START)
    assert delta.takes(TextDelta("a"))
    delta.add(TextDelta("a"))
    assert delta.takes(TextDelta("b"))
    assert delta.takes(LogprobsDelta(()))
    assert not delta.takes(ReasoningDelta("r"))
    assert not delta.takes(END)


def events(*batches: list[StreamEvent], **keywords: Any) -> list[dict[str, Any]]:
    writer = Events(FACTS, **keywords)
    found: list[Any] = [event for batch in batches for event in writer.of(batch)]
    return [*found, *writer.finish()]


def begin(place: int, **content: Any) -> dict[str, Any]:
    return {"event": "content-block-start", "index": place, "content": content}


def grow(index: int, kind: str, name: str, piece: str) -> dict[str, Any]:
    return {"event": "content-block-delta", "index": index, "delta": {"type": f"{kind}-delta", name: piece}}


def done(index: int, **content: Any) -> dict[str, Any]:
    return {"event": "content-block-finish", "index": index, "content": content}


def tool(id_: Any, name: Any, index: int) -> dict[str, Any]:
    return {"type": "tool_call_chunk", "id": id_, "name": name, "args": "", "index": index}


STARTED = {"event": "message-start", "role": "ai", "id": "run-1", "metadata": {"provider": "wandb", "model": "me/m"}}


def test_events_of_a_whole_stream() -> None:
    found = events(
        [START, ReasoningDelta("r")],
        [TextDelta("a"), LogprobsDelta((TOKEN,))],
        [ReasoningDelta("s"), TextDelta("b"), LogprobsDelta((TOKEN,))],
        [ToolCallDelta(0, "", "1"), ToolCallDelta(0, "{", None, "f")],
        [ToolCallDelta(1, "", "2", "g"), ToolCallDelta(0, "}")],
        [ToolCallDelta(1, "[")],
        [END],
        message_id="run-1",
    )
    error = "the arguments are not JSON: Expecting value: line 1 column 2 (char 1)"
    assert found == [
        STARTED,
        begin(0, type="reasoning", reasoning=""),
        grow(0, "reasoning", "reasoning", "r"),
        begin(1, type="text", text=""),
        grow(1, "text", "text", "a"),
        grow(0, "reasoning", "reasoning", "s"),
        grow(1, "text", "text", "b"),
        begin(2, **tool("1", "f", 0)),
        grow(2, "tool-call", "args", "{"),
        begin(3, **tool("2", "g", 1)),
        grow(2, "tool-call", "args", "}"),
        grow(3, "tool-call", "args", "["),
        done(0, type="reasoning", reasoning="rs"),
        done(1, type="text", text="ab"),
        done(2, type="tool_call", id="1", name="f", args={}),
        done(3, type="invalid_tool_call", id="2", name="g", args="[", error=error),
        {
            "event": "message-finish",
            "metadata": {**BEGUN, **ENDED, "logprobs": {"content": [TOKEN, TOKEN]}},
            "usage": COUNTS,
            "additional_kwargs": {"reasoning_content": "rs"},
        },
    ]


def test_events_of_a_name_that_comes_late() -> None:
    found = events([ToolCallDelta(0, "{", "1")], [ToolCallDelta(0, "}", None, "f")])
    assert found[0] == begin(0, **tool("1", None, 0))
    assert found[-2] == done(0, type="tool_call", id="1", name="f", args={})
    assert found[-1] == {"event": "message-finish", "metadata": PROVIDER}


def test_events_of_a_call_without_names() -> None:
    assert events([ToolCallDelta(0, "{}")])[-2] == done(0, type="tool_call", id="", name="", args={})


def test_events_of_pieces_as_they_came() -> None:
    found = events([TextDelta("a"), TextDelta("b")], coalesce=False)
    assert found[1:3] == [grow(0, "text", "text", "a"), grow(0, "text", "text", "b")]


def test_events_of_nothing() -> None:
    assert events([START]) == [
        {**STARTED, "id": ""},
        {"event": "message-finish", "metadata": BEGUN},
    ]
