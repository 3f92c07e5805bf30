"""The events of a stream, chunk by chunk, and what is left when it fails on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from said import SAID

from wandb_inference import (
    BadRequestError,
    Choice,
    Completion,
    ExtraFields,
    LogprobsDelta,
    MalformedResponseError,
    ReasoningDelta,
    ServerError,
    StreamEnd,
    StreamEvent,
    StreamInterruptedError,
    StreamStart,
    TextDelta,
    TimedOutError,
    ToolCallDelta,
    Usage,
)
from wandb_inference._wire import StreamDecoder
from wandb_inference.chat import collect

START = StreamStart("c-9", "served")


def line(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def chunk(choice: Any = None, /, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice; ``fields`` are its delta."""
    return {"id": "c-9", "model": "served", "choices": [{"index": 0, "delta": fields, **(choice or {})}]}


STOP = chunk({"finish_reason": "stop"})
END = StreamEnd({0: "stop"})


def calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return chunk(tool_calls=list(calls))


def call(name: Any = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


def read(*chunks: Any, done: bool = True) -> tuple[list[StreamEvent], StreamDecoder]:
    decoder = StreamDecoder("asked")
    events = [event for data in chunks for event in decoder.feed(line(data))]
    events += decoder.feed(b"data: [DONE]\n\n") if done else []
    return events + decoder.close(), decoder


TOKEN = {"token": "a"}
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2}
WHOLE: dict[str, tuple[list[Any], list[StreamEvent]]] = {
    # name: (chunks, the events after the first)
    "text": ([chunk(content="a"), chunk(content="b"), STOP], [TextDelta("a"), TextDelta("b"), END]),
    "the role alone": ([chunk(role="assistant", content=""), STOP], [END]),
    "nothing but an end": ([STOP], [END]),
    "reasoning before text in one chunk": (
        [chunk({"finish_reason": "stop"}, content="a", reasoning="r")],
        [ReasoningDelta("r"), TextDelta("a"), END],
    ),
    "reasoning, as it was called": ([chunk(reasoning_content="r"), STOP], [ReasoningDelta("r"), END]),
    "text in parts": ([chunk(content=[{"text": "a"}]), STOP], [TextDelta("a"), END]),
    "log probabilities": (
        [chunk({"logprobs": {"content": [TOKEN]}}, content="a"), STOP],
        [TextDelta("a"), LogprobsDelta((TOKEN,)), END],
    ),
    "log probabilities of what has no text": (
        [chunk({"logprobs": {"content": [TOKEN]}}), chunk({"logprobs": {"content": []}}), STOP],
        [LogprobsDelta((TOKEN,)), END],
    ),
    "two choices": (
        [
            chunk({"index": 1}, content="b", reasoning="r"),
            chunk({"logprobs": {"content": [TOKEN]}, "index": 1}),
            chunk({"index": 1, "finish_reason": "length"}),
            STOP,
        ],
        [
            *(ReasoningDelta("r", 1), TextDelta("b", 1), LogprobsDelta((TOKEN,), 1)),
            StreamEnd({1: "length", 0: "stop"}),
        ],
    ),
    "two choices in one chunk": (
        [
            {
                "choices": [
                    {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"},
                    {"index": 1, "delta": {"content": "b"}, "finish_reason": "length"},
                ],
                "id": "c-9",
                "model": "served",
            }
        ],
        [TextDelta("a"), TextDelta("b", 1), StreamEnd({0: "stop", 1: "length"})],
    ),
    "a null index": ([chunk({"index": None}, content="a"), STOP], [TextDelta("a"), END]),
    "a null delta": ([chunk({"delta": None}), STOP], [END]),
    "null choices": ([{**chunk(), "choices": None}, STOP], [END]),
    "counts and fingerprint": (
        [{**STOP, "usage": COUNTS, "system_fingerprint": "fp"}],
        [StreamEnd({0: "stop"}, Usage(input_tokens=3, output_tokens=2), "fp")],
    ),
    "counts that come last": (
        [{**STOP, "system_fingerprint": "fp"}, {"choices": [], "usage": COUNTS, "system_fingerprint": None}],
        [StreamEnd({0: "stop"}, Usage(input_tokens=3, output_tokens=2), "fp")],
    ),
    "counts that come early, and are null later": (
        [{**chunk(), "usage": COUNTS}, {**STOP, "usage": None}],
        [StreamEnd({0: "stop"}, Usage(input_tokens=3, output_tokens=2))],
    ),
    "the first reason counts": ([chunk({"finish_reason": "length"}), STOP], [StreamEnd({0: "length"})]),
    "white space between the lines": ([b" ", chunk(content="a"), b"\t", STOP], [TextDelta("a"), END]),
    "white space around a chunk": ([b"  " + json.dumps(STOP).encode() + b" "], [END]),
    "white space around the end": ([STOP, b" [DONE] "], [END]),
    "text after the end": ([STOP, b"[DONE]", b"nonsense", chunk(content="a")], [END]),
    "a detail beside choices": ([{**STOP, "detail": "of the answer"}], [END]),
    "no error": ([{**STOP, "error": None, "detail": ""}], [END]),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("done", [True, False])
def test_whole(name: str, done: bool) -> None:
    chunks, events = WHOLE[name]
    found, decoder = read(*chunks, done=done)
    assert found == [START, *events]
    assert (decoder.error, decoder.done) == (None, True)
    assert (decoder.feed(line(chunk(content="more"))), decoder.close()) == ([], [])


@pytest.mark.parametrize(
    ("first", "start"),
    [
        ({"id": "c", "model": "m", "created": 7}, StreamStart("c", "m", 7)),
        ({"id": None, "model": None, "created": None}, StreamStart("", "asked")),
        ({}, StreamStart("", "asked")),
    ],
)
def test_start(first: dict[str, Any], start: StreamStart) -> None:
    events, _ = read({**first, "choices": []}, {**STOP, "id": "other", "model": "other"})
    assert events == [start, END]


FRAGMENTS: dict[str, tuple[list[Any], list[ToolCallDelta]]] = {
    # name: (chunks, the fragments that are handed out)
    "vLLM's": (
        [calls(call("f", "", id="x", index=0)), calls(call(None, "{", index=0)), calls(call(None, "}", index=0))],
        [ToolCallDelta(0, "", "x", "f"), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")],
    ),
    "whole ones": (
        [calls(call("f", "{}", id="x", index=0), call("g", {"a": "ü"}, id="y", index=1))],
        [ToolCallDelta(0, "{}", "x", "f"), ToolCallDelta(1, '{"a": "ü"}', "y", "g")],
    ),
    "indexes that begin at five": (
        [calls(call("f", "{", id="x", index=5)), calls(call(None, "}", index=5))],
        [ToolCallDelta(0, "{", "x", "f"), ToolCallDelta(0, "}")],
    ),
    "fragments that say nothing": (
        [calls(call("f", "{}", id="x", index=0)), calls(call(None, "", index=0)), calls(call(None, None, index=0))],
        [ToolCallDelta(0, "{}", "x", "f")],
    ),
    "no function": (
        [calls({"id": "x", "index": 0, "function": None}), calls(call("f", "{}", index=0))],
        [ToolCallDelta(0, "", "x"), ToolCallDelta(0, "{}", None, "f")],
    ),
    "the name later, and once": (
        [calls(call(None, None, id="x", index=0)), calls(call("f", "{", index=0)), calls(call("f", "}", index=0))],
        [ToolCallDelta(0, "", "x"), ToolCallDelta(0, "{", None, "f"), ToolCallDelta(0, "}")],
    ),
    "the name later, alone": (
        [calls(call(None, None, id="x", index=0)), calls(call("f", None, index=0))],
        [ToolCallDelta(0, "", "x"), ToolCallDelta(0, "", None, "f")],
    ),
    "id and name on every fragment": (
        [calls(call("f", "{", id="x", index=0)), calls(call("f", "}", id="x", index=0))],
        [ToolCallDelta(0, "{", "x", "f"), ToolCallDelta(0, "}")],
    ),
    "a fresh id on every fragment": (
        [calls(call("f", "{", id="x", index=0)), calls(call(None, "}", id="y", index=0))],
        [ToolCallDelta(0, "{", "x", "f"), ToolCallDelta(0, "}")],
    ),
    "another call under the same index": (
        [
            calls(call("f", "{}", id="x", index=0)),
            calls(call("g", "[", id="y", index=0)),
            calls(call(None, "]", index=0)),
        ],
        [ToolCallDelta(0, "{}", "x", "f"), ToolCallDelta(1, "[", "y", "g"), ToolCallDelta(1, "]")],
    ),
    "no index": (
        [
            *(calls(call("f", "{", id="x")), calls(call(None, "}"))),
            *(calls(call("g", "[", id="y")), calls(call(None, "]")), calls(call(None, "!", id="x"))),
            calls(call(None, "?")),
        ],
        [
            *(ToolCallDelta(0, "{", "x", "f"), ToolCallDelta(0, "}")),
            *(ToolCallDelta(1, "[", "y", "g"), ToolCallDelta(1, "]"), ToolCallDelta(0, "!")),
            ToolCallDelta(0, "?"),
        ],
    ),
    "neither index nor id": (
        [calls(call("f", "{}")), calls(call("f", "{}"))],
        [ToolCallDelta(0, "{}", "call_9_0", "f"), ToolCallDelta(1, "{}", "call_9_1", "f")],
    ),
    "nothing but arguments": ([calls(call(None, "{}"))], [ToolCallDelta(0, "{}", "call_9_0")]),
    "an id that is a number": ([calls(call("f", "{}", id=7, index=0))], [ToolCallDelta(0, "{}", "7", "f")]),
    "a name that is a number": ([calls(call(7, "{}", id="x", index=0))], [ToolCallDelta(0, "{}", "x", "7")]),
    "interleaved": (
        [
            *(calls(call("f", "{", id="x", index=0)), calls(call("g", "[", id="y", index=1))),
            *(calls(call(None, "}", index=0)), calls(call(None, "]", index=1))),
        ],
        [
            *(ToolCallDelta(0, "{", "x", "f"), ToolCallDelta(1, "[", "y", "g")),
            *(ToolCallDelta(0, "}"), ToolCallDelta(1, "]")),
        ],
    ),
    "of two choices": (
        [
            chunk({"index": 1}, tool_calls=[call("f", "{", id="x", index=0)]),
            chunk({"index": 0}, tool_calls=[call("g", "[", id="y", index=0)]),
            chunk({"index": 1}, tool_calls=[call(None, "}", index=0)]),
        ],
        [ToolCallDelta(0, "{", "x", "f", 1), ToolCallDelta(0, "[", "y", "g"), ToolCallDelta(0, "}", choice=1)],
    ),
    "null calls": ([chunk(content=None, tool_calls=None)], []),
}


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragments(name: str) -> None:
    chunks, fragments = FRAGMENTS[name]
    reasons = {choice["index"]: "tool_calls" for each in chunks for choice in each["choices"]}
    ends = [chunk({"index": index, "finish_reason": reason}) for index, reason in reasons.items()]
    events, decoder = read(*chunks, *ends)
    assert decoder.error is None
    assert events == [START, *fragments, StreamEnd(reasons)]


SO_FAR = Completion(id="c-9", model="served", choices=(Choice(text="a"),))
BROKEN: dict[str, tuple[list[Any], type[Exception], str]] = {
    # name: (chunks after one of text, class of the error, words of it)
    "an error": ([{"error": {"message": "boom", "code": 400}}], BadRequestError, "asked: boom (HTTP 400)"),
    "an error beside choices": ([{**STOP, "error": "boom"}], ServerError, "asked: boom (HTTP 500)"),
    "a detail": ([{"detail": "boom"}], ServerError, "asked: boom (HTTP 500)"),
    "no JSON": (
        [b"{nonsense"],
        MalformedResponseError,
        "asked: the answer holds an event that is no JSON: '{nonsense'",
    ),
    "JSON too deep to read": ([b"[" * 100_000], MalformedResponseError, "is no JSON"),
    "no text": ([b"\xff"], MalformedResponseError, "is no JSON"),
    "no object": ([b"[1]"], MalformedResponseError, "asked: the answer holds an event that is no object: '[1]'"),
    "no choice": ([{"choices": ["a"]}], MalformedResponseError, "asked: the answer holds an event of unknown shape"),
    "an index in words": ([chunk({"index": "one"})], MalformedResponseError, "of unknown shape"),
    "calls that are none": ([chunk(tool_calls=5)], MalformedResponseError, "of unknown shape"),
    "no reason": (
        [],
        StreamInterruptedError,
        "asked: the stream ended before the answer did: no finish reason was sent.",
    ),
    "an empty reason": ([chunk({"finish_reason": ""})], StreamInterruptedError, "no finish reason"),
    "no reason for one of two": ([STOP, chunk({"index": 1})], StreamInterruptedError, "no finish reason"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    chunks, cls, words = BROKEN[name]
    events, decoder = read(chunk(content="a"), *chunks)
    assert type(decoder.error) is cls
    assert words in str(decoder.error)
    assert events[:2] == [START, TextDelta("a")]
    assert not any(isinstance(event, StreamEnd) for event in events)
    assert decoder.error is not None
    assert decoder.error.partial is not None
    assert decoder.error.partial.text == "a"
    assert (decoder.done, decoder.feed(line(STOP)), decoder.close()) == (True, [], [])


@pytest.mark.parametrize("rest", [b"data: {nonsense\n\n", b"data: [1]\n\n", b'data: {"choices": [5]}\n\n', b"x" * 5000])
def test_what_came_before_says_what_to_do_next(rest: bytes) -> None:
    hints = []
    for before in (b"", line(chunk(content="a"))):
        decoder = StreamDecoder("asked", max_event_bytes=1000)
        decoder.feed(before)
        decoder.feed(rest)
        assert isinstance(decoder.error, MalformedResponseError)
        hints.append(decoder.error.hint)
    assert ["base_url" in hint for hint in hints] == [True, False]
    assert [".partial" in hint for hint in hints] == [False, True]


def test_events_without_data_in_one_read_with_others() -> None:
    decoder = StreamDecoder("asked")
    assert decoder.feed(line(b" ") + line(chunk(content="a")) + line(b"") + line(STOP)) == [START, TextDelta("a")]
    assert decoder.close() == [END]


def test_what_came_before_in_the_same_read_is_handed_out() -> None:
    decoder = StreamDecoder("asked")
    assert decoder.feed(line(chunk(content="a")) + b"data: nonsense\n\n" + line(STOP)) == [START, TextDelta("a")]
    assert isinstance(decoder.error, MalformedResponseError)
    assert decoder.error.partial == decoder.so_far() == SO_FAR


CUT: dict[str, tuple[bytes, list[StreamEvent], bool]] = {
    # name: (the last bytes after one chunk of text, events that the end brings, whether the answer is whole)
    "before the end": (b"", [], False),
    "inside a chunk": (line(STOP)[:-10], [], False),
    "behind a chunk": (line(STOP)[:-2], [END], True),
    "behind the last reason, inside a chunk": (line(STOP) + b'data: {"choi', [END], True),
    "inside the end": (line(STOP) + b"data: [DO", [END], True),
    "behind the end": (line(STOP) + b"data: [DONE]", [END], True),
}


@pytest.mark.parametrize("name", CUT)
def test_cut(name: str) -> None:
    last, brought, whole = CUT[name]
    decoder = StreamDecoder("asked")
    assert decoder.feed(line(chunk(content="a"))) == [START, TextDelta("a")]
    assert decoder.feed(last) + decoder.close() == brought
    assert (decoder.error is None, decoder.done) == (whole, True)
    if not whole:
        assert isinstance(decoder.error, StreamInterruptedError)
        assert decoder.error.partial == SO_FAR


@pytest.mark.parametrize("last", [b"", b": ping\n\n", b"data: [DONE]\n\n", b"data: [DONE]"])
def test_nothing_came(last: bytes) -> None:
    decoder = StreamDecoder("asked")
    assert decoder.feed(last) + decoder.close() == []
    assert isinstance(decoder.error, StreamInterruptedError)
    assert decoder.error.message == "asked: the stream was empty: no finish reason was sent."
    assert (decoder.error.partial, decoder.so_far()) == (None, None)


def test_an_answer_that_came_whole_is_what_arrived() -> None:
    decoder = StreamDecoder("asked")
    decoder.take([StreamStart("c-9", "served"), TextDelta("a")])
    assert decoder.so_far() == SO_FAR


def test_an_error_from_outside_gets_what_arrived() -> None:
    decoder = StreamDecoder("asked")
    decoder.feed(line(chunk(content="a")))
    error = TimedOutError("Too slow.")
    assert (decoder.done, decoder.so_far()) == (False, SO_FAR)
    decoder.interrupt(error)
    assert (decoder.error, decoder.done, error.partial) == (error, True, SO_FAR)


def test_an_error_that_knows_more_keeps_it() -> None:
    error = TimedOutError("Too slow.")
    error.partial = Completion(id="before")
    StreamDecoder("asked").interrupt(error)
    assert error.partial == Completion(id="before")


def test_an_event_without_end() -> None:
    decoder = StreamDecoder("asked", max_event_bytes=200)
    decoder.feed(line(chunk(content="a")))
    assert decoder.feed(b"data: " + b"x" * 200) == []
    assert isinstance(decoder.error, MalformedResponseError)
    assert decoder.error.partial == SO_FAR


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_beside_the_text(name: str) -> None:
    said = SAID[name]
    decoder = StreamDecoder("m")
    events = [event for chunk in said.chunks() for event in decoder.feed(b"data: %b\n\n" % json.dumps(chunk).encode())]
    events += decoder.feed(b"data: [DONE]\n\n")
    answer = collect(events)
    choice = answer.choices[0]
    assert (choice.text, choice.refusal, choice.finish_reason) == (said.text, said.refusal, said.reason)
    assert {**answer.extra, **choice.message_extra, **choice.extra} == said.fields
    assert sum(isinstance(event, ExtraFields) for event in events) == bool(said.fields)
    assert isinstance(events[-1], StreamEnd)


def test_fields_of_a_second_choice_stay_with_it() -> None:
    choices = [
        {"index": n, "delta": {"content": "a", "own": n}, "stop_reason": n, "finish_reason": "length"} for n in (0, 1)
    ]
    decoder = StreamDecoder("m")
    decoder.feed(b"data: %b\n\n" % json.dumps({"id": "c", "choices": choices}).encode())
    (extra, _) = decoder.feed(b"data: [DONE]\n\n")
    assert extra == ExtraFields({}, {0: {"stop_reason": 0}, 1: {"stop_reason": 1}}, {0: {"own": 0}, 1: {"own": 1}})
