"""How a run is begun: beside the program's own, without questions, offline when it must be."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

try:
    import wandb
    from wandb import Settings  # which a folder called wandb does not have, although it can be imported
except ImportError as e:
    raise ImportError(f"{e}: runs are written by W&B's library: pip install 'wandb-inference[wandb]'") from e

from wandb_inference._autolog.sinks import log
from wandb_inference._version import __version__
from wandb_inference.errors import ConfigurationError

_SETTINGS = {
    "init_timeout": 10,  # seconds; a server that cannot be reached takes ten times as long otherwise
    "silent": True,  # one line says where it is
    "console": "off",  # what the program prints is no business of this run
    "x_disable_stats": True,
    "x_disable_meta": True,  # it has the program's arguments, which may be keys or prompts
    "save_code": False,
}


def begun(init: Mapping[str, Any], *, strict: bool) -> Any:
    """Return a new run; an offline one, when the server cannot be reached.

    Args:
        init: arguments for ``wandb.init``; they win over ours.
        strict: raise instead.

    Raises:
        Exception: whatever W&B says.
    """
    arguments = _arguments(init)
    mode = arguments.get("mode") or arguments["settings"].get("mode") or os.environ.get("WANDB_MODE")
    try:
        if mode in (None, "online"):
            _check_key()
        return _init(arguments)
    except Exception as e:
        if strict or mode == "offline":
            raise
        run = _init({**arguments, "mode": "offline"})
        log.warning("autolog: logging offline, because %s. Later: wandb sync %s", str(e).strip(". "), folder_of(run))
        return run


def folder_of(run: Any) -> Path:
    """Return the folder of a run, which ``wandb sync`` takes."""
    return Path(run.dir).parent


def check(init: Mapping[str, Any]) -> None:
    """Raise if these are no arguments for ``wandb.init``.

    Raises:
        ConfigurationError: one of them has another name.
    """
    known = inspect.signature(wandb.init).parameters
    for name in init:
        if name not in known:
            alike = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {alike[0]!r}?" if alike else f"It has {', '.join(known)}."
            raise ConfigurationError(f"wandb.init has no argument {name!r}.", hint=hint)


def _arguments(init: Mapping[str, Any]) -> dict[str, Any]:
    theirs = init.get("settings") or {}
    settings = theirs if isinstance(theirs, Mapping) else theirs.model_dump(exclude_unset=True)
    config, active = init.get("config") or {}, wandb.run
    ours: dict[str, Any] = {"job_type": "llm-autolog", "reinit": "create_new"}
    if active is not None:
        ours |= {"group": active.id, "project": active.project, "entity": active.entity or None}
    if isinstance(config, Mapping):
        config = {**_about(), **({"parent_run_id": active.id} if active is not None else {}), **config}
    return {**ours, **init, "config": config, "settings": {**_SETTINGS, **settings}}


def _about() -> dict[str, Any]:
    versions = {"wandb-inference": __version__, "wandb": wandb.__version__}
    for package in ("langchain-core", "litellm"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions}


def _check_key() -> None:
    """Raise if W&B has no key; it would ask for one at the terminal, in the middle of the program."""
    if not wandb.login(prompt=False):
        raise wandb.errors.UsageError("there is no W&B key: set WANDB_API_KEY, or run `wandb login`")


def _init(arguments: Mapping[str, Any]) -> Any:
    settings = Settings(**arguments["settings"])
    wandb.setup()  # before the environment is changed: it compares
    with _without_weave():
        run = wandb.init(**{**arguments, "settings": settings})
    wandb.termlog(f"autolog: calls are logged to {folder_of(run) if run.offline else run.url}")
    return run


@contextmanager
def _without_weave() -> Iterator[None]:
    """Keep ``wandb.init`` from switching on Weave, which would patch every library of the process, and trace twice."""
    before = os.environ.get("WANDB_DISABLE_WEAVE")
    os.environ["WANDB_DISABLE_WEAVE"] = "true"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("WANDB_DISABLE_WEAVE", None)
        else:
            os.environ["WANDB_DISABLE_WEAVE"] = before
