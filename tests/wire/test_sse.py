"""Events out of bytes: every ending of a line, every cut, and an end to what has none."""

from __future__ import annotations

import pytest

from wandb_inference import MalformedResponseError
from wandb_inference._wire import SSEDecoder

CASES: dict[str, tuple[list[bytes], list[bytes], list[bytes]]] = {
    # name: (pieces, the events they complete, the events that the end completes)
    "nothing": ([b""], [], []),
    "an event": ([b"data: a\n\n"], [b"a"], []),
    "two events": ([b"data: a\n\ndata: b\n\n"], [b"a", b"b"], []),
    "no space": ([b"data:a\n\n"], [b"a"], []),
    "one space is the field's, another the text's": ([b"data:  a\n\n"], [b" a"], []),
    "a tab is the text's": ([b"data:\ta\n\n"], [b"\ta"], []),
    "nothing after the colon": ([b"data:\n\n"], [b""], []),
    "CRLF": ([b"data: a\r\n\r\ndata: b\r\n\r\n"], [b"a", b"b"], []),
    "CR": ([b"data: a\r\rdata: b\r\rx"], [b"a", b"b"], []),
    "a CR at the end may be half of CRLF": ([b"data: a\r\r"], [], [b"a"]),
    "CRLF in two pieces": ([b"data: a\r\n\r", b"\ndata: b\r", b"\n\r\n"], [b"a", b"b"], []),
    "CR in pieces": ([b"data: a\r", b"\r", b"data: b\r", b"\rx"], [b"a", b"b"], []),
    "a CR, and text without an end": ([b"data: a\r", b"data: b"], [], [b"a\nb"]),
    "a line of many pieces": ([b"da", b"ta: ", b"a", b"b", b"\n", b"\n"], [b"ab"], []),
    "an event of two lines": ([b"data: a\ndata: b\n\n"], [b"a\nb"], []),
    "an event of three, one of them empty": ([b"data: a\ndata:\ndata: b\n\n"], [b"a\n\nb"], []),
    "blank lines are no events": ([b"\n\n\ndata: a\n\n\n\n"], [b"a"], []),
    "comments and other fields": ([b": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n"], [b"a"], []),
    "a field that only begins alike": ([b"data\n\ndatax: a\n\n"], [], []),
    "a BOM": ([b"\xef\xbb\xbfdata: a\n\n"], [b"a"], []),
    "a BOM in pieces": ([b"\xef", b"\xbb", b"\xbfdata: a\n", b"\n"], [b"a"], []),
    "a BOM is one at the beginning only": (
        [b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n\xef\xbb\xbfdata: c\n\n"],
        [b"a"],
        [],
    ),
    "a character in two pieces": ([b"data: \xc3", b"\xbc\n\n"], ["ü".encode()], []),
    "separators of other worlds are text": (
        ["data: a\x0b\x0c\x1c\x85\u2028b\n\n".encode()],
        ["a\x0b\x0c\x1c\x85\u2028b".encode()],
        [],
    ),
    "no blank line at the end": ([b"data: a\n"], [], [b"a"]),
    "no end of the line": ([b"data: a"], [], [b"a"]),
    "no end of a line of many pieces": ([b"data: a", b"b", b"c"], [], [b"abc"]),
    "no end of the second line": ([b"data: a\ndata: b"], [], [b"a\nb"]),
    "a comment at the end": ([b"data: a\n\n: pi", b"ng"], [b"a"], []),
}


@pytest.mark.parametrize("name", CASES)
def test_events(name: str) -> None:
    pieces, completed, at_end = CASES[name]
    decoder = SSEDecoder()
    assert [event for piece in pieces for event in decoder.feed(piece)] == completed
    assert decoder.close() == at_end
    assert decoder.close() == []  # once is enough


PROMPT: dict[str, list[tuple[bytes, list[bytes]]]] = {
    # name: (piece, the events that it completes) in turn
    "LF": [(b"data: a\n", []), (b"\ndata: b", [b"a"]), (b"\n\ndata: c\n\n", [b"b", b"c"]), (b"", []), (b"data: d", [])],
    "CR, once it is not half of CRLF": [(b"data: a\r\r", []), (b"data: b", [b"a"])],
    "CR by CR": [(b"data: a\r", []), (b"\r", []), (b"data: b", [b"a"])],
}


@pytest.mark.parametrize("name", PROMPT)
def test_events_come_as_soon_as_they_are_complete(name: str) -> None:
    decoder = SSEDecoder()
    assert [(piece, decoder.feed(piece)) for piece, _ in PROMPT[name]] == PROMPT[name]


LARGE: dict[str, tuple[list[bytes], bool]] = {
    # name: (pieces, whether they are too much for 10 bytes)
    "a line without an end": ([b"data: 7890"], False),
    "a longer one": ([b"data: 78901"], True),
    "in pieces": ([b"data: 7", b"8", b"9", b"0"], False),
    "in pieces, longer": ([b"data: 7", b"8", b"9", b"0", b"1"], True),
    "a comment": ([b": 34567890"], False),
    "a longer comment": ([b": 345678901"], True),
    "an event": ([b"data: 7890\n\n"], False),
    "a longer event in one piece": ([b"data: 78901\n\n"], True),
    "lines of one event": ([b"data:\n", b"data:\n"], False),
    "more lines of one event": ([b"data:\n", b"data:\n", b"data:\n"], True),
    "lines, and the beginning of one more": ([b"data:\n", b"data:"], False),
    "lines, and more of one more": ([b"data:\n", b"data: 7"], True),
    "lines, and more of one more, in pieces": ([b"data:\n", b"data:", b" 7"], True),
    "lines and a long one in one piece": ([b"data:\ndata: 7"], True),
    "any number of small events": ([b"data: 7890\n\n"] * 9 + [b"data: 7890"], False),
    "any number of them in one piece": ([b"data: 7890\n\n" * 9], False),
    "any number of comments": ([b": 34567890\n\n"] * 9, False),
    "an event after one that ended in pieces": ([b"data:", b" 7890", b"\n", b"\n", b"data:", b" 7890"], False),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_has_no_end_is_given_up_before_it_fills_the_memory(name: str) -> None:
    pieces, too_large = LARGE[name]
    decoder = SSEDecoder(10)

    def feed() -> None:
        for piece in pieces:
            decoder.feed(piece)

    if too_large:
        with pytest.raises(MalformedResponseError, match="more than 10 bytes"):
            feed()
    else:
        feed()


def test_a_large_answer_in_one_event_is_read() -> None:
    megabytes = b"x" * (16 * 1024 * 1024 - 6)
    assert SSEDecoder().feed(b"data: " + megabytes + b"\n\n") == [megabytes]
    with pytest.raises(MalformedResponseError, match="more than 16,777,216 bytes"):
        SSEDecoder().feed(b"data: " + megabytes + b"x\n\n")
