"""Where rows go, and what happens when one of those places fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

log = logging.getLogger("wandb_inference.autolog")
_TRIES = 5
_LONGEST = 300.0  # seconds


class Sink(Protocol):
    """A place for rows. One thread calls it; it may block, and may raise."""

    name: str

    def open(self) -> None:
        """Get ready; called again when it failed."""
        ...

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row."""
        ...

    def tick(self) -> None:
        """Do what is due; called every now and then."""
        ...

    def flush(self) -> None:
        """Let everything be seen that was taken."""
        ...

    def close(self) -> None:
        """Flush, and end."""
        ...


class FunctionSink:
    """A function that takes each row."""

    def __init__(self, function: Callable[[Mapping[str, Any]], object]) -> None:
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self._function = function

    def open(self) -> None:
        """Nothing to do."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Call it."""
        self._function(row)

    def tick(self) -> None:
        """Nothing to do."""

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Breaker:
    """Suspends what fails again and again, for longer and longer, and says so each time."""

    def __init__(self, name: str, clean: Callable[[str], str]) -> None:
        self.name, self._clean, self.errors, self.last_error = name, clean, 0, ""
        self.error: BaseException | None = None
        self._in_a_row, self._pause, self._until = 0, 1.0, 0.0

    @property
    def suspended(self) -> bool:
        """Whether it is left alone now."""
        return time.monotonic() < self._until

    def worked(self) -> None:
        """It is trusted again."""
        self._in_a_row, self._pause, self.error = 0, 1.0, None

    def failed(self, error: BaseException, told: str | None = None) -> None:
        """It failed once more; ``told``: what may be said of it."""
        self.last_error = self._clean(f"{type(error).__name__}: {error}" if told is None else told)
        if not self.errors:
            log.warning("autolog: %s failed: %s", self.name, self.last_error)
        self.errors, self.error = self.errors + 1, error
        self._in_a_row += 1
        if self._in_a_row >= _TRIES:
            log.warning("autolog: %s is suspended for %g s: %s", self.name, self._pause, self.last_error)
            self._until, self._in_a_row = time.monotonic() + self._pause, _TRIES - 1
            self._pause = min(self._pause * 4, _LONGEST)


class Guarded:
    """A sink whose failures stay its own."""

    def __init__(self, sink: Sink, clean: Callable[[str], str]) -> None:
        self.sink, self.breaker = sink, Breaker(sink.name, clean)
        self.written = self.missed = 0
        self.incomplete = False
        """Whether a flush, or the end, failed: what was written may not have arrived."""
        self._opened = False

    def open(self) -> None:
        """Open it, if it is not; a failure shows when it is written to."""
        self._tried(self._open)

    def write(self, row: Mapping[str, Any]) -> None:
        """Hand it a row; count what it does not take."""
        if not self.breaker.suspended and self._tried(self._open) and self._tried(lambda: self.sink.write(row)):
            self.written += 1
            self.breaker.worked()
        else:
            self.missed += 1

    def tick(self) -> None:
        """Let it do what is due."""
        if not self.breaker.suspended:
            self.incomplete |= self._opened and not self._tried(self.sink.tick)

    def flush(self) -> None:
        """Let everything be seen that it took."""
        self.incomplete |= not self._when_open(self.sink.flush)

    def close(self) -> None:
        """End it."""
        self.incomplete |= not self._when_open(self.sink.close)

    def to_dict(self) -> dict[str, Any]:
        """Return how it is doing, as JSON takes it."""
        state = {"name": self.sink.name, "written": self.written, "missed": self.missed, "errors": self.breaker.errors}
        return {**state, "suspended": self.breaker.suspended, "last_error": self.breaker.last_error or None}

    def _open(self) -> None:
        if not self._opened:
            self.sink.open()
            self._opened = True

    def _when_open(self, action: Callable[[], object]) -> bool:
        return self._opened and self._tried(action)

    def _tried(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except BaseException as e:  # noqa: BLE001 (nothing that a sink raises may end the thread it shares)
            self.breaker.failed(e)
            return False
        return True
