"""Bringing the catalog up to date: what is believed, what is not, and what stays when nothing can be read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
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


@pytest.mark.skipif(os.name != "posix", reason="links, pipes and owners are of POSIX")
def test_the_copy_is_a_file_of_its_own(emulator: Emulator, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("dear")
    for name in ("catalog.json", "catalog.new"):
        (tmp_path / name).symlink_to(victim)
    before = os.umask(0)
    try:
        refresh(feeds=where(emulator), cache=tmp_path, today=TODAY)
    finally:
        os.umask(before)
    copy = tmp_path / "catalog.json"
    assert victim.read_text() == "dear"
    assert not copy.is_symlink()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "catalog.json", "catalog.new"}


def a_link(copy: Path) -> None:
    copy.rename(copy.with_name("elsewhere"))
    copy.symlink_to(copy.with_name("elsewhere"))


def a_pipe(copy: Path) -> None:
    copy.unlink()
    os.mkfifo(copy)


def from_the_future(copy: Path) -> None:
    copy.write_text(copy.read_text().replace(TODAY.isoformat(), (TODAY + timedelta(days=400)).isoformat()))


@pytest.mark.skipif(os.name != "posix", reason="links, pipes and owners are of POSIX")
@pytest.mark.parametrize("change", [a_link, a_pipe, from_the_future])
def test_a_copy_that_is_not_ours_is_not_read(
    change: Callable[[Path], None], emulator: Emulator, tmp_path: Path
) -> None:
    refresh(feeds=where(emulator), cache=tmp_path, today=TODAY)
    copy, dead = tmp_path / "catalog.json", ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    copy.write_text(json.dumps({**json.loads(copy.read_text()), "feeds": dead}))

    def asked() -> bool:
        found = refresh(feeds=dead, cache=tmp_path, today=TODAY, max_age=timedelta(days=1))
        return any("cannot be read" in problem for problem in found.problems)

    assert not asked()
    change(copy)
    assert asked()


def test_a_folder_that_cannot_be_written(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = refresh(feeds=where(emulator), cache=tmp_path / "file" / "folder", today=TODAY)
    assert any("no copy is kept" in problem for problem in found.problems)


# In small: a catalog of four models, and feeds that say this or that of them

OLD = date(2026, 10, 1)
ROW = {"name": "M", "family": "f", "status": "active", "checked": OLD, "source": "a test"}
PRICE = {"input": Decimal(1), "output": Decimal(2)}
FOUR = Catalog.empty().with_overrides(
    {
        "model": [
            {"id": "me/a", **ROW, "context_window": 1000, "tools": True, "price": PRICE},
            {"id": "me/b", **ROW, "status": "deprecated"},
            {"id": "me/c", **ROW, "status": "retired"},
            {"id": "me/d", **ROW, "status": "unconfirmed", "structured_output": True},
        ]
    }
)


def listed(**rows: Any) -> Any:
    """A feed of these models, whose ids begin with me/."""
    return {"wandb": {"models": {f"me/{name}": row for name, row in rows.items()}}}


def news(*changes: tuple[str, str, Any, Any]) -> tuple[Change, ...]:
    return tuple(Change(f"me/{model}", *rest) for model, *rest in changes)


SAME: dict[str, Any] = {"a": {}, "b": {}}
STAGE = {"models": [{"idPlayground": "me/b", "lifecycleStage": "deprecated"}]}
READ: dict[str, tuple[Any, dict[str, Any]]] = {
    # name: (the feed, what is found beside the catalog)
    "nothing new": (listed(**SAME), {}),
    "no figures": (listed(a={"cost": None, "limit": None, "modalities": None, "tool_call": None}, b={}), {}),
    "the same figures": (
        listed(a={"cost": {"input": 1, "output": "2.0"}, "limit": {"context": "1000"}, "tool_call": True}, b={}),
        {},
    ),
    "what was not known": (
        listed(a={"structured_output": False, "cost": {"cache_read": 0.1}}, b={"limit": {"context": 5}}),
        {
            "changed": news(
                ("a", "structured_output", None, False),
                ("a", "price.cached_input", None, Decimal("0.1")),
                ("b", "context_window", None, 5),
            )
        },
    ),
    "a price of one that had none": (
        listed(a={}, b={"cost": {"input": 3, "output": 4}}),
        {"changed": news(("b", "price.input", None, Decimal(3)), ("b", "price.output", None, Decimal(4)))},
    ),
    "what nobody had confirmed": (listed(**SAME, d={}), {"changed": news(("d", "status", "unconfirmed", "active"))}),
    "one that comes back": (listed(**SAME, c={}), {"changed": news(("c", "status", "retired", "active"))}),
    "one that is new": (listed(**SAME, e={}), {"added": ("me/e",)}),
    "one that is gone": (listed(a={}), {"removed": ("me/b",)}),
    "in another order": (
        listed(a={"modalities": {"input": ["image", "pdf", "text"]}}, b={"modalities": {"input": ["text", "pdf"]}}),
        {"changed": news(("a", "input", ["text"], ["image", "text"]))},
    ),
    "from more than one provider": (
        {**listed(a={}), "other": {"models": {"me/b": {}}}, "third": {"models": None}, "version": 5},
        {},
    ),
    "ninety-nine times the price": (
        listed(a={"cost": {"input": 99}}, b={}),
        {"changed": news(("a", "price.input", Decimal(1), Decimal(99)))},
    ),
    "a hundred times the price": (
        listed(a={"cost": {"input": 100}}, b={}),
        {"refused": news(("a", "price.input", Decimal(1), Decimal(100)))},
    ),
    "a hundredth of the price": (
        listed(a={"cost": {"output": "0.02"}}, b={}),
        {"refused": news(("a", "price.output", Decimal(2), Decimal("0.02")))},
    ),
    "a window that is a hundred times as long": (
        listed(a={"limit": {"context": 100_000}}, b={}),
        {"changed": news(("a", "context_window", 1000, 100_000))},
    ),
    "no figure": (
        listed(a={"limit": {"context": "long"}}, b={}),
        {
            "removed": ("me/a",),
            "problems": ("me/a cannot be read: ValueError: invalid literal for int() with base 10: 'long'",),
        },
    ),
    "no table": (
        listed(a={"limit": 5}, b={}),
        {
            "removed": ("me/a",),
            "problems": ("me/a cannot be read: AttributeError: 'int' object has no attribute 'get'",),
        },
    ),
    "no list": (
        listed(a={"modalities": {"input": 5}}, b={}),
        {"removed": ("me/a",), "problems": ("me/a cannot be read: TypeError: 'int' object is not iterable",)},
    ),
    "no price": (
        listed(a={"cost": {"input": "cheap"}}, b={}),
        {
            "removed": ("me/a",),
            "problems": ("me/a cannot be read: InvalidOperation: [<class 'decimal.ConversionSyntax'>]",),
        },
    ),
    "a price below nothing": (
        listed(a={"cost": {"input": -1}}, b={}),
        {"removed": ("me/a",), "problems": ("me/a cannot be read: ValueError: -1 is no price",)},
    ),
    "a price without end": (
        listed(a={"cost": {"input": "inf"}}, b={}),
        {"removed": ("me/a",), "problems": ("me/a cannot be read: ValueError: 'inf' is no price",)},
    ),
    "a figure that no card takes": (
        listed(a={"limit": {"context": -5}}, b={"limit": {"context": 5}}),
        {
            "changed": news(("b", "context_window", None, 5)),
            "problems": ("overrides: me/a: context_window: Input should be greater than 0.",),
        },
    ),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str) -> None:
    fed, expected = READ[name]
    found = refreshed(FOUR, fed, stages=STAGE, today=TODAY)
    nothing: dict[str, Any] = dict.fromkeys(("added", "removed", "changed", "refused", "problems"), ())
    assert {field: getattr(found, field) for field in nothing} == {**nothing, **expected}
    assert found.is_news is bool(set(expected) & {"added", "removed", "changed"})
    changed = {change.model for change in found.changed} | {*found.added, *found.removed}
    for card in FOUR:
        assert (found.catalog.card(card.id) != card) is (card.id in changed)
    for id_ in changed:
        card = found.catalog.card(id_)
        assert (card.checked, card.source) == (TODAY, "https://trace.wandb.ai/inference/modelsdev/models (2026-11-21)")
    assert found.catalog.version == (TODAY.isoformat() if changed else FOUR.version)


def test_what_a_new_model_is_taken_for() -> None:
    row = {
        "name": "New One",
        "cost": {"input": 0.03, "output": 0.13, "cache_read": 0.01},
        "limit": {"context": 1000, "output": 500},
        "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
        "tool_call": True,
        "structured_output": False,
    }
    told = {"models": [*STAGE["models"], {"idPlayground": "me/New-1-Base", "lifecycleStage": "deprecated"}]}
    found = refreshed(FOUR, listed(**SAME, **{"New-1-Base": row, "Two": {}, "-x": {}}), stages=told, today=TODAY)
    card = found.catalog.card("me/New-1-Base")
    assert (card.name, card.family, card.status) == ("New One", "new", "deprecated")
    assert (card.context_window, card.output_limit, card.input) == (1000, None, ("text", "image"))
    assert (card.tools, card.structured_output) == (True, False)
    assert card.price is not None
    assert card.price.model_dump() == {
        "input": Decimal("0.03"),
        "output": Decimal("0.13"),
        "cached_input": Decimal("0.01"),
    }
    two, odd = found.catalog.card("me/Two"), found.catalog.card("me/-x")
    assert (two.name, two.family, two.status, two.price, two.input) == ("me/Two", "two", "active", None, ("text",))
    assert odd.family == "-x"


STAGES: dict[str, tuple[Any, list[str]]] = {
    # name: (the feed of stages, the status of a, b and c)
    "not read": (None, ["active", "active", "retired"]),
    "models": (
        {"models": [{"idPlayground": "me/a", "lifecycleStage": "deprecated"}]},
        ["deprecated", "active", "retired"],
    ),
    "data": ({"data": [{"idPlayground": "me/a", "lifecycleStage": "deprecated"}]}, ["deprecated", "active", "retired"]),
    "a list": ([{"idPlayground": "me/a", "lifecycleStage": "deprecated"}], ["deprecated", "active", "retired"]),
    "retired": ([{"idPlayground": "me/a", "lifecycleStage": "retired"}], ["retired", "active", "retired"]),
    "rows of other kinds": (
        ["x", {"id": "me/a", "lifecycleStage": "retired"}, {"idPlayground": None}, {"idPlayground": "me/a"}],
        ["active", "active", "retired"],
    ),
    "a stage of no name": ([{"idPlayground": "me/a", "lifecycleStage": None}], ["active", "active", "retired"]),
    "no list": ({"models": 5}, ["active", "active", "retired"]),
}


@pytest.mark.parametrize("name", STAGES)
def test_stages(name: str) -> None:
    told, statuses = STAGES[name]
    found = refreshed(FOUR, listed(**SAME), stages=told, today=TODAY)
    assert [found.catalog.card(f"me/{id_}").status for id_ in "abc"] == statuses


def test_a_feed_is_believed_from_half_of_what_was_served_on() -> None:
    assert refreshed(FOUR, listed(b={}), stages=STAGE, today=TODAY).removed == ("me/a",)
    with pytest.raises(ConfigurationError, match="lists 2 models, and fewer than half of the 2 that were served"):
        refreshed(FOUR, listed(c={}, d={}), today=TODAY)
    assert refreshed(Catalog.empty(), listed(c={}), today=TODAY).added == ("me/c",)


@pytest.mark.parametrize("fed", [None, [], {}, {"models": []}, {"wandb": {"models": []}}])
def test_another_schema(fed: Any) -> None:
    with pytest.raises(ConfigurationError, match="not in the schema of models"):
        refreshed(Catalog.empty(), fed, today=TODAY)


@pytest.mark.parametrize(
    ("served", "problems"),
    [
        (None, ()),
        (["me/a", "me/b"], ()),
        (["me/a", "me/b", "me/z", "me/y"], ("served, but not in the feed: me/y, me/z",)),
        ([], ("in the feed, but not served to this key: me/a, me/b",)),
    ],
)
def test_what_the_service_lists_is_held_against_the_feed(served: Any, problems: tuple[str, ...]) -> None:
    assert refreshed(FOUR, listed(**SAME), stages=STAGE, served=served, today=TODAY).problems == problems


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (("a", "context_window", None, 262_144), "me/a: context_window not known -> 262,144"),
        (("a", "price.input", Decimal("0.03"), Decimal("0.1")), "me/a: price.input 0.03 -> 0.1"),
        (("a", "input", ["text"], ["text", "image"]), "me/a: input ['text'] -> ['text', 'image']"),
        (("a", "status", "active", "deprecated"), "me/a: status active -> deprecated"),
    ],
)
def test_a_change_as_people_read_it(change: tuple[str, str, Any, Any], shown: str) -> None:
    assert str(*news(change)) == shown
