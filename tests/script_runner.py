"""Runs scripts as ``python SCRIPT`` does, each in a fork of a process that has imported the hosts, which takes long."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 300
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("litellm", "langchain.agents", "langgraph.prebuilt", "wandb"),
        *("wandb_inference.langchain", "wandb_inference.litellm.registration", "wandb_inference.emulator"),
    ]
)


@dataclass(frozen=True)
class Ended:
    """What a script printed, and how it ended."""

    returncode: int | None
    stdout: str
    stderr: str


def run_script(script: Path, folder: Path, env: Mapping[str, str]) -> Ended:
    """Run a script in a folder, with this environment; errors are the warnings that it or our modules cause."""
    printed = [folder / f"{script.stem}.{name}" for name in ("out", "err")]
    process = _FORKS.Process(target=_run, args=(script, folder, dict(env), printed))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    return Ended(process.exitcode, *(path.read_text("utf-8") if path.exists() else "" for path in printed))


def _run(script: Path, folder: Path, env: dict[str, str], printed: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for fd, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), fd)
    sys.argv[:], sys.path[:0] = [str(script)], [str(script.parent)]
    warnings.filterwarnings("error", module="__main__|wandb_inference")
    status: Any = 0
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as e:
        status = e.code
    except BaseException:  # noqa: BLE001 (whatever it is)
        traceback.print_exc()
        status = 1
    # What the interpreter does at its end, and a fork does not.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status or 0))
