"""Rows on disk, a line each: what a crash leaves, and what sinks read from."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from wandb_inference._autolog.sinks import log


class Spool:
    """A file of JSON lines that only its owner may read.

    Args:
        folder: made if it does not exist; where that fails, the system's folder for temporary files is used.
    """

    def __init__(self, folder: Path) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        name = f"llm-calls-{stamp}-{os.getpid()}-{uuid4().hex[:8]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, descriptor = folder / name, _create(folder / name)
        except OSError as e:
            log.warning("autolog: cannot write into %s (%s): rows go to %s", folder, e.strerror, tempfile.gettempdir())
            folder = Path(tempfile.gettempdir())
            self.path, descriptor = folder / name, _create(folder / name)
        self.path = self.path.absolute()  # also when the program changes its folder
        self._file = os.fdopen(descriptor, "ab")
        self.rows = 0

    def write(self, line: bytes) -> None:
        """Append a row; it is on its way to the disk after ``flush``.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._file.write(line)
        self.rows += 1

    def flush(self) -> None:
        """Hand everything to the operating system: what is written survives the process, whatever kills it.

        Raises:
            OSError: the disk is full, or gone.
        """
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Close and remove it."""
        self.close()
        with suppress(OSError):
            self.path.unlink()


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
