"""The values of a call."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from wandb_inference import (
    ChatOptions,
    ChatRequest,
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
    assert (collect([]).id, collect([]).model) == ("", "")


@pytest.mark.parametrize("value", [ChatOptions(), Usage(input_tokens=1, output_tokens=1), Completion(), TextDelta("a")])
def test_values_cannot_be_changed(value: object) -> None:
    field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_usage_adds_up() -> None:
    assert Usage(input_tokens=2, output_tokens=3, cached_tokens=1, reasoning_tokens=2).total_tokens == 5


FIELDS: dict[str, tuple[dict[str, Any], ChatOptions]] = {
    # name: (fields of a body, the options they mean)
    "none": ({}, ChatOptions()),
    "named alike": ({"temperature": 0.5, "n": 2}, ChatOptions(temperature=0.5, n=2)),
    "named otherwise": (
        {"max_completion_tokens": 5, "reasoning_effort": "low"},
        ChatOptions(max_tokens=5, reasoning="low"),
    ),
    "null": ({"temperature": None, "top_k": None}, ChatOptions()),
    "false and nothing are no null": ({"logprobs": False, "seed": 0}, ChatOptions(logprobs=False, seed=0)),
    "one stop": ({"stop": "a"}, ChatOptions(stop=["a"])),
    "stops": ({"stop": ["a", "b"]}, ChatOptions(stop=["a", "b"])),
    "fields without a name here": ({"top_k": 3, "seed": 1}, ChatOptions(seed=1, extra_body={"top_k": 3})),
    "our own names are no fields": (
        {"include_usage": False, "extra_body": {"a": 1}},
        ChatOptions(extra_body={"include_usage": False, "extra_body": {"a": 1}}),
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_as_options(name: str) -> None:
    fields, options = FIELDS[name]
    assert ChatOptions.from_fields(fields) == options


def test_what_is_not_said_is_not_sent_but_for_the_question_of_usage() -> None:
    said = {field.name: getattr(ChatOptions(), field.name) for field in dataclasses.fields(ChatOptions)}
    assert said == {**dict.fromkeys(said), "include_usage": True}


@pytest.mark.parametrize(
    ("given", "wanted"), [(None, None), (True, True), (False, False), ("low", "low"), ("none", False)]
)
def test_reasoning_as_it_is_wanted(given: Any, wanted: Any) -> None:
    assert ChatOptions(reasoning=given).wants_reasoning is wanted


def test_a_body_is_a_call() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "m", "messages": messages, "stream": True, "stream_options": {}, "seed": 7, "top_k": 3}
    assert ChatRequest.from_body(body) == ChatRequest("m", messages, ChatOptions(seed=7, extra_body={"top_k": 3}))
    assert ChatRequest.from_body({"model": "m", "messages": ()}) == ChatRequest("m", ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "model is no string"),
        ({"model": 5, "messages": []}, "model is no string"),
        ({"model": "m"}, "messages is no list"),
        ({"model": "m", "messages": "Hello"}, "messages is no list"),
    ],
)
def test_a_body_that_is_none(body: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChatRequest.from_body(body)


def test_an_answer_is_its_first_choice() -> None:
    first = Choice(text="a", reasoning="r", tool_calls=(ToolCall("c", "f", "{}"),), finish_reason="stop")
    answer = Completion(choices=(first, Choice(index=1, text="b")))
    assert (answer.text, answer.reasoning, answer.tool_calls, answer.finish_reason) == (
        *("a", "r", (ToolCall("c", "f", "{}"),)),
        "stop",
    )
    assert StreamEnd({0: "length", 1: "stop"}).finish_reason == "length"
    assert StreamEnd({1: "stop"}).finish_reason is None


def test_an_answer_that_says_nothing() -> None:
    answer = Completion()
    assert (answer.id, answer.model, answer.created, answer.system_fingerprint) == ("", "", None, None)
    assert (answer.usage, answer.headers, answer.raw, answer.route) == (None, {}, None, None)
    choice = answer.choices[0]
    assert (choice.index, choice.text, choice.reasoning, choice.tool_calls, choice.logprobs) == (0, "", "", (), ())
    assert (choice.finish_reason, len(answer.choices)) == (None, 1)
    deltas = (TextDelta("a"), ReasoningDelta("a"), ToolCallDelta(0), LogprobsDelta(()))
    assert [delta.choice for delta in deltas] == [0, 0, 0, 0]
    assert (ToolCallDelta(0).arguments, ToolCallDelta(0).id, ToolCallDelta(0).name) == ("", None, None)


def test_the_parts_that_are_long_or_foreign_are_not_shown() -> None:
    shown = repr(Completion(headers={"x": "secret"}, raw={"x": "secret"}, route={"x": "secret"}))
    shown += repr(StreamEnd({}, route={"x": "secret"}))
    assert "secret" not in shown


def test_the_same_answer_by_another_way_is_the_same() -> None:
    assert Completion(route={"a": 1}) == Completion(route={"a": 2})
    assert StreamEnd({}, route={"a": 1}) == StreamEnd({}, route={"a": 2})


def test_the_name_of_a_tool_in_pieces() -> None:
    pieces = [ToolCallDelta(0, "", None, "get_"), ToolCallDelta(0, "{", "c", "weather"), ToolCallDelta(0, "}", "d")]
    assert list(joined(pieces)) == [ToolCallDelta(0, "{}", "c", "get_weather")]
    assert list(joined([ToolCallDelta(0, "{"), ToolCallDelta(0, "}")])) == [ToolCallDelta(0, "{}")]
    assert collect(pieces[:2]).tool_calls == (ToolCall("c", "get_weather", "{"),)


def test_the_calls_of_different_choices_are_not_joined() -> None:
    events = [ToolCallDelta(0, "{", choice=0), ToolCallDelta(0, "[", choice=1), ToolCallDelta(1, "(", choice=1)]
    assert list(joined(events)) == events
    assert [choice.index for choice in collect(events).choices] == [0, 1]
    assert [call.arguments for call in collect(events).choices[1].tool_calls] == ["[", "("]


def test_text_in_pieces_is_one_text() -> None:
    assert collect([TextDelta("Hel"), TextDelta("o", 1), TextDelta("lo")]).text == "Hello"


def test_collected_choices_that_only_end() -> None:
    answer = collect([StreamEnd({2: "stop", 1: "length"}, route={"a": 1})])
    assert [(choice.index, choice.finish_reason) for choice in answer.choices] == [
        (0, None),
        (1, "length"),
        (2, "stop"),
    ]
    assert answer.route == {"a": 1}


def test_calls_stand_in_the_order_of_their_indexes() -> None:
    events: list[StreamEvent] = [ToolCallDelta(1, "", "b", "g"), ToolCallDelta(0, "", "a", "f"), ReasoningDelta("r", 3)]
    answer = collect(events)
    assert [call.id for call in answer.tool_calls] == ["a", "b"]
    assert [(choice.index, choice.reasoning) for choice in answer.choices] == [(0, ""), (3, "r")]
