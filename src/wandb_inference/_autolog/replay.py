"""What a crash left, logged after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wandb_inference._autolog.delivery import Delivery
from wandb_inference._autolog.options import Options
from wandb_inference.accounting import read_rows


def replay(spool: Path, init: Mapping[str, Any], sinks: Sequence[Any]) -> int:
    """Hand the rows of a spool to new sinks; return how many they were.

    Raises:
        ConfigurationError: the file cannot be read, or has other lines.
        RuntimeError: a sink did not take all of them.
    """
    count = sum(1 for _ in read_rows(spool))  # or says what is wrong, before a run is made
    options = Options(init=dict(init), sinks=tuple(sinks), folder=spool.parent)
    options.load()
    delivery = Delivery(options.make_sinks(spool), spool)
    delivery.deliver()
    delivery.close()
    for sink in delivery.sinks:
        if sink.missed or sink.incomplete:
            raise RuntimeError(f"{sink.sink.name} took {sink.written} of {count} calls: {sink.breaker.last_error}")
    return count
