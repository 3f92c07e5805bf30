"""Streams in every dialect, in any pieces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import recorded

from wandb_inference import (
    MalformedResponseError,
    RateLimitedError,
    ServerError,
    StatusError,
    StreamInterruptedError,
    collect,
)
from wandb_inference._wire import SSEDecoder, StreamDecoder
from wandb_inference._wire.decode import usage_of
from wandb_inference.chat import StreamEnd, StreamEvent, StreamStart, TextDelta, ToolCallDelta, Usage

STREAMS = {name: r.body for name, r in recorded().items() if r.is_stream}


def read(*pieces: bytes) -> tuple[list[StreamEvent], Exception | None]:
    decoder = StreamDecoder("m")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close(), decoder.error


def sse(*chunks: dict[str, Any] | str, end: str = "\n\n", done: bool = True) -> bytes:
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {line}{end}" for line in [*lines, *(["[DONE]"] if done else [])]).encode()


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": "c-1", "model": "m", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def call(**fields: Any) -> dict[str, Any]:
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return delta(tool_calls=[{**fields, "function": function}])


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
STOP = delta("stop")


@pytest.mark.parametrize("name", sorted(STREAMS))
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_split_of_any_recording_tells_the_same(name: str, ending: bytes, data: st.DataObject) -> None:
    body = STREAMS[name].replace(b"\n", ending)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=60)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    events, error = read(*pieces)
    whole, whole_error = read(STREAMS[name])
    assert events == whole
    assert (type(error), str(error)) == (type(whole_error), str(whole_error))


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_byte_by_byte(name: str) -> None:
    events, error = read(*(bytes([byte]) for byte in STREAMS[name]))
    whole, whole_error = read(STREAMS[name])
    assert events == whole
    assert type(error) is type(whole_error)


@pytest.mark.parametrize("name", sorted(n for n in STREAMS if "killed" not in n))
def test_every_cut_of_a_recording_is_an_interruption_or_an_end(name: str) -> None:
    body, draw = STREAMS[name], random.Random(name)
    whole, _ = read(body)
    for cut in sorted(draw.sample(range(len(body)), 25)):
        events, error = read(body[:cut])
        if isinstance(error, StreamInterruptedError):
            assert error.partial == (collect(events) if events else None)
            assert all(event in whole for event in events)
        else:  # cut behind the finish reason: the answer is whole, at most its counts are missing
            assert error is None
            assert collect(events).choices == collect(whole).choices


TEXT = ("héllo 你好 🙂", "stop")
CASES: dict[str, tuple[bytes, str, str | None]] = {
    # name: (stream, text, finish reason)
    "CRLF": (sse(delta(content="a"), STOP, end="\r\n\r\n"), "a", "stop"),
    "CR": (sse(delta(content="a"), STOP, end="\r\r"), "a", "stop"),
    "BOM": (b"\xef\xbb\xbf" + sse(delta(content="a"), STOP), "a", "stop"),
    "no space after data:": (sse(delta(content="a"), STOP).replace(b"data: ", b"data:"), "a", "stop"),
    "keep-alives": (b": ping\n\n\n\n" + sse(delta(content="a"))[:-14] + b": ping\n\n" + sse(STOP), "a", "stop"),
    "other fields": (b"event: message\nid: 7\nretry: 10\n" + sse(delta(content="a"), STOP), "a", "stop"),
    "an event on two lines": (
        b'data: {"id": "c",\ndata: "choices": []}\n\n' + sse(delta(content="a"), STOP),
        "a",
        "stop",
    ),
    "no [DONE]": (sse(delta(content="a"), STOP, done=False), "a", "stop"),
    "no blank line at the end": (sse(delta(content="a"), STOP)[:-2], "a", "stop"),
    "no [DONE], no blank line": (sse(delta(content="a"), STOP, done=False)[:-2], "a", "stop"),
    "null content": (sse(delta(content=None, role="assistant"), delta(content="a"), STOP), "a", "stop"),
    "null delta": (sse({**delta(), "choices": [{"index": 0, "delta": None}]}, delta(content="a"), STOP), "a", "stop"),
    "null choices": (sse({"id": "c", "choices": None}, delta(content="a"), STOP), "a", "stop"),
    "content in parts": (sse(delta(content=[{"type": "text", "text": "a"}]), STOP), "a", "stop"),
    "an empty finish reason": (sse(delta("", content="a"), STOP), "a", "stop"),
    "repeated finish": (sse(delta(content="a"), delta("length"), STOP), "a", "length"),
    "finish with the last text": (sse(delta("stop", content="a")), "a", "stop"),
    "no index": (sse({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}), "a", "stop"),
    "something after [DONE]": (sse(delta(content="a"), STOP) + b"data: nonsense\n\n", "a", "stop"),
}


@pytest.mark.parametrize("name", CASES)
def test_dialect(name: str) -> None:
    stream, text, finish = CASES[name]
    for pieces in ([stream], [bytes([byte]) for byte in stream]):
        events, error = read(*pieces)
        assert error is None
        assert isinstance(events[-1], StreamEnd)
        assert (collect(events).text, collect(events).finish_reason) == (text, finish)


@pytest.mark.parametrize("first", ["reasoning", "reasoning_content", "both"])
def test_reasoning_under_either_name_is_read_once(first: str) -> None:
    names = ("reasoning", "reasoning_content") if first == "both" else (first,)
    events, _ = read(sse(delta(None, 0, **dict.fromkeys(names, "think")), delta(content="a"), STOP))
    assert (collect(events).reasoning, collect(events).text) == ("think", "a")


USAGES: dict[str, list[dict[str, Any]]] = {
    "empty choices": [delta(content="a"), STOP, {"id": "c", "choices": [], "usage": USAGE}],
    "non-empty choices": [delta(content="a"), STOP, {**delta(), "usage": USAGE}],
    "on the last choice chunk": [delta(content="a"), {**STOP, "usage": USAGE}],
    "growing on every chunk": [
        {**delta(content="a"), "usage": {**USAGE, "completion_tokens": 1}},
        {**STOP, "usage": USAGE},
    ],
    "null before": [{**delta(content="a"), "usage": None}, {**STOP, "usage": USAGE}],
    "no choices at all": [delta(content="a"), STOP, {"id": "c", "usage": USAGE}],
}


@pytest.mark.parametrize("name", USAGES)
def test_usage(name: str) -> None:
    events, _ = read(sse(*USAGES[name]))
    assert collect(events).usage == Usage(input_tokens=3, output_tokens=2)
    events, _ = read(sse(*USAGES[name], done=False))
    assert collect(events).usage == Usage(input_tokens=3, output_tokens=2)


CALLS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
    # name: (chunks, (name, arguments) of each call)
    "vLLM": (
        [
            call(id="x", index=0, name="f", arguments=""),
            call(index=0, arguments='{"a"'),
            call(index=0, arguments=": 1}"),
        ],
        [("f", '{"a": 1}')],
    ),
    "name repeated as null": (
        [call(id="x", index=0, name="f", arguments='{"a"'), call(index=0, name=None, arguments=": 1}")],
        [("f", '{"a": 1}')],
    ),
    "a fresh id for each fragment": (
        [call(id="x", index=0, name="f", arguments='{"a"'), call(id="y", index=0, name=None, arguments=": 1}")],
        [("f", '{"a": 1}')],
    ),
    "id and name on every fragment": (
        [call(id="x", index=0, name="f", arguments='{"a"'), call(id="x", index=0, name="f", arguments=": 1}")],
        [("f", '{"a": 1}')],
    ),
    "no index": (
        [
            call(id="x", name="f", arguments="{"),
            call(arguments="}"),
            call(id="y", name="g", arguments="{"),
            call(arguments="}"),
        ],
        [("f", "{}"), ("g", "{}")],
    ),
    "no index, no id": ([call(name="f", arguments="{}"), call(name="f", arguments="{}")], [("f", "{}"), ("f", "{}")]),
    "two calls under one index": (
        [call(id="x", index=0, name="f", arguments="{}"), call(id="y", index=0, name="g", arguments="{}")],
        [("f", "{}"), ("g", "{}")],
    ),
    "interleaved": (
        [
            call(id="x", index=0, name="f", arguments="{"),
            call(id="y", index=1, name="g", arguments="["),
            call(index=0, arguments="}"),
            call(index=1, arguments="]"),
        ],
        [("f", "{}"), ("g", "[]")],
    ),
    "indexes that begin at one": ([call(id="x", index=1, name="f", arguments="{}")], [("f", "{}")]),
    "arguments as an object": ([call(id="x", index=0, name="f", arguments={"a": 1})], [("f", '{"a": 1}')]),
    "null arguments": ([call(id="x", index=0, name="f", arguments=None)], [("f", "")]),
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls(name: str) -> None:
    chunks, wanted = CALLS[name]
    events, error = read(sse(*chunks, delta("tool_calls")))
    assert error is None
    calls = collect(events).tool_calls
    assert [(c.name, c.arguments) for c in calls] == wanted
    assert all(c.id for c in calls)
    assert len({c.id for c in calls}) == len(calls)
    firsts = [event for event in events if isinstance(event, ToolCallDelta) and event.id is not None]
    assert [event.index for event in firsts] == list(range(len(wanted)))


FAILURES: dict[str, tuple[bytes, type[Exception], str]] = {
    "an error object": (sse(delta(content="a"), {"error": {"message": "boom", "code": 503}}), StatusError, "boom"),
    "an error string": (sse(delta(content="a"), {"error": "boom"}), ServerError, "boom"),
    "a detail": (sse(delta(content="a"), {"detail": "boom"}), ServerError, "boom"),
    "a string code": (sse(delta(content="a"), {"error": {"message": "slow", "code": "429"}}), RateLimitedError, "slow"),
    "a named code": (
        sse(delta(content="a"), {"error": {"message": "slow", "code": "rate_limit_exceeded"}}),
        RateLimitedError,
        "slow",
    ),
    "no JSON": (sse(delta(content="a"), "{nonsense"), MalformedResponseError, "nonsense"),
    "no object": (sse(delta(content="a"), "[1]"), MalformedResponseError, "object"),
    "no UTF-8": (sse(delta(content="a"), done=False) + b'data: {"x": "\xff"}\n\n', MalformedResponseError, "JSON"),
    "an unknown shape": (sse(delta(content="a"), {"choices": ["x"]}), MalformedResponseError, "shape"),
    "no finish reason": (sse(delta(content="a")), StreamInterruptedError, "finish reason"),
    "cut": (sse(delta(content="a"), STOP)[:-60], StreamInterruptedError, "finish reason"),
    "one choice of two unfinished": (
        sse(delta(content="a"), delta(content="b", index=1), STOP),
        StreamInterruptedError,
        "finish reason",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure_keeps_what_came_before(name: str) -> None:
    stream, cls, words = FAILURES[name]
    events, error = read(stream)
    assert isinstance(error, cls)
    assert words in str(error)
    assert TextDelta("a") in events
    assert error.partial is not None  # type: ignore[attr-defined]
    assert error.partial.text == "a"  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [b"", b": ping\n\n", b"data: [DONE]\n\n", b"\n\n\n"])
def test_an_empty_stream_is_no_answer(stream: bytes) -> None:
    events, error = read(stream)
    assert events == []
    assert isinstance(error, StreamInterruptedError)
    assert "was empty" in str(error)
    assert error.partial is None


@pytest.mark.parametrize(
    "endless",
    [b"data: aaaaaaaa", b"aaaaaaaaaaaa", b"data: aaaaaaaa\n", b"data:\n", b": comment without an end"],
    ids=["line", "no field", "event of many lines", "event of empty lines", "comment"],
)
def test_an_endless_event_raises_and_is_not_kept(endless: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=1000)
    fed = 0
    with pytest.raises(MalformedResponseError, match="more than 1,000 bytes"):
        while fed < 5000:
            decoder.feed(endless)
            fed += len(endless)
    assert fed < 1250


def test_a_long_event_that_ends_in_time_is_read() -> None:
    text = "x" * 900_000
    events, error = read(sse(delta("stop", content=text)))
    assert error is None
    assert collect(events).text == text


def test_start_names_id_and_model() -> None:
    events, _ = read(sse({**delta(content="a"), "created": 5}, STOP))
    assert events[0] == StreamStart("c-1", "m", 5)


@pytest.mark.parametrize("counted", [-5, 10**400, "many", None, [1], float("inf")])
def test_counts_that_make_no_sense_are_none(counted: Any) -> None:
    body = {"usage": {"prompt_tokens": counted, "completion_tokens": 1}}
    assert usage_of(body) is None
    part = {"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": counted}}}
    assert usage_of(part) == Usage(input_tokens=5, output_tokens=0)
