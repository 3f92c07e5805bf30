"""``wandb-inference route``: which model would take a call, and what a log of calls would have cost elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from rich.box import SIMPLE_HEAD

from wandb_inference import Catalog, ChatRequest, ConfigurationError, Entry, Plan, Policy
from wandb_inference.cli.options import AsJson, Grid, MaxCost, MaxOutputPrice, console, say
from wandb_inference.routing import AUTO, Outcome, plan, read_log, resolve, simulate

Order = Literal["cheapest", "fastest", "balanced"]

app = typer.Typer(no_args_is_help=True, help="Choose models, without asking any.")


@app.command()
def explain(
    file: Annotated[str, typer.Argument(help="A body of /chat/completions as JSON; - reads it from standard input.")],
    *,
    models: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Instead of the body's: auto:cheapest, an id, or a,b,c.")
    ] = None,
    max_cost: MaxCost = None,
    max_output_price: MaxOutputPrice = None,
    fit: Annotated[bool, typer.Option("--fit", help="Lower max_tokens until --max-cost holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which model would take a call, what it may cost at each, and why the others would not; nothing is sent."""
    text = sys.stdin.read() if file == "-" else _text(Path(file))
    named, catalog = _split(models), Catalog.bundled()
    try:
        body = json.loads(text)
        if not isinstance(body, dict):
            raise ValueError("it is no object")  # noqa: TRY004, TRY301 (JSON's types; one answer for all of them)
        request = ChatRequest.from_body({"model": "auto", **body, **({"model": named[0]} if named else {})})
    except (ValueError, RecursionError) as e:
        where = "Standard input" if file == "-" else file
        raise ConfigurationError(f"{where} is no body of a call: {e}.", hint='{"messages": [{"role": …}], …}') from e
    policy = Policy(max_cost=max_cost, max_output_price=max_output_price, fit=fit)
    if len(named) > 1:
        request, policy = replace(request, model="auto"), replace(policy, models=named)
    resolved, policy = resolve(request, policy)
    for entry in policy.listed or ([Entry(resolved.model)] if resolved.model != AUTO else []):
        catalog.card(entry.model)  # or says which ids look alike
    made = plan(resolved, catalog, policy)
    if as_json:
        typer.echo(json.dumps({**made.to_dict(), "requested": request.model}, indent=2))
    else:
        console().print(_plan_table(made), markup=False)
        for note in made.notes:
            say(f"({note})")
    if not made.order:
        raise typer.Exit(1)


@app.command("simulate")
def simulate_(
    log: Annotated[Path, typer.Argument(help="Recorded calls, a JSON object a line; - for standard input.")],
    *,
    models: Annotated[list[str] | None, typer.Option("--model", "--models", "-m", help="a,b or repeated.")] = None,
    policies: Annotated[list[str] | None, typer.Option("--policy", "-p", help="cheapest, fastest, balanced.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw cost against share into this .svg or .png.")] = None,
    as_json: AsJson = False,
) -> None:
    """Price recorded calls on other models: the same tokens, and the calls that those models could not take."""
    chosen = _split(policies)
    if unknown := [name for name in chosen if name not in get_args(Order)]:
        raise ConfigurationError(f"There is no policy {unknown[0]!r}.", hint=f"{', '.join(get_args(Order))}.")
    if plot is not None and (plot.suffix not in (".svg", ".png") or not plot.parent.is_dir()):
        raise ConfigurationError(f"{plot} is no .svg and no .png in a folder that exists.")
    calls = list(read_log((sys.stdin.read() if str(log) == "-" else _text(log)).split("\n")))
    if not calls:
        raise ConfigurationError(f"{log} has no calls.")
    named = {name: Policy(order=name) for name in chosen}  # type: ignore[arg-type]  # checked above
    outcomes = simulate(calls, Catalog.bundled(), models=_split(models), policies=named)
    if as_json:
        typer.echo(json.dumps([_plain(outcome) for outcome in outcomes], indent=2))
    else:
        console().print(_outcome_table(outcomes), markup=False)
    if plot is not None:
        _draw(outcomes, plot)
        say(f"drawn: {plot}", err=True)


def _split(words: Sequence[str] | None) -> list[str]:
    return [name.strip() for word in words or () for name in word.split(",") if name.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"Cannot read {path}: {getattr(e, 'strerror', None) or e}.") from e


def _plan_table(made: Plan) -> Grid:
    title = f"{made.requested}, {made.policy}: {made.chosen or 'no model may take this call'}"
    table = Grid(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "model", "expected", "worst", "why not"):
        table.add_column(name, justify="right" if name in ("", "expected", "worst") else "left", overflow="fold")
    places = {id(candidate): place for place, candidate in enumerate(made.order, 1)}
    for candidate in sorted(made.candidates, key=lambda c: (places.get(id(c), len(places) + 1), c.model)):
        lowered = f"max_tokens={candidate.lowered:,}" if candidate.lowered is not None else ""
        why = "; ".join(f"{rejection.code}: {rejection.message}" for rejection in candidate.rejected) or lowered
        cost = (_usd(candidate.cost.expected), _usd(candidate.cost.worst))
        table.add_row(str(places.get(id(candidate), "")), candidate.model, *cost, why)
    return table


def _outcome_table(outcomes: Sequence[Outcome]) -> Grid:
    table = Grid(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "USD", "calls", "share", "refused", "models"):
        table.add_column(name, justify="right" if name in ("USD", "calls", "share") else "left", overflow="fold")
    for outcome in outcomes:
        refused = ", ".join(f"{count} {code}" for code, count in outcome.refused.items())
        cost = _usd(outcome.cost) + (f" + {outcome.unpriced} unpriced" if outcome.unpriced else "")
        models = ", ".join(f"{count} {model}" for model, count in outcome.models.items())
        table.add_row(outcome.name, cost, str(outcome.calls), f"{outcome.share:.0%}", refused, models)
    return table


def _plain(outcome: Outcome) -> dict[str, Any]:
    names = ("name", "calls", "refused", "unpriced", "models", "share")
    return {"cost_usd": f"{outcome.cost:f}", **{name: getattr(outcome, name) for name in names}}


def _usd(amount: Decimal | None) -> str:
    return "?" if amount is None else f"{amount:.6f}"


def _draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw what each came to in USD against the share of the calls that it could take."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (an extra of its own, and slow)
    except ImportError as e:
        raise ConfigurationError("--plot needs matplotlib: pip install 'wandb-inference[plot]'.") from e
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        axes.scatter(float(outcome.cost), outcome.share * 100)
        axes.annotate(
            outcome.name, (float(outcome.cost), outcome.share * 100), xytext=(4, 4), textcoords="offset points"
        )
    axes.set(xlabel="USD", ylabel="calls it could take (%)", ylim=(-5, 110), title="Cost against share")
    figure.savefig(path)
