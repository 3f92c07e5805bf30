"""Read what the service publishes about its models, and keep a copy of it for when it cannot be read."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from wandb_inference._exchange import HttpRequest, Timeouts
from wandb_inference._transport import HttpxTransport
from wandb_inference.catalog import MODELS_FEED, STAGES_FEED, Catalog, Refreshed, refreshed
from wandb_inference.client import Client
from wandb_inference.errors import ConfigurationError, InferenceError, Reply
from wandb_inference.settings import cache_folder

_CACHED = "catalog.json"


def refresh(
    catalog: Catalog | None = None,
    *,
    feeds: tuple[str, str] = (MODELS_FEED, STAGES_FEED),
    client: Client | None = None,
    max_age: timedelta | None = None,
    keep: bool = True,
    cache: Path | None = None,
    today: date | None = None,
) -> Refreshed:
    """Return the catalog as the service's public feeds have it now; without them, as they had it last.

    Never raises for what the network or the feeds do: then the last good copy, or the given catalog, comes back, and
    ``problems`` says why. Needs no key; with a ``client``, the ids that its key may use are held against the feeds.

    Args:
        catalog: what is known so far; the bundled one when ``None``.
        feeds: the addresses of both feeds.
        client: whose ``models()`` to ask, too.
        max_age: do not read the feeds again while the copy on disk is younger.
        keep: write a copy to disk.
        cache: its folder; else ``$XDG_CACHE_HOME/wandb-inference``, else ``~/.cache/wandb-inference``.
        today: the day to date the facts with.

    >>> refresh(feeds=("http://127.0.0.1:9/models", "http://127.0.0.1:9/stages"), keep=False).is_news
    False
    """
    catalog = Catalog.bundled() if catalog is None else catalog
    today = date.today() if today is None else today  # noqa: DTZ011 (a day of the reader's calendar)
    copy = (cache_folder() if cache is None else cache) / _CACHED
    kept = _read(copy)
    if kept is not None and max_age is not None and today - kept["date"] <= max_age:
        return refreshed(catalog, kept["models"], stages=kept["stages"], today=kept["date"])
    problems: list[str] = []
    models = stages = served = None
    try:
        models, stages = (_get(url) for url in feeds)
        served = [model.id for model in client.models()] if client is not None else None
    except InferenceError as e:
        problems.append(str(e))
    try:
        if models is not None:
            found = refreshed(catalog, models, stages=stages, served=served, today=today)
            if keep:
                problems += _write(copy, {"date": today.isoformat(), "models": models, "stages": stages})
            return Refreshed(**{**_fields(found), "problems": (*problems, *found.problems)})
    except ConfigurationError as e:
        problems.append(str(e))
    if kept is not None:
        found = refreshed(catalog, kept["models"], stages=kept["stages"], today=kept["date"])
        return Refreshed(**{**_fields(found), "problems": (*problems, f"using the copy of {kept['date']}")})
    return Refreshed(catalog=catalog, problems=tuple(problems))


def _fields(found: Refreshed) -> dict[str, Any]:
    names = ("catalog", "added", "removed", "changed", "refused", "problems")
    return {name: getattr(found, name) for name in names}


def _get(url: str) -> Any:
    timeouts = Timeouts(connect=5, read=20)
    reply = HttpxTransport().send(HttpRequest("GET", url, {"accept": "application/json"}, timeouts=timeouts))
    if not isinstance(reply, Reply) or reply.status_code != 200:  # noqa: PLR2004 (HTTP)
        raise ConfigurationError(f"{url} cannot be read.")
    try:
        return reply.json()
    except ValueError as e:
        raise ConfigurationError(f"{url} is no JSON.") from e


def _read(copy: Path) -> dict[str, Any] | None:
    """Return the copy on disk, unless there is none that can be read."""
    try:
        kept = json.loads(copy.read_text("utf-8"))
        return {**kept, "date": date.fromisoformat(kept["date"])} if {"models", "stages"} <= set(kept) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(copy: Path, content: dict[str, Any]) -> list[str]:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        fresh = copy.with_suffix(".new")
        fresh.write_text(json.dumps(content), "utf-8")
        fresh.replace(copy)  # at once: another process reads it
    except OSError as e:
        return [f"no copy is kept: {e.strerror or e}"]
    return []
