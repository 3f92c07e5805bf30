"""Stale ids in code and configuration."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from cards import LEAST, card
from support import grows_linearly

from wandb_inference import Catalog
from wandb_inference.catalog import lint

CATALOG = Catalog.bundled().with_overrides(
    {"model": [{"id": "openai/gpt-oss-20b", "status": "deprecated", "retired_on": "2026-12-10", "replacement": "a/b"}]}
)
TODAY = date(2026, 11, 21)
FOUND: dict[str, tuple[str, list[tuple[int, int]]]] = {
    # name: (text, (line, column) of each id)
    "code": ('\nmodel = "Qwen/Qwen3.6-27B"\n', [(2, 10)]),
    "configuration": ("model: wandb/Qwen/Qwen3.6-27B", [(1, 14)]),
    "our own prefix": ("wandb_inference/Qwen/Qwen3.6-27B", [(1, 17)]),
    "two in a line": ("Qwen/Qwen3.6-27B,Qwen/Qwen3.6-27B", [(1, 1), (1, 18)]),
    "at the end of a sentence": ("Ask Qwen/Qwen3.6-27B.", [(1, 5)]),
    "a longer id": ("Qwen/Qwen3.6-27B-Instruct", []),
    "another version": ("Qwen/Qwen3.6-27B.1", []),
    "another provider": ("openrouter/Qwen/Qwen3.6-27B", []),
    "an active id": ("zai-org/GLM-5.2", []),
    "retired soon": ("openai/gpt-oss-20b", [(1, 1)]),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    text, places = FOUND[name]
    assert [(found.line, found.column) for found in lint(text, CATALOG, today=TODAY)] == places


def test_what_is_said() -> None:
    (retired,) = lint("Qwen/Qwen3.6-27B", CATALOG, today=TODAY)
    assert "was retired" in retired.message
    assert "use Qwen/Qwen3.8-27B" in retired.message
    (soon,) = lint("openai/gpt-oss-20b", CATALOG, today=TODAY)
    assert soon.message == "openai/gpt-oss-20b will be retired on 2026-12-10; use a/b"
    assert not list(lint("openai/gpt-oss-20b", CATALOG, today=TODAY, within=timedelta(days=10)))
    (over,) = lint("openai/gpt-oss-20b", CATALOG, today=date(2026, 12, 10))
    assert over.is_retired


@pytest.mark.parametrize("card", [card for card in CATALOG if not card.servable], ids=lambda card: card.id)
def test_every_retired_id_is_found(card: object) -> None:
    id_ = card.id  # type: ignore[attr-defined]
    assert [found.model for found in lint(f'"{id_}"', CATALOG, today=TODAY)] == [id_]


SAID: dict[str, tuple[dict[str, str], date, str]] = {
    # name: (the card, today, what is said of it; nothing: it is no news yet)
    "retired, nobody knows when": ({"status": "retired"}, TODAY, "me/m was retired"),
    "retired, with a replacement that answers": (
        {"status": "retired", "retired_on": "2026-10-01", "replacement": "me/n"},
        TODAY,
        "me/m was retired on 2026-10-01; use me/n",
    ),
    "retired, with a replacement that does not": (
        {"status": "retired", "replacement": "me/gone"},
        TODAY,
        "me/m was retired",
    ),
    "soon": ({"status": "deprecated"}, TODAY, "me/m will be retired soon"),
    "soon, with a replacement": (
        {"status": "deprecated", "replacement": "me/n"},
        TODAY,
        "me/m will be retired soon; use me/n",
    ),
    "in thirty days": (
        {"status": "deprecated", "retired_on": "2026-12-21"},
        TODAY,
        "me/m will be retired on 2026-12-21",
    ),
    "a day later": ({"status": "deprecated", "retired_on": "2026-12-22"}, TODAY, ""),
    "today": ({"status": "deprecated", "retired_on": "2026-11-21"}, TODAY, "me/m was retired on 2026-11-21"),
    "tomorrow": ({"status": "deprecated", "retired_on": "2026-11-22"}, TODAY, "me/m will be retired on 2026-11-22"),
    "an active one, whatever was announced": ({"status": "active", "retired_on": "2026-11-22"}, TODAY, ""),
}


@pytest.mark.parametrize("name", SAID)
def test_said(name: str) -> None:
    facts, today, message = SAID[name]
    rows = [{"id": "me/m", **facts}, {"id": "me/n", "status": "active"}, {"id": "me/gone", "status": "retired"}]
    catalog = Catalog.empty().with_overrides({"model": [{**LEAST, **row} for row in rows]})
    assert [found.message for found in lint("me/m", catalog, today=today)] == ([message] if message else [])


def test_nothing_is_stale_in_a_catalog_that_knows_nothing() -> None:
    assert list(lint("Qwen/Qwen3.6-27B\n\n", Catalog.empty(), today=TODAY)) == []


def test_an_id_that_another_one_begins_with() -> None:
    catalog = Catalog([card(id_, status="retired") for id_ in ("me/m", "me/m:large")])
    assert [found.model for found in lint("me/m:large me/m:small", catalog, today=TODAY)] == ["me/m:large", "me/m"]


@pytest.mark.parametrize(
    "part", ["Qwen/Qwen3.6-27B-", "Qwen/", "wandb/", "a/b.", "Qwen/Qwen3.6-27B\n", "Qwen/Qwen3.6-27B."]
)
def test_a_long_file_is_read_in_time_that_grows_with_it(part: str) -> None:
    assert grows_linearly(lambda size: list(lint(part * (size // len(part)), CATALOG, today=TODAY)))
