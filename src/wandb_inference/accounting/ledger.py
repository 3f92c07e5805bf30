"""Totals of many calls."""

from __future__ import annotations

import json
import math
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from threading import RLock
from typing import Any, Literal, Self, get_args
from weakref import WeakSet

from wandb_inference.accounting.record import CallRecord
from wandb_inference.accounting.rows import SCHEMA, without_content
from wandb_inference.errors import ConfigurationError

By = Literal["model", "tag", "session", "minute"]
_BY: tuple[By, ...] = get_args(By)
_HINT = "Files of records come from Ledger(path), or from autolog's spool."
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


@dataclass(slots=True)
class Totals:
    """What some calls came to together."""

    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Calls without a whole answer, by class of error; those that the caller gave up as ``cancelled``."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompts' tokens."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the completions' tokens."""
    cost: Decimal = Decimal(0)
    """USD of the calls whose cost is known."""
    unpriced: int = 0
    """Calls that may have cost something, but have no known cost: answered ones, and streams that were cut."""
    latencies: array[float] = field(default_factory=lambda: array("d"), repr=False)
    """Seconds of each call that was answered, waits and retries included."""
    first_events: array[float] = field(default_factory=lambda: array("d"), repr=False)
    """Seconds to the first event of each stream."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; times that nobody measured are ``None``."""
        return {
            "calls": self.calls,
            "errors": dict(self.errors.most_common()),
            **{name: getattr(self, name) for name in _TOKENS},
            "cost_usd": float(self.cost),
            "unpriced": self.unpriced,
            **{f"latency_p{q}_s": quantile(self.latencies, q) for q in (50, 95, 99)},
            **{f"ttft_p{q}_s": quantile(self.first_events, q) for q in (50, 95, 99)},
        }


def quantile(values: Iterable[float], percent: float) -> float | None:
    """Return the smallest value that so many percent do not exceed; ``None`` of nothing.

    >>> quantile([3.0, 1.0, 2.0], 50), quantile([], 50)
    (2.0, None)
    """
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)] if ordered else None


