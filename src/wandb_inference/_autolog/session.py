"""From the call to the spool: what one ``autolog()`` sets going."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple

from wandb_inference._autolog.delivery import Delivery, Request, alive_others
from wandb_inference._autolog.inbox import Inbox
from wandb_inference._autolog.options import Options
from wandb_inference._autolog.redact import Redactor, truncated
from wandb_inference._autolog.sampling import NOT_SAMPLED, is_drawn
from wandb_inference._autolog.sinks import Breaker, Sink, log
from wandb_inference._autolog.spool import Spool, to_line
from wandb_inference._autolog.weave import enrich, traced
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import CallRecord, without_content
from wandb_inference.routing import Need

_MAX_BYTES = 256 * 1024 * 1024  # of records that wait to be written
_LOOK = 0.1  # seconds between two looks at whether the program has ended
_AT_EXIT = 30.0  # seconds that a program's end waits for the sinks


class Seen(NamedTuple):
    """A call, as it was left by its thread."""

    record: CallRecord
    secrets: tuple[str, ...]
    weave_call: str | None


@dataclass(slots=True)
class Counts:
    """How logging is doing."""

    emitted: int = 0
    written: int = 0
    failed: int = 0
    """Times that the spool could not be written."""
    last_error: str | None = None
    withheld: int = 0
    """Rows that a function of the caller's own left out."""


