"""A hundred agents at a model that takes eight calls at a time: how near does the limiter come to a tuned limit?

    python -m benchmarks.swarm [--agents 100] [--calls 20] [--allowed 8]

Three clients make the same calls to the same emulator, in one run: one that feels for the limit, one that was told it,
one without any limit that only retries. Prints calls a second, the share of a tuned limit's, and the share of requests
that were answered with 429.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from wandb_inference import AsyncClient, ChatRequest, RetryPolicy
from wandb_inference.routing import Limiter, service

MODEL = "openai/gpt-oss-20b"
ASK = ChatRequest(MODEL, [{"role": "user", "content": "Say something of about twenty words, please, whatever it is."}])
KEY = "emulator-key"


class Open(Limiter):
    """Lets everybody in, and learns nothing."""

    def __init__(self, _: int | None = None) -> None:
        super().__init__(first=10**6)

    def _shrink(self, turn: object) -> None:
        pass


@contextmanager
def served(allowed: int) -> Iterator[str]:
    """Run an emulator in a process of its own."""
    command = "from wandb_inference.cli import main; main()"
    told = ["emulate", "--port", "0", "--max-in-flight", str(allowed), "--token-delay", "0.005"]
    with subprocess.Popen([sys.executable, "-c", command, *told], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own)
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield line.split("WANDB_INFERENCE_BASE_URL=")[1].split()[0]
        finally:
            process.terminate()


async def swarm(
    url: str, agents: int, calls: int, *, limit: int | None, kind: type[Limiter]
) -> tuple[float, Counter[int]]:
    """Return the calls a second, and how many answers had each status."""
    service._KNOWN.clear()  # noqa: SLF001 (each contestant begins without knowledge)
    vars(service)["Limiter"] = kind
    statuses: Counter[int] = Counter()

    async def count(response: httpx.Response) -> None:
        statuses[response.status_code] += 1

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(event_hooks={"response": [count]}, limits=limits, timeout=60) as http:
        retry = RetryPolicy(max_retries=200, initial=0.05, ceiling=0.5)
        client = AsyncClient(base_url=url, api_key=KEY, http_client=http, retry=retry, max_concurrency=limit)

        async def agent() -> None:
            for _ in range(calls):
                async for _ in await client.stream(ASK):
                    pass

        begun = time.perf_counter()
        await asyncio.gather(*(agent() for _ in range(agents)))
        return agents * calls / (time.perf_counter() - begun), statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("agents", 100), ("calls", 20), ("allowed", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    contestants: dict[str, tuple[int | None, type[Limiter]]] = {
        "told the limit": (given.allowed, Limiter),
        "feels for it": (None, Limiter),
        "no limit": (None, Open),
    }
    rates: dict[str, float] = {}
    print(f"{given.agents} agents, {given.calls} calls each, {given.allowed} in flight allowed")
    with served(given.allowed) as url:
        for name, (limit, kind) in contestants.items():
            rates[name], statuses = asyncio.run(swarm(url, given.agents, given.calls, limit=limit, kind=kind))
            share = rates[name] / rates["told the limit"]
            refused = statuses[429] / sum(statuses.values())
            print(f"{name:15} {rates[name]:7.1f} calls/s  {share:5.0%} of tuned  {refused:5.1%} answered 429")


if __name__ == "__main__":
    main()
