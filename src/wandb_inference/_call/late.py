"""Records of calls that the garbage collector or the interpreter's exit has ended, told by a thread that may wait."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol
from weakref import WeakSet

_PATIENCE = 30.0  # seconds, at the interpreter's exit, for those who are told


class Open(Protocol):
    """A call that has not ended."""

    def given_up(self) -> None:
        """Hear that nobody waits for it any more."""
        ...


class Late:
    """Does later what a destructor must not wait for."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # whose put may interrupt itself
        self._open: WeakSet[Open] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Be ready: a destructor must not start threads."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    atexit.register(self._exit)
                    self._thread = threading.Thread(target=self._run, name="wandb-inference-records", daemon=True)
                    self._thread.start()

    def expect(self, call: Open) -> None:
        """Have a call told of at the interpreter's exit, unless it has ended before."""
        self.begin()
        self._open.add(call)

    def soon(self, tell: Callable[[], object]) -> None:
        """Have it done by the thread. Never waits."""
        self._queue.put(tell)

    def _run(self) -> None:
        while (tell := self._queue.get()) is not None:
            tell()

    def _exit(self) -> None:
        for call in list(self._open):
            call.given_up()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE)


LATE = Late()
"""Of this process."""


def _in_child() -> None:
    """Begin anew in a forked process: the thread, and the calls, are its parent's."""
    atexit.unregister(LATE._exit)  # noqa: SLF001 (its own)
    LATE.__init__()  # type: ignore[misc]  # it is one for all


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