class Ledger:
    """Totals of calls by model, tag, session and minute, from any number of threads; it holds nothing that was said.

    Args:
        path: append every call to this file, one JSON object a line, without what was said; processes may share it.

    >>> from wandb_inference import Client, ChatRequest
    >>> from wandb_inference.emulator import Emulator
    >>> ledger = Ledger()
    >>> with Emulator() as url, Client(base_url=url, api_key="emulator-key", on_record=ledger.add) as client:
    ...     _ = client.chat(ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "Hello"}]))
    >>> ledger.total.calls, list(ledger.by("model"))
    (1, ['openai/gpt-oss-20b'])
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._lock = RLock()  # a signal's handler may count, too
        self._total = Totals()
        self._groups: dict[str, defaultdict[str, Totals]] = {what: defaultdict(Totals) for what in _BY}
        _ALL.add(self)
        # One write of one line each, so that those of several processes do not mix.
        self._file = Path(path).open("ab", buffering=0) if path is not None else None  # noqa: SIM115 (closed by close)

    @classmethod
    def read(cls, *paths: str | os.PathLike[str]) -> Self:
        """Return the totals of files that a ledger or ``autolog`` wrote.

        A last line that a crash has cut is left out.

        Raises:
            ConfigurationError: a file cannot be read, or has other lines.
        """
        ledger = cls()
        for path in paths:
            for number, row in enumerate(read_rows(path), 1):
                try:
                    ledger.add(row)
                except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as e:
                    raise ConfigurationError(
                        f"{path}, record {number}, cannot be counted: {type(e).__name__}: {e}.",
                        hint=_HINT,
                    ) from e
        return ledger

    def add(self, call: CallRecord | Mapping[str, Any]) -> None:
        """Count a call; ``on_record=ledger.add`` counts those of a client, ``sinks=[ledger.add]`` those of autolog.

        Args:
            call: a record, or its row (``CallRecord.to_dict()``).
        """
        row = call.to_dict(content=False) if isinstance(call, CallRecord) else call
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(without_content(row), separators=(",", ":")).encode() + b"\n")
            bills: list[Mapping[str, Any]] = [_bill(attempt) for attempt in row.get("attempts") or ()] or [row]
            groups = [self._total, self._groups["session"][_text(row.get("session_id"))]]
            groups += [self._groups["minute"][_text(row.get("started_at"))[:16]]]
            for name, value in (row.get("tags") or {}).items():
                groups.append(self._groups["tag"][_text(f"{name}={value}" if value else name)])
            for totals in groups:
                _count(totals, row, bills)
            self._count_models(row, bills)

    @property
    def total(self) -> Totals:
        """Of all calls; it goes on counting."""
        return self._total

    def by(self, what: By) -> dict[str, Totals]:
        """Return the totals of each group, the dearest first (minutes: the first one first).

        Models: tokens and cost are with the model that was paid for them, the call with the one that answered. Tags:
        ``name=value``; a call counts in each of its own. Calls without a session are under ``""``.
        """
        with self._lock:
            groups = list(self._groups[what].items())
        if what == "minute":
            return dict(sorted(groups))
        return dict(sorted(groups, key=lambda group: (-group[1].cost, -group[1].calls, group[0])))

    def to_dict(self) -> dict[str, Any]:
        """Return all totals as JSON takes them."""
        groups: dict[str, Any] = {
            what: {name: totals.to_dict() for name, totals in self.by(what).items()} for what in _BY
        }
        return {"total": self._total.to_dict(), **groups}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count_models(self, row: Mapping[str, Any], bills: Sequence[Mapping[str, Any]]) -> None:
        """Count the call with the model that answered; earlier attempts only with what they cost."""
        models = [_text(attempt["model"]) for attempt in row.get("attempts") or ()]
        models = models or [_text(row.get("model_sent") or row.get("model_requested"))]
        for model, bill in zip(models[:-1], bills, strict=False):
            _add_bill(self._groups["model"][model], bill)
        _count(self._groups["model"][models[-1]], row, bills[-1:])


def _count(totals: Totals, row: Mapping[str, Any], bills: Sequence[Mapping[str, Any]]) -> None:
    totals.calls += 1
    status = row.get("status")
    if status == "ok":
        totals.latencies.append(_finite(row.get("latency_s") or 0))
    else:
        totals.errors["cancelled" if status == "cancelled" else _text(row.get("error_type") or status)] += 1
    worked = status == "ok" or (status in ("partial", "cancelled") and bool(row.get("attempts")))
    totals.unpriced += worked and row.get("cost_usd") is None
    if row.get("ttft_s") is not None:
        totals.first_events.append(_finite(row["ttft_s"]))
    for bill in bills:
        _add_bill(totals, bill)


def _text(value: Any) -> str:
    """Return a name as any terminal and file takes it."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no time")
    return number


def _bill(attempt: Mapping[str, Any]) -> dict[str, Any]:
    usage = attempt.get("usage") or {}
    names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    return {"cost_usd": attempt.get("cost_usd"), **dict(zip(_TOKENS, map(usage.get, names), strict=True))}


def _add_bill(totals: Totals, bill: Mapping[str, Any]) -> None:
    for name in _TOKENS:
        setattr(totals, name, getattr(totals, name) + (bill.get(name) or 0))
    if bill.get("cost_usd") is not None:
        cost = Decimal(str(bill["cost_usd"]))
        if not cost.is_finite():
            raise ValueError(f"{cost} is no amount")
        totals.cost += cost


_ALL: WeakSet[Ledger] = WeakSet()


def _in_child() -> None:
    """Make new locks in a forked process: a thread of the parent may have had the old ones."""
    for ledger in _ALL:
        ledger._lock = RLock()  # noqa: SLF001 (this module's own)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def read_rows(path: str | os.PathLike[str], *, strict: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of JSON lines; a last line that a crash has cut is left out.

    Args:
        path: of the file.
        strict: raise for other lines that are no rows, instead of leaving them out.

    Raises:
        ConfigurationError: the file cannot be read, or a line is no row.
    """
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                    newer = row["schema"] > SCHEMA
                except (ValueError, TypeError, KeyError, RecursionError) as e:
                    if not strict or not line.strip() or not line.endswith(b"\n"):
                        continue
                    raise ConfigurationError(
                        f"{path}, line {number} is no record of a call: {type(e).__name__}: {e}.",
                        hint=_HINT,
                    ) from e
                if newer:
                    raise ConfigurationError(
                        f"{path}, line {number} has schema {row['schema']}, which is newer than {SCHEMA}.",
                        hint="Upgrade wandb-inference.",
                    )
                yield row
    except OSError as e:
        raise ConfigurationError(f"Cannot read {path}: {e.strerror}.") from e
