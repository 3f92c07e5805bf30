"""Measure adapters against the same server, each in a process of its own, turn by turn.

    python -m benchmarks [--scenario invoke stream ...] [--adapters ours ChatOpenAI ...] [--repeat 5]
                         [--goals] [--json FILE] [--chart FILE]

Prints the median CPU time (user + system) and wall time an operation, peak memory, and each adapter's CPU over its
rival's in the same run. Absolute times depend on the machine and its mood; ratios travel.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks.adapters import ADAPTERS
from benchmarks.report import Results, chart, goals, needed, table
from benchmarks.scenarios import SCENARIOS
from benchmarks.worker import work

QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}  # LiteLLM fetches its prices otherwise


class Server:
    """The server's process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def load(self) -> tuple[float, float]:
        """Return the seconds of CPU that it took so far, and the time."""
        with urlopen(f"{self.url}/load") as response:  # noqa: S310 (127.0.0.1)
            read = json.loads(response.read())
        return read["cpu"], read["wall"]


@contextmanager
def served() -> Iterator[Server]:
    with subprocess.Popen([sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{server.stdout.readline().strip()}")
        finally:
            server.terminate()


def measured(scenario: str, adapters: list[str], repeat: int, server: Server) -> dict[str, list[list[float]]]:
    """Return the measurements of every round: the worker's, and how busy the server was meanwhile, in percent."""
    rows: dict[str, list[list[float]]] = {adapter: [] for adapter in adapters}
    for _ in range(repeat):  # turn by turn, so that a machine that slows down slows everybody
        for adapter in adapters:
            busy, began = server.load()
            command = [sys.executable, "-m", "benchmarks", "--worker", adapter, scenario, server.url]
            out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **QUIET})  # noqa: PLW1510, S603
            if out.returncode:
                sys.exit(f"{adapter}, {scenario}:\n{out.stderr[-2000:]}")
            worker = json.loads(out.stdout.splitlines()[-1])
            cpu, now = server.load()
            rows[adapter].append([*worker, (cpu - busy) / (now - began) * 100])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--adapters", nargs="+", choices=list(ADAPTERS), default=list(ADAPTERS))
    parser.add_argument("--goals", action="store_true", help="measure only what the table in the README needs")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every measurement into this file")
    parser.add_argument("--chart", type=Path, help="draw the ratios into this file (.svg, .png)")
    parser.add_argument("--read", type=Path, help="measure nothing, report what this file has")
    parser.add_argument("--worker", nargs=3, metavar=("ADAPTER", "SCENARIO", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(*given.worker)
        return
    if given.read:
        results: Results = json.loads(given.read.read_text("utf-8"))["results"]
        for scenario, rows in results.items():
            print(table(scenario, rows))
    else:
        results, began = {}, time.perf_counter()
        with served() as server:
            for scenario in given.scenario:
                able = [a for a in given.adapters if hasattr(ADAPTERS[a].family, SCENARIOS[scenario].action)]
                able = [a for a in able if not given.goals or a in needed(scenario)]
                if not able:
                    continue
                results[scenario] = measured(scenario, able, given.repeat, server)
                print(table(scenario, results[scenario]), flush=True)
        print(f"\n{time.perf_counter() - began:.0f} s in all")
    print(goals(results))
    if given.json:
        about = {"python": sys.version.split()[0], "platform": sys.platform, "cores": os.cpu_count()}
        columns = ["CPU us", "wall us", "peak MB", "server %"]
        given.json.write_text(json.dumps({**about, "columns": columns, "results": results}), "utf-8")
    if given.chart:
        chart(results, given.chart)


if __name__ == "__main__":
    main()
