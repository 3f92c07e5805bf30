"""The values of a call."""

from __future__ import annotations

import dataclasses

import pytest

from wandb_inference import (
    ChatOptions,
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
    collect,
)
from wandb_inference.chat import joined

JOINED: list[tuple[list[StreamEvent], list[StreamEvent]]] = [
    ([], []),
    ([TextDelta("a"), TextDelta("b"), TextDelta("c", 1)], [TextDelta("ab"), TextDelta("c", 1)]),
    ([TextDelta("a"), ReasoningDelta("b"), TextDelta("c")], [TextDelta("a"), ReasoningDelta("b"), TextDelta("c")]),
    (
        [ToolCallDelta(0, "", "c0", "f"), ToolCallDelta(0, "{"), ToolCallDelta(1, "}"), ToolCallDelta(0, "}")],
        [ToolCallDelta(0, "{", "c0", "f"), ToolCallDelta(1, "}"), ToolCallDelta(0, "}")],
    ),
    (
        [StreamStart("id", "m"), TextDelta("a"), LogprobsDelta(()), TextDelta("b"), LogprobsDelta(())],
        [StreamStart("id", "m"), TextDelta("a"), LogprobsDelta(()), TextDelta("b"), LogprobsDelta(())],
    ),
]


@pytest.mark.parametrize(("events", "expected"), JOINED, ids=range(len(JOINED)))
def test_neighbours_that_say_more_of_the_same_are_joined(
    events: list[StreamEvent], expected: list[StreamEvent]
) -> None:
    assert list(joined(events)) == expected


def test_collect_puts_every_kind_together() -> None:
    events: list[StreamEvent] = [
        StreamStart("id", "m", 7),
        ReasoningDelta("th"),
        ReasoningDelta("ink"),
        TextDelta("b", 1),
        TextDelta("a"),
        ToolCallDelta(0, "", "c0", "f"),
        ToolCallDelta(1, "{", "c1", "g"),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, "}"),
        LogprobsDelta(({"token": "a"},)),
        StreamEnd({0: "tool_calls", 1: "stop"}, Usage(input_tokens=2, output_tokens=3), "fp"),
    ]
    assert collect(events) == Completion(
        id="id",
        model="m",
        created=7,
        system_fingerprint="fp",
        usage=Usage(input_tokens=2, output_tokens=3),
        choices=(
            Choice(
                index=0,
                text="a",
                reasoning="think",
                tool_calls=(ToolCall("c0", "f", "{}"), ToolCall("c1", "g", "{}")),
                finish_reason="tool_calls",
                logprobs=({"token": "a"},),
            ),
            Choice(index=1, text="b", finish_reason="stop"),
        ),
    )


def test_collect_of_nothing_is_an_empty_unfinished_answer() -> None:
    assert collect([]).choices == (Choice(),)
    assert collect([]).finish_reason is None


@pytest.mark.parametrize("value", [ChatOptions(), Usage(input_tokens=1, output_tokens=1), Completion(), TextDelta("a")])
def test_values_cannot_be_changed(value: object) -> None:
    field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_usage_adds_up() -> None:
    assert Usage(input_tokens=2, output_tokens=3, cached_tokens=1, reasoning_tokens=2).total_tokens == 5
