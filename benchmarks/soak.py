"""Thousands of calls at a service that fails, by callers that give up: is anything lost?

    python -m benchmarks.soak [--calls 10000] [--ways "core async httpx" ...]

Each door, in threads and in tasks, over each transport, at an emulator whose chaos breaks one answer in five; callers
cancel, drop streams, raise in the middle, and have callbacks that raise; five budgets. Prints what was lost: calls
without a record, or with more than one; money that is still reserved, and spent beyond its limit; places that are still
taken; and how many files, threads and megabytes there are more than before.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wandb_inference import AsyncClient, Budget, CallRecord, ChatOptions, ChatRequest, Client
from wandb_inference._observers import OBSERVERS
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.routing import service

MODEL, KEY, AT_ONCE = "openai/gpt-oss-20b", "emulator-key", 40
HALF, TENTH, EVERY = 0.5, 0.1, 10
TEXT = "Say something of about twenty words, please, whatever it is, and then end."
ASK = ChatRequest(MODEL, [{"role": "user", "content": TEXT}], ChatOptions(max_tokens=100))
_SERVED = """
import sys
from wandb_inference.emulator import Chaos, Emulator

with Emulator(chaos=Chaos(seed=1, rate=0.2), token_delay=0.0005, max_in_flight=64) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


class GivenUpError(Exception):
    """Raised by a reader in the middle of a stream."""


@contextmanager
def served() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _SERVED], stdin=-1, stdout=-1, text=True) as process:  # noqa: S603 (our own)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class Told:
    """Counts the records of calls, and raises for every tenth of them."""

    def __init__(self) -> None:
        self.begun = 0
        self.count: Counter[str] = Counter()
        self.lock = threading.Lock()

    def begin(self) -> None:
        with self.lock:
            self.begun += 1

    def end(self, record: CallRecord, *_: Any, **__: Any) -> None:
        with self.lock:
            self.count[record.call_id] += 1
            tenth = len(self.count) % EVERY == 0
        if tenth:
            raise RuntimeError("a callback that raises")


def state() -> dict[str, float]:
    gc.collect()
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208 (names only)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"files": files, "threads": threading.active_count(), "MB": peak}


Way = Callable[[str, int, list[Budget]], None]


def in_threads(call: Callable[[random.Random, Budget], None]) -> Callable[[int, list[Budget]], None]:
    def run(calls: int, budgets: list[Budget]) -> None:
        def one(number: int) -> None:
            with suppress(Exception):
                call(random.Random(number), budgets[number % 5])  # noqa: S311 (no secrets)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, range(calls)))

    return run


def in_tasks(
    call: Callable[[random.Random, Budget], Any], close: Callable[[], Any]
) -> Callable[[int, list[Budget]], None]:
    async def all_of(calls: int, budgets: list[Budget]) -> None:
        free = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            draw = random.Random(number)  # noqa: S311 (no secrets)
            async with free:
                task = asyncio.ensure_future(call(draw, budgets[number % 5]))
                if draw.random() < TENTH:
                    await asyncio.sleep(draw.random() * 0.05)
                    task.cancel()
                await asyncio.wait((task,))
                with suppress(BaseException):
                    task.result()

        await asyncio.gather(*(one(number) for number in range(calls)))
        gc.collect()
        await asyncio.sleep(0.5)
        await close()

    return lambda calls, budgets: asyncio.run(all_of(calls, budgets))


