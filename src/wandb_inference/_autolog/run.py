"""Rows as a W&B run: scalars for each call, a table that grows, a final one, the summary."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

try:
    import wandb
except ImportError as e:
    raise ImportError(f"{e}: runs are written by W&B's library: pip install 'wandb-inference[wandb]'") from e

from wandb_inference._autolog.sampling import NOT_SAMPLED
from wandb_inference._autolog.sinks import log
from wandb_inference._autolog.weave import register_costs
from wandb_inference._version import __version__
from wandb_inference.accounting import COLUMNS, Ledger, quantile, read_rows
from wandb_inference.catalog import Catalog

_SCALARS = (
    *("latency_s", "ttft_s", "tokens_per_s", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("reasoning_tokens", "cost_usd", "n_attempts"),
)
_SETTINGS = {
    "init_timeout": 10,  # seconds; a server that cannot be reached takes ten times as long otherwise
    "console": "off",  # what the program prints is no business of this run
    "x_disable_stats": True,
    "save_code": False,
}
_GROWTH = 1.1  # each increment may wait a tenth longer: 90 of them last for days
_TABLE_ROWS, _TABLE_BYTES = 200_000, 64 * 1024 * 1024  # of a final table: what W&B takes, what memory takes
_EMPTY: list[Any] = [None] * len(COLUMNS)


class RunSink:
    """A W&B run of its own; or, of a run that is handed over, only its summary, so that its steps stay its own.

    Args:
        init: arguments for ``wandb.init``.
        run: a run to write to.
        spool: the rows so far; at the end they are the final table, and an artifact.
        flush_rows: rows of the first increment of the table; each later one may be a tenth larger.
        flush_seconds: until the first increment; likewise.
        max_increments: of the table; W&B shows the last hundred.
        register_costs: give a Weave client of this process the catalog's prices.
        strict: fail when the server cannot be reached, instead of logging offline.
        in_child: this process was forked from the one that called ``autolog()``.
    """

    name = "run"

    def __init__(
        self,
        init: Mapping[str, Any],
        *,
        run: Any = None,
        spool: Path,
        flush_rows: int = 100,
        flush_seconds: float = 10.0,
        max_increments: int = 90,
        register_costs: bool = False,
        strict: bool = False,
        in_child: bool = False,
    ) -> None:
        self._init, self._given, self._spool = dict(init), None if in_child else run, spool
        if in_child:
            self._init = {name: value for name, value in self._init.items() if name not in ("id", "resume")}
            self._init |= {"group": run.id, "project": run.project, "entity": run.entity} if run is not None else {}
        self._rows, self._seconds, self._max_increments = flush_rows, flush_seconds, max_increments
        self._register_costs, self._strict = register_costs, strict
        self._ledger, self._calls, self._models = Ledger(), 0, set[str]()
        self._increments, self._pending, self._flushed_at = 0, 0, time.monotonic()
        self._summarised_at = 0
        self.run: Any = None

    def open(self) -> None:
        """Start the run; offline, when the server cannot be reached.

        Raises:
            Exception: that too failed; or, with ``strict``, whatever W&B says.
        """
        if self._given is not None:
            self.run = self._given
        else:
            self.run = self._started()
            self.run.define_metric("llm/call")
            self.run.define_metric("llm/*", step_metric="llm/call")
            self._table = _table("INCREMENTAL")
        if self._register_costs:
            register_costs(Catalog.bundled())

    def write(self, row: Mapping[str, Any]) -> None:
        """Log a call."""
        self._calls += 1
        self._ledger.add(row)
        model = row.get("model_sent") or row.get("model_requested")
        if model and model not in self._models:
            self._models.add(str(model))
            self._price_list()
        if self._given is not None:
            return
        self.run.log(self._scalars(row, model))
        if row.get("redaction") != NOT_SAMPLED:
            self._table.add_data(*_cells(row))
            self._pending += 1
        self.tick()

    def tick(self) -> None:
        """Log an increment of the table when it is due."""
        grown = _GROWTH**self._increments
        late = time.monotonic() - self._flushed_at >= self._seconds * grown
        if self._increments < self._max_increments and (self._pending >= self._rows * grown or late):
            self._increment()

    def flush(self) -> None:
        """Log what the table has, if it may still grow, and the summary."""
        if self._given is None and self._increments < self._max_increments:
            self._increment()
        self._summarise()

    def close(self) -> None:
        """Log the final table, the spool and the summary; end the run, unless it was handed over."""
        if self._given is None:
            self._increment()
        self._summarise()
        for number, table in enumerate(_final_tables(self._spool), 1):
            name = "llm/calls_final" if number == 1 else f"llm/calls_final_{number}"
            if self._given is None:
                self.run.log({name: table})
            else:
                self.run.summary[name] = table  # log() would count as a step of theirs
        if self._calls:
            artifact = wandb.Artifact(f"llm-calls-{self.run.id}", "llm-calls")
            artifact.add_file(str(self._spool), "calls.jsonl")
            self.run.log_artifact(artifact)
        if self._given is None:
            self.run.finish()

    def _started(self) -> Any:
        arguments = self._arguments()
        mode = arguments.get("mode") or arguments["settings"].get("mode") or os.environ.get("WANDB_MODE")
        try:
            if mode in (None, "online"):
                _check_key()
            return _init(arguments)
        except Exception as e:
            if self._strict or mode == "offline":
                raise
            run = _init({**arguments, "mode": "offline"})
            folder = Path(run.dir).parent
            log.warning("autolog: logging offline, because %s. Later: wandb sync %s", e, folder)
            return run

    def _arguments(self) -> dict[str, Any]:
        theirs = self._init.get("settings") or {}
        settings = theirs if isinstance(theirs, Mapping) else theirs.model_dump(exclude_unset=True)
        active = wandb.run
        beside = {"group": active.id} if active is not None else {}
        for name in ("project", "entity"):
            if active is not None and getattr(active, name, None):
                beside[name] = getattr(active, name)
        config = self._init.get("config") or {}
        parent = {"parent_run_id": active.id} if active is not None else {}
        if isinstance(config, Mapping):
            config = {**_about(), **parent, **config}
        ours = {"job_type": "llm-autolog", "reinit": "create_new", **beside}
        return {**ours, **self._init, "config": config, "settings": {**_SETTINGS, **settings}}

    def _scalars(self, row: Mapping[str, Any], model: Any) -> dict[str, Any]:
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
        self.run.log({"llm/calls": self._table})
        self._increments, self._pending = self._increments + 1, 0
        self._table.data[:] = [_EMPTY] * len(self._table.data)  # they are on disk, and would fill the memory
        self._summarise()

    def _summarise(self) -> None:
        if self._summarised_at == self._calls:
            return
        self._summarised_at, total = self._calls, self._ledger.total
        times = {"latency": total.latencies, "ttft": total.first_events}
        self.run.summary.update(
            {
                "llm/calls_total": total.calls,
                "llm/errors_total": sum(n for name, n in total.errors.items() if name != "cancelled"),
                "llm/errors_by_type": dict(total.errors),
                "llm/prompt_tokens_total": total.prompt_tokens,
                "llm/cached_tokens_total": total.cached_tokens,
                "llm/completion_tokens_total": total.completion_tokens,
                "llm/reasoning_tokens_total": total.reasoning_tokens,
                "llm/cost_total_usd": float(total.cost),
                "llm/unpriced_calls": total.unpriced,
                "llm/cost_by_model": {name: float(group.cost) for name, group in self._ledger.by("model").items()},
                "llm/cost_by_tag": {name: float(group.cost) for name, group in self._ledger.by("tag").items()},
                **{
                    f"llm/{name}_p{percent}_s": quantile(values, percent)
                    for name, values in times.items()
                    for percent in (50, 95, 99)
                },
            }
        )

    def _price_list(self) -> None:
        """Put the prices of the models in use into the run's configuration."""
        catalog = Catalog.bundled()
        cards = [card for name in sorted(self._models) if (card := catalog.get(name)) and card.price]
        prices = {card.id: _prices(card.price) for card in cards}
        self.run.config.update({"llm_prices_usd_per_million": prices}, allow_val_change=True)


