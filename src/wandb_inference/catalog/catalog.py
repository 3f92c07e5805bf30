"""Find a model's card by id or alias, and help when there is none."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wandb_inference.catalog.card import ModelCard
from wandb_inference.errors import ConfigurationError, UnknownModelError


class Catalog:
    """An immutable set of model cards.

    >>> Catalog.bundled().card("gpt-oss-20b").id
    'openai/gpt-oss-20b'
    """

    def __init__(self, cards: Iterable[ModelCard], *, version: str = "") -> None:
        self._cards = {card.id: card for card in cards}
        self._aliases = {alias: card.id for card in self._cards.values() for alias in card.aliases}
        self._suggested: dict[str, tuple[str, ...]] = {}  # searching takes a millisecond, and calls come again
        self.version = version
        """Date of the data."""

    @classmethod
    @cache
    def bundled(cls) -> Catalog:
        """Return the catalog that ships with this version of the package."""
        text = files("wandb_inference.catalog").joinpath("models.toml").read_text("utf-8")
        return cls(()).with_overrides(_parse(text, "models.toml"))

    @classmethod
    def empty(cls) -> Catalog:
        """Return a catalog that knows nothing, for servers other than W&B Inference: no findings, no prices."""
        return cls(())

    def __iter__(self) -> Iterator[ModelCard]:
        return iter(self._cards.values())

    def __len__(self) -> int:
        return len(self._cards)

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and self.get(model) is not None

    def __repr__(self) -> str:
        return f"<Catalog of {len(self)} models, version {self.version or 'unknown'}>"

    def get(self, model: str) -> ModelCard | None:
        """Return the card of this id or alias, or ``None``."""
        return self._cards.get(self._aliases.get(model, model))

    def card(self, model: str) -> ModelCard:
        """Return the card of this id or alias.

        Raises:
            UnknownModelError: there is none; ``suggestions`` holds the ids that look alike.
        """
        card = self.get(model)
        if card is not None:
            return card
        alike = self.suggestions(model)
        if alike and alike[0].lower() == model.lower():
            help_ = f"Ids are case-sensitive: write {alike[0]!r}."
        elif alike:
            help_ = f"Did you mean {' or '.join(map(repr, alike))}?"
        else:
            help_ = "`wandb-inference models` lists what there is."
        raise UnknownModelError(f"No model {model!r} in the catalog.", model=model, suggestions=alike, hint=help_)

    def successor(self, card: ModelCard) -> ModelCard | None:
        """Return the served model that replaces a retired one; a replacement may itself have been replaced."""
        seen = {card.id}
        following: ModelCard | None = card
        while following is not None and not following.servable:
            following = self.get(following.replacement) if following.replacement else None
            if following is not None and following.id in seen:
                return None
            seen |= {following.id} if following else set()
        return following

    def suggestions(self, model: str) -> tuple[str, ...]:
        """Return up to three ids that look like this one, best first; retired ones only if no other does."""
        if model not in self._suggested:
            self._suggested[model] = self._alike(model.strip().lower())
        return self._suggested[model]

    def _alike(self, wanted: str) -> tuple[str, ...]:
        names = {name.lower(): id_ for id_ in self._cards for name in (id_, id_.rpartition("/")[2])}
        names |= {alias.lower(): id_ for alias, id_ in self._aliases.items()}
        if wanted in names:
            return (names[wanted],)
        near = [names[name] for name in difflib.get_close_matches(wanted, names, n=6, cutoff=0.6)]
        unique = list(dict.fromkeys(near))
        return tuple([id_ for id_ in unique if self._cards[id_].servable] or unique)[:3]

    def with_overrides(self, overrides: str | Path | Mapping[str, Any]) -> Catalog:
        """Return a catalog with facts of your own.

        Args:
            overrides: a TOML file in the form of the bundled ``models.toml`` (or the same as a mapping). A
                ``[[model]]`` with a known id changes the fields it names and keeps the others; a new id must state
                ``name``, ``family``, ``status``, ``checked`` and ``source``.

        Raises:
            ConfigurationError: the file cannot be read, or a field is unknown or of the wrong kind.
        """
        origin = "overrides"
        if not isinstance(overrides, Mapping):
            origin = str(overrides)
            try:
                overrides = _parse(Path(overrides).read_text("utf-8"), origin)
            except OSError as e:
                raise ConfigurationError(f"Cannot read the catalog file {origin}: {e.strerror}.") from e
            except UnicodeDecodeError as e:
                raise ConfigurationError(f"The catalog file {origin} is not UTF-8.") from e
        cards = dict(self._cards)
        unknown = set(overrides) - {"model", "version"}
        if unknown:
            raise ConfigurationError(f"{origin}: there is no table {min(unknown)!r}.", hint="Models are [[model]].")
        rows = overrides.get("model", ())
        for row in rows if isinstance(rows, list | tuple) else (rows,):
            if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
                raise ConfigurationError(f"{origin}: every [[model]] needs an id.")
            id_ = row["id"]
            known = cards[id_].model_dump() if id_ in cards else {}
            try:
                cards[id_] = ModelCard.model_validate(_merged(known, row))
            except ValidationError as e:
                problem = e.errors()[0]
                where = ".".join(map(str, problem["loc"])) or "model"
                raise ConfigurationError(f"{origin}: {id_}: {where}: {problem['msg']}.") from e
        return Catalog(cards.values(), version=str(overrides.get("version", self.version)))


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)  # a price of 0.03 is exactly that
    except tomllib.TOMLDecodeError as e:
        raise ConfigurationError(f"{origin} is not valid TOML: {e}.") from e
    return parsed


def _merged(known: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``known`` with the fields of ``row``; tables (price, reasoning) are merged field by field."""
    return {
        **known,
        **{
            k: {**known[k], **v} if isinstance(v, dict) and isinstance(known.get(k), dict) else v
            for k, v in row.items()
        },
    }
