"""Measures one adapter once, in a process of its own."""

from __future__ import annotations

import importlib
import json
import resource
import time

from benchmarks.adapters import ADAPTERS
from benchmarks.scenarios import SCENARIOS


def measure(adapter: str, scenario: str, url: str) -> tuple[float, float, float]:
    """Return microseconds of CPU and of wall time an operation, and the process's peak memory in MB."""
    who, what = ADAPTERS[adapter], SCENARIOS[scenario]
    cpu, wall = 0.0, time.perf_counter()  # of the CPU, the interpreter's own start counts, too
    importlib.import_module(who.module)
    if scenario != "import":
        action = getattr(who.make(f"{url}/{what.answer}/v1"), what.action)
        action()
        if scenario != "cold":
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(what.times):
                action()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = what.times * what.operations
    return cpu / count * 1e6, wall / count * 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(adapter: str, scenario: str, url: str) -> None:
    print(json.dumps(measure(adapter, scenario, url)))
