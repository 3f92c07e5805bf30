"""How many calls a model takes at a time: the service says so only by refusing, so the limit is felt for.

It limits requests in flight for a project, a user and a model, and answers 429 to those beyond. A swarm of agents that
learns that one by one keeps running into it. Here the calls of a process queue up for places: twice as many as were
accepted together, round trip by round trip, until the service refuses; then a little fewer than it refused at, slowly
up again, and as fast as at first where it takes more than before. A service that limits nothing makes nobody wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from threading import Lock

from wandb_inference._guard import Guard
from wandb_inference._turns import Turn
from wandb_inference.errors import QueueTimeoutError

FIRST = 16
"""Places to begin with."""
_BACK = 0.9  # of what was left after a refusal
_PROBE = 8  # rounds at the highest good number of places before one more is tried ...
_RARELY = 40  # ... and answers at least, so that a small limit does not refuse every tenth call
_MOMENT = 0.1  # seconds within which refusals come: a call that is in flight then was accepted
_IDLE = 1.0  # seconds that a stream may rest with its reader before its place is lent on
_TICK = 0.025  # seconds between two looks at what only time tells, while somebody waits


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
        self._refused_at = 0.0  # what was good at the last refusal; from there on it is felt for
        self._in_flight = 0
        self._refusals = 0
        self._waiting: deque[_Turn] = deque()
        self._held: set[_Turn] = set()
        self._guard = Guard()

    @property
    def limit(self) -> int:
        """Places at the moment."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Places taken, without those that are lent on."""
        return self._in_flight

    def acquire(self, seconds: float | None = None) -> Place:
        """Wait for a place, and take it.

        Args:
            seconds: to wait at most.

        Raises:
            QueueTimeoutError: there was none in that time.
        """
        turn = self._queue(None)
        try:
            turn.wait(seconds)
            return self._taken(turn, seconds)
        except BaseException:  # KeyboardInterrupt
            self._guard.soon(lambda: self._cancel(turn))
            raise

    async def aacquire(self, seconds: float | None = None) -> Place:
        """Wait for a place, and take it; as ``acquire``."""
        turn = self._queue(asyncio.get_running_loop())
        try:
            await turn.await_(seconds)
            return self._taken(turn, seconds)
        except BaseException:  # cancelled
            self._guard.soon(lambda: self._cancel(turn))
            raise

    def look(self) -> bool:
        """See what nobody tells: who was not refused in time, and whose place is not used; return whether calls wait.

        A stream keeps its place while it is read. One that rests with its reader, who may never come back, lends it
        on; so does every call of an event loop that stands still.
        """
        now = time.monotonic()
        with self._guard:
            for turn in list(self._held) if self._waiting else ():
                if not turn.accepted and now - turn.granted_at >= _MOMENT:
                    self._accept(turn)
                if self._waiting and not turn.lent and turn.is_idle:
                    turn.lent = True
                    self._in_flight -= 1
                    self._serve()
            return bool(self._waiting)

    def _queue(self, loop: asyncio.AbstractEventLoop | None) -> _Turn:
        turn = _Turn(loop)
        with self._guard:
            self._waiting.append(turn)
            self._serve()
        if not turn.granted:
            _clock.watch(self)
        return turn

    def _taken(self, turn: _Turn, seconds: float | None) -> Place:
        with self._guard:
            if turn.granted:
                return Place(self, turn)
            limit = self.limit
        raise QueueTimeoutError(
            f"No place was free within {seconds:g} s among the {limit} calls that the model takes at a time.",
            hint="Make fewer calls at a time, or raise the timeout.",
        )

    # Under the guard

    def _serve(self) -> None:
        """Hand out what is free."""
        while self._waiting and self._in_flight < int(self._limit):
            turn = self._waiting.popleft()
            if turn.grant():
                self._in_flight += 1
                turn.refusals, turn.rank, turn.granted_at = self._refusals, self._in_flight, time.monotonic()
                self._held.add(turn)

    def _cancel(self, turn: _Turn) -> None:
        if turn.granted:
            self._leave(turn)
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._serve()

    def _leave(self, turn: _Turn) -> None:
        if turn in self._held:
            self._held.remove(turn)
            self._in_flight -= not turn.lent

    def _release(self, turn: _Turn, *, refused: bool) -> None:
        """Take a place back, and learn from how the call went."""
        if refused:
            self._shrink(turn)
        else:
            full = self._waiting or self._in_flight >= int(self._limit)
            self._accept(turn)
            if full and self._good is not None:
                self._grow(self._good)
        self._leave(turn)
        self._serve()

    def _resume(self, turn: _Turn) -> None:
        """Count a place again that was lent on: its reader is back."""
        if turn.lent:
            turn.lent = False
            self._in_flight += turn in self._held

    def _accept(self, turn: _Turn) -> None:
        """Take note that the service took a call beside those that were in flight: it may take twice as many."""
        if turn.accepted:
            return
        turn.accepted = True
        taken, base = min(turn.rank, self._in_flight), 0.0
        if self._good is not None:
            base = self._refused_at
            if taken <= self._good or turn.refusals < self._refusals:
                return
            self._good = float(taken)
        self._limit = min(max(self._limit, base + 2 * (taken - base)), self._ceiling)
        self._serve()

    def _shrink(self, turn: _Turn) -> None:
        """Go back to what was in flight, without those that were refused."""
        if turn.refusals == self._refusals:
            self._refusals, good = self._refusals + 1, self._in_flight - 1.0
        elif turn.refusals == self._refusals - 1 and self._good is not None:
            good = self._good - 1  # one more of the same burst: sent before its first refusal was heard
        else:
            return  # old news
        self._good = self._refused_at = max(1.0, good)
        self._limit = max(1.0, self._good * _BACK)

    def _grow(self, good: float) -> None:
        """Go up by a part of a place for one answer."""
        before = self._limit
        step = 1 / before if before < good else 1 / max(before * _PROBE, _RARELY)
        self._limit = min(before + step, self._ceiling)
        if before < good < self._limit:
            self._limit = good


