"""What a crash left, logged after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wandb_inference._autolog.keys import Secrets
from wandb_inference._autolog.options import Options
from wandb_inference._autolog.sinks import Guarded
from wandb_inference.accounting import read_rows


def replay(spool: Path, init: Mapping[str, Any], to: Sequence[Any]) -> int:
    """Hand the rows of a spool to new sinks; return how many they were.

    Raises:
        ConfigurationError: the file cannot be read, or has other lines.
        RuntimeError: a sink did not take all of them.
    """
    count = sum(1 for _ in read_rows(spool))  # or says what is wrong, before a run is made
    options = Options(init=dict(init), sinks=tuple(to), folder=spool.parent)
    options.load()
    sinks = [Guarded(sink, Secrets().text) for sink in options.make_sinks(spool)]
    for row in read_rows(spool):
        for sink in sinks:
            sink.write(row)
    for sink in sinks:
        sink.close()
        if sink.missed or sink.incomplete:
            raise RuntimeError(f"{sink.sink.name} took {sink.written} of {count} calls: {sink.breaker.last_error}")
    return count