def _prices(price: Any) -> dict[str, float]:
    parts = {"input": price.input, "cached_input": price.cached_input, "output": price.output}
    return {name: float(value) for name, value in parts.items() if isinstance(value, Decimal)}


def _about() -> dict[str, Any]:
    versions = {"wandb-inference": __version__, "wandb": wandb.__version__}
    for package in ("langchain-core", "litellm"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "catalog_version": Catalog.bundled().version}


def _init(arguments: Mapping[str, Any]) -> Any:
    settings = wandb.Settings(**arguments["settings"])
    with _without_weave():
        return wandb.init(**{**arguments, "settings": settings})


@contextmanager
def _without_weave() -> Iterator[None]:
    """Keep ``wandb.init`` from switching on Weave, which would patch every library of the process, and trace twice."""
    before = os.environ.get("WANDB_DISABLE_WEAVE")
    os.environ["WANDB_DISABLE_WEAVE"] = "true"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("WANDB_DISABLE_WEAVE", None)
        else:
            os.environ["WANDB_DISABLE_WEAVE"] = before


def _check_key() -> None:
    """Raise if W&B has no key; it would ask for one at the terminal, in the middle of the program."""
    if not wandb.login(prompt=False):
        raise wandb.errors.UsageError("there is no W&B key: set WANDB_API_KEY, or run `wandb login`")


def _table(mode: Literal["INCREMENTAL", "IMMUTABLE"]) -> Any:
    kinds = [kind if kind in (int, float, bool) else str for kind in COLUMNS.values()]
    return wandb.Table(columns=list(COLUMNS), dtype=kinds, optional=True, log_mode=mode)


def _cells(row: Mapping[str, Any]) -> list[Any]:
    return [_cell(row.get(name), kind) for name, kind in COLUMNS.items()]


def _cell(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, bool) is not (kind is bool):
        return None if value is None else json.dumps(value) if kind is str else None
    if kind in (int, float):
        return value if isinstance(value, int | float) else None
    return value if isinstance(value, str | bool) else json.dumps(value, ensure_ascii=False)


def _final_tables(spool: Path) -> Iterator[Any]:
    table, size = _table("IMMUTABLE"), 0
    for row in read_rows(spool):
        if row.get("redaction") == NOT_SAMPLED:
            continue
        cells = _cells(row)
        table.add_data(*cells)
        size += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(table.data) >= _TABLE_ROWS or size >= _TABLE_BYTES:
            yield table
            table, size = _table("IMMUTABLE"), 0
    if table.data:
        yield table
