"""The page that ``usage --html`` writes: one file that loads nothing."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from wandb_inference import ConfigurationError, Ledger, __version__
from wandb_inference.accounting import quantile
from wandb_inference.cli.usage import HEADS, tables

try:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
except ImportError as e:
    raise ConfigurationError("--html needs matplotlib: pip install 'wandb-inference[plot]'.") from e

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 82rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 2rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 0 0 2rem; } img { max-width: 100%; } .wide { overflow-x: auto; }
"""
_SAFETY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_BLUE, _ORANGE = "#1f77b4", "#ff7f0e"


def page(ledger: Ledger, *, top: int) -> str:
    """Return the page."""
    total = ledger.total
    told = f"{total.calls:,} calls, {total.cost:f} USD, {sum(total.errors.values()):,} without a whole answer"
    parts = [f"<h1>Usage</h1><p>{escape(told)}.</p>"]
    for title, figure in _figures(ledger, top):
        parts.append(f'<figure><img alt="{escape(title)}" src="data:image/svg+xml;base64,{_svg(figure)}"></figure>')
    heads = "".join(f"<th>{escape(head)}</th>" for head in HEADS)
    for title, rows in tables(ledger, top):
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        parts.append(f'<h2>{escape(title)}</h2><div class="wide">{table}</div>')
    errors = "".join(f"<li>{count:,} &times; {escape(kind)}</li>" for kind, count in total.errors.most_common())
    parts.append(f"<h2>Errors</h2><ul>{errors}</ul>" if errors else "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Usage</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFETY}">'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}"
        f"<p>wandb-inference {__version__}</p></body></html>\n"
    )


def _figures(ledger: Ledger, top: int) -> Iterator[tuple[str, Any]]:
    moments, spent = _over_time(ledger)
    axes = _axes(title := "Cost over time", "UTC", "USD so far")
    axes.plot(moments, spent, color=_BLUE)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.figure.autofmt_xdate()
    yield title, axes.figure

    models = [(name, float(totals.cost)) for name, totals in list(ledger.by("model").items())[:top]]
    axes = _axes(title := "Cost by model", "USD", "", height=1.5 + 0.3 * len(models))
    axes.barh([name for name, _ in models], [cost for _, cost in models], color=_BLUE)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:g}")
    yield title, axes.figure

    times = (("whole answer", ledger.total.latencies, _BLUE), ("first token", ledger.total.first_events, _ORANGE))
    axes = _axes(title := "Latency", "seconds", "calls")
    longest = max((*ledger.total.latencies, *ledger.total.first_events, 0.001))
    shortest = max(min((*ledger.total.latencies, *ledger.total.first_events, longest)), longest / 1e5)
    bins = [shortest * (longest / shortest) ** (step / 40) for step in range(41)] if shortest < longest else 10
    axes.set_xscale("log")  # a few answers take a hundred times as long as the others
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    for name, seconds, colour in times:
        if seconds:
            axes.hist(seconds, bins=bins, color=colour, alpha=0.6, label=name)
            for percent, line in ((50, "--"), (95, ":")):
                at = quantile(seconds, percent)
                axes.axvline(at, color=colour, linestyle=line, label=f"{name} p{percent}: {at:.3f} s")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    yield title, axes.figure


def _over_time(ledger: Ledger) -> tuple[list[datetime], list[float]]:
    """Return the ends of minutes, and the USD spent until then; from nothing at the first one's beginning."""
    moments: list[datetime] = []
    spent: list[float] = []
    sum_ = Decimal(0)
    for minute, totals in ledger.by("minute").items():
        try:
            moment = datetime.fromisoformat(minute).replace(tzinfo=UTC)
            end = moment + timedelta(minutes=1)
        except (ValueError, OverflowError):  # a row without its time
            continue
        if not moments:
            moments, spent = [moment], [0.0]
        sum_ += totals.cost
        moments.append(end)
        spent.append(float(sum_))
    return moments, spent


def _axes(title: str, x: str, y: str, *, height: float = 3.5) -> Any:
    axes = Figure(figsize=(10, height), layout="constrained").subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _svg(figure: Figure) -> str:
    out = io.BytesIO()
    with rc_context({"svg.fonttype": "path", "text.parse_math": False}):  # ids of models may hold a dollar sign
        figure.savefig(out, format="svg", metadata={"Date": None})
    return b64encode(out.getvalue()).decode()
