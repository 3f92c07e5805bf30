"""A call ends in exactly one record, whoever ends it: reader, exception, task, garbage collector or interpreter."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from support import ask

from wandb_inference import AsyncClient, Budget, CallRecord, Client, Ledger
from wandb_inference._observers import OBSERVERS
from wandb_inference.emulator import Emulator, Fault
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

MODEL = "openai/gpt-oss-20b"
LONG = "word " * 60
Told = list[CallRecord]


class FoundError(Exception):
    """Raised by a reader in the middle of a stream."""


@pytest.fixture(scope="module")
def slow() -> Iterator[Emulator]:
    with (emulator := Emulator(token_delay=0.01)):
        yield emulator


def told_once(told: Told) -> CallRecord:
    """Wait until something is told, and a little for what must not be."""
    for _ in range(100):
        gc.collect()
        if told:
            break
        time.sleep(0.05)
    time.sleep(0.05)
    (record,) = told
    return record


Open = Callable[[dict[str, Any]], Any]


def core(given: dict[str, Any]) -> Any:
    return Client(**given).stream(ask(LONG))


def langchain(given: dict[str, Any]) -> Any:
    return ChatWandbInference(model=MODEL, **given).stream(LONG)


def events(given: dict[str, Any]) -> Any:
    return iter(ChatWandbInference(model=MODEL, **given).stream_events(LONG, version="v3"))


async def acore(given: dict[str, Any]) -> Any:
    return await AsyncClient(**given).stream(ask(LONG))


async def alangchain(given: dict[str, Any]) -> Any:
    return ChatWandbInference(model=MODEL, **given).astream(LONG)


SYNC = pytest.mark.parametrize("open_", [core, langchain, events])
ASYNC = pytest.mark.parametrize("open_", [acore, alangchain])


def given(slow: Emulator, told: Told, **more: Any) -> dict[str, Any]:
    return {"base_url": slow.url, "api_key": slow.api_key, "on_record": told.append, **more}


def check(record: CallRecord) -> None:
    assert record.status == "cancelled"
    (attempt,) = record.attempts
    assert attempt.usage
    assert attempt.usage_is_estimate
    assert attempt.usage.input_tokens > 30
    assert attempt.usage.output_tokens < 100
    assert record.completion
    row = record.to_dict()
    assert (row["usage_source"], row["cost_usd"]) == ("estimate", None)
    ledger = Ledger()
    ledger.add(record)
    assert (ledger.total.calls, ledger.total.unpriced) == (1, 1)
    assert ledger.total.completion_tokens == attempt.usage.output_tokens


@SYNC
@pytest.mark.parametrize("end", ["drop", "close", "raise", "cycle"])
def test_sync(open_: Open, end: str, slow: Emulator) -> None:
    told: Told = []
    stream = open_(given(slow, told))
    for number, _ in enumerate(stream):
        if number == 3:
            break
    if end == "close":
        getattr(stream, "close", lambda: None)()
    elif end == "raise":
        with pytest.raises(FoundError):
            for _ in stream:
                raise FoundError
    elif end == "cycle":
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del cycle
    del stream
    check(told_once(told))


@ASYNC
@pytest.mark.parametrize("end", ["drop", "close", "raise", "cycle", "cancel"])
async def test_async(open_: Open, end: str, slow: Emulator) -> None:
    told: Told = []

    async def read() -> None:
        stream = await open_(given(slow, told))
        number = 0
        async for _ in stream:
            number += 1
            if number == 3 and end == "raise":
                raise FoundError
            if number == 3 and end != "cancel":
                break
        if end == "close":
            await stream.aclose()
        elif end == "cycle":
            cycle: list[Any] = [stream]
            cycle.append(cycle)

    task = asyncio.create_task(read())
    if end == "cancel":
        await asyncio.sleep(0.3)
        task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled() or isinstance(task.exception(), FoundError | None)  # looked at, or the log keeps it
    del task
    for _ in range(100):
        gc.collect()
        if told:
            break
        await asyncio.sleep(0.05)
    check(told_once(told))


def test_what_a_budget_was_charged(slow: Emulator) -> None:
    told: Told = []
    budget = Budget(1)
    stream = langchain(given(slow, told, budget=budget))
    next(stream)
    del stream
    record = told_once(told)
    assert record.attempts[0].booked == budget.spent > 0
    assert not budget.reserved


def test_a_stream_that_breaks(slow: Emulator) -> None:
    told: Told = []
    slow.script(Fault("cut"))
    with pytest.raises(Exception, match="ended"):
        list(core(given(slow, told, max_retries=0)))
    record = told_once(told)
    assert record.status == "partial"
    assert record.attempts[0].usage_is_estimate
    assert record.to_dict()["usage_source"] == "estimate"


def test_a_callback_that_waits_and_one_that_fails(slow: Emulator) -> None:
    told: Told = []

    def slowly(record: CallRecord) -> None:
        time.sleep(0.2)
        told.append(record)
        raise FoundError

    stream = core({**given(slow, told), "on_record": slowly})
    next(stream)
    begun = time.monotonic()
    del stream
    assert time.monotonic() - begun < 0.2 or not told  # it was not waited for
    check_one = told_once(told)
    assert check_one.status == "cancelled"
    again = core(given(slow, told))
    next(again)
    del again
    for _ in range(100):
        if len(told) > 1:
            break
        time.sleep(0.05)
    assert len(told) == 2  # the thread lives on


class Watching:
    """Hears of every call, as ``autolog`` does."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def begin(self) -> None: ...

    def end(self, record: CallRecord, *_: Any, **__: Any) -> None:
        self.told.append(record)


