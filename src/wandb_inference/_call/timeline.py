"""When a call began, what it waited for, and how often it was sent."""

from __future__ import annotations

import time


class Timeline:
    """Takes the times of one call, in seconds."""

    def __init__(self) -> None:
        self.started = time.time()
        """Unix seconds."""
        self.sent = self.first = 0.0
        """When the last try was sent, and when its first event came (0: not yet), on the monotonic clock."""
        self.tries = 0
        self.queued = self.paused = 0.0
        """Waiting for a place, and before retries."""
        self._began = self._ready = time.monotonic()

    def is_ready(self) -> None:
        """From now on, a try waits for its place."""
        self._ready = time.monotonic()

    def is_sent(self) -> None:
        """A try has its place."""
        self.sent, self.first = time.monotonic(), 0.0
        self.queued += max(0.0, self.sent - self._ready)
        self.tries += 1

    def pauses(self, seconds: float) -> None:
        """Tell the pause before a retry from the wait for a place."""
        self.paused += seconds
        self._ready += seconds

    def has_begun(self) -> None:
        """The first event of a stream is here."""
        self.first = self.first or time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the call began."""
        return time.monotonic() - self._began

    @property
    def since_sent(self) -> float:
        """Since the last try was sent."""
        return time.monotonic() - self.sent

    @property
    def first_of_call(self) -> float | None:
        """From the call's beginning to the first event."""
        return self.first - self._began if self.first else None

    @property
    def first_of_try(self) -> float | None:
        """From sending to the first event."""
        return self.first - self.sent if self.first else None
