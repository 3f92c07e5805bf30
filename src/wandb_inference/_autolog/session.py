"""From the call to the spool: what one ``autolog()`` sets going."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock, Thread
from typing import Any

from wandb_inference._autolog.around import Around
from wandb_inference._autolog.delivery import Delivery, Request
from wandb_inference._autolog.inbox import Inbox
from wandb_inference._autolog.lines import Lines, Seen
from wandb_inference._autolog.options import Options
from wandb_inference._autolog.sinks import log
from wandb_inference._autolog.spool import Spool
from wandb_inference._autolog.weave import enrich, register_costs
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import CallRecord
from wandb_inference.catalog import Catalog

_MAX_BYTES = 256 * 1024 * 1024  # of records that wait to be written
_LOOK = 0.1  # seconds between two looks at whether the program has ended
_OPENS = 10.0  # seconds
# These two let no thread begin once the main one has ended (https://github.com/python/cpython/issues/113964), and W&B
# needs some: the sinks have to be open by then.
_NO_LATE_THREADS = (3, 12, 0) <= sys.version_info < (3, 12, 2)
_AT_EXIT = 30.0  # seconds that a program's end waits for everything to be delivered


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
    """Logs calls until it is closed, or the program ends.

    Three threads: one writes rows to the spool; one serves the sinks; both may be blocked, by functions of the caller's
    own or by a network. The third waits for the end of the program, and then a while for the other two.
    """

    def __init__(self, options: Options, *, in_child: bool = False) -> None:
        self.options, self.counts = options, Counts()
        self._inbox: Inbox[Seen] = Inbox(options.max_queue, _MAX_BYTES)
        self._lines, self._lock, self._over = Lines(options), Lock(), Event()
        self._in_child, self._closed = in_child, False
        self._threads: tuple[Thread, ...] = ()
        self.spool: Spool | None = None
        self.delivery: Delivery | None = None

    def begin(self) -> Any:
        """Return what other tracers have around this call."""
        return Around.now()

    def end(self, record: CallRecord, secrets: tuple[str, ...], begun: Any, *, in_destructor: bool) -> None:
        """Take a record: the whole cost of logging to the thread that made the call."""
        if threading.current_thread() in self._threads:
            return  # a sink that makes calls would log itself for ever
        self.counts.emitted += 1
        around = begun or Around()
        seen = Seen(record, secrets, enrich(around.weave, record), around)
        self._inbox.put(seen, size=len(record.body or b""), dear=record.status != "ok")
        if self.spool is None and not in_destructor:  # which must not wait for a thread to begin
            self._started()

    def start(self) -> None:
        """Start the threads, if they are not running.

        Raises:
            ConfigurationError, ImportError: the sinks cannot be made.
            OSError: the spool can be made nowhere.
            RuntimeError: there can be no more threads.
        """
        with self._lock:
            if self.spool is not None or self._closed:
                return
            self.options.load()  # before there is a folder called wandb, which Python would take for the library
            catalog = Catalog.bundled()  # read now: a child that is forked meanwhile might wait for it for ever
            spool = Spool(self.options.folder)
            try:
                sinks = self.options.make_sinks(spool.path, in_child=self._in_child)
                costs = partial(register_costs, catalog) if self.options.register_costs else None
                delivery = Delivery(sinks, spool.path, first=costs, clean=self._lines.secrets.text)
                writer = Thread(target=self._write_all, args=(spool, delivery), name=_NAME, daemon=True)
                watch = Thread(target=self._wait_for_the_end, name=f"{_NAME}-exit", daemon=False)
                for thread in (delivery.thread, writer, watch):
                    thread.start()
            except BaseException:
                spool.remove()
                raise
            self._threads, self.delivery, self.spool = (delivery.thread, writer, watch), delivery, spool
        if _NO_LATE_THREADS and not self._in_child:
            delivery.opened.wait(_OPENS)

    def flush(self, timeout: float) -> bool:
        """Have everything so far written and delivered; return whether it was, in time."""
        self._started()
        if self.delivery is None or not self.delivery.thread.is_alive():
            return not self.counts.failed
        request = Request()
        self._inbox.ask(request)
        return request.done.wait(timeout) and self.delivery.is_complete

    def close(self, timeout: float) -> bool:
        """End; return whether everything was delivered in time. What was not lies in the spool."""
        deadline = time.monotonic() + timeout
        OBSERVERS.remove(self)
        self._started()
        with self._lock:
            self._closed = True
        self._over.set()
        if self.spool is None or self.delivery is None:
            return not self.counts.failed
        self._inbox.ask(Request(end=True))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return self._ended(self.spool, self.delivery)

    def stats(self) -> dict[str, Any]:
        """Return how logging is doing, as JSON takes it."""
        sinks = self.delivery.sinks if self.delivery else ()
        breakers = [self._lines.redacting, *(sink.breaker for sink in sinks)]
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

    def _started(self) -> None:
        """Start the threads if a forked child has something for them."""
        if self.spool is None and self.counts.emitted:
            try:
                self.start()
            except Exception as e:  # noqa: BLE001 (a call is not lost for its record)
                self._failed(e, 1)

    def _wait_for_the_end(self) -> None:
        while not self._over.wait(_LOOK):
            if _program_is_over():
                self.close(_AT_EXIT)

    def _write_all(self, spool: Spool, delivery: Delivery) -> None:
        warned, request = 0, None
        while request is None or not request.end:
            request = self._inbox.wait()
            self._write(self._inbox.take(), spool, delivery)
            if self._inbox.dropped >= warned + 1000 or (self._inbox.dropped and not warned):
                warned = self._inbox.dropped
                log.warning("autolog: %d calls came too fast to be logged; max_queue raises the limit.", warned)
            if request is not None:
                delivery.ask(request)
        spool.close()

    def _write(self, batch: list[Seen], spool: Spool, delivery: Delivery) -> None:
        lines = 0
        for seen in batch:
            try:
                line = self._lines.of(seen)
                if line is None:
                    self.counts.withheld += 1
                else:
                    spool.write(line)
                    lines += 1
            except BaseException as e:  # noqa: BLE001 (the thread lives as long as the session)
                self._failed(e, 1)
        if batch:
            try:
                spool.flush()
                self.counts.written += lines
            except OSError as e:
                self._failed(e, lines)
            delivery.ring()

    def _failed(self, error: BaseException, rows: int) -> None:
        told = self._lines.secrets.text(f"{type(error).__name__}: {error}")
        if not self.counts.failed:
            log.warning("autolog: cannot write rows: %s", told)
        self.counts.failed, self.counts.last_error = self.counts.failed + rows, told

    def _ended(self, spool: Spool, delivery: Delivery) -> bool:
        """Remove the spool that is not needed any more, or say where it lies; return whether nothing was lost."""
        sinks, writer, _ = self._threads
        in_time = not sinks.is_alive() and not writer.is_alive()
        if in_time and delivery.is_complete:
            if not self.options.keeps_spool:
                spool.remove()
            return not (self.counts.failed or self._inbox.dropped)
        why = "were not taken by every sink" if in_time else "were not delivered in time"
        lost = self.counts.emitted - self.counts.written - self.counts.withheld - self._inbox.dropped
        log.warning(
            'autolog: some calls %s (%s). %d lie in %s: autolog.replay("%s", {"project": ...}) logs them.%s',
            why,
            self.stats()["last_error"] or "no error",
            self.counts.written,
            spool.path,
            spool.path,
            f" {lost} could not be written." if lost else "",
        )
        return False


_NAME = "wandb-inference-autolog"


def _program_is_over() -> bool:
    """Return whether Python waits for this thread alone."""
    me = threading.current_thread()
    return not any(thread.is_alive() and not thread.daemon and thread is not me for thread in threading.enumerate())
