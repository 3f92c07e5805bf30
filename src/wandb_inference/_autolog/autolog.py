"""``autolog``: one call, and every call is logged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Any, Self

from wandb_inference._autolog.options import Options
from wandb_inference._autolog.otel import OTLP
from wandb_inference._autolog.redact import Redaction, Row, as_pattern
from wandb_inference._autolog.replay import replay
from wandb_inference._autolog.session import Session
from wandb_inference._autolog.sinks import Sink
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import Labels, labels
from wandb_inference.errors import ConfigurationError
from wandb_inference.settings import autolog_content, spool_folder

_FORK_WAITS = 5.0  # seconds


class Autolog:
    """Log every call of this process, whichever door it came through, into a W&B run.

    >>> from tempfile import mkdtemp
    >>> from wandb_inference import ChatRequest, Client, autolog
    >>> from wandb_inference.emulator import Emulator
    >>> rows = []
    >>> with autolog(sinks=[rows.append], spool_dir=mkdtemp()):  # autolog({"project": "..."}) logs to W&B
    ...     with Emulator() as url, Client(base_url=url, api_key="emulator-key") as client:
    ...         with autolog.context(session="s1"):
    ...             _ = client.chat(ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "Hello"}]))
    >>> rows[0]["content"], rows[0]["session_id"]
    ('You said: Hello', 's1')
    """

    OTLP = OTLP

    def __init__(self) -> None:
        self._lock = Lock()
        self._session: Session | None = None
        self._last: dict[str, Any] = {}
        self._waited: Any = None  # a lock that is held over a fork
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_child
            )

    def __call__(
        self,
        init: Mapping[str, Any] | None = None,
        *,
        run: Any = None,
        sinks: str | Sequence[str | Sink | Callable[[Row], object]] = ("run",),
        content: str | Callable[[Row], Row | None] = "full",
        redact: str | re.Pattern[str] | Redaction | Iterable[Redaction | str | re.Pattern[str]] = (),
        sample: float = 1.0,
        sample_errors: float = 1.0,
        sample_key: Callable[[Row], object] | None = None,
        flush_rows: int = 100,
        flush_seconds: float = 10.0,
        max_increments: int = 90,
        max_queue: int = 10_000,
        max_record_bytes: int = 1_000_000,
        spool_dir: str | os.PathLike[str] | None = None,
        register_costs: bool = False,
        strict: bool = False,
        tags: Mapping[str, Any] | Iterable[str] = (),
    ) -> Self:
        """Log every call from now on, until ``disable()`` or the end of a ``with`` block. Called again, it begins anew.

        Keys are blotted out and pictures replaced by their type, size and digest, always, before anything is written.
        Logging never raises, waits or asks the network in a thread that makes a call.

        Args:
            init: arguments for ``wandb.init``. The run is one of its own, beside the program's.
            run: a run to use instead; it gets the table and the summary at the end, and no steps.
            sinks: ``run``; ``jsonl``, which keeps the file of rows; ``weave``; ``autolog.OTLP(endpoint)``; functions of
                a row.
            content: ``full``; ``metadata`` keeps names, sizes and counts; ``hash`` adds salted digests;
                ``truncate:200`` cuts texts; a function of the row returns another one, or ``None`` for none. The
                environment's ``WANDB_INFERENCE_AUTOLOG_CONTENT`` wins.
            redact: patterns whose matches are blotted out, and more functions of the row. A pattern sees a text in
                pieces of 10,000 characters at most, which end with a line or a word, so none makes all stand still.
            sample: share of the calls whose content is kept; counts and costs are those of all.
            sample_errors: the same for calls that failed.
            sample_key: what is sampled together, from a row; else the session, else the trace, else the call.
            flush_rows: rows of the table's first increment; later ones may be larger.
            flush_seconds: until its first increment.
            max_increments: of the table; W&B shows the last hundred.
            max_queue: calls that may wait to be written; beyond it the oldest successes are dropped, and counted.
            max_record_bytes: of a row; longer texts are cut.
            spool_dir: where rows are written first, and kept; else ``wandb/`` in ``WANDB_DIR`` or here, until the sinks
                have them.
            register_costs: give the Weave client of this process our prices.
            strict: raise when the sinks cannot be opened, instead of logging offline.
            tags: of every call.

        Raises:
            ConfigurationError: an argument makes no sense.
            ImportError: an extra is missing (``wandb`` for ``run``, ``otel`` for ``OTLP`` and ``weave``).
            Exception: with ``strict``, whatever a sink raised when it was opened.
        """
        if init is not None and not isinstance(init, Mapping):
            raise ConfigurationError(f"init is no mapping, but a {type(init).__name__}.", hint='{"project": "..."}')
        given = [redact] if callable(redact) or isinstance(redact, str | re.Pattern) else list(redact)
        options = Options(
            init=dict(init or {}),
            run=run,
            sinks=(sinks,) if isinstance(sinks, str) else tuple(sinks),
            content=autolog_content() or content,
            redact=tuple(each for each in given if callable(each)),
            patterns=tuple(as_pattern(each) for each in given if not callable(each)),
            sample=sample,
            sample_errors=sample_errors,
            sample_key=sample_key,
            flush_rows=flush_rows,
            flush_seconds=flush_seconds,
            max_increments=max_increments,
            max_queue=max_queue,
            max_record_bytes=max_record_bytes,
            folder=spool_folder((init or {}).get("dir")) if spool_dir is None else Path(spool_dir),
            keeps_spool=spool_dir is not None or "jsonl" in sinks,
            register_costs=register_costs,
            strict=strict,
            tags=Labels.of(tags=tags).tags,
        )
        self.disable()
        with self._lock:
            session = Session(options)
            session.start()
            self._session = session
            OBSERVERS.add(session)
        if strict and session.delivery is not None:
            try:
                session.delivery.check()
            except BaseException:
                self.disable(timeout=10)
                raise
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disable()

    @property
    def enabled(self) -> bool:
        """Whether calls are logged."""
        return self._session is not None

    @property
    def run(self) -> Any:
        """The W&B run; ``None`` while there is none (yet): ``flush()`` waits for it."""
        session = self._session
        sinks = session.delivery.sinks if session is not None and session.delivery is not None else ()
        return next((getattr(sink.sink, "run", None) for sink in sinks if sink.sink.name == "run"), None)

    def flush(self, timeout: float = 10.0) -> bool:
        """Have all calls so far delivered; return whether they were within ``timeout`` seconds."""
        session = self._session
        return session.flush(timeout) if session is not None else True

    def disable(self, timeout: float = 30.0) -> bool:
        """Log no more, and end the run if it is ours.

        Returns whether every row was delivered within ``timeout`` seconds. What was not lies in the spool, whose path
        is logged, and in ``stats()``.
        """
        with self._lock:
            session, self._session = self._session, None
        if session is None:
            return True
        delivered = session.close(timeout)
        self._last = session.stats()
        return delivered

    def stats(self) -> dict[str, Any]:
        """Return how logging is doing, or did until it was disabled: calls, rows, errors, sinks, the spool's path."""
        session = self._session
        return session.stats() if session is not None else self._last

    def context(
        self, *, session: str | None = None, tags: Mapping[str, Any] | Iterable[str] = (), trace: str | None = None
    ) -> AbstractContextManager[None]:
        """Label every call of a block; the same as ``wandb_inference.labels``."""
        return labels(session=session, tags=tags, trace=trace)

    def replay(
        self, spool: str | os.PathLike[str], init: Mapping[str, Any] | None = None, *, sinks: Sequence[Any] = ("run",)
    ) -> int:
        """Log the calls of a spool that a crash left; return how many they were.

        Raises:
            ConfigurationError: the file cannot be read, or has other lines.
            RuntimeError: a sink did not take all of them.
        """
        return replay(Path(spool), init or {}, sinks)

    def __repr__(self) -> str:
        return f"<autolog {'on' if self.enabled else 'off'}>"

    def _before_fork(self) -> None:
        """Wait a moment for sinks that are at work: a child would inherit locks that nobody gives back."""
        delivery = self._session.delivery if self._session is not None else None
        self._waited = delivery.busy if delivery is not None and delivery.busy.acquire(timeout=_FORK_WAITS) else None

    def _after_fork(self) -> None:
        if self._waited is not None:
            self._waited.release()

    def _in_child(self) -> None:
        """Give a forked child a session of its own; what the parent has not written is the parent's to write."""
        self._lock = Lock()
        if self._session is not None:
            child = Session(self._session.options, in_child=True)
            OBSERVERS.exchange(self._session, child)
            self._session = child


autolog = Autolog()
