"""Bring a catalog up to date from what the service publishes about itself, and say what changed.

Two public feeds (read 2026-10-07): one in the schema of models.dev, with prices and limits, one with the stage of every
model's life. What the service's own ``/models`` lists is held against both. Nothing is believed blindly: a price that
jumps a hundredfold is kept out and named, and feeds that would retire most of the catalog change nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from wandb_inference.catalog.card import ModelCard
from wandb_inference.catalog.catalog import Catalog
from wandb_inference.errors import ConfigurationError

MODELS_FEED = "https://trace.wandb.ai/inference/modelsdev/models"
STAGES_FEED = "https://trace.wandb.ai/inference/catalog/models"

_JUMP = 100  # times a price may rise or fall before it is no news but a mistake (as LiteLLM's were, 100,000-fold)
_KEPT_SHARE = 0.5  # of the active models that a feed must still list to be believed


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that is not what it was."""

    model: str
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.model}: {self.field} {_shown(self.before)} -> {_shown(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """A catalog that was brought up to date, and what that changed."""

    catalog: Catalog
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    """Models that are not served any more."""
    changed: tuple[Change, ...] = ()
    refused: tuple[Change, ...] = ()
    """Changes that were not believed."""
    problems: tuple[str, ...] = ()
    """What could not be read, or disagrees."""

    @property
    def is_news(self) -> bool:
        """Whether the catalog differs from the one before."""
        return bool(self.added or self.removed or self.changed)


def refreshed(
    catalog: Catalog, models: Any, *, stages: Any = None, served: Iterable[str] | None = None, today: date
) -> Refreshed:
    """Return the catalog with what the feeds say.

    Args:
        catalog: what is known so far.
        models: the decoded feed in the schema of models.dev.
        stages: the decoded feed with every model's stage; ``None``: not read.
        served: ids that the service lists; ``None``: not asked.
        today: the day to write into changed cards.

    Raises:
        ConfigurationError: the feed is not of that schema, or disagrees wildly with the catalog.
    """
    problems: list[str] = []
    rows = dict(_rows(models, problems))
    known = {card.id: card for card in catalog}
    current = [card for card in catalog if card.status in ("active", "deprecated")]
    if len([card for card in current if card.id in rows]) < _KEPT_SHARE * len(current):
        raise ConfigurationError(
            f"The feed lists {len(rows)} models, and fewer than half of the {len(current)} that were served.",
            hint="The catalog stays as it is.",
        )
    stage = dict(_stages(stages))
    rows = {id_: row for id_, row in rows.items() if stage.get(id_) != "retired"}
    overrides: dict[str, dict[str, Any]] = {}
    changed: list[Change] = []
    refused: list[Change] = []
    for id_, row in rows.items():
        status = "deprecated" if stage.get(id_) == "deprecated" else "active"
        if id_ not in known:
            overrides[id_] = {"id": id_, "status": status, "family": _family(id_), **row}
            continue
        news = list(_changes(known[id_], row))
        if known[id_].status != status:
            news.append(Change(id_, "status", known[id_].status, status))
        refused += [change for change in news if _is_mistake(change)]
        accepted = [change for change in news if not _is_mistake(change)]
        changed += accepted
        overrides[id_] = _accepted(id_, accepted)
    for card in current:
        if card.id not in rows:
            overrides[card.id] = {"id": card.id, "status": "retired"}
    made, stamp = catalog, {"checked": today, "source": f"{MODELS_FEED} ({today})"}
    for id_, row in overrides.items():
        if len(row) > 1:
            try:
                made = made.with_overrides({"model": [{**row, **stamp}], "version": today.isoformat()})
            except ConfigurationError as e:  # of this one model: the others are no worse for it
                problems.append(e.message)
                changed = [change for change in changed if change.model != id_]
    return Refreshed(
        catalog=made,
        added=tuple(id_ for id_ in rows if id_ not in known and id_ in made),
        removed=tuple(card.id for card in current if card.id not in rows),
        changed=tuple(changed),
        refused=tuple(refused),
        problems=(*problems, *_disagreements(rows, served)),
    )


def _rows(feed: Any, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (id, facts) of every model of a feed in the schema of models.dev; one more problem for each unreadable."""
    providers = feed.values() if isinstance(feed, Mapping) else ()
    models = [p["models"] for p in providers if isinstance(p, Mapping) and isinstance(p.get("models"), Mapping)]
    if not models:
        raise ConfigurationError("The feed is not in the schema of models.dev.", hint="The catalog stays as it is.")
    for id_, model in (item for some in models for item in some.items()):
        try:
            yield str(id_), _facts(str(id_), model)
        except (AttributeError, TypeError, ValueError, ArithmeticError) as e:
            problems.append(f"{id_} cannot be read: {type(e).__name__}: {e}")


def _facts(id_: str, model: Any) -> dict[str, Any]:
    cost, limit = model.get("cost") or {}, model.get("limit") or {}
    price = {"input": cost.get("input"), "output": cost.get("output"), "cached_input": cost.get("cache_read")}
    facts = {
        "name": model.get("name") or id_,
        "context_window": _whole(limit.get("context")),
        "input": [kind for kind in (model.get("modalities") or {}).get("input") or () if kind != "pdf"],
        "tools": model.get("tool_call"),
        "structured_output": model.get("structured_output"),
        "price": {name: _decimal(value) for name, value in price.items() if value is not None},
    }
    return {name: value for name, value in facts.items() if value not in (None, [], {})}


def _stages(feed: Any) -> Iterator[tuple[str, str]]:
    rows = feed.get("models", feed.get("data", ())) if isinstance(feed, Mapping) else feed
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and row.get("idPlayground"):
            yield str(row["idPlayground"]), str(row.get("lifecycleStage") or "")


def _changes(card: ModelCard, row: Mapping[str, Any]) -> Iterator[Change]:
    for name in ("context_window", "tools", "structured_output"):
        if name in row and row[name] != getattr(card, name):
            yield Change(card.id, name, getattr(card, name), row[name])
    if "input" in row and set(row["input"]) != set(card.input):
        yield Change(card.id, "input", list(card.input), row["input"])
    for name, value in (row.get("price") or {}).items():
        before = getattr(card.price, name) if card.price else None
        if value != before:
            yield Change(card.id, f"price.{name}", before, value)


def _is_mistake(change: Change) -> bool:
    if not change.field.startswith("price.") or change.before is None:
        return False
    low, high = sorted((change.before, change.after))
    return bool(low * _JUMP <= high and high)


def _accepted(id_: str, changes: Iterable[Change]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": id_}
    for change in changes:
        table, _, field = change.field.partition(".")
        if change.model == id_ and field:
            row.setdefault(table, {})[field] = change.after
        elif change.model == id_:
            row[table] = change.after
    return row


def _disagreements(rows: Mapping[str, Any], served: Iterable[str] | None) -> Iterator[str]:
    if served is None:
        return
    ids = set(served)
    if unlisted := sorted(ids - set(rows)):
        yield f"served, but not in the feed: {', '.join(unlisted)}"
    if unserved := sorted(set(rows) - ids):
        yield f"in the feed, but not served to this key: {', '.join(unserved)}"


def _decimal(value: Any) -> Decimal:
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{value!r} is no price")
    return price


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _family(id_: str) -> str:
    name = id_.rpartition("/")[2].lower()
    return name.partition("-")[0] or name


def _shown(value: Any) -> str:
    return "not known" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
