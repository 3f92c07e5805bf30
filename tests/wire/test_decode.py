"""Whole answers in the dialects that servers write them in, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from said import SAID, Said

from wandb_inference import (
    BadRequestError,
    Choice,
    Completion,
    InferenceError,
    LogprobsDelta,
    MalformedResponseError,
    ReasoningDelta,
    ServerError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
)
from wandb_inference._wire import decode, decode_models, events_of
from wandb_inference.chat import ServedModel


def body(message: Any = None, **fields: Any) -> dict[str, Any]:
    """An answer with one choice; ``fields`` are the choice's."""
    return {"id": "chatcmpl-1", "model": "served", "choices": [{"index": 0, "message": message, **fields}]}


def read(answer: Any) -> Completion:
    return decode(json.dumps(answer).encode(), model="asked")


def calls(*calls: Any) -> dict[str, Any]:
    return body({"tool_calls": list(calls)})


FUNCTION = {"name": "f", "arguments": "{}"}
ENTRY = {"token": "a", "logprob": -0.5}
CHOICES: dict[str, tuple[dict[str, Any], Choice]] = {
    # name: (body, the choice it holds)
    "text": (body({"content": "Hi"}, finish_reason="stop"), Choice(text="Hi", finish_reason="stop")),
    "null content": (body({"content": None}), Choice()),
    "no content": (body({}), Choice()),
    "content of another kind": (body({"content": 5}), Choice()),
    "no message": (body(None), Choice()),
    "content in parts": (body({"content": [{"type": "text", "text": "a"}, {"text": "b"}]}), Choice(text="ab")),
    "parts without text": (
        body({"content": [{"type": "image"}, {"text": None}, "b", {"text": "c"}]}),
        Choice(text="c"),
    ),
    "reasoning": (body({"content": "a", "reasoning": "think"}), Choice(text="a", reasoning="think")),
    "reasoning, as it was called": (body({"reasoning_content": "think"}), Choice(reasoning="think")),
    "reasoning under both names": (body({"reasoning": "x", "reasoning_content": "x"}), Choice(reasoning="x")),
    "reasoning under one name, null under the other": (
        body({"reasoning": None, "reasoning_content": "think"}),
        Choice(reasoning="think"),
    ),
    "reasoning under one name, empty under the other": (
        body({"reasoning": "think", "reasoning_content": ""}),
        Choice(reasoning="think"),
    ),
    "reasoning in parts": (body({"reasoning": [{"text": "think"}]}), Choice(reasoning="think")),
    "reasoning in parts, as it was called": (
        body({"reasoning_content": [{"text": "think"}]}),
        Choice(reasoning="think"),
    ),
    "reasoning in parts that say nothing": (
        body({"reasoning": [{}], "reasoning_content": "think"}),
        Choice(reasoning="think"),
    ),
    "a call": (calls({"id": "c", "function": FUNCTION}), Choice(tool_calls=(ToolCall("c", "f", "{}"),))),
    "a call with its arguments as an object": (
        calls({"id": "c", "function": {"name": "f", "arguments": {"ü": 1}}}),
        Choice(tool_calls=(ToolCall("c", "f", '{"ü": 1}'),)),
    ),
    "a call without arguments": (
        calls({"id": "c", "function": {"name": "f", "arguments": None}}),
        Choice(tool_calls=(ToolCall("c", "f", ""),)),
    ),
    "calls without ids": (
        calls({"function": FUNCTION}, {"id": "", "function": FUNCTION}),
        Choice(tool_calls=(ToolCall("call_1_0", "f", "{}"), ToolCall("call_1_1", "f", "{}"))),
    ),
    "a call without a function": (calls({"id": "c"}), Choice(tool_calls=(ToolCall("c", "", ""),))),
    "null calls": (body({"content": "a", "tool_calls": None}), Choice(text="a")),
    "logprobs": (body({}, logprobs={"content": [ENTRY]}), Choice(logprobs=(ENTRY,))),
    "null logprobs": (body({}, logprobs=None), Choice()),
    "logprobs of nothing": (body({}, logprobs={"content": None}), Choice()),
    "logprobs that are no list": (body({}, logprobs={"content": 5}), Choice()),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name: str) -> None:
    answer, choice = CHOICES[name]
    assert read(answer).choices == (choice,)


@pytest.mark.parametrize(
    ("given", "expected"),
    [([0, 1], [0, 1]), ([1, 0], [1, 0]), ([None, None], [0, 1]), (["a", "b"], [0, 1]), ([3, None], [3, 1])],
)
def test_the_index_of_a_choice_is_its_place_where_it_states_none(given: list[Any], expected: list[int]) -> None:
    answer = {"choices": [{"index": index, "message": {"content": str(index)}} for index in given]}
    assert [choice.index for choice in read(answer).choices] == expected


