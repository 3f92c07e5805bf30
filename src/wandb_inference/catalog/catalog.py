"""Find a model's card by id or alias, and help when there is none."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
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
            overrides = _parse(_text_of(origin), origin)
        cards = dict(self._cards)
        unknown = sorted(map(str, set(overrides) - {"model", "version"}))
        if unknown:
            raise ConfigurationError(f"{origin}: there is no table {unknown[0]!r}.", hint="Models are [[model]].")
        rows, given = overrides.get("model", ()), set[str]()
        for row in rows if isinstance(rows, list | tuple) else (rows,):
            if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
                raise ConfigurationError(f"{origin}: every [[model]] needs an id.")
            id_ = row["id"]
            _check_name(id_, origin)
            if id_ in given:
                raise ConfigurationError(f"{origin}: {id_} is there twice.", hint="Join its fields in one [[model]].")
            given.add(id_)
            known = cards[id_].model_dump() if id_ in cards else {}
            try:
                cards[id_] = ModelCard.model_validate(_merged(known, row))
            except ValidationError as e:
                problem = e.errors()[0]
                where = ".".join(map(str, problem["loc"])) or "model"
                raise ConfigurationError(f"{origin}: {id_}: {where}: {problem['msg']}.") from e
        _check_aliases(cards.values(), given, origin)
        return Catalog(cards.values(), version=str(overrides.get("version", self.version)))


_LONGEST_FILE = 1_000_000  # bytes; the bundled catalog has a tenth of it
_LONGEST_LINE = 4_000  # characters
_RESERVED = "auto"  # what asks for a model to be chosen


def _text_of(path: str) -> str:
    """Return a catalog file's text. Raises ``ConfigurationError``: it cannot be read, or is none."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as e:  # ValueError: a path with a NUL
        why = e.strerror if isinstance(e, OSError) else e
        shown = path if path.isprintable() else repr(path)
        raise ConfigurationError(f"Cannot read the catalog file {shown}: {why}.") from e
    if len(content) > _LONGEST_FILE:
        raise ConfigurationError(f"The catalog file {path} has more than {_LONGEST_FILE:,} bytes.", hint="Is it one?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ConfigurationError(f"The catalog file {path} is not UTF-8.") from e


def _check_aliases(cards: Iterable[ModelCard], given: Collection[str], origin: str) -> None:
    """Refuse names of the cards that are given which other cards have, too."""
    owners: dict[str, str] = {}
    for name, id_ in [(name, card.id) for card in cards for name in (card.id, *card.aliases)]:
        owner = owners.setdefault(name, id_)
        if owner != id_ and (owner in given or id_ in given):
            raise ConfigurationError(f"{origin}: {name!r} would name {owner} and {id_}.", hint="Choose another alias.")
        if id_ in given and name != id_:
            _check_name(name, origin)


def _check_name(name: str, origin: str) -> None:
    """Refuse an id or an alias that no request could name, or that means something else."""
    if not name or not name.isprintable() or " " in name:
        raise ConfigurationError(f"{origin}: {name!r} is no id.", hint="Printable characters, without blanks.")
    if name.partition(":")[0].lower() == _RESERVED:
        raise ConfigurationError(f"{origin}: {name!r} asks for a model to be chosen.", hint="Choose another name.")


def _parse(text: str, origin: str) -> dict[str, Any]:
    longest = max(map(len, text.splitlines()), default=0)
    if longest > _LONGEST_LINE:  # tomllib takes the square of a dotted key's length, in time and in memory
        raise ConfigurationError(f"{origin} has a line of {longest:,} characters.", hint=f"{_LONGEST_LINE:,} at most.")
    try:
        parsed: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)  # a price of 0.03 is exactly that
    except (ValueError, RecursionError, ArithmeticError) as e:  # also of numbers that Python does not read
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
