"""Rows as a W&B run: scalars for each call, a table that grows, a final one, the summary."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import wandb

from wandb_inference._autolog.opening import begun
from wandb_inference._autolog.sampling import NOT_SAMPLED
from wandb_inference.accounting import COLUMNS, Ledger, read_rows
from wandb_inference.catalog import Catalog

if TYPE_CHECKING:
    from wandb_inference._autolog.options import Options

_SCALARS = (
    *("latency_s", "ttft_s", "tokens_per_s", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("reasoning_tokens", "cost_usd", "n_attempts"),
)
_GROWTH = 1.1  # each increment may wait a tenth longer: 90 of them last for days
_TABLE_ROWS, _TABLE_BYTES = 200_000, 64 * 1024 * 1024  # of a final table: what W&B takes, what memory takes
_EMPTY: list[Any] = [None] * len(COLUMNS)


class RunSink:
    """A W&B run of its own; or, of a run that is handed over, only its summary, so that its steps stay its own.

    Args:
        options: of the session.
        spool: the rows so far; at the end they are the final table, and an artifact.
        in_child: this process was forked from the one that called ``autolog()``.
    """

    name = "run"

    def __init__(self, options: Options, spool: Path, *, in_child: bool = False) -> None:
        self._options, self._spool, self._init = options, spool, dict(options.init)
        self._is_theirs = options.run is not None and not in_child
        if in_child:  # a run of its own, beside the parent's
            self._init = {name: value for name, value in self._init.items() if name not in ("id", "resume")}
            for name in ("project", "entity") if options.run is not None else ():
                self._init[name] = getattr(options.run, name)
        self._ledger, self._calls, self._models = Ledger(), 0, set[str]()
        self._pending: list[list[Any]] = []
        self._increments, self._flushed_at = 0, time.monotonic()
        self._summarised_at = 0
        self.run: Any = None

    def open(self) -> None:
        """Start the run; offline, when the server cannot be reached.

        Raises:
            Exception: that too failed; or, with ``strict``, whatever W&B says.
        """
        if self._is_theirs:
            self.run = self._options.run
            return
        self.run = begun(self._init, strict=self._options.strict)
        self.run.define_metric("llm/call")
        self.run.define_metric("llm/*", step_metric="llm/call")
        self._table = _table("INCREMENTAL")

    def write(self, row: Mapping[str, Any]) -> None:
        """Log a call."""
        self._calls += 1
        self._ledger.add(row)
        model = str(row.get("model_sent") or row.get("model_requested"))
        self._tell_price(model, row.get("price_version"))
        if self._is_theirs:
            return
        self.run.log(self._scalars(row, model))
        if row.get("redaction") != NOT_SAMPLED:
            self._pending.append(_cells(row))
        self.tick()

    def tick(self) -> None:
        """Log an increment of the table when it is due."""
        grown, options = _GROWTH**self._increments, self._options
        late = time.monotonic() - self._flushed_at >= options.flush_seconds * grown
        if self._increments < options.max_increments and (len(self._pending) >= options.flush_rows * grown or late):
            self._increment()

    def flush(self) -> None:
        """Log what the table has, if it may still grow, and the summary."""
        if self._increments < self._options.max_increments:
            self._increment()
        self._summarise()

    def close(self) -> None:
        """Log the final table, the spool and the summary; end the run, unless it was handed over."""
        try:
            self._increment()
            self._summarise()
            for number, table in enumerate(_final_tables(self._spool), 1):
                name = "llm/calls_final" if number == 1 else f"llm/calls_final_{number}"
                if self._is_theirs:
                    self.run.summary[name] = table  # log() would count as a step of theirs
                else:
                    self.run.log({name: table})
            if self._calls:
                artifact = wandb.Artifact(f"llm-calls-{self.run.id}", "llm-calls")
                artifact.add_file(str(self._spool), "calls.jsonl")
                self.run.log_artifact(artifact)
        finally:
            if not self._is_theirs:
                self.run.finish()

    def _scalars(self, row: Mapping[str, Any], model: str) -> dict[str, Any]:
        shown = {f"llm/{name}": row.get(name) for name in _SCALARS}
        shown |= {
            "llm/call": self._calls,
            "llm/error": int(row.get("status") in ("error", "partial")),
            "llm/cost_total_usd": float(self._ledger.total.cost),
            f"llm/{model}/cost_usd": row.get("cost_usd"),
        }
        return {name: value for name, value in shown.items() if value is not None}

    def _increment(self) -> None:
        self._flushed_at = time.monotonic()
        if not self._pending:
            return
        first, *others = self._pending
        self._table.add_data(*first)  # begins an increment
        self._table.data += others  # without W&B's look at the kind of every cell, which _cells has had
        self.run.log({"llm/calls": self._table})
        self._increments, self._pending = self._increments + 1, []
        self._table.data[:] = [_EMPTY] * len(self._table.data)  # they are on disk, and would fill the memory
        self._summarise()

    def _summarise(self) -> None:
        if self._summarised_at == self._calls:
            return
        self._summarised_at, total = self._calls, self._ledger.total
        told = total.to_dict()
        self.run.summary.update(
            {
                "llm/calls_total": told["calls"],
                "llm/errors_total": sum(n for name, n in total.errors.items() if name != "cancelled"),
                "llm/errors_by_type": told["errors"],
                "llm/cost_total_usd": told["cost_usd"],
                "llm/unpriced_calls": told["unpriced"],
                "llm/cost_by_model": {name: float(group.cost) for name, group in self._ledger.by("model").items()},
                "llm/cost_by_tag": {name: float(group.cost) for name, group in self._ledger.by("tag").items()},
                **{f"llm/{name}_total": count for name, count in told.items() if name.endswith("_tokens")},
                **{f"llm/{name}": seconds for name, seconds in told.items() if name.endswith("_s")},
            }
        )

    def _tell_price(self, model: str, version: str | None) -> None:
        """Put the prices of the models in use into the run's configuration, as far as they are the bundled ones."""
        catalog = Catalog.bundled()
        if model in self._models or version != catalog.version:
            return
        self._models.add(model)
        cards = [card for name in sorted(self._models) if (card := catalog.get(name)) and card.price]
        prices = {card.id: _prices(card.price) for card in cards}
        told = {"llm_prices_usd_per_million": prices, "llm_price_version": version}
        self.run.config.update(told, allow_val_change=True)