class Session:
    """Logs calls until it is closed.

    Two threads: one writes rows to the spool, and sees to an orderly end of the program; one serves the sinks, and may
    be blocked.
    """

    def __init__(self, options: Options, *, parent: Session | None = None) -> None:
        self.options, self.counts = options, Counts()
        self._inbox: Inbox[Seen] = Inbox(options.max_queue, _MAX_BYTES)
        self._redactor = Redactor(options.content, options.redact, os.urandom(16))
        self._redacting = Breaker("a function that redacts")
        self._lock, self._writer, self._closed = Lock(), Thread(), False
        self._parent = parent
        self.spool: Spool | None = None
        self.delivery: Delivery | None = None

    def begin(self) -> Any:
        """Return Weave's own call around this one."""
        return traced()

    def end(self, record: CallRecord, secrets: tuple[str, ...], begun: Any) -> None:
        """Take a record: the whole cost of logging to the thread that made the call."""
        self.counts.emitted += 1
        seen = Seen(record, secrets, enrich(begun, record))
        self._inbox.put(seen, size=len(record.body or b""), dear=record.status != "ok")
        if self.spool is None and record.status != "cancelled":  # a destructor starts no threads
            self.start()

    def start(self) -> None:
        """Start the threads, if they are not running.

        Raises:
            OSError: the spool can be made nowhere.
            Exception: with ``strict``, whatever a sink raised when it was opened.
        """
        with self._lock:
            if self.spool is not None or self._closed:
                return
            spool = Spool(self.options.folder)
            sinks: list[Sink] = self.options.make_sinks(spool.path, in_child=self._parent is not None)
            self.delivery = Delivery(sinks, spool.path)
            self._writer = Thread(target=self._run, name="wandb-inference-autolog", daemon=False)
            self.spool = spool
            self.delivery.thread.start()
            self._writer.start()
        if self.options.strict:
            self.delivery.check()

    def flush(self, timeout: float) -> bool:
        """Have everything so far written and delivered; return whether it was, in time."""
        if self.spool is None:
            return True
        request = Request()
        self._inbox.ask(request)
        return request.done.wait(timeout)

    def close(self, timeout: float) -> bool:
        """End; return whether everything was delivered in time. What was not lies in the spool."""
        deadline = time.monotonic() + timeout
        OBSERVERS.remove(self)
        with self._lock:
            self._closed = True
        if self.spool is None or self.delivery is None:
            return True
        request = Request(end=True)
        self._inbox.ask(request)
        self._writer.join(timeout)
        request.done.wait(max(0.0, deadline - time.monotonic()))
        self.delivery.thread.join(max(0.0, deadline - time.monotonic()))
        return self._ended(in_time=not self.delivery.thread.is_alive() and not self._writer.is_alive())

    def stats(self) -> dict[str, Any]:
        """Return how logging is doing, as JSON takes it."""
        sinks = self.delivery.sinks if self.delivery else ()
        breakers = [self._redacting, *(sink.breaker for sink in sinks)]
        return {
            "emitted": self.counts.emitted,
            "written": self.counts.written,
            "dropped": self._inbox.dropped,
            "withheld": self.counts.withheld,
            "errors": self.counts.failed + sum(breaker.errors for breaker in breakers),
            "last_error": self.counts.last_error or next((b.last_error for b in breakers if b.last_error), None),
            "spool": str(self.spool.path) if self.spool else None,
            "sinks": {sink.sink.name: sink.to_dict() for sink in sinks},
        }

    # In the thread that writes

    def _run(self) -> None:
        warned = 0
        while True:
            request = self._inbox.wait(_LOOK)
            ending = not threading.main_thread().is_alive() and not alive_others()
            if ending and request is None:
                OBSERVERS.remove(self)
                request = Request(end=True)
            self._write(self._inbox.take())
            if self._inbox.dropped >= warned + 1000 or (self._inbox.dropped and not warned):
                warned = self._inbox.dropped
                log.warning("autolog: %d calls came too fast to be logged; max_queue raises the limit.", warned)
            if request is None:
                continue
            self._delivered.ask(request)
            if request.end:
                if self._spool:
                    self._spool.close()
                if ending:
                    self._delivered.thread.join(_AT_EXIT)
                    self._ended(in_time=not self._delivered.thread.is_alive())
                return

    def _write(self, batch: list[Seen]) -> None:
        for seen in batch:
            try:
                line = self._line(seen)
                if line is not None:
                    self._spool.write(line)
                    self.counts.written += 1
            except BaseException as e:  # noqa: BLE001 (the thread lives as long as the session)
                self._failed(e)
        if batch:
            try:
                self._spool.flush()
            except OSError as e:
                self._failed(e)
            self._delivered.ring()

    def _failed(self, error: BaseException) -> None:
        if not self.counts.failed:
            log.warning("autolog: cannot write %s: %s: %s", self._spool.path, type(error).__name__, error)
        self.counts.failed += 1
        self.counts.last_error = f"{type(error).__name__}: {error}"

    def _line(self, seen: Seen) -> bytes | None:
        row = self._row(seen)
        if row is None:
            self.counts.withheld += 1
            return None
        line = to_line(row)
        cut = {"redaction": f"{row['redaction']}, cut to max_record_bytes"}
        for limit in (10_000, 1_000, 100):
            if len(line) <= self.options.max_record_bytes:
                return line
            line = to_line(truncated(row, limit) | cut)
        return line if len(line) <= self.options.max_record_bytes else to_line(without_content(row) | cut)

    def _row(self, seen: Seen) -> dict[str, Any] | None:
        options, record = self.options, seen.record
        self._redactor.secrets.learn(seen.secrets)
        row = record.to_dict()
        row["tags"] = {**options.tags, **row["tags"]}
        row["weave_call_id"] = seen.weave_call
        if row["need"] is None and record.request is not None:
            with suppress(Exception):  # of a call that was refused for its form
                row["need"] = Need.of(record.request).to_dict()
        row["sampled_rate"] = rate = options.sample if row["status"] == "ok" else options.sample_errors
        if not is_drawn(options.key_of(row), rate):
            return self._redactor.fallback(row, NOT_SAMPLED)
        if self._redacting.suspended:
            return self._redactor.fallback(row, "metadata, because a function that redacts is suspended")
        try:
            kept = self._redactor(row)
        except BaseException as e:  # noqa: BLE001 (the caller's own function)
            self._redacting.failed(e)
            return self._redactor.fallback(row, f"metadata, because of {type(e).__name__}")
        self._redacting.worked()
        return kept

    @property
    def _spool(self) -> Spool:
        if self.spool is None:
            raise RuntimeError("The session was not started.")
        return self.spool

    @property
    def _delivered(self) -> Delivery:
        if self.delivery is None:
            raise RuntimeError("The session was not started.")
        return self.delivery

    def _ended(self, *, in_time: bool) -> bool:
        """Remove the spool that is not needed any more, or say where it lies."""
        missed = any(sink.missed for sink in self._delivered.sinks)
        if in_time and not missed:
            if not self.options.keeps_spool:
                with suppress(OSError):
                    Path(self._spool.path).unlink()
            return True
        why = "were not taken by every sink" if in_time else "were not delivered in time"
        log.warning("autolog: some calls %s. They lie in %s; autolog.replay() logs them.", why, self._spool.path)
        return False
