"""What ``autolog()`` was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb_inference._autolog.otel import OTLP
from wandb_inference._autolog.redact import Redaction, Row
from wandb_inference._autolog.sinks import FunctionSink, Sink
from wandb_inference.errors import ConfigurationError

_CONTENT = re.compile(r"full|metadata|hash|truncate:[1-9]\d*")
_NAMED = ("run", "jsonl", "weave")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of ``autolog()``, checked."""

    init: Mapping[str, Any] = field(default_factory=dict, repr=False)
    run: Any = None
    sinks: tuple[Any, ...] = ("run",)
    content: str | Callable[[Row], Row | None] = "full"
    redact: tuple[Redaction, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    sample: float = 1.0
    sample_errors: float = 1.0
    sample_key: Callable[[Row], object] | None = None
    flush_rows: int = 100
    flush_seconds: float = 10.0
    max_increments: int = 90
    max_queue: int = 10_000
    max_record_bytes: int = 1_000_000
    folder: Path
    keeps_spool: bool = False
    register_costs: bool = False
    strict: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for problem, hint in self._problems():
            raise ConfigurationError(problem, hint=hint)

    def _problems(self) -> Iterator[tuple[str, str]]:
        known = isinstance(self.content, str) and _CONTENT.fullmatch(self.content)
        if not known and not callable(self.content):
            modes = "full, metadata, hash, truncate:2000, or a function of the row."
            yield f"content={self.content!r} does not exist.", modes
        for name in ("sample", "sample_errors"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                yield f"{name}={getattr(self, name)!r} is no share.", "From 0 to 1."
        for name in ("flush_rows", "flush_seconds", "max_increments", "max_queue", "max_record_bytes"):
            if not getattr(self, name) > 0:
                yield f"{name}={getattr(self, name)!r} is too little.", "More than 0."
        for sink in self.sinks:
            if isinstance(sink, type) or not (sink in _NAMED if isinstance(sink, str) else _is_sink(sink)):
                kinds = f"{', '.join(_NAMED)}, autolog.OTLP(endpoint), or a function of the row."
                yield f"There is no sink {sink!r}.", kinds
        if not self.sinks:
            yield "There are no sinks.", "disable() ends logging."
        if self.run is not None and self.init:
            yield "run= is a run already.", "Give either the arguments of one or the run."

    def key_of(self, row: Row) -> object:
        """Return what is sampled together: whole conversations, where they are named."""
        if self.sample_key is not None:
            return self.sample_key(row)
        return row["session_id"] or row["trace_id"] or row["call_id"]

    def load(self) -> None:
        """Import what the sinks need, and look at what they are to be made with.

        Raises:
            ConfigurationError: ``wandb.init`` has no such argument.
            ImportError: the extra ``wandb`` is missing.
        """
        if "run" in self.sinks:
            from wandb_inference._autolog.opening import check  # noqa: PLC0415 (needs an extra)

            check(self.init)

    def make_sinks(self, spool: Path, *, in_child: bool = False) -> list[Sink]:
        """Return the sinks; those that were named are new ones."""
        return [
            sink for sink in (self._make(each, spool, in_child=in_child) for each in self.sinks) if sink is not None
        ]

    def _make(self, sink: Any, spool: Path, *, in_child: bool) -> Sink | None:
        if sink == "jsonl":
            return None  # the spool itself
        if sink == "run":
            from wandb_inference._autolog.run import RunSink  # noqa: PLC0415 (needs an extra)

            return RunSink(self, spool, in_child=in_child)
        if sink == "weave":
            team, project = self.init.get("entity"), self.init.get("project")
            return OTLP.weave(f"{team}/{project}" if team and project else None)
        return sink if hasattr(sink, "write") else FunctionSink(sink)


def _is_sink(given: Any) -> bool:
    return callable(given) or all(hasattr(given, name) for name in ("name", "open", "write", "tick", "flush", "close"))
