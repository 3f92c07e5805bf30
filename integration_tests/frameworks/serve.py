"""Run the rows of a recipe, in its own environment: a row's name a line in, its result as a line of JSON out.

python serve.py with_crewai.py crewai litellm

The first line out has the versions of the distributions that are named, the second what the recipe declares as lost.
Nothing but 127.0.0.1 can be reached; what was tried is reported with the row.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

_LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""}  # noqa: S104 (nothing is bound here)


def main() -> None:
    """Answer the lines of standard input, until it ends."""
    script, *distributions = sys.argv[1:]
    names, out = _own_streams()
    tried = _keep_off_the_network()
    _write(out, {name: version(name) for name in distributions})
    recipe = _load(Path(script))
    _write(out, {"lost": getattr(recipe, "LOST", {}), "tried": _taken(tried)})
    for name in names:
        _write(out, {**_outcome(getattr(recipe, name.strip())), "tried": _taken(tried)})
    os._exit(0)  # frameworks leave threads that wait for their telemetry's timeouts


def _own_streams() -> tuple[TextIO, TextIO]:
    """Return standard input and output, and leave the frameworks neither: some ask, and many print."""
    names, out = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return names, out


def _keep_off_the_network() -> list[str]:
    """Refuse every connection but local ones; return the list to which their hosts are added."""
    tried: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            host = arguments[0]
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        else:
            return
        host = host.decode() if isinstance(host, bytes) else host or ""
        if host not in _LOCAL:
            tried.append(host)
            raise OSError(f"{host} is not local.")

    sys.addaudithook(hook)
    return tried


def _load(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec
    assert spec.loader
    recipe = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = recipe  # where frameworks look up the types of annotations
    spec.loader.exec_module(recipe)
    return recipe


def _outcome(row: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": row()}
    except BaseException:  # noqa: BLE001 (a row's failure is its outcome; the next one still gets its turn)
        return {"error": traceback.format_exc()}


def _taken(tried: list[str]) -> list[str]:
    hosts = sorted(set(tried))
    tried.clear()
    return hosts


def _write(out: TextIO, message: Mapping[str, Any]) -> None:
    print(json.dumps(message, default=_plain), file=out, flush=True)


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else vars(value)


if __name__ == "__main__":
    main()
