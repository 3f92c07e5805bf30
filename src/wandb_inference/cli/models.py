"""``wandb-inference models``: what the catalog knows, and whether it is still true."""

from __future__ import annotations

import difflib
import json
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from typer.core import TyperGroup

from wandb_inference import Catalog, ConfigurationError, ModelCard, refresh
from wandb_inference.catalog import MODELS_FEED, STAGES_FEED, Change
from wandb_inference.cli.options import (
    AsJson,
    Context,
    Grid,
    MaxInputPrice,
    MaxOutputPrice,
    Reasoning,
    Tools,
    Vision,
    able,
    console,
    say,
)


class _ListByDefault(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Sort(StrEnum):
    """By what a list is sorted."""

    id = "id"
    price = "price"
    context = "context"
    size = "size"


app = typer.Typer(cls=_ListByDefault, help="List the models of the catalog; `models list --help` shows the filters.")


@app.command("list")
def list_(
    words: Annotated[list[str] | None, typer.Argument(help="Show only ids that contain all of these.")] = None,
    *,
    vision: Vision = False,
    tools: Tools = False,
    reasoning: Reasoning = False,
    context: Context = 0,
    max_input_price: MaxInputPrice = None,
    max_output_price: MaxOutputPrice = None,
    sort: Annotated[Sort, typer.Option(help="price: a million tokens in and out.")] = Sort.id,
    everything: Annotated[bool, typer.Option("--all", help="Retired and unconfirmed models, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models of the catalog: context, abilities, prices."""
    catalog = Catalog.bundled()
    chosen = [
        card
        for card in able(
            catalog,
            vision=vision,
            tools=tools,
            reasoning=reasoning,
            context=context,
            max_input_price=max_input_price,
            max_output_price=max_output_price,
        )
        if (everything or card.status in ("active", "deprecated"))
        and all(word.lower() in card.id.lower() for word in words or ())
    ]
    if sort is not Sort.id:
        chosen.sort(key=lambda card: _sorted_by(card, sort))
    if not chosen and not as_json:
        meant = difflib.get_close_matches((words or [""])[0], ("list", "show", "compare", "refresh"), n=1)
        hint = f"Did you mean `models {meant[0]}`?" if meant else "--all shows retired ones, too."
        raise ConfigurationError("No model of the catalog is like that.", hint=hint)
    if as_json:
        typer.echo(json.dumps([_plain(card) for card in chosen], indent=2))
    else:
        console().print(_table(chosen, catalog.version, statuses=everything))


@app.command()
def show(model: Annotated[str, typer.Argument(help="Id or alias.")], *, as_json: AsJson = False) -> None:
    """Show all that is known of one model, with its sources and what others say."""
    card = Catalog.bundled().card(model)
    if as_json:
        typer.echo(json.dumps(card.model_dump(mode="json"), indent=2))
        return
    table = Grid(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _facts(card).items():
        table.add_row(name, value)
    for conflict in card.conflict:
        lost = "; ".join(f"{value.value} ({', '.join(value.sources)})" for value in conflict.lost)
        table.add_row(f"not {conflict.field}", f"{lost}: {conflict.reason}")
    console().print(table, markup=False)


@app.command()
def compare(models: Annotated[list[str], typer.Argument(help="Ids or aliases.")], *, as_json: AsJson = False) -> None:
    """Show models side by side."""
    catalog = Catalog.bundled()
    cards = [catalog.card(name) for name in models]
    if as_json:
        typer.echo(json.dumps([_plain(card) for card in cards], indent=2))
        return
    table = Grid(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for card in cards:
        table.add_column(card.id, overflow="fold")
    facts = [_facts(card) for card in cards]
    for name in dict.fromkeys(name for known in facts for name in known):
        if name != "id":
            table.add_row(name, *(known.get(name, "") for known in facts))
    console().print(table, markup=False)


@app.command("refresh")
def refresh_(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Keep no copy.")] = False,
    feeds: Annotated[tuple[str, str], typer.Option(metavar="URL URL", help="Other addresses of the two feeds.")] = (
        MODELS_FEED,
        STAGES_FEED,
    ),
    as_json: AsJson = False,
) -> None:
    """Read the service's public feeds, and say what is not as the catalog has it; needs no key.

    `wandb_inference.refresh()` returns the catalog with these changes, offline from the copy that this keeps.
    """
    found = refresh(feeds=feeds, keep=not dry_run)
    told = {
        "added": list(found.added),
        "removed": list(found.removed),
        "changed": [_change(change) for change in found.changed],
        "refused": [_change(change) for change in found.refused],
        "problems": list(found.problems),
    }
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        raise typer.Exit(1 if found.problems and not found.is_news else 0)
    for model in found.added:
        say(f"+ {model}")
    for model in found.removed:
        say(f"- {model}")
    for change in found.changed:
        say(f"  {change}")
    for change in found.refused:
        say(f"! {change}: not believed")
    for problem in found.problems:
        say(f"! {problem}", err=True)
    if not found.is_news and not found.refused:
        say("Nothing is new." if not found.problems else "The catalog stays as it is.")
    if found.problems and not found.is_news:
        raise typer.Exit(1)


def _change(change: Change) -> dict[str, str]:
    return {"model": change.model, "field": change.field, "before": str(change.before), "after": str(change.after)}


def _plain(card: ModelCard) -> dict[str, Any]:
    return card.model_dump(mode="json", exclude={"conflict"})


def _sorted_by(card: ModelCard, sort: Sort) -> tuple[Any, ...]:
    cost = card.price.input + card.price.output if card.price else Decimal(10**9)
    keys = {Sort.price: cost, Sort.context: -(card.context_window or 0), Sort.size: -(card.total_params_b or 0)}
    return keys[sort], card.id


def _facts(card: ModelCard) -> dict[str, str]:
    """Return what is known of a model, in words; what is not known is "?"."""

    def told(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "?" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    efforts = f", efforts {', '.join(card.reasoning.efforts)}" if card.reasoning.efforts else ""
    price = card.price
    facts = {
        "id": card.id,
        "name": card.name,
        "aliases": ", ".join(card.aliases),
        "status": card.status + (f", replaced by {card.replacement}" if card.replacement else ""),
        "retired on": told(card.retired_on) if card.retired_on else "",
        "context window": told(card.context_window),
        "output limit": told(card.output_limit),
        "reads": ", ".join(card.input),
        "tools": told(card.tools),
        "JSON schema": told(card.structured_output),
        "reasoning": (_reasoning(card) or "no") + efforts,
        "input": f"{price.input if price else '?'} USD per million tokens",
        "cached input": told(price.cached_input if price else None),
        "output": told(price.output if price else None),
        "parameters": f"{told(card.total_params_b)} billion, {told(card.active_params_b)} active",
        "released": told(card.released),
        "notes": " ".join(card.notes),
        "checked": f"{card.checked}, {card.source}",
    }
    return {name: value for name, value in facts.items() if value}


def _table(cards: list[ModelCard], version: str, *, statuses: bool) -> Grid:
    table = Grid(
        caption=f"{len(cards)} models; catalog of {version}; prices in USD per million tokens",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    for name in ("model", "context", "sees", "tools", "reasons", "input", "cached", "output"):
        # An id is to be copied: it wraps where a terminal is narrow, and is never cut.
        right = name in ("context", "input", "cached", "output")
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    if statuses:
        table.add_column("status")
    for card in cards:
        cost = card.price
        row = [
            card.id,
            f"{card.context_window // 1000}k" if card.context_window else "?",
            "✓" if card.accepts("image") else "",
            {True: "✓", False: "", None: "?"}[card.tools],
            _reasoning(card),
            *(
                f"{x}" if x is not None else "?"
                for x in (cost and cost.input, cost and cost.cached_input, cost and cost.output)
            ),
        ]
        if statuses:
            row.append(card.status + (f" → {card.replacement}" if card.replacement else ""))
        table.add_row(*row)
    return table


def _reasoning(card: ModelCard) -> str:
    known = card.reasoning
    return {"none": "", "always": "always", "switchable": known.default or "on/off", None: "?"}[known.mode]
