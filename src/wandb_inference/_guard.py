"""A lock for state that destructors change, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock


class Guard:
    """Guards state; what a destructor wants changed is done by whoever holds the guard, or at once.

    The garbage collector runs destructors at any moment, in any thread, also in one that holds this very lock: a
    destructor that waited for it would wait for ever.

    >>> guard, done = Guard(), []
    >>> with guard:
    ...     guard.soon(lambda: done.append("after the block"))
    ...     print(done)
    []
    >>> done
    ['after the block']
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._later: deque[Callable[[], object]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._catch_up()

    def soon(self, change: Callable[[], object]) -> None:
        """Have ``change`` made under the guard, without ever waiting for it."""
        self._later.append(change)
        self._catch_up()

    def _catch_up(self) -> None:
        # Whoever appends while another holds the lock leaves the change to the other, who looks again after releasing.
        while self._later and self._lock.acquire(blocking=False):
            try:
                while self._later:
                    self._later.popleft()()
            finally:
                self._lock.release()
