"""Measures one adapter once, in a process of its own."""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import time
from collections.abc import Callable

from benchmarks.adapters import ADAPTERS
from benchmarks.scenarios import SCENARIOS

BURSTS = 5


def measure(adapter: str, scenario: str, url: str) -> tuple[float, float, float]:
    """Return microseconds of CPU and of wall time an operation, and the process's peak memory in MB."""
    who, what = ADAPTERS[adapter], SCENARIOS[scenario]
    began = time.perf_counter()
    importlib.import_module(who.module)
    if scenario != "import":
        action = getattr(who.make(f"{url}/{what.answer}/v1"), what.action)
        action()
    if scenario in ("import", "cold"):  # the interpreter's own start counts, too, of CPU
        bursts = [(time.process_time(), time.perf_counter() - began)]
    else:  # the median of a few bursts: a neighbour's moment is nobody's cost
        times = max(1, what.times // BURSTS)
        bursts = [timed(action, times, what.operations) for _ in range(min(BURSTS, what.times))]
    cpu, wall = (statistics.median(column) * 1e6 for column in zip(*bursts, strict=True))
    return cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(action: Callable[[], None], times: int, operations: int) -> tuple[float, float]:
    """Return the seconds of CPU and of wall time that an operation took."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        action()
    count = times * operations
    return (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count


def work(adapter: str, scenario: str, url: str) -> None:
    print(json.dumps(measure(adapter, scenario, url)))
