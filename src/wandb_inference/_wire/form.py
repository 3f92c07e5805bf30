"""Whether a body is a stream of events or one whole answer: its first bytes say so, its label often does not.

Proxies in front of vLLM label a stream ``application/json``, gateways stream where nobody asked for it, and some answer
whole, or with a web page, under ``text/event-stream``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from wandb_inference._wire.decode import decode
from wandb_inference._wire.sse import BOM
from wandb_inference._wire.stream import StreamDecoder
from wandb_inference.chat import Completion

_NOTHING = re.compile(rb"(?:\s|:[^\r\n]*[\r\n])*+")  # blanks and comments, which are keep-alives
_FIELD = re.compile(rb"(?:data|event|id|retry)\b")


class Opening:
    """Passes over a BOM, blanks and comments, to the first byte that tells a stream from a whole answer."""

    def __init__(self) -> None:
        self._held = b""
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """Return what there is from that byte on; empty while there is nothing."""
        held = self._held + piece
        if not self._begun and len(held) < len(BOM) and BOM.startswith(held):
            self._held = held
            return b""
        held = held if self._begun else held.removeprefix(BOM)
        self._begun = True
        held = held[_NOTHING.match(held).end() :]  # type: ignore[union-attr]  # it matches nothing, too
        self._held = held[:1] if held.startswith(b":") else b""  # a comment that goes on; what it says is no matter
        return b"" if self._held else held


def is_whole(opening: bytes) -> bool:
    """Whether this begins one answer: JSON or a web page, which no line of a stream begins like."""
    return opening.startswith((b"{", b"[", b'"', b"<"))


def is_stream(opening: bytes) -> bool:
    """Whether this begins a stream of events, for certain."""
    return _FIELD.match(opening) is not None


def decode_body(content: bytes, *, model: str, headers: Mapping[str, str] | None = None) -> Completion:
    """Return the answer in this body, also where it is a stream that nobody asked for.

    Raises:
        StatusError: the body holds an error despite its status.
        StreamInterruptedError: the stream ends before the answer does.
        MalformedResponseError: the body is no answer.
    """
    opening = Opening().feed(content)
    if not is_stream(opening):
        return decode(opening, model=model, headers=headers)
    decoder = StreamDecoder(model)
    decoder.feed(opening)
    decoder.close()
    completion = decoder.so_far()
    if decoder.error is not None or completion is None:
        raise decoder.error or AssertionError("A stream without an answer is an error.")
    return replace(completion, headers=headers or {})
