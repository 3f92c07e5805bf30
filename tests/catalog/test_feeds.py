"""Bringing the catalog up to date: what is believed, what is not, and what stays when nothing can be read."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wandb_inference import Catalog, Client, ConfigurationError, refresh
from wandb_inference.catalog import Change, refreshed
from wandb_inference.emulator import Emulator
from wandb_inference.emulator.feeds import models, stages

CATALOG = Catalog.bundled()
TODAY = date(2026, 11, 21)
SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


def feed(**changes: Any) -> Any:
    """The feed as the bundled catalog has it, with changes: ``field__sub=value`` of the small model."""
    made = json.loads(json.dumps(models(CATALOG)))
    row = made["wandb"]["models"][SMALL]
    for name, value in changes.items():
        *path, last = name.split("__")
        table = row
        for part in path:
            table = table[part]
        table[last] = value
    return made


def read(fed: Any, **given: Any) -> Any:
    return refreshed(CATALOG, fed, today=TODAY, **given)


def test_the_feed_of_today_changes_nothing() -> None:
    found = read(feed(), stages=stages(CATALOG), served=[c.id for c in CATALOG if c.status == "active"])
    assert not found.is_news
    assert (found.refused, found.problems) == ((), ())
    assert found.catalog is CATALOG


CHANGES: dict[str, tuple[dict[str, Any], Change]] = {
    "another price": ({"cost__input": 0.05}, Change(SMALL, "price.input", Decimal("0.03"), Decimal("0.05"))),
    "a cached price": (
        {"cost__cache_read": 0.01},
        Change(SMALL, "price.cached_input", Decimal("0.03"), Decimal("0.01")),
    ),
    "a window": ({"limit__context": 262_144}, Change(SMALL, "context_window", 131_072, 262_144)),
    "tools": ({"tool_call": False}, Change(SMALL, "tools", True, False)),
    "eyes": ({"modalities__input": ["text", "image"]}, Change(SMALL, "input", ["text"], ["text", "image"])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed(name: str) -> None:
    changes, expected = CHANGES[name]
    found = read(feed(**changes))
    assert found.changed == (expected,)
    card, before = found.catalog.card(SMALL), CATALOG.card(SMALL)
    now = card.model_dump(mode="python")
    for part in expected.field.split("."):
        now = now[part]
    assert (list(now) if isinstance(now, tuple) else now) == expected.after
    assert (card.checked, card.aliases, card.reasoning) == (TODAY, before.aliases, before.reasoning)
    assert found.catalog.card(LARGE) == CATALOG.card(LARGE)
    assert SMALL in str(expected)


@pytest.mark.parametrize("value", [3000.0, 0.0003, 0])
def test_a_price_that_jumps_a_hundredfold_is_not_believed(value: float) -> None:
    found = read(feed(cost__input=value, cost__output=0.2))
    assert [change.after for change in found.refused] == [Decimal(str(value))]
    assert [change.field for change in found.changed] == ["price.output"]
    price = found.catalog.card(SMALL).price
    assert price
    assert (price.input, price.output) == (Decimal("0.03"), Decimal("0.2"))


def test_added_and_removed() -> None:
    fed = feed()
    rows = fed["wandb"]["models"]
    rows["me/New-1"] = {**deepcopy(rows[SMALL]), "name": "New 1"}
    del rows[LARGE]
    found = read(fed)
    assert (found.added, found.removed) == (("me/New-1",), (LARGE,))
    assert found.catalog.card("me/New-1").price == CATALOG.card(SMALL).price
    assert not found.catalog.card(LARGE).servable


def test_the_stages_of_life() -> None:
    told = [
        {"idPlayground": SMALL, "lifecycleStage": "deprecated"},
        {"idPlayground": LARGE, "lifecycleStage": "retired"},
    ]
    found = read(feed(), stages={"models": told})
    assert found.catalog.card(SMALL).status == "deprecated"
    assert found.removed == (LARGE,)


def test_what_is_served_is_held_against_the_feed() -> None:
    found = read(feed(), served=[*(c.id for c in CATALOG if c.status == "active" and c.id != SMALL), "me/Secret"])
    assert any("not in the feed: me/Secret" in problem for problem in found.problems)
    assert any(f"not served to this key: {SMALL}" in problem for problem in found.problems)


@pytest.mark.parametrize(
    "fed",
    [{}, [], None, {"wandb": {}}, {"wandb": {"models": {}}}, {"x": {"models": {"a": {}}}}],
)
def test_feeds_that_disagree_wildly(fed: Any) -> None:
    with pytest.raises(ConfigurationError):
        read(fed)


@pytest.mark.parametrize(
    "change", [{"cost__input": "cheap"}, {"cost__input": -1}, {"cost": "free"}, {"limit": 5}, {"limit__context": 0}]
)
def test_one_model_that_makes_no_sense_spoils_no_other(change: dict[str, Any]) -> None:
    fed = feed(**change)
    fed["wandb"]["models"][LARGE]["cost"]["output"] = 0.2
    found = read(fed)
    assert any(SMALL in problem for problem in found.problems)
    price = found.catalog.card(LARGE).price
    assert price
    assert price.output == Decimal("0.2")


@pytest.mark.parametrize("status", ["retired", "deprecated"])
def test_a_retired_model_is_not_revived(status: str) -> None:
    catalog = CATALOG.with_overrides({"model": [{"id": SMALL, "status": status}]})
    told = [
        {"idPlayground": SMALL, "lifecycleStage": "retired"},
        {"idPlayground": "me/new", "lifecycleStage": "retired"},
    ]
    fed = feed()
    fed["wandb"]["models"]["me/new"] = fed["wandb"]["models"][LARGE]
    found = refreshed(catalog, fed, stages=told, today=TODAY)
    assert found.catalog.card(SMALL).status == "retired"
    assert "me/new" not in found.catalog


# Over the network


def where(emulator: Emulator) -> tuple[str, str]:
    root = emulator.url.removesuffix("/v1")
    return f"{root}/inference/modelsdev/models", f"{root}/inference/catalog/models"


def test_refresh_reads_keeps_and_survives(tmp_path: Path) -> None:
    changed = CATALOG.with_overrides({"model": [{"id": SMALL, "price": {"output": 0.2}}]})
    emulator = Emulator(catalog=changed)
    with emulator as url, Client(base_url=url, api_key=emulator.api_key) as client:
        feeds = where(emulator)
        found = refresh(feeds=feeds, client=client, cache=tmp_path, today=TODAY)
        assert [change.after for change in found.changed] == [Decimal("0.2")]
        assert not any("cannot" in problem for problem in found.problems)
        assert "authorization" not in emulator.requests[-1].headers or emulator.requests[-1].path.endswith("/v1/models")
        asked = len(emulator.requests)
        again = refresh(feeds=feeds, cache=tmp_path, today=TODAY, max_age=timedelta(days=1))
        assert again.changed == found.changed
        assert len(emulator.requests) == asked
    assert refresh(feeds=("http://127.0.0.1:9/a", "http://127.0.0.1:9/b"), cache=tmp_path).changed == ()  # other feeds
    offline = refresh(feeds=feeds, cache=tmp_path, today=TODAY + timedelta(days=5))
    assert offline.changed == found.changed
    assert any("using the copy of 2026-11-21" in problem for problem in offline.problems)


@pytest.mark.parametrize("kept", [None, "no JSON", "{}", '{"date": "x", "models": {}, "stages": []}'])
def test_without_feeds_and_copy_the_catalog_stays(kept: str | None, tmp_path: Path) -> None:
    if kept is not None:
        (tmp_path / "catalog.json").write_text(kept)
    found = refresh(feeds=("http://127.0.0.1:9/a", "http://127.0.0.1:9/b"), cache=tmp_path)
    assert found.catalog is CATALOG
    assert found.problems
    assert not found.is_news


def test_a_folder_that_cannot_be_written(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = refresh(feeds=where(emulator), cache=tmp_path / "file" / "folder", today=TODAY)
    assert any("no copy is kept" in problem for problem in found.problems)