def _prices(price: Any) -> dict[str, float]:
    parts = {"input": price.input, "cached_input": price.cached_input, "output": price.output}
    return {name: float(value) for name, value in parts.items() if isinstance(value, Decimal)}


def _table(mode: Literal["INCREMENTAL", "IMMUTABLE"]) -> Any:
    kinds = [kind if kind in (int, float, bool) else str for kind in COLUMNS.values()]
    return wandb.Table(columns=list(COLUMNS), dtype=kinds, optional=True, log_mode=mode)


def _cells(row: Mapping[str, Any]) -> list[Any]:
    return [_cell(row.get(name), kind) for name, kind in COLUMNS.items()]


def _cell(value: Any, kind: type) -> Any:
    """Return a value as its column takes it: functions of the caller's own may have put anything there."""
    if value is None:
        return None
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind in (int, float):
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _final_tables(spool: Path) -> Iterator[Any]:
    table, size = _table("IMMUTABLE"), 0
    for row in read_rows(spool, strict=False):
        if row.get("redaction") == NOT_SAMPLED:
            continue
        cells = _cells(row)
        table.data.append(cells)
        size += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(table.data) >= _TABLE_ROWS or size >= _TABLE_BYTES:
            yield table
            table, size = _table("IMMUTABLE"), 0
    if table.data:
        yield table
