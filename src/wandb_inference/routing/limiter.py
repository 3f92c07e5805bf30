"""How many calls a model takes at a time: the service says so only by refusing, so the limit is felt for.

It limits requests in flight for a project, a user and a model, and answers 429 to those beyond. A swarm of agents that
learns that one by one keeps running into it. Here the calls of a process queue up for places: one more place with each
answer at first, until the service refuses; then a little fewer than it refused at, and slowly up again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from threading import Lock

from wandb_inference._guard import Guard

FIRST = 16
"""Places to begin with."""
_BACK = 0.9  # of what was left after a refusal
_PROBE = 20  # rounds at the highest good number of places before one more is tried
_STUCK = 60.0  # seconds without any call ending, after which a waiting one goes all the same


class Limiter:
    """Hands out places to the calls of one model, first come, first served; to threads and to tasks alike.

    Args:
        ceiling: places at most; ``None``: as many as the service takes.
        first: places to begin with.
    """

    def __init__(self, ceiling: int | None = None, *, first: int = FIRST) -> None:
        self._ceiling = float(ceiling) if ceiling else float("inf")
        self._limit = min(float(first), self._ceiling)
        self._good: float | None = None  # places that the service was seen to take; None until it refuses
        self._in_flight = 0
        self._refusals = 0
        self._round = 0  # of counting, which begins anew when places are lost
        self._waiting: deque[_Turn] = deque()
        self._guard = Guard()
        self._moved = time.monotonic()

    @property
    def limit(self) -> int:
        """Places at the moment."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return self._in_flight

    def acquire(self) -> Place:
        """Wait for a place, and take it."""
        turn = self._queue(None)
        try:
            while not turn.wait(_STUCK):
                self._push(turn)
        except BaseException:  # KeyboardInterrupt
            self._guard.soon(lambda: self._cancel(turn))
            raise
        return Place(self, turn)

    async def aacquire(self) -> Place:
        """Wait for a place, and take it."""
        turn = self._queue(asyncio.get_running_loop())
        try:
            while not await turn.await_(_STUCK):
                self._push(turn)
        except BaseException:  # cancelled
            self._guard.soon(lambda: self._cancel(turn))
            raise
        return Place(self, turn)

    def _queue(self, loop: asyncio.AbstractEventLoop | None) -> _Turn:
        with self._guard:
            turn = _Turn(loop)
            self._waiting.append(turn)
            self._serve()
        return turn

    def _serve(self) -> None:
        """Hand out what is free. Under the guard."""
        while self._waiting and self._in_flight < int(self._limit):
            self._grant(self._waiting.popleft())

    def _grant(self, turn: _Turn) -> None:
        self._in_flight += 1
        turn.refusals, turn.round = self._refusals, self._round
        if not turn.grant():
            self._in_flight -= 1
            turn.granted = False

    def _push(self, turn: _Turn) -> None:
        """Let a call go that waits although nothing moves: who holds the places may be waiting for this very call."""
        with self._guard:
            if not turn.granted and time.monotonic() - self._moved >= _STUCK:
                # Or they are lost, with an event loop that stopped: none of them counts any more.
                self._round, self._in_flight, self._moved = self._round + 1, 0, time.monotonic()
                self._waiting.remove(turn)
                self._grant(turn)
                self._serve()

    def _cancel(self, turn: _Turn) -> None:
        if turn.granted:
            self._in_flight -= turn.round == self._round
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._serve()

    def _release(self, turn: _Turn, *, refused: bool) -> None:
        """Take a place back, and learn from how the call went. Under the guard."""
        full = self._waiting or self._in_flight >= int(self._limit)
        if refused:
            self._shrink(turn)
        self._in_flight -= turn.round == self._round
        self._moved = time.monotonic()
        if full and not refused:
            self._grow()
        self._serve()

    def _shrink(self, turn: _Turn) -> None:
        """Go back to what was in flight, without those that were refused. Under the guard."""
        if turn.refusals == self._refusals:
            self._refusals, self._good = self._refusals + 1, self._in_flight - 1.0
        elif turn.refusals == self._refusals - 1 and self._good is not None:
            self._good -= 1  # one more of the same burst: sent before its first refusal was heard
        else:
            return  # old news
        self._good = max(1.0, self._good)
        self._limit = max(1.0, self._good * _BACK)

    def _grow(self) -> None:
        if self._good is None:
            step = 1.0
        elif self._limit < self._good:
            step = 1 / self._limit
        else:
            step = 1 / (self._limit * _PROBE)
        before, self._limit = self._limit, min(self._limit + step, self._ceiling)
        if self._good is not None and before < self._good < self._limit:
            self._limit = self._good


class Place:
    """A place, until it is given back."""

    __slots__ = ("_limiter", "_turn")

    def __init__(self, limiter: Limiter, turn: _Turn) -> None:
        self._limiter, self._turn = limiter, [turn]  # popped by the first to release it

    def release(self, *, refused: bool = False) -> None:
        """Give it back; ``refused``: the service answered 429. Only the first time counts, and it never waits."""
        try:
            turn = self._turn.pop()
        except IndexError:
            return
        self._limiter._guard.soon(lambda: self._limiter._release(turn, refused=refused))  # noqa: SLF001 (its own)


class _Turn:
    """A call that waits for its place, in a thread or in an event loop."""

    __slots__ = ("_future", "_lock", "_loop", "granted", "refusals", "round")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.granted, self.refusals, self.round = False, 0, 0
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        # A plain lock, which whoever grants releases: that never waits, wherever it is done.
        self._lock = Lock()
        self._lock.acquire()

    def grant(self) -> bool:
        """Return whether there is anybody to grant it to."""
        self.granted = True
        if self._loop is None:
            self._lock.release()
        elif self._future is not None:
            try:
                self._loop.call_soon_threadsafe(_done, self._future)
            except RuntimeError:  # its event loop is closed, and with it whoever waited
                return False
        return True

    def wait(self, seconds: float) -> bool:
        """Return whether it was granted."""
        return self.granted or self._lock.acquire(timeout=seconds)

    async def await_(self, seconds: float) -> bool:
        """Return whether it was granted."""
        if self.granted:
            return True
        self._future = asyncio.get_running_loop().create_future()
        if not self.granted:  # in another thread, between the two lines above
            await asyncio.wait((self._future,), timeout=seconds)
        return self.granted


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
