"""Calls that nobody ends keep nobody waiting: streams whose reader raised and was kept, in every door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import litellm
import pytest
from support import ask

from wandb_inference import AsyncClient, Client
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register
from wandb_inference.routing import limiter

MODEL = "openai/gpt-oss-20b"
LONG = "word " * 40
WORKERS, PLACES = 20, 4


class FoundError(Exception):
    """Raised by a reader in the middle of a stream."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_IDLE", 0.05)
    register()


@pytest.fixture
def told(slow: Emulator) -> dict[str, Any]:
    return {"base_url": slow.url, "api_key": slow.api_key, "max_concurrency": PLACES}


@pytest.fixture
def slow() -> Any:
    with (emulator := Emulator(token_delay=0.05)):
        yield emulator


async def core(told: dict[str, Any]) -> Callable[[], Any]:
    client = AsyncClient(**told)

    async def read() -> None:
        async for _ in await client.stream(ask(LONG)):
            raise FoundError

    return read


async def langchain(told: dict[str, Any]) -> Callable[[], Any]:
    model = ChatWandbInference(model=MODEL, **told)

    async def read() -> None:
        async for _ in model.astream(LONG):
            raise FoundError

    return read


async def litellm_s(told: dict[str, Any]) -> Callable[[], Any]:
    given = {"api_base": told["base_url"], "api_key": told["api_key"]}

    async def read() -> None:
        messages = [{"role": "user", "content": LONG}]
        stream: Any = await litellm.acompletion(f"wandb_inference/{MODEL}", messages, stream=True, **given)
        async for _ in stream:
            raise FoundError

    return read


@pytest.mark.parametrize("door", [core, langchain, litellm_s])
async def test_tasks_that_raised_and_are_kept(door: Any, told: dict[str, Any], slow: Emulator) -> None:
    read = await door(told)
    kept = await asyncio.wait_for(asyncio.gather(*(read() for _ in range(WORKERS)), return_exceptions=True), 60)
    assert [type(each) for each in kept] == [FoundError] * WORKERS
    assert len(slow.requests) == WORKERS


def sync_core(told: dict[str, Any]) -> Callable[[], None]:
    client = Client(**told)

    def read() -> None:
        for _ in client.stream(ask(LONG)):
            raise FoundError

    return read


def sync_langchain(told: dict[str, Any]) -> Callable[[], None]:
    model = ChatWandbInference(model=MODEL, **told)

    def read() -> None:
        for _ in model.stream(LONG):
            raise FoundError

    return read


@pytest.mark.parametrize("door", [sync_core, sync_langchain])
def test_threads_that_raised_and_are_kept(door: Any, told: dict[str, Any], slow: Emulator) -> None:
    read = door(told)
    with ThreadPoolExecutor(WORKERS) as pool:
        futures: list[Future[None]] = [pool.submit(read) for _ in range(WORKERS)]
        kept = [future.exception(60) for future in futures]
    assert [type(each) for each in kept] == [FoundError] * WORKERS
    assert len(slow.requests) == WORKERS


def test_a_loop_that_was_closed_with_calls_under_way(told: dict[str, Any], slow: Emulator) -> None:
    loop = asyncio.new_event_loop()
    client = AsyncClient(**told)
    tasks = [loop.create_task(client.chat(ask(LONG))) for _ in range(PLACES)]
    while len(slow.requests) < PLACES:
        loop.run_until_complete(asyncio.sleep(0.01))
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the point
    loop.close()
    with Client(**told) as other:
        assert other.chat(ask("Hello")).text == "You said: Hello"
