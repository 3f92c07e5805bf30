"""What came of the recipes, and the table that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from checks import ROWS, Problems

Status: TypeAlias = Literal["ok", "lost", "fault"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a row."""

    status: Status
    detail: str = ""
    """Why it is not ``ok``."""


@dataclass(frozen=True, slots=True)
class Version:
    """What was installed of a distribution."""

    installed: str | None = None
    """``None``: nothing."""
    newest: str | None = None
    """What the registry has for this Python; ``None``: not known."""
    reason: str = ""
    """Why that is not the one installed; empty when it is."""

    def __str__(self) -> str:
        is_older = self.installed and self.newest and self.newest != self.installed
        return f"{self.installed} (not {self.newest})" if is_older else self.installed or "none"


@dataclass(slots=True)
class Result:
    """What came of a recipe."""

    framework: str
    door: str
    versions: dict[str, Version]
    """By distribution: the framework's first, then those it comes with, then the one behind the door."""
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def has_fault(self) -> bool:
        """Return whether a row is a fault."""
        return any(row.status == "fault" for row in self.rows.values())


def judged(problems: Problems, lost: Mapping[str, str]) -> Row:
    """Return what a row with these problems is, given the parts that its recipe declares lost, with their causes."""
    if not problems:
        return Row("ok")
    if all(part in lost for part in problems):
        return Row("lost", "; ".join(f"{part}: {lost[part]}" for part in problems))
    return Row("fault", "; ".join(f"{part}: {problem}" for part, problem in problems.items()))


def table(results: Sequence[Result]) -> str:
    """Return a table with a line for each recipe, and below it whatever does not fit in one."""
    head = ["framework", "version", "door", "through", *ROWS]
    cells = [head, ["-" * len(name) for name in head], *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*(f"| {line} |" for line in lines), "", *(note for result in results for note in _notes(result))])


def _cells(result: Result) -> list[str]:
    (_, version), *_, (host, behind) = result.versions.items()
    statuses = [result.rows[name].status for name in ROWS]
    return [result.framework, str(version), result.door, f"{host} {behind}", *statuses]


def _notes(result: Result) -> list[str]:
    with_ = [f"{name} {version}" for name, version in list(result.versions.items())[1:-1]]
    details: dict[tuple[str, str], list[str]] = {}
    for name, row in result.rows.items():
        if row.status != "ok":
            details.setdefault((row.status, row.detail), []).append(name)
    return [
        *([f"{result.framework}: with {', '.join(with_)}"] if with_ else []),
        *(
            f"{result.framework}: {name} is not {version.newest}: {version.reason}"
            for name, version in result.versions.items()
            if version.reason
        ),
        *(f"{result.framework}: {', '.join(rows)} {status}: {detail}" for (status, detail), rows in details.items()),
    ]
