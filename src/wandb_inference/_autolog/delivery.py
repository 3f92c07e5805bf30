"""From the spool to the sinks, in a thread that may be blocked by any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from wandb_inference._autolog.sinks import Guarded, Sink, log

_OPENS = 120.0  # seconds, for those who want to know; W&B's own limit is shorter
TICK = 0.5
"""Seconds between two looks at what is due."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody waits for."""

    end: bool = False
    """Whether it is the last thing to be done."""
    done: Event = field(default_factory=Event)


class Delivery:
    """Hands the rows of a spool to sinks.

    The spool is the queue: sinks that are slow (a server that cannot be reached takes minutes to say so) hold up
    nothing, and what they have not taken is on disk.

    Args:
        sinks: who gets every row.
        spool: the file of rows.
        first: to be done before the sinks are opened, where it may take its time.
        clean: takes keys out of what is said of failures.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        spool: Path,
        *,
        first: Callable[[], object] | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.sinks = [Guarded(sink, clean) for sink in sinks]
        self.unreadable = 0
        self.busy = Lock()
        """Held while sinks are at work: a process that is forked then may never get their locks."""
        self._spool, self._at, self._first = spool, 0, first
        self._bell: SimpleQueue[Request | None] = SimpleQueue()
        self.opened = Event()
        self.thread = Thread(target=self._run, name="wandb-inference-autolog-sinks", daemon=True)

    @property
    def is_complete(self) -> bool:
        """Whether every sink has taken every row, and has said so."""
        return not self.unreadable and not any(sink.missed or sink.incomplete for sink in self.sinks)

    def check(self) -> None:
        """Wait until the sinks are open.

        Raises:
            Exception: what one of them raised.
            TimeoutError: they take too long.
        """
        if not self.opened.wait(_OPENS):
            raise TimeoutError(f"The sinks have not opened for {_OPENS:g} s.")
        for sink in self.sinks:
            if sink.breaker.error is not None:
                raise sink.breaker.error

    def ring(self) -> None:
        """Say that there are new rows."""
        self._bell.put(None)

    def ask(self, request: Request) -> None:
        """Have everything delivered; ``request.done`` is set afterwards."""
        self._bell.put(request)

    def deliver(self) -> None:
        """Hand over the rows that are new."""
        with self._spool.open("rb") as lines:
            lines.seek(self._at)
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._at += len(line)
                if self.sinks:
                    self._hand_over(line)

    def close(self) -> None:
        """End the sinks."""
        for sink in self.sinks:
            sink.close()

    def _hand_over(self, line: bytes) -> None:
        try:
            row: dict[str, Any] = json.loads(line)
        except (ValueError, RecursionError):  # a full disk cut it, or an answer is nested without end
            self.unreadable += 1
            return
        for sink in self.sinks:
            sink.write(row)

    def _run(self) -> None:
        with self.busy:
            if self._first is not None:
                self._first()
            for sink in self.sinks:
                sink.open()
        self.opened.set()
        request: Request | None = None
        while request is None or not request.end:
            rung, request = self._next()
            with self.busy:
                if rung:
                    self._try_to_deliver()
                for sink in self.sinks:
                    sink.tick() if request is None else sink.flush()
                if request is not None and request.end:
                    self.close()
            if request is not None:
                request.done.set()

    def _try_to_deliver(self) -> None:
        try:
            self.deliver()
        except OSError as e:
            if not self.unreadable:
                log.warning("autolog: cannot read %s: %s", self._spool, e.strerror)
            self.unreadable += 1

    def _next(self) -> tuple[bool, Request | None]:
        """Return whether there may be new rows, and what is asked; many rings are one."""
        rung = False
        try:
            request = self._bell.get(timeout=TICK)
            rung = True
            while request is None:
                request = self._bell.get_nowait()
        except Empty:
            return rung, None
        return rung, request
