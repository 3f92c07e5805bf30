"""From the call to the spool: what one ``autolog()`` sets going."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock, Thread
from typing import Any, NamedTuple

from wandb_inference._autolog.around import Around
from wandb_inference._autolog.delivery import Delivery, Request
from wandb_inference._autolog.inbox import Inbox
from wandb_inference._autolog.options import Options
from wandb_inference._autolog.redact import Redactor, truncated
from wandb_inference._autolog.sampling import NOT_SAMPLED, is_drawn
from wandb_inference._autolog.sinks import Breaker, Sink, log
from wandb_inference._autolog.spool import Spool, to_line
from wandb_inference._autolog.weave import enrich, register_costs
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import CallRecord, without_content
from wandb_inference.catalog import Catalog
from wandb_inference.routing import Need

_MAX_BYTES = 256 * 1024 * 1024  # of records that wait to be written
_LOOK = 0.1  # seconds between two looks at whether the program has ended
_OPENS = 10.0  # seconds
# These two let no thread begin once the main one has ended (https://github.com/python/cpython/issues/113964), and W&B
# needs some: the sinks have to be open by then.
_NO_LATE_THREADS = (3, 12, 0) <= sys.version_info < (3, 12, 2)
_AT_EXIT = 30.0  # seconds that a program's end waits for the sinks


class Seen(NamedTuple):
    """A call, as it was left by its thread."""

    record: CallRecord
    secrets: tuple[str, ...]
    weave_call: str | None
    around: Around


@dataclass(slots=True)
class Counts:
    """How logging is doing."""

    emitted: int = 0
    written: int = 0
    failed: int = 0
    """Rows that could not be made or written."""
    last_error: str | None = None
    withheld: int = 0
    """Rows that a function of the caller's own left out."""


class Session:
    """Logs calls until it is closed.

    Two threads: one writes rows to the spool, and sees to an orderly end of the program; one serves the sinks, and may
    be blocked.
    """

    def __init__(self, options: Options, *, in_child: bool = False) -> None:
        self.options, self.counts = options, Counts()
        self._inbox: Inbox[Seen] = Inbox(options.max_queue, _MAX_BYTES)
        self._redactor = Redactor(options.content, options.redact, os.urandom(16))
        self._redacting = Breaker("a function that redacts")
        self._lock, self._writer, self._closed = Lock(), Thread(), False
        self._in_child = in_child
        self.spool: Spool | None = None
        self.delivery: Delivery | None = None

    def begin(self) -> Any:
        """Return what other tracers have around this call."""
        return Around.now()

    def end(self, record: CallRecord, secrets: tuple[str, ...], begun: Any) -> None:
        """Take a record: the whole cost of logging to the thread that made the call."""
        self.counts.emitted += 1
        around = begun or Around()
        seen = Seen(record, secrets, enrich(around.weave, record), around)
        self._inbox.put(seen, size=len(record.body or b""), dear=record.status != "ok")
        if self.spool is None and record.status != "cancelled":  # a destructor starts no threads
            try:
                self.start()
            except Exception as e:  # noqa: BLE001 (a call is not lost for its record)
                self._failed(e, 1)

    def start(self) -> None:
        """Start the threads, if they are not running.

        Raises:
            OSError: the spool can be made nowhere.
        """
        with self._lock:
            if self.spool is not None or self._closed:
                return
            self.options.load()  # before there is a folder called wandb, which Python would take for the library
            spool = Spool(self.options.folder)
            try:
                sinks: list[Sink] = self.options.make_sinks(spool.path, in_child=self._in_child)
            except BaseException:
                spool.remove()
                raise
            costs = partial(register_costs, Catalog.bundled()) if self.options.register_costs else None
            self.delivery = Delivery(sinks, spool.path, first=costs)
            self._writer = Thread(target=self._run, name="wandb-inference-autolog", daemon=False)
            self.spool = spool
            self.delivery.thread.start()
            self._writer.start()
        if _NO_LATE_THREADS and not self._in_child:
            self.delivery.opened.wait(_OPENS)

    def flush(self, timeout: float) -> bool:
        """Have everything so far written and delivered; return whether it was, in time."""
        if self.spool is None:
            return True
        request = Request()
        self._inbox.ask(request)
        return request.done.wait(timeout) and self._delivered.is_complete

    def close(self, timeout: float) -> bool:
        """End; return whether everything was delivered in time. What was not lies in the spool."""
        deadline = time.monotonic() + timeout
        OBSERVERS.remove(self)
        with self._lock:
            self._closed = True
        if self.spool is None or self.delivery is None:
            return True
        self._inbox.ask(Request(end=True))
        self._writer.join(timeout)
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
            "sinks": [sink.to_dict() for sink in sinks],
        }

    # In the thread that writes

    def _run(self) -> None:
        warned = 0
        while True:
            request = self._inbox.wait(_LOOK)
            ending = _program_is_over()
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
        lines = 0
        for seen in batch:
            try:
                line = self._line(seen)
                if line is not None:
                    self._spool.write(line)
                    lines += 1
            except BaseException as e:  # noqa: BLE001 (the thread lives as long as the session)
                self._failed(e, 1)
        if batch:
            try:
                self._spool.flush()
                self.counts.written += lines
            except OSError as e:
                self._failed(e, lines)
            self._delivered.ring()

    def _failed(self, error: BaseException, rows: int) -> None:
        if not self.counts.failed:
            log.warning("autolog: cannot write rows: %s: %s", type(error).__name__, error)
        self.counts.failed += rows
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
        row["trace_id"] = row["trace_id"] or seen.around.trace_id
        row["parent_span_id"] = seen.around.span_id
        if row["need"] is None and record.request is not None:
            with suppress(Exception):  # of a call that was refused for its form
                row["need"] = Need.of(record.request).to_dict()
        row["sampled_rate"] = rate = options.sample if row["status"] == "ok" else options.sample_errors
        if self._redacting.suspended:
            return self._redactor.fallback(row, "metadata, because a function that redacts is suspended")
        try:
            if not is_drawn(options.key_of(row), rate):
                return self._redactor.fallback(row, NOT_SAMPLED)
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
        """Remove the spool that is not needed any more, or say where it lies; return whether nothing was lost."""
        if in_time and self._delivered.is_complete:
            if not self.options.keeps_spool:
                self._spool.remove()
            return not (self.counts.failed or self._inbox.dropped)
        why = "were not taken by every sink" if in_time else "were not delivered in time"
        path, error = self._spool.path, self.stats()["last_error"]
        again = f'autolog.replay("{path}", {{"project": ...}}) logs them'
        log.warning("autolog: some calls %s (%s). They lie in %s: %s.", why, error or "no error", path, again)
        return False


def _program_is_over() -> bool:
    """Return whether Python waits for this thread alone."""
    me = threading.current_thread()
    return not any(thread.is_alive() and not thread.daemon and thread is not me for thread in threading.enumerate())
