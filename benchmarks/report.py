"""What was measured, as tables and as a picture."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TypeAlias

from benchmarks.adapters import ADAPTERS, RIVALS
from benchmarks.scenarios import SCENARIOS

Results: TypeAlias = dict[str, dict[str, list[list[float]]]]
"""Scenario, adapter, round: microseconds of CPU and wall time, MB of memory, percent of the server's core."""


def medians(rows: dict[str, list[list[float]]]) -> dict[str, list[float]]:
    return {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in rows.items()}


def ratio(rows: dict[str, list[list[float]]], adapter: str, column: int = 0) -> float | None:
    """Return an adapter's median over its rival's; ``None`` if one of them was not measured."""
    rival = RIVALS[ADAPTERS[adapter].family]
    if adapter not in rows or rival not in rows:
        return None
    return medians({adapter: rows[adapter]})[adapter][column] / medians({rival: rows[rival]})[rival][column]


def table(scenario: str, rows: dict[str, list[list[float]]]) -> str:
    about, unit = SCENARIOS[scenario].about, SCENARIOS[scenario].unit
    lines = [f"\n{scenario}: {about}; microseconds a {unit}, median of {len(next(iter(rows.values())))}"]
    lines += [f"{'adapter':22}{'CPU':>12}{'wall':>12}{'peak MB':>9}{'server':>8}{'/ rival':>9}"]
    for adapter, (cpu, wall, peak, load) in sorted(medians(rows).items(), key=lambda row: row[1]):
        over = ratio(rows, adapter)
        shown = f"{over:9.3f}" if over is not None else ""
        lines += [f"{adapter:22}{cpu:12,.1f}{wall:12,.1f}{peak:9.0f}{load:7.0f}%{shown}"]
    return "\n".join(lines)


GOALS = [
    # what, scenario, column, (adapter, goal) ...
    ("`invoke`", "invoke", 0, ("ours", 0.35), ("ours, fast", 0.2)),
    ("`ainvoke`, 100 in flight", "ainvoke", 0, ("ours", 0.5), ("ours, fast", 0.2)),
    ("`stream`, a delta of 2,000", "stream", 0, ("ours", 0.12), ("ours, fast", 0.06)),
    ("the same, one chunk a delta", "stream", 0, ("ours, single", 0.2), ("ours, fast, single", 0.1)),
    ("tool arguments, added up", "tools", 0, ("ours", 0.1), ("ours, fast", 0.1)),
    ("v3 events", "v3", 0, ("ours", 0.15), ("ours, fast", 0.1)),
    ("200 streams at a time", "streams", 0, ("ours", 0.45), ("ours, fast", 0.25)),
    ("a prompt of 1 MB", "prompt", 0, ("ours", 0.02), ("ours, fast", 0.02)),
    ("`batch` of 256", "batch", 0, ("ours", 0.4), ("ours, fast", 0.2)),
    ("cold start", "cold", 0, ("ours", 0.65), ("ours, fast", 0.6)),
    ("peak memory of `stream`", "stream", 2, ("ours", 0.75), ("ours, fast", 0.75)),
    ("LiteLLM `completion`", "invoke", 0, ("litellm ours", 0.65), ("litellm ours, fast", 0.65)),
    ("LiteLLM stream, a delta", "stream", 0, ("litellm ours", 0.5), ("litellm ours, fast", 0.5)),
]


def needed(scenario: str) -> set[str]:
    """Return who is in the table of goals for a scenario, with their rivals and the floor."""
    named = {adapter for _, of, _, *those in GOALS if of == scenario for adapter, _ in those}
    return named | {RIVALS[ADAPTERS[name].family] for name in named} | ({"floor"} if named else set())


def goals(results: Results) -> str:
    """Return the goals and what came of them, as a table in Markdown."""
    lines = ["\n| CPU, ours over the rival's | httpx | goal | `[fast]` | goal |", "|---|---|---|---|---|"]
    for what, scenario, column, *contestants in GOALS:
        found = [(ratio(results.get(scenario, {}), adapter, column), goal) for adapter, goal in contestants]
        cells = [
            f"{'**' if got <= goal else ''}{got:.2g}{'**' if got <= goal else ''} | {goal}"
            for got, goal in found
            if got
        ]
        if len(cells) == len(contestants):
            lines += [f"| {what} | {' | '.join(cells)} |"]
    return "\n".join(lines)


COLOURS = {
    "floor": "#bbbbbb",
    "ours, fast": "#0b7285",
    "ours": "#66c2d1",
    "ChatGroq": "#f0a35e",
    "ChatLiteLLM": "#d96f5d",
}


def chart(results: Results, path: Path) -> None:
    """Draw what each adapter's CPU is of ChatOpenAI's."""
    import matplotlib as mpl  # noqa: PLC0415 (workers import this module, too)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    shown = [
        name
        for name in ("invoke", "ainvoke", "batch", "prompt", "stream", "tools", "v3", "streams", "cold")
        if name in results
    ]
    figure, axes = plt.subplots(figsize=(9, 0.75 * len(shown) + 1.2), layout="constrained")
    height = 0.8 / len(COLOURS)
    for place, (adapter, colour) in enumerate(COLOURS.items()):
        for line, scenario in enumerate(shown):
            got = ratio(results[scenario], adapter)
            if got is None:
                continue
            y = line + (place - (len(COLOURS) - 1) / 2) * height
            axes.barh(y, got, height, color=colour, label=adapter if line == 0 else None)
            axes.text(got * 1.03, y, f"{got:.2g}", va="center", fontsize=6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [SCENARIOS[name].about for name in shown])
    axes.invert_yaxis()
    axes.set_xlabel("CPU time over ChatOpenAI's (1), in the same run; logarithmic")
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(COLOURS), frameon=False)
    figure.savefig(path)