def core(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    client = Client(base_url=url, api_key=KEY, transport=over)  # type: ignore[arg-type]  # one of the two

    def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            client.chat(ASK, budget=budget)
            return
        stream = client.stream(ASK, budget=budget)
        left = draw.choice([1, 5, 10**6, 10**6])
        for number, _ in enumerate(stream):
            if number == left:
                raise GivenUpError

    return in_threads(call)


def core_async(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    client = AsyncClient(base_url=url, api_key=KEY, transport=over)  # type: ignore[arg-type]  # as above

    async def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            await client.chat(ASK, budget=budget)
            return
        left, number = draw.choice([1, 5, 10**6, 10**6]), 0
        async for _ in await client.stream(ASK, budget=budget):
            number += 1
            if number == left:
                raise GivenUpError

    return in_tasks(call, client.aclose)


def langchain(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, transport=over, max_tokens=100)  # type: ignore[arg-type]

    def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            model.invoke(TEXT, budget=budget)
            return
        left = draw.choice([1, 5, 10**6, 10**6])
        for number, _ in enumerate(model.stream(TEXT, budget=budget)):
            if number == left:
                raise GivenUpError

    return in_threads(call)


def langchain_async(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, transport=over, max_tokens=100)  # type: ignore[arg-type]

    async def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            await model.ainvoke(TEXT, budget=budget)
            return
        left, number = draw.choice([1, 5, 10**6, 10**6]), 0
        async for _ in model.astream(TEXT, budget=budget):
            number += 1
            if number == left:
                raise GivenUpError

    return in_tasks(call, model.aclose)


def _litellm_told(url: str, over: str) -> dict[str, Any]:
    from wandb_inference.litellm import register  # noqa: PLC0415 (slow)

    os.environ["WANDB_INFERENCE_TRANSPORT"] = over
    register()
    told: dict[str, Any] = {"model": f"wandb_inference/{MODEL}", "api_base": url, "api_key": KEY, "max_tokens": 100}
    return told | {"messages": [{"role": "user", "content": TEXT}]}


def litellm(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    import litellm as theirs  # noqa: PLC0415 (as above)

    told = _litellm_told(url, over)

    def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            theirs.completion(**told, budget=budget)
            return
        left = draw.choice([1, 5, 10**6, 10**6])
        for number, _ in enumerate(theirs.completion(**told, stream=True, budget=budget)):
            if number == left:
                raise GivenUpError

    return in_threads(call)


def litellm_async(url: str, over: str) -> Callable[[int, list[Budget]], None]:
    import litellm as theirs  # noqa: PLC0415 (as above)

    told = _litellm_told(url, over)

    async def call(draw: random.Random, budget: Budget) -> None:
        if draw.random() < HALF:
            await theirs.acompletion(**told, budget=budget)
            return
        left, number = draw.choice([1, 5, 10**6, 10**6]), 0
        stream: Any = await theirs.acompletion(**told, stream=True, budget=budget)
        async for _ in stream:
            number += 1
            if number == left:
                raise GivenUpError

    async def nothing() -> None: ...

    return in_tasks(call, nothing)


DOORS = {
    "core": core,
    "core async": core_async,
    "langchain": langchain,
    "langchain async": langchain_async,
    "litellm": litellm,
    "litellm async": litellm_async,
}
WAYS = [f"{door} {over}" for door in DOORS for over in ("httpx", "fast")]


def soaked(way: str, calls: int, url: str) -> str:
    """Return a row of the table: what one way has lost."""
    door, _, over = way.rpartition(" ")
    run, told, budgets = DOORS[door](url, over), Told(), [Budget("0.2") for _ in range(5)]
    run(AT_ONCE, [Budget(1) for _ in range(5)])  # so that what is made once is there before
    gc.collect()
    before = state()
    OBSERVERS.add(told)
    begun = time.perf_counter()
    try:
        run(calls, budgets)
        gc.collect()
        time.sleep(1)
    finally:
        OBSERVERS.remove(told)
    seconds, after = time.perf_counter() - begun, state()
    taken = sum(places.in_flight for known in service._KNOWN.values() for places in known._places.values())  # noqa: SLF001
    reserved = sum(budget.reserved for budget in budgets)
    over_spent = sum(budget.spent > budget.limit for budget in budgets)
    more = sum(count - 1 for count in told.count.values())
    grown = "  ".join(f"{after[name] - before[name]:+5.0f} {name}" for name in before)
    lost = f"lost {told.begun - len(told.count):4}  twice {more:3}  reserved {reserved:f}"
    lost += f"  overspent {over_spent}  places {taken}"
    return f"{way:22} {calls} calls in {seconds:5.0f} s   {lost}   {grown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--ways", nargs="*", default=WAYS)
    given = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # of the callbacks that raise
    with served() as url:
        for way in given.ways:
            print(soaked(way, given.calls, url), flush=True)


if __name__ == "__main__":
    main()
