"""Find ids in code and configuration that are retired, or soon will be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from wandb_inference.catalog.card import ModelCard
from wandb_inference.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Stale:
    """One place that names a model which is not served any more, or not for long."""

    line: int
    """From 1."""
    column: int
    model: str
    retired_on: date | None
    """``None``: not known."""
    replacement: str | None
    is_retired: bool
    """Whether it is so already."""

    @property
    def message(self) -> str:
        """What is wrong, and what to write instead."""
        when = f" on {self.retired_on}" if self.retired_on else ""
        what = f"was retired{when}" if self.is_retired else f"will be retired{when or ' soon'}"
        return f"{self.model} {what}" + (f"; use {self.replacement}" if self.replacement else "")


def lint(text: str, catalog: Catalog, *, today: date, within: timedelta = timedelta(days=30)) -> Iterator[Stale]:
    """Yield the stale ids in a text, with or without the prefixes by which other libraries name the service.

    Args:
        text: code or configuration.
        catalog: what is known of the models.
        today: the day to judge from.
        within: how far ahead a retirement counts.
    """
    stale = {card.id: card for card in catalog if _is_stale(card, today, within)}
    if not stale:
        return
    ids = "|".join(map(re.escape, sorted(stale, key=len, reverse=True)))
    # Not within a longer id, nor behind the prefix of another provider, which may well serve it still.
    named = re.compile(rf"(?:(?<![\w./@-])|(?<=\bwandb/)|(?<=\bwandb_inference/))({ids})(?![\w-]|\.\w)")
    for number, line in enumerate(text.split("\n"), 1):
        for found in named.finditer(line):
            card = stale[found[1]]
            successor = catalog.successor(card) if not card.servable else None
            replacement = successor.id if successor else None if not card.servable else card.replacement
            retired = not card.servable or (card.retired_on is not None and card.retired_on <= today)
            yield Stale(number, found.start(1) + 1, card.id, card.retired_on, replacement, retired)


def _is_stale(card: ModelCard, today: date, within: timedelta) -> bool:
    if not card.servable:
        return True
    return card.status == "deprecated" and (card.retired_on is None or card.retired_on <= today + within)
