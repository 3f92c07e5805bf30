"""Options that several commands share, and the models they choose."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from wandb_inference import ModelCard

_UNITS = {"k": 1_000, "m": 1_000_000}


def _tokens(text: Any) -> int:
    """Return 200000 for ``200k``."""
    written = str(text).strip().lower().replace("_", "").replace(",", "")
    unit = _UNITS.get(written[-1:], 1)
    number = written[:-1] if unit > 1 else written
    if not (number.isascii() and number.isdigit()):
        raise typer.BadParameter(f"{text!r} is no number of tokens, such as 200000, 200k or 1m.")
    return int(number) * unit


def _usd(text: Any) -> Decimal:
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"{text!r} is no amount of USD.")
    return amount


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Vision = Annotated[bool, typer.Option("--vision", help="Only models that see pictures.")]
Tools = Annotated[bool, typer.Option("--tools", help="Only models that call tools.")]
Reasoning = Annotated[bool, typer.Option("--reasoning", help="Only models that can reason.")]
Context = Annotated[int, typer.Option(parser=_tokens, metavar="TOKENS", help="At least this much context: 200k.")]
MaxInputPrice = Annotated[
    Decimal | None, typer.Option(parser=_usd, metavar="USD", help="A million input tokens cost no more.")
]
MaxOutputPrice = Annotated[
    Decimal | None, typer.Option(parser=_usd, metavar="USD", help="A million output tokens cost no more.")
]
MaxCost = Annotated[Decimal | None, typer.Option(parser=_usd, metavar="USD", help="What the call may cost at worst.")]


def able(
    cards: Iterable[ModelCard],
    *,
    vision: bool = False,
    tools: bool = False,
    reasoning: bool = False,
    context: int = 0,
    max_input_price: Decimal | None = None,
    max_output_price: Decimal | None = None,
) -> Iterator[ModelCard]:
    """Yield the cards that have all this; what is not known is not there."""
    for card in cards:
        if (
            (not vision or card.accepts("image"))
            and (not tools or card.tools is True)
            and (not reasoning or card.reasoning.mode in ("always", "switchable"))
            and (card.context_window or 0) >= context
            and _no_dearer(card.price.input if card.price else None, max_input_price)
            and _no_dearer(card.price.output if card.price else None, max_output_price)
        ):
            yield card


def _no_dearer(price: Decimal | None, ceiling: Decimal | None) -> bool:
    return ceiling is None or (price is not None and price <= ceiling)


def clean(text: str) -> str:
    """Return a text that steers no terminal: names of models, tags and sessions come from files and feeds."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    typer.echo(clean(text), err=err)


class Grid(Table):
    """A table whose texts steer no terminal."""

    def add_row(self, *cells: Any, **kwargs: Any) -> None:
        """Add a row."""
        super().add_row(*(clean(cell) if isinstance(cell, str) else cell for cell in cells), **kwargs)


def console() -> Console:
    """Return where tables go: through a pipe a row is a line, however long, because ids are there to be found."""
    return Console(width=None if sys.stdout.isatty() else 160)
