"""Many callers at one model: does anybody wait whom the service would have taken, and how near is its limit?

    python -m benchmarks.swarm [--agents 100] [--calls 20] [--allowed 8] [--crowds 64 200 1000]

In one run, at an emulator in a process of its own. A crowd: so many streams at once at a service without a limit, ours
beside ChatOpenAI; prints the 95th percentile of the seconds to the first chunk. A limit: agents that call one after
another; one client feels for the limit, one was told it, one only retries; prints calls a second, the share of a tuned
limit's, and the share of requests that were answered with 429. A limit that moves to its eightfold and back: prints the
same for the time from ten answers after each move.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
from langchain_openai import ChatOpenAI

from wandb_inference import AsyncClient, ChatRequest, RetryPolicy
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.routing import Limiter, service

MODEL = "openai/gpt-oss-20b"
ASK = ChatRequest(MODEL, [{"role": "user", "content": "Say something of about twenty words, please, whatever it is."}])
KEY = "emulator-key"
_SERVED = """
import sys
from wandb_inference.emulator import Emulator

emulator = Emulator(token_delay=float(sys.argv[1]))
with emulator as url:
    print(url, flush=True)
    for line in sys.stdin:
        emulator.max_in_flight = int(line) or None
"""


class Open(Limiter):
    """Lets everybody in, and learns nothing."""

    def __init__(self, _: int | None = None) -> None:
        super().__init__(first=10**6)

    def _shrink(self, turn: object) -> None:
        pass


@contextmanager
def served(token_delay: float) -> Iterator[tuple[str, Callable[[int], None]]]:
    """Run an emulator in a process of its own; yield its URL, and what sets its limit (0: none)."""
    command = [sys.executable, "-c", _SERVED, str(token_delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own)
        assert process.stdin is not None
        assert process.stdout is not None

        def allow(calls: int) -> None:
            print(calls, file=process.stdin, flush=True)

        try:
            yield process.stdout.readline().strip(), allow
        finally:
            process.terminate()


def forget() -> None:
    """Let the next contestant begin without knowledge."""
    service._KNOWN.clear()  # noqa: SLF001 (ours)


# A crowd

CROWD: dict[str, Callable[[str], Any]] = {
    "ChatOpenAI": lambda url: ChatOpenAI(model=MODEL, base_url=url, api_key=KEY),
    "ours": lambda url: ChatWandbInference(model=MODEL, base_url=url, api_key=KEY),
    "ours, fast": lambda url: ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, transport="fast"),
}


async def crowd(model: Any, size: int) -> list[float]:
    """Return the seconds to the first chunk of each of so many streams."""
    firsts = []

    async def one() -> None:
        begun, first = time.perf_counter(), 0.0
        async for _ in model.astream("word " * 20):
            first = first or time.perf_counter() - begun
        firsts.append(first)

    await asyncio.gather(*(one() for _ in range(size)))
    return sorted(firsts)


def crowds(sizes: list[int], repeat: int = 3) -> None:
    # One event loop for all: ChatOpenAI keeps connections between models.
    with served(0.1) as (url, _), asyncio.Runner() as runner:
        for size in sizes:
            found: dict[str, list[float]] = {name: [] for name in CROWD}
            for _round in range(repeat):
                for name, make in CROWD.items():
                    forget()
                    found[name].append(runner.run(crowd(make(url), size))[int(size * 0.95)])
            best = {name: sorted(times)[repeat // 2] for name, times in found.items()}
            for name, seconds in best.items():
                share = seconds / best["ChatOpenAI"]
                print(f"{size:5} streams  {name:11} first chunk, p95 {seconds:6.2f} s  {share:5.2f} of ChatOpenAI's")


# A limit


class Agents:
    """Agents that call one after another.

    Args:
        limit: what the client is told; ``None``: nothing.
        kind: how it feels for the limit.
    """

    def __init__(self, url: str, limit: int | None, kind: type[Limiter]) -> None:
        self.url, self.limit, self.kind = url, limit, kind
        self.done: list[float] = []
        self.statuses: list[tuple[float, int]] = []

    async def run(self, agents: int, until: Callable[[], bool]) -> None:
        forget()
        vars(service)["Limiter"] = self.kind
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(event_hooks={"response": [self._count]}, limits=limits, timeout=60) as http:
            retry = RetryPolicy(max_retries=200, initial=0.05, ceiling=0.5)
            client = AsyncClient(
                base_url=self.url, api_key=KEY, http_client=http, retry=retry, max_concurrency=self.limit
            )

            async def agent() -> None:
                while not until():
                    async for _ in await client.stream(ASK):
                        pass
                    self.done.append(time.perf_counter())

            await asyncio.gather(*(agent() for _ in range(agents)))
        vars(service)["Limiter"] = Limiter

    async def _count(self, response: httpx.Response) -> None:
        self.statuses.append((time.perf_counter(), response.status_code))

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Return the calls a second, and the share of requests that were refused."""
        statuses = Counter(status for at, status in self.statuses if begin <= at < end)
        return sum(begin <= at < end for at in self.done) / (end - begin), statuses[429] / max(1, statuses.total())


