"""Measure adapters against the same server, each in a process of its own, turn by turn.

    python -m benchmarks [--scenario invoke stream] [--adapters ours ChatOpenAI httpx] [--repeat 5]

Prints the median CPU time (user + system) and wall time an operation, and each adapter's ratio to ChatOpenAI in the
same run. Absolute times depend on the machine and its mood; ratios travel.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "openai/gpt-oss-20b"
OPERATIONS = {"invoke": 200, "stream": 2000}  # counted operations: calls; deltas of one stream
ADAPTERS = ("ours", "ours, one chunk a delta", "ChatOpenAI", "httpx")
RIVAL = "ChatOpenAI"


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
        if scenario == "invoke":
            return lambda: client.post(f"{url}/chat/completions", json=body).json()

        def read() -> None:
            with client.stream("POST", f"{url}/chat/completions", json={**body, "stream": True}) as response:
                for line in response.iter_lines():
                    if line.startswith("data: {"):
                        json.loads(line[6:])

        return read
    model = chat_model(adapter, url)
    if scenario == "invoke":
        return lambda: model.invoke("Hello")
    return lambda: [None for _ in model.stream("Hello")]


def worker(adapter: str, scenario: str, url: str) -> None:
    """Measure once, and print microseconds of CPU and of wall time an operation."""
    run = operation(adapter, scenario, url)
    for _ in range(3):
        run()
    times = OPERATIONS["invoke"] if scenario == "invoke" else 3
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        run()
    count = times * (1 if scenario == "invoke" else OPERATIONS["stream"])
    print(json.dumps([(time.process_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6]))


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
    parser.add_argument("--scenario", nargs="+", choices=list(OPERATIONS), default=list(OPERATIONS))
    parser.add_argument("--adapters", nargs="+", choices=ADAPTERS, default=list(ADAPTERS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--worker", nargs=3, metavar=("ADAPTER", "SCENARIO", "URL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return
    if importlib.util.find_spec("langchain_openai") is None and RIVAL in arguments.adapters:
        sys.exit("The rival is missing: make bench installs it (pip install --group bench).")
    with served() as url:
        for scenario in arguments.scenario:
            table(scenario, measure(scenario, arguments.adapters, arguments.repeat, url))


def measure(scenario: str, adapters: list[str], repeat: int, url: str) -> dict[str, list[list[float]]]:
    rows: dict[str, list[list[float]]] = {adapter: [] for adapter in adapters}
    for _ in range(repeat):  # turn by turn, so that a machine that slows down slows everybody
        for adapter in adapters:
            command = [sys.executable, "-m", "benchmarks", "--worker", adapter, scenario, url]
            out = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 (ourselves)
            rows[adapter].append(json.loads(out.stdout))
    return rows


def table(scenario: str, rows: dict[str, list[list[float]]]) -> None:
    unit = "call" if scenario == "invoke" else "delta"
    cpu = {adapter: statistics.median(c for c, _ in results) for adapter, results in rows.items()}
    print(f"\n{scenario}: microseconds a {unit}, median of {len(next(iter(rows.values())))}")
    print(f"{'adapter':26}{'CPU':>10}{'wall':>10}{'/ ' + RIVAL:>16}")
    for adapter, results in sorted(rows.items(), key=lambda row: cpu[row[0]]):
        wall = statistics.median(w for _, w in results)
        ratio = f"{cpu[adapter] / cpu[RIVAL]:.3f}" if RIVAL in cpu else ""
        print(f"{adapter:26}{cpu[adapter]:10.1f}{wall:10.1f}{ratio:>16}")


if __name__ == "__main__":
    main()
