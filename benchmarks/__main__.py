"""Measure adapters against the same server, each in a process of its own, turn by turn.

    python -m benchmarks [--scenario invoke stream ...] [--adapters ours ChatOpenAI httpx] [--repeat 5] [--json FILE]

Prints the median CPU time (user + system) and wall time an operation, peak memory, and each adapter's ratio to
ChatOpenAI in the same run. Absolute times depend on the machine and its mood; ratios travel.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.util
import json
import operator
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "openai/gpt-oss-20b"
DELTAS = 2000
ADAPTERS = ("ours", "ours, one chunk a delta", "ChatOpenAI", "httpx")
RIVAL = "ChatOpenAI"
TOOL = {"type": "function", "function": {"name": "write", "parameters": {"type": "object"}}}


class Scenario(NamedTuple):
    """What is measured: ``times`` runs, each of ``counts`` operations of one ``unit``."""

    unit: str
    times: int
    counts: int


SCENARIOS = {
    "cold": Scenario("process", 1, 1),
    "invoke": Scenario("call", 200, 1),
    "ainvoke": Scenario("call", 5, 100),  # all in flight together
    "batch": Scenario("call", 1, 256),
    "prompt": Scenario("call", 3, 1),  # 1 MB in 2,000 messages
    "stream": Scenario("delta", 3, DELTAS),
    "tools": Scenario("delta", 3, DELTAS),  # of arguments, added up
    "v3": Scenario("delta", 3, DELTAS),
}


def chat_model(adapter: str, url: str) -> Any:
    if adapter == "ChatOpenAI":
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 (each process imports what it measures)

        return ChatOpenAI(model=MODEL, base_url=url, api_key="k", stream_usage=True)
    from wandb_inference.langchain import ChatWandbInference  # noqa: PLC0415

    return ChatWandbInference(model=MODEL, base_url=url, api_key="k", coalesce=adapter == "ours")


def operation(adapter: str, scenario: str, url: str) -> Callable[[], object]:
    """Return what is measured: one call, or one whole stream."""
    if adapter == "httpx":
        import httpx  # noqa: PLC0415

        client = httpx.Client()
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        if scenario != "stream":
            return lambda: client.post(f"{url}/chat/completions", json=body).json()

        def read() -> None:
            with client.stream("POST", f"{url}/chat/completions", json={**body, "stream": True}) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        json.loads(line[6:])

        return read
    return langchain_operation(chat_model(adapter, url), scenario)


def langchain_operation(model: Any, scenario: str) -> Callable[[], object]:
    if scenario == "ainvoke":

        async def together() -> None:
            await asyncio.gather(*(model.ainvoke("Hello") for _ in range(SCENARIOS[scenario].counts)))

        loop = asyncio.new_event_loop()
        return lambda: loop.run_until_complete(together())
    if scenario == "batch":
        return lambda: model.batch(["Hello"] * SCENARIOS[scenario].counts)
    if scenario == "prompt":
        messages = [(("human", "ai")[n % 2], "incomprehensibilities " * 23) for n in range(2000)]
        return lambda: model.invoke(messages)
    if scenario == "tools":
        tooled = model.bind_tools([TOOL])
        return lambda: functools.reduce(operator.add, tooled.stream("Hello"))
    if scenario == "v3":
        return lambda: model.stream_events("Hello", version="v3").output
    if scenario == "stream":
        return lambda: [None for _ in model.stream("Hello")]
    return lambda: model.invoke("Hello")


def worker(adapter: str, scenario: str, url: str) -> None:
    """Measure once; print microseconds of CPU and of wall time an operation, and the process's peak memory in MB."""
    what, began = SCENARIOS[scenario], time.perf_counter()
    run = operation(adapter, scenario, url)
    if scenario == "cold":  # import, construct, first call; CPU with the interpreter's own start
        run()
        cpu, wall = time.process_time(), time.perf_counter() - began
    else:
        run()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(what.times):
            run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = what.times * what.counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([cpu / count * 1e6, wall / count * 1e6, peak]))


@contextmanager
def served() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--adapters", nargs="+", choices=ADAPTERS, default=list(ADAPTERS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every measurement into this file")
    parser.add_argument("--worker", nargs=3, metavar=("ADAPTER", "SCENARIO", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return
    if importlib.util.find_spec("langchain_openai") is None and RIVAL in arguments.adapters:
        sys.exit("The rival is missing: make bench installs it (pip install --group bench).")
    results = {}
    with served() as url:
        for scenario in arguments.scenario:
            adapters = [a for a in arguments.adapters if a != "httpx" or scenario in ("cold", "invoke", "stream")]
            results[scenario] = measure(scenario, adapters, arguments.repeat, url)
            table(scenario, results[scenario])
    if arguments.json:
        arguments.json.write_text(json.dumps({"columns": COLUMNS, "results": results}, indent=2), "utf-8")


COLUMNS = ("CPU us", "wall us", "peak MB")


def measure(scenario: str, adapters: list[str], repeat: int, url: str) -> dict[str, list[list[float]]]:
    rows: dict[str, list[list[float]]] = {adapter: [] for adapter in adapters}
    for _ in range(repeat):  # turn by turn, so that a machine that slows down slows everybody
        for adapter in adapters:
            command = [sys.executable, "-m", "benchmarks", "--worker", adapter, scenario, url]
            out = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 (ourselves)
            rows[adapter].append(json.loads(out.stdout))
    return rows


def table(scenario: str, rows: dict[str, list[list[float]]]) -> None:
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in rows.items()}
    print(f"\n{scenario}: a {SCENARIOS[scenario].unit}, median of {len(next(iter(rows.values())))}")
    print(f"{'adapter':26}" + "".join(f"{name:>12}" for name in COLUMNS) + f"{'/ ' + RIVAL:>16}")
    for adapter, (cpu, wall, peak) in sorted(medians.items(), key=lambda row: row[1]):
        ratio = f"{cpu / medians[RIVAL][0]:.3f}" if RIVAL in medians else ""
        print(f"{adapter:26}{cpu:12.1f}{wall:12.1f}{peak:12.1f}{ratio:>16}")


if __name__ == "__main__":
    main()
