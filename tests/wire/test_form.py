"""Whether a body is a stream or one whole answer, from its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb_inference._wire import Opening, is_stream, is_whole

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
