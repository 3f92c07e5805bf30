"""``wandb-inference usage``: what recorded calls came to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD

from wandb_inference import ConfigurationError, Ledger, Totals
from wandb_inference.accounting import By, quantile
from wandb_inference.cli.options import AsJson, Grid, console, say

HEADS = (
    *("", "calls", "errors", "prompt", "cached", "completion", "reasoning", "USD"),
    *("latency p50", "p95", "first token p50", "p95"),
)


def usage(
    files: Annotated[list[Path], typer.Argument(help="Files of records, from Ledger(path) or autolog.")],
    *,
    html: Annotated[Path | None, typer.Option(help="Write one page with tables and plots.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of a table.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show calls, tokens, cost, times and errors, by model, tag and session."""
    ledger = Ledger.read(*files)
    if not ledger.total.calls:
        raise ConfigurationError(f"{', '.join(map(str, files))}: no calls.")
    if html is not None:
        from wandb_inference.cli.usage_page import page  # noqa: PLC0415 (needs an extra)

        try:
            html.write_text(page(ledger, top=top), "utf-8")
        except OSError as e:
            raise ConfigurationError(f"Cannot write {html}: {e.strerror}.") from e
        say(f"written: {html}", err=True)
    if as_json:
        typer.echo(json.dumps(ledger.to_dict(), indent=2))
    elif html is None:
        for title, rows in tables(ledger, top):
            table = Grid(*HEADS[:1], box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
            for head in HEADS[1:]:
                table.add_column(head, justify="right")
            for row in rows:
                table.add_row(*row)
            console().print(table, markup=False)
        for kind, count in ledger.total.errors.most_common():
            say(f"{count} x {kind}")


def tables(ledger: Ledger, top: int) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield a title and rows for each way to group calls that says something."""
    groupings: tuple[tuple[str, By], ...] = (("Models", "model"), ("Tags", "tag"), ("Sessions", "session"))
    for title, what in groupings:
        groups = ledger.by(what)
        if set(groups) <= {""} and what != "model":
            continue
        yield title, list(_rows(groups, ledger.total if what == "model" else None, top))


def _rows(groups: Mapping[str, Totals], total: Totals | None, top: int) -> Iterator[list[str]]:
    for name, totals in list(groups.items())[:top]:
        yield _row(name or "(none)", totals)
    if len(groups) > top:
        yield [f"({len(groups) - top} more: --top)"] + [""] * (len(HEADS) - 1)
    if total is not None and len(groups) > 1:
        yield _row("all", total)


def _row(name: str, totals: Totals) -> list[str]:
    counts = (totals.prompt_tokens, totals.cached_tokens, totals.completion_tokens, totals.reasoning_tokens)
    times = [quantile(times, percent) for times in (totals.latencies, totals.first_events) for percent in (50, 95)]
    return [
        name,
        f"{totals.calls:,}",
        f"{sum(totals.errors.values()):,}",
        *(f"{count:,}" for count in counts),
        f"{totals.cost:.6f}" + (f" + {totals.unpriced} unpriced" if totals.unpriced else ""),
        *("" if seconds is None else f"{seconds:.3f} s" for seconds in times),
    ]
