"""Server-sent events from bytes that arrive in any pieces (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from wandb_inference.errors import MalformedResponseError

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bytes of one event. The largest honest event is a whole answer in one delta, far below this."""

BOM = b"\xef\xbb\xbf"


class SSEDecoder:
    """Push decoder: feed it bytes, get the ``data`` of each event that is complete.

    Lines may end in LF, CRLF or CR, a BOM may come first, comments (keep-alives) and fields other than ``data`` are
    passed over, and a piece may end anywhere, also inside a character or between CR and LF.
    """

    __slots__ = ("_data", "_data_size", "_max", "_pieces", "_pieces_size", "_started")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pieces: list[bytes] = []  # of the line that is not complete yet
        self._pieces_size = 0
        self._data: list[bytes] = []  # lines of the event that is not complete yet
        self._data_size = 0  # as they came, because empty lines take memory, too
        self._started = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of every event that this piece completes.

        Raises:
            MalformedResponseError: a line or an event is larger than ``max_event_bytes``.
        """
        if not piece:
            return []
        held_cr = bool(self._pieces) and self._pieces[-1].endswith(b"\r")
        self._pieces.append(piece)
        if not held_cr and b"\n" not in piece and b"\r" not in piece:
            self._pieces_size += len(piece)
            self._bound(self._pieces_size + self._data_size)
            return []  # joined only when a line ends, so that a long line in small pieces stays linear
        text = b"".join(self._pieces)
        # A CR at the very end may be the first half of CRLF: it waits for the next piece.
        end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        self._pieces = [text[end:]] if end < len(text) else []
        events = self._lines(text[:end])
        self._pieces_size = len(text) - end
        self._bound(self._pieces_size + self._data_size)
        return events

    def close(self) -> list[bytes]:
        """Return the data of a last event that lacks its blank line; the specification would drop it."""
        events = self._lines(b"".join(self._pieces))
        if self._data:
            events.append(b"\n".join(self._data))
        self._pieces, self._data, self._pieces_size, self._data_size = [], [], 0, 0
        return events

    def _lines(self, text: bytes) -> list[bytes]:
        if text and not self._started:
            self._started = True
            text = text.removeprefix(BOM)
        events = []
        for line in text.splitlines():  # of bytes: splits at LF, CRLF and CR only
            if not line:
                if self._data:
                    self._bound(self._data_size)
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data, self._data_size = [], 0
            elif line.startswith(b"data:"):
                self._data_size += len(line)
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        return events

    def _bound(self, size: int) -> None:
        if size > self._max:
            raise MalformedResponseError(
                f"The stream sent an event of more than {self._max:,} bytes.",
                hint="That is no chat answer: check that base_url names an OpenAI-compatible service.",
            )
