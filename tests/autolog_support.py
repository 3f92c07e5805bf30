"""What the tests of autolog share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that another thread does; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def spooled(folder: Path) -> list[dict[str, Any]]:
    """The rows of the one spool below a folder."""
    (path,) = folder.rglob("llm-calls-*.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def threads() -> set[str]:
    """The threads of autolog that are alive."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("wandb-inference-autolog")}
