"""``wandb-inference lint``: ids in code and configuration that are retired, or soon will be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from wandb_inference import Catalog, ConfigurationError
from wandb_inference.catalog import lint as stale_ids
from wandb_inference.cli.options import AsJson, say

_SKIPPED = {".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", "site-packages", ".mypy_cache", "dist"}
_LARGEST = 2_000_000  # bytes of a file; larger ones are data


def lint(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    *,
    within: Annotated[int, typer.Option(min=0, help="Days ahead that a retirement counts.")] = 30,
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to judge from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find retired or soon-retired model ids in files; ends with status 1 when there are some."""
    day = today.date() if today else date.today()  # noqa: DTZ011 (a day of the reader's calendar)
    catalog, rows = Catalog.bundled(), []
    for file in (file for path in paths for file in _files(path)):
        for found in stale_ids(_text(file), catalog, today=day, within=timedelta(days=within)):
            rows.append({"file": str(file), "line": found.line, "column": found.column, "model": found.model})
            rows[-1] |= {"replacement": found.replacement, "message": found.message}
            if not as_json:
                say(f"{file}:{found.line}:{found.column}: {found.message}")
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    if rows:
        raise typer.Exit(1)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED)
            yield from (file for name in sorted(names) if (file := Path(folder, name)).is_file())
    else:
        raise ConfigurationError(f"There is no file or folder {path}.")


def _text(file: Path) -> str:
    """Return a file's text; none of what is no text, too large, or not ours to read."""
    try:
        if file.stat().st_size > _LARGEST:
            return ""
        content = file.read_bytes()
    except OSError:
        return ""
    return "" if b"\0" in content else content.decode("utf-8", "replace")
