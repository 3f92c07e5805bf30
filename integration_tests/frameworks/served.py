"""A recipe's process, seen from outside: ``serve.py`` is its other end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SECONDS = 300
"""How long a recipe may take, with all its rows."""


class EndedError(Exception):
    """The process ended before it answered."""


class Served:
    """A process that runs rows.

    Raises:
        EndedError: from every method, when there is no answer.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self._expired = process, False

    def run(self, row: str) -> dict[str, Any]:
        """Run a row; return its outcome."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # reading says why
            print(row, file=self._process.stdin, flush=True)
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the next message."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise EndedError(
                f"it took more than {SECONDS} seconds" if self._expired else "its process ended without an answer"
            )
        return json.loads(line)  # type: ignore[no-any-return]

    def expire(self) -> None:
        """End the process because its time is over."""
        self._expired = True
        self.kill()

    def kill(self) -> None:
        """End the process and what it has started."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            if os.name == "nt":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)


@contextmanager
def serving(command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> Iterator[Served]:
    """Run a recipe's process until the block ends, or its time; what it prints goes to ``log``."""
    with (
        log.open("wb") as printed,
        subprocess.Popen(  # noqa: S603 (our own command)
            command,
            env=env,
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        served = Served(process)
        timer = threading.Timer(SECONDS, served.expire)
        timer.start()
        try:
            yield served
        finally:
            timer.cancel()
            served.kill()
