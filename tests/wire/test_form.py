"""Whether a body is a stream or one whole answer, from its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb_inference._wire import Opening, decode_body, is_stream, is_whole
from wandb_inference.errors import MalformedResponseError, RateLimitedError, StreamInterruptedError

BODIES: dict[str, tuple[bytes, bytes]] = {
    # name: (body, what it begins with)
    "an event": (b"data: {}", b"data: {}"),
    "an object": (b'{"a": 1}', b'{"a": 1}'),
    "blanks": (b" \t\r\n\n{", b"{"),
    "a BOM": (b"\xef\xbb\xbfdata:", b"data:"),
    "half a BOM": (b"\xef\xbbdata:", b"\xef\xbbdata:"),
    "a second BOM": (b"\xef\xbb\xbf\xef\xbb\xbf{", b"\xef\xbb\xbf{"),
    "a comment": (b": x\n{", b"{"),
    "a comment that looks like JSON": (b":{}\ndata:", b"data:"),
    "comments that end in CR": (b":\r:\r\ndata:", b"data:"),
    "all of them": (b"\xef\xbb\xbf: a\n\n : b\r\n\t<html>", b"<html>"),
    "nothing": (b"", b""),
    "blanks only": (b"\n \n", b""),
    "a comment without its end": (b": x", b""),
    "the beginning of a BOM": (b"\xef", b""),
}


@pytest.mark.parametrize("name", BODIES)
def test_opening(name: str) -> None:
    body, wanted = BODIES[name]
    assert Opening().feed(body) == wanted


@given(
    st.lists(st.sampled_from([b"\xef\xbb\xbf", b"\xef", b" ", b"\n", b"\r", b": a", b":", b"data: x", b"{", b"<"])),
    st.data(),
)
def test_in_any_pieces(parts: list[bytes], cuts: st.DataObject) -> None:
    body = b"".join(parts)
    opening, rest, found = Opening(), body, b""
    while rest and not found:
        size = cuts.draw(st.integers(1, len(rest)))
        found, rest = opening.feed(rest[:size]), rest[size:]
    assert found + rest == Opening().feed(body)


def test_keep_alives_are_not_kept() -> None:
    opening = Opening()
    for piece in (b": x\n\n", b"\n", b": " + b"x" * 1000) * 100:
        assert opening.feed(piece) == b""
        assert len(opening._held) <= 1


def test_a_long_comment_takes_no_longer_than_its_length() -> None:
    assert Opening().feed(b":" + b" :" * 5_000_000) == b""


OPENINGS: dict[bytes, tuple[bool, bool]] = {
    # its beginning: (one whole answer, a stream for certain)
    b"{": (True, False),
    b"[": (True, False),
    b"<": (True, False),
    b'"': (True, False),
    b"data: x": (False, True),
    b"data": (False, True),
    b"event:x": (False, True),
    b"id\n": (False, True),
    b"retry: 5": (False, True),
    b"database": (False, False),
    b"Not Found": (False, False),
    b"other: field": (False, False),
    b"5": (False, False),
}


@pytest.mark.parametrize("opening", OPENINGS)
def test_form(opening: bytes) -> None:
    assert (is_whole(opening), is_stream(opening)) == OPENINGS[opening]


WHOLE = b'{"id": "c", "model": "served", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
STREAM = b'data: {"id": "c", "model": "served", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n ", b": keep-alive\n\n"])
@pytest.mark.parametrize("body", [WHOLE, STREAM, STREAM + b"data: [DONE]\n\n", STREAM.strip()])
def test_an_answer_of_either_form(body: bytes, before: bytes) -> None:
    completion = decode_body(before + body, model="m", headers={"x": "y"})
    assert (completion.id, completion.model, completion.text, completion.finish_reason) == ("c", "served", "Hi", "stop")
    assert completion.headers == {"x": "y"}
    assert decode_body(body, model="m").headers == {}


FAILURES: dict[str, tuple[bytes, type[Exception], str]] = {
    # name: (body, class of the error, words of it)
    "nothing": (b"", MalformedResponseError, "m: the answer is empty"),
    "keep-alives": (b": keep-alive\n\n", MalformedResponseError, "m: the answer is empty"),
    "text": (b"oops", MalformedResponseError, "m: the answer is not JSON: 'oops'"),
    "an error": (b'{"error": {"message": "slow", "code": 429}}', RateLimitedError, "m: slow (HTTP 429)"),
    "an error in a stream": (STREAM[:-2] + b'\n\ndata: {"error": "slow", "code": 429}', RateLimitedError, "m: slow"),
    "a stream that is cut": (STREAM.replace(b'"stop"', b"null"), StreamInterruptedError, "m: the stream ended before"),
    "an empty stream": (b"data: [DONE]\n\n", StreamInterruptedError, "m: the stream was empty"),
    "a stream of nonsense": (b"data: {oops\n\n", MalformedResponseError, "holds an event that is no JSON"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_answer(name: str) -> None:
    body, cls, words = FAILURES[name]
    with pytest.raises(cls) as caught:
        decode_body(body, model="m")
    assert words in str(caught.value)