def limited(agents: int, calls: int, allowed: int) -> None:
    contestants: dict[str, tuple[int | None, type[Limiter]]] = {
        "told the limit": (allowed, Limiter),
        "feels for it": (None, Limiter),
        "no limit": (None, Open),
    }
    rates: dict[str, float] = {}
    print(f"{agents} agents, {calls} calls each, {allowed} in flight allowed")
    with served(0.005) as (url, allow):
        allow(allowed)
        for name, (limit, kind) in contestants.items():
            crew, left = Agents(url, limit, kind), [agents * calls]

            def over(left: list[int] = left) -> bool:
                left[0] -= 1
                return left[0] < 0

            begun = time.perf_counter()
            asyncio.run(crew.run(agents, over))
            rates[name], refused = crew.between(begun, time.perf_counter())
            share = rates[name] / rates["told the limit"]
            print(f"{name:15} {rates[name]:7.1f} calls/s  {share:5.0%} of tuned  {refused:5.1%} answered 429")


def _is_past(end: float) -> bool:
    return time.perf_counter() > end


def moving(agents: int, allowed: int, phase: float = 20.0) -> None:
    """Have the limit move to its eightfold and back; what comes within ten answers of a move does not count."""
    steps, answer = (allowed, 8 * allowed, allowed), 0.6  # seconds that one takes, about
    print(f"{agents} agents, {steps} in flight allowed, {phase:g} s each")
    with served(0.015) as (url, allow):
        tuned = []
        for limit in steps:
            told = Agents(url, limit, Limiter)
            allow(limit)
            end = time.perf_counter() + phase / 2
            asyncio.run(told.run(agents, partial(_is_past, end)))
            tuned.append(told.between(end - phase / 2, end)[0])
        feels, begun = Agents(url, None, Limiter), time.perf_counter()

        async def run() -> None:
            async def move() -> None:
                for limit in steps:
                    allow(limit)
                    await asyncio.sleep(phase)

            await asyncio.gather(move(), feels.run(agents, partial(_is_past, begun + 3 * phase)))

        asyncio.run(run())
    for number, limit in enumerate(steps):
        rate, refused = feels.between(begun + number * phase + 10 * answer, begun + (number + 1) * phase)
        share = rate / tuned[number]
        print(f"{limit:3} allowed     {rate:7.1f} calls/s  {share:5.0%} of tuned  {refused:5.1%} answered 429")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("agents", 100), ("calls", 20), ("allowed", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--crowds", type=int, nargs="*", default=[64, 200, 1000])
    given = parser.parse_args()
    crowds(given.crowds)
    limited(given.agents, given.calls, given.allowed)
    moving(given.agents, given.allowed)


if __name__ == "__main__":
    main()