def test_litellm_s_door(slow: Emulator) -> None:
    told: Told = []
    register()
    OBSERVERS.add(watching := Watching(told))
    try:
        messages = [{"role": "user", "content": LONG}]
        stream: Any = litellm.completion(
            f"wandb_inference/{MODEL}", messages, stream=True, api_base=slow.url, api_key=slow.api_key
        )
        for number, _ in enumerate(stream):
            if number == 3:
                break
        del stream
        assert told_once(told).status == "cancelled"
    finally:
        OBSERVERS.remove(watching)


EXIT = """
import asyncio, os, sys, time
from wandb_inference import AsyncClient, ChatRequest, Client

url, key, how = sys.argv[1:]
def tell(record):
    time.sleep(0.1)
    print(record.status, record.attempts[0].usage_is_estimate, flush=True)
ask = ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "word " * 60}])
if how == "loop":  # closed with a call under way
    loop = asyncio.new_event_loop()
    task = loop.create_task(AsyncClient(base_url=url, api_key=key, on_record=tell).chat(ask))
    loop.run_until_complete(asyncio.sleep(0.3))
    task._log_destroy_pending = False
    loop.close()
    sys.exit()
stream = Client(base_url=url, api_key=key, on_record=tell).stream(ask)
next(stream)
if how == "dropped":
    del stream
elif how == "fork":
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print("parent", flush=True)
    else:
        other = Client(base_url=url, api_key=key, on_record=tell).stream(ask)
        next(other)
        sys.exit()
"""


@pytest.mark.parametrize(("how", "lines"), [("held", 1), ("dropped", 1), ("loop", 1), ("fork", 3)])
def test_the_interpreter_ends(how: str, lines: int, slow: Emulator) -> None:
    if how == "fork" and not hasattr(os, "fork"):
        pytest.skip("there is no fork on this system")
    command = [sys.executable, "-c", EXIT, slow.url, slow.api_key, how]
    if how == "loop":
        slow.script(Fault("stall"))
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert ran.stderr == ""
    said = ran.stdout.splitlines()
    told = f"cancelled {how != 'loop'}"  # of a whole answer nothing had arrived
    assert sorted(said) == sorted([told] * (lines - (how == "fork")) + ["parent"] * (how == "fork"))
