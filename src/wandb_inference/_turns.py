"""Waiting for one's turn, in a thread or in an event loop, granted from any other."""

from __future__ import annotations

import asyncio
import threading


class Turn:
    """Whoever waits, until somebody else grants it what it waits for.

    Args:
        loop: the event loop that it waits in; ``None``: a thread.
    """

    __slots__ = ("_future", "_lock", "_loop", "granted")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.granted = False
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        # A plain lock, which whoever grants releases: that never waits, wherever it is done.
        self._lock = threading.Lock()
        self._lock.acquire()

    @property
    def stands_still(self) -> bool:
        """Whether its event loop does not run, perhaps never again."""
        return self._loop is not None and not self._loop.is_running()

    def grant(self) -> bool:
        """Return whether there is anybody to grant it to."""
        self.granted = True  # first: whoever is about to wait looks after it has said where
        if self._loop is None:
            self._lock.release()
        elif self._future is not None:
            try:
                self._loop.call_soon_threadsafe(_done, self._future)
            except RuntimeError:  # its event loop is closed, and with it whoever waited
                self.granted = False
        return self.granted

    def wait(self, seconds: float | None) -> None:
        """Wait until it is granted, so long at most."""
        if not self.granted:
            self._lock.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    async def await_(self, seconds: float | None) -> None:
        """Wait until it is granted, so long at most."""
        if self.granted:
            return
        self._future = self._future or asyncio.get_running_loop().create_future()
        if not self.granted:  # in another thread, between the two lines above
            await asyncio.wait((self._future,), timeout=seconds)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
