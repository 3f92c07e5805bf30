"""From the spool to the sinks, in a thread that may be blocked by any of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from wandb_inference._autolog.sinks import Guarded, Sink, log

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
    """

    def __init__(self, sinks: Sequence[Sink], spool: Path) -> None:
        self.sinks = [Guarded(sink) for sink in sinks]
        self.unreadable = 0
        self._spool, self._at = spool, 0
        self._bell: SimpleQueue[Request | None] = SimpleQueue()
        self._opened = Event()
        self.thread = Thread(target=self._run, name="wandb-inference-autolog-sinks", daemon=True)

    def check(self) -> None:
        """Wait until the sinks are open.

        Raises:
            Exception: what one of them raised.
        """
        self._opened.wait()
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
                self._hand_over(line)

    def close(self) -> None:
        """End the sinks."""
        for sink in self.sinks:
            sink.close()

    def _hand_over(self, line: bytes) -> None:
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:  # a full disk cut it
            self.unreadable += 1
            return
        for sink in self.sinks:
            sink.write(row)

    def _run(self) -> None:
        for sink in self.sinks:
            sink.open()
        self._opened.set()
        while True:
            request = self._next()
            try:
                self.deliver()
            except OSError as e:
                log.warning("autolog: cannot read %s: %s", self._spool, e.strerror)
            for sink in self.sinks:
                sink.tick() if request is None else sink.flush()
            if request is not None and request.end:
                self.close()
            if request is not None:
                request.done.set()
                if request.end:
                    return

    def _next(self) -> Request | None:
        try:
            request = self._bell.get(timeout=TICK)
            while request is None:  # many rings are one
                request = self._bell.get_nowait()
        except Empty:
            return None
        return request


def alive_others() -> list[Thread]:
    """Return the threads that Python would wait for before it ends, beside this one."""
    me = threading.current_thread()
    return [thread for thread in threading.enumerate() if thread.is_alive() and not thread.daemon and thread is not me]