class Place:
    """A place, until it is given back."""

    __slots__ = ("_limiter", "_open", "_turn")

    def __init__(self, limiter: Limiter, turn: _Turn) -> None:
        self._limiter, self._turn = limiter, turn
        self._open = [None]  # popped by the first to release it

    @property
    def is_idle(self) -> bool:
        """Whether nobody works on the answer, perhaps never again."""
        return self._turn.is_idle

    def accepted(self) -> None:
        """Tell that the service took the call, which is not over yet."""
        limiter, turn = self._limiter, self._turn
        if limiter._good is None:  # noqa: SLF001 (its own)  # else a call that just ended may have made room for it
            limiter._guard.soon(lambda: limiter._accept(turn))  # noqa: SLF001 (its own)

    def rests(self) -> None:
        """Tell that whoever reads the answer does something else."""
        self._turn.rests_since = time.monotonic()

    def resumes(self) -> None:
        """Tell that it is read again. Never waits, also where the place was lent on meanwhile."""
        self._turn.rests_since = None
        if self._turn.lent:
            limiter, turn = self._limiter, self._turn
            limiter._guard.soon(lambda: limiter._resume(turn))  # noqa: SLF001 (its own)

    def release(self, *, refused: bool = False) -> None:
        """Give it back; ``refused``: the service answered 429. Only the first time counts, and it never waits."""
        try:
            self._open.pop()
        except IndexError:
            return
        limiter, turn = self._limiter, self._turn
        limiter._guard.soon(lambda: limiter._release(turn, refused=refused))  # noqa: SLF001 (its own)


class _Turn(Turn):
    """A call that waits for its place, or has one."""

    __slots__ = ("accepted", "granted_at", "lent", "rank", "refusals", "rests_since")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(loop)
        self.accepted = self.lent = False
        self.granted_at = 0.0
        self.rests_since: float | None = None
        self.rank = self.refusals = 0  # how many there were when it was granted

    @property
    def is_idle(self) -> bool:
        """Whether nobody works on the answer, perhaps never again."""
        rested = self.rests_since is not None and time.monotonic() - self.rests_since >= _IDLE
        return rested or self.stands_still


class _Clock:
    """Looks at limiters from time to time, in a thread of its own that lives while calls wait."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watched: set[Limiter] = set()

    def watch(self, limiter: Limiter) -> None:
        with self._lock:
            begins = not self._watched
            self._watched.add(limiter)
        if begins:
            threading.Thread(target=self._run, name="wandb-inference-places", daemon=True).start()

    def _run(self) -> None:
        waits = True
        while waits:
            time.sleep(_TICK)
            with self._lock:
                self._watched = {limiter for limiter in self._watched if limiter.look()}
                waits = bool(self._watched)


_clock = _Clock()


def forked() -> None:
    """Begin anew in a forked process, where there are no threads."""
    global _clock  # noqa: PLW0603 (as said)
    _clock = _Clock()
