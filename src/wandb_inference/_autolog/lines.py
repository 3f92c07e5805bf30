"""From a record to a line of the spool."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any, NamedTuple

from wandb_inference._autolog.around import Around
from wandb_inference._autolog.options import Options
from wandb_inference._autolog.redact import Redactor, truncated
from wandb_inference._autolog.sampling import NOT_SAMPLED, is_drawn
from wandb_inference._autolog.sinks import Breaker
from wandb_inference.accounting import CallRecord, without_content
from wandb_inference.routing import Need

_OURS = ("schema", "call_id", "status", "started_at", "ended_at", "sampled_rate")
"""Columns that no function of the caller's own can take away: readers rely on them."""


class Seen(NamedTuple):
    """A call, as it was left by its thread."""

    record: CallRecord
    secrets: tuple[str, ...]
    weave_call: str | None
    around: Around


class Lines:
    """Makes lines; what may not be written is left out of them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._redactor = Redactor(options.content, options.redact, options.patterns, os.urandom(16))
        self.secrets = self._redactor.secrets
        self.redacting = Breaker("a function that redacts", self.secrets.text)

    def of(self, seen: Seen) -> bytes | None:
        """Return the line of a call; ``None``: the caller's own functions want none."""
        self.secrets.learn(seen.secrets)
        row = self._row(seen)
        if row is None:
            return None
        line, most = _to_line(row), self._options.max_record_bytes
        cut = {"redaction": f"{row['redaction']}, cut to max_record_bytes"}
        for limit in (10_000, 1_000, 100):
            if len(line) <= most:
                return line
            line = _to_line(truncated(row, limit) | cut)
        return line if len(line) <= most else _to_line(without_content(row) | cut)

    def _row(self, seen: Seen) -> dict[str, Any] | None:
        options, record = self._options, seen.record
        row = record.to_dict()
        row["tags"] = {**options.tags, **row["tags"]}
        row["weave_call_id"] = seen.weave_call
        row["trace_id"] = row["trace_id"] or seen.around.trace_id
        row["parent_span_id"] = seen.around.span_id
        if row["need"] is None and record.request is not None:
            with suppress(Exception):  # of a call that was refused for its form
                row["need"] = Need.of(record.request).to_dict()
        row["sampled_rate"] = rate = options.sample if row["status"] == "ok" else options.sample_errors
        if self.redacting.suspended:
            return self._redactor.fallback(row, "metadata, because a function that redacts is suspended")
        try:
            if not is_drawn(options.key_of(row), rate):
                return self._not_sampled(without_content(row))
            kept = self._redactor(row)
        except BaseException as e:  # noqa: BLE001 (the caller's own function)
            self.redacting.failed(e, told=type(e).__name__)  # its words may be those of the prompt
            return self._redactor.fallback(row, f"metadata, because of {type(e).__name__}")
        self.redacting.worked()
        return None if kept is None else kept | {name: row[name] for name in _OURS}

    def _not_sampled(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return a row without what was said; the caller's functions may still want none, but need not cope with it."""
        try:
            wanted = self._redactor.wants(row)
        except BaseException:  # noqa: BLE001 (as above)
            wanted = True
        return self._redactor.fallback(row, NOT_SAMPLED) if wanted else None


def _to_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace") + b"\n"
