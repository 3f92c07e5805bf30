"""Read what the service publishes about its models, and keep a copy of it for when it cannot be read."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from wandb_inference._exchange import HttpRequest, Timeouts
from wandb_inference._transport import Transport, transport
from wandb_inference.catalog import MODELS_FEED, STAGES_FEED, Catalog, Refreshed, refreshed
from wandb_inference.client import Client
from wandb_inference.errors import InferenceError
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
    kept = _read(copy, feeds)
    problems: list[str] = []
    if kept is not None and max_age is not None and timedelta(0) <= today - kept["date"] <= max_age:
        found = _tried(catalog, kept, None, problems)
        if found is not None:
            return found
    with closing(transport()) as network:
        models, stages = (_get(network, url, problems) for url in feeds)
    served = None
    try:
        served = [model.id for model in client.models()] if client is not None else None
    except InferenceError as e:
        problems.append(str(e))
    fresh = {"date": today, "models": models, "stages": stages, "feeds": list(feeds)}
    found = _tried(catalog, fresh, served, problems) if models is not None else None
    if found is not None and keep:
        problems += _write(copy, {**fresh, "date": today.isoformat()})
    if found is None and kept is not None:
        found = _tried(catalog, kept, None, problems)
        problems += [f"using the copy of {kept['date']}"] if found is not None else []
    found = found or Refreshed(catalog=catalog)
    return replace(found, problems=(*problems, *found.problems))


def _tried(catalog: Catalog, read: dict[str, Any], served: list[str] | None, problems: list[str]) -> Refreshed | None:
    """Return the catalog with what was read; ``None``, and one more problem, when it makes no sense."""
    try:
        return refreshed(catalog, read["models"], stages=read["stages"], served=served, today=read["date"])
    except InferenceError as e:
        problems.append(str(e))
    except (AttributeError, TypeError, ValueError, ArithmeticError, RecursionError) as e:
        problems.append(f"the feeds make no sense: {type(e).__name__}: {e}")
    return None


def _get(network: Transport, url: str, problems: list[str]) -> Any:
    """Return a decoded feed; ``None``, and one more problem, when it cannot be read."""
    request = HttpRequest("GET", url, {"accept": "application/json"}, timeouts=Timeouts(connect=5, read=20))
    try:
        reply: Any = network.send(request)
        if reply.status_code == 200:  # noqa: PLR2004 (HTTP)
            return reply.json()
        problems.append(f"{url} cannot be read: HTTP {reply.status_code}.")
    except InferenceError as e:
        problems.append(f"{url} cannot be read: {e.message}")
    except (ValueError, RecursionError):
        problems.append(f"{url} is no JSON.")
    return None


def _read(copy: Path, feeds: tuple[str, str]) -> dict[str, Any] | None:
    """Return the copy on disk, unless there is none of these feeds that can be read, or somebody else wrote it."""
    try:
        kept = json.loads(_own_text(copy))
        known = {"models", "stages"} <= set(kept) and kept.get("feeds") == list(feeds)
        return {**kept, "date": date.fromisoformat(kept["date"])} if known else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


_LONGEST_COPY = 32 * 1024 * 1024


def _own_text(copy: Path) -> str:
    """Return a file's text.

    Raises:
        OSError: it is a link, no plain file, or another user's.
        ValueError: it is too long, or no text.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # which a pipe would block
    with open(os.open(copy, flags), "rb") as file:  # noqa: PTH123 (of a descriptor)
        about = os.fstat(file.fileno())
        own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        if not stat.S_ISREG(about.st_mode) or not own:
            raise OSError(f"{copy} is no file of this user")
        content = file.read(_LONGEST_COPY + 1)
    if len(content) > _LONGEST_COPY:
        raise ValueError(f"{copy} is too long")
    return content.decode("utf-8")


def _write(copy: Path, content: dict[str, Any]) -> list[str]:
    try:
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own, that nobody else may read or has linked elsewhere; other processes write theirs.
        handle, fresh = tempfile.mkstemp(prefix=f".{copy.name}.", dir=copy.parent)
        try:
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 (as above)
                file.write(json.dumps(content))
            Path(fresh).replace(copy)  # at once: another process reads it
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as e:
        return [f"no copy is kept: {e.strerror or e}"]
    return []