def test_what_stands_beside_the_choices() -> None:
    answer = {**body({"content": "a"}), "created": 7, "system_fingerprint": "fp", "service_tier": "x"}
    completion = decode(json.dumps(answer).encode(), model="asked", headers={"x-request-id": "r"})
    assert (completion.id, completion.model, completion.created) == ("chatcmpl-1", "served", 7)
    assert (completion.system_fingerprint, completion.usage) == ("fp", None)
    assert completion.headers == {"x-request-id": "r"}
    assert completion.raw == answer


def test_what_stands_there_where_the_server_states_nothing() -> None:
    completion = read({"choices": [{}], "system_fingerprint": ""})
    assert (completion.id, completion.model, completion.created) == ("", "asked", None)
    assert (completion.system_fingerprint, completion.usage, completion.headers) == (None, None, {})


@pytest.mark.parametrize(("stated", "created"), [(7, 7), (7.9, 7), ("7", None), (None, None)])
def test_the_time_stamp(stated: Any, created: int | None) -> None:
    assert read({**body(), "created": stated}).created == created


USAGES: dict[str, tuple[Any, Usage | None]] = {
    # name: (usage as sent, as read)
    "all of it": (
        {
            "prompt_tokens": 5,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        Usage(input_tokens=5, output_tokens=4, cached_tokens=3, reasoning_tokens=2),
    ),
    "null details": (
        {"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": None, "completion_tokens_details": None},
        Usage(input_tokens=5, output_tokens=4),
    ),
    "nothing cached is not the same as nothing known": (
        {"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}},
        Usage(input_tokens=5, output_tokens=4, cached_tokens=0),
    ),
    "no answer": ({"prompt_tokens": 5}, Usage(input_tokens=5, output_tokens=0)),
    "an empty prompt": ({"prompt_tokens": 0, "completion_tokens": 1}, Usage(input_tokens=0, output_tokens=1)),
    "counts as text": ({"prompt_tokens": "5", "completion_tokens": "4"}, Usage(input_tokens=5, output_tokens=4)),
    "the largest count that JSON readers agree on": (
        {"prompt_tokens": 2**53 - 1, "completion_tokens": 2**53},
        Usage(input_tokens=2**53 - 1, output_tokens=0),
    ),
    "no counts": ({"prompt_tokens": None}, None),
    "counts in words": ({"prompt_tokens": "many", "completion_tokens": 1}, None),
    "endless counts": ({"prompt_tokens": 1e999, "completion_tokens": 1}, None),
    "no object": ([5, 4], None),
    "null": (None, None),
}


@pytest.mark.parametrize("name", USAGES)
def test_usage(name: str) -> None:
    sent, usage = USAGES[name]
    assert read({**body(), "usage": sent}).usage == usage


NO_ANSWERS: dict[str, tuple[bytes, type[InferenceError], str]] = {
    # name: (body, class of the error, words of it)
    "nothing": (b"", MalformedResponseError, "the answer is empty: ''."),
    "white space": (b" \n", MalformedResponseError, "the answer is empty: "),
    "a page of a gateway": (b"<html>Bad</html>", MalformedResponseError, "the answer is not JSON: a web page, 'Bad'."),
    "nonsense too deep to read": (b"[" * 100_000, MalformedResponseError, "is not JSON"),
    "bytes that are no text": (b"\xff\xfe", MalformedResponseError, "is not JSON"),
    "a list": (b"[1]", MalformedResponseError, "the answer is not a JSON object: '[1]'."),
    "an object of another kind": (b'{"data": []}', MalformedResponseError, "has no choices"),
    "no choices": (b'{"choices": []}', MalformedResponseError, "has no choices"),
    "choices that are no list": (b'{"choices": {"0": {}}}', MalformedResponseError, "has no choices"),
    "choices that are no objects": (b'{"choices": [{}, "a"]}', MalformedResponseError, "has no choices"),
    "a message that is none": (b'{"choices": [{"message": "a"}]}', MalformedResponseError, "of an unknown shape"),
    "calls that are none": (
        b'{"choices": [{"message": {"tool_calls": 5}}]}',
        MalformedResponseError,
        "of an unknown shape",
    ),
    "a time beyond all times": (b'{"choices": [{}], "created": 1e999}', MalformedResponseError, "of an unknown shape"),
    "an error despite its status": (
        b'{"error": {"message": "boom", "code": 400}, "choices": [{}]}',
        BadRequestError,
        "boom",
    ),
    "a detail": (b'{"detail": "boom"}', ServerError, "boom"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_no_answer(name: str) -> None:
    content, cls, words = NO_ANSWERS[name]
    with pytest.raises(cls) as caught:
        decode(content, model="asked")
    assert type(caught.value) is cls
    assert words in str(caught.value)
    assert str(caught.value).startswith("asked: ")


def test_a_detail_beside_choices_is_no_error() -> None:
    assert read({**body({"content": "a"}), "detail": "of the answer"}).text == "a"
    assert read({**body({"content": "a"}), "error": None}).text == "a"


def test_an_error_quotes_the_beginning_only() -> None:
    with pytest.raises(MalformedResponseError) as caught:
        decode(b"x" * 199 + b"yz", model="asked")
    assert "xxy'" in caught.value.message
    assert "z" not in caught.value.message.partition("JSON")[2]


WHOLE = Completion(
    id="c",
    model="m",
    created=7,
    system_fingerprint="fp",
    usage=Usage(input_tokens=5, output_tokens=4),
    choices=(
        Choice(text="Hi", reasoning="think", finish_reason="stop", logprobs=(ENTRY,)),
        Choice(
            index=1,
            tool_calls=(ToolCall("x", "f", "{}"), ToolCall("y", "g", "")),
            finish_reason="tool_calls",
        ),
    ),
)


def test_a_whole_answer_as_the_events_of_a_stream() -> None:
    events: list[StreamEvent] = [
        StreamStart("c", "m", 7),
        ReasoningDelta("think"),
        TextDelta("Hi"),
        LogprobsDelta((ENTRY,)),
        ToolCallDelta(0, "{}", "x", "f", 1),
        ToolCallDelta(1, "", "y", "g", 1),
        StreamEnd({0: "stop", 1: "tool_calls"}, WHOLE.usage, "fp"),
    ]
    assert events_of(WHOLE) == events
    assert collect(events) == WHOLE


def test_an_answer_without_a_finish_reason_is_whole_all_the_same() -> None:
    assert events_of(Completion()) == [StreamStart("", ""), StreamEnd({0: "stop"})]


def test_models_by_id() -> None:
    listed = {"data": [{"id": "b", "max_model_len": 2048}, {"id": "a"}, {"id": 7, "object": "model"}]}
    assert decode_models(json.dumps(listed).encode()) == (
        ServedModel("7"),
        ServedModel("a"),
        ServedModel("b", 2048),
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"data": null}', b'{"data": ["a"]}', b'{"data": [{}]}', b"[" * 100_000],
    ids=["nothing", "a page", "a list", "no data", "null", "strings", "no id", "too deep"],
)
def test_no_model_list(content: bytes) -> None:
    with pytest.raises(MalformedResponseError, match="models: the answer is no model list"):
        decode_models(content)


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_beside_the_text(name: str) -> None:
    said = SAID[name]
    answer = decode(said.body(), model="m")
    assert_said(answer, said)
    assert_said(collect(events_of(answer)), said)


def assert_said(answer: Completion, said: Said) -> None:
    choice = answer.choices[0]
    assert (choice.text, choice.refusal, choice.finish_reason) == (said.text, said.refusal, said.reason)
    filled = {name: value for name, value in said.choice.items() if value is not None}
    assert choice.extra == {**filled, **({"incomplete_details": said.details} if said.details else {})}
    assert choice.message_extra == {name: value for name, value in said.message.items() if value is not None}
    assert answer.extra == {name: value for name, value in said.answer.items() if value is not None}


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 1, "completion_tokens": 5}])
def test_reasoning_that_took_all_without_its_count(usage: Any) -> None:
    choice = {"message": {"content": None, "reasoning": "Hm"}, "finish_reason": "length"}
    answer = decode(json.dumps({"choices": [choice], "usage": usage}).encode(), model="m")
    told = {"reason": "max_output_tokens", **({"output_tokens": 5} if usage else {})}
    assert answer.choices[0].extra == {"incomplete_details": told}


@pytest.mark.parametrize("message", [{}, {"content": ""}, {"refusal": "No.", "reasoning": "Hm"}, {"content": "Hi"}])
def test_an_answer_that_is_cut_for_other_reasons(message: dict[str, Any]) -> None:
    body = {"choices": [{"message": message, "finish_reason": "length"}]}
    assert decode(json.dumps(body).encode(), model="m").choices[0].extra == {}


@pytest.mark.parametrize(("given", "reason"), [("", None), (None, None), ("stop", "stop"), (True, "true"), ([], "[]")])
def test_a_finish_reason_is_text_or_none(given: Any, reason: str | None) -> None:
    body = {"choices": [{"message": {"content": "Hi"}, "finish_reason": given}]}
    assert decode(json.dumps(body).encode(), model="m").finish_reason == reason
