"""Where calls leave their records, without ever waiting."""

from __future__ import annotations

from collections import deque
from itertools import count
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from wandb_inference._guard import Guard

T = TypeVar("T")


class _Entry(NamedTuple):
    number: int
    item: Any
    size: int


class Inbox(Generic[T]):
    """A queue with room for so many items and bytes; the oldest cheap ones make room for new ones.

    Args:
        max_items: that wait at a time.
        max_bytes: that they may have together, about.
    """

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.dropped = 0
        self._max_items, self._max_bytes = max_items, max_bytes
        self._guard, self._numbers, self._bytes = Guard(), count(), 0
        self._cheap: deque[_Entry] = deque()
        self._dear: deque[_Entry] = deque()
        # The one queue whose put() may be called by a destructor that interrupts it.
        self._bell: SimpleQueue[Any] = SimpleQueue()
        self._rung = False

    def put(self, item: T, *, size: int = 0, dear: bool = False) -> None:
        """Leave an item; ``dear`` ones are dropped only when there are no others."""
        entry = _Entry(next(self._numbers), item, size)
        self._guard.soon(lambda: self._add(entry, self._dear if dear else self._cheap))
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def ask(self, request: Any) -> None:
        """Wake the reader with a request of its own kind."""
        self._bell.put(request)

    def wait(self) -> Any:
        """Wait for an item or a request; return the request if it is one."""
        request = self._bell.get()
        if request is None:
            self._rung = False  # before the items are taken: what comes afterwards rings again
        return request

    def take(self) -> list[T]:
        """Return all items, the oldest first."""
        with self._guard:
            entries = sorted((*self._cheap, *self._dear), key=lambda entry: entry.number)
            self._cheap.clear()
            self._dear.clear()
            self._bytes = 0
        return [entry.item for entry in entries]

    def _add(self, entry: _Entry, where: deque[_Entry]) -> None:
        where.append(entry)
        self._bytes += entry.size
        while len(self._cheap) + len(self._dear) > self._max_items or self._bytes > self._max_bytes:
            oldest = (self._cheap or self._dear).popleft()
            self._bytes -= oldest.size
            self.dropped += 1
