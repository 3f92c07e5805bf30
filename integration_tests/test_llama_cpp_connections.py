"""Connections of a llama-server that end, calls that are left, and many of them at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_cpp import ENDLESS, PATIENCE, Relay, Server
from llama_cpp_callers import EVERY_CALLER, Caller, Core

pytestmark = [
    pytest.mark.usefixtures("over", "own_litellm"),
    pytest.mark.filterwarnings("ignore"),  # LiteLLM itself warns of much
]

Make = Callable[..., Caller]
ROUNDS, CROWD = 5, 200
KEPT = 100
"""Requests after which a llama-server closes a connection, and says so."""


async def read(stream: Any) -> list[Any]:
    return [piece async for piece in stream]


# Connections that the server closes


@EVERY_CALLER
def test_a_connection_that_was_closed_behind_a_stream(make: Make, relay: Relay) -> None:
    caller = make(relay.url, max_retries=0)
    for number in range(1, ROUNDS + 1):
        assert list(caller.stream())
        assert relay.closes(number)
        assert caller.whole()
    assert relay.requests == 2 * ROUNDS
    assert ROUNDS < relay.connections <= 2 * ROUNDS


@EVERY_CALLER
async def test_a_connection_that_was_closed_behind_a_stream_of_asyncio(make: Make, relay: Relay) -> None:
    caller = make(relay.url, max_retries=0)
    for number in range(1, ROUNDS + 1):
        assert await read(caller.astream())
        assert await asyncio.to_thread(relay.closes, number)
        assert await caller.awhole()
    assert relay.requests == 2 * ROUNDS
    assert ROUNDS < relay.connections <= 2 * ROUNDS


async def test_connections_are_kept_again_behind_one_that_was_closed(relay: Relay) -> None:
    caller = Core(relay.url, max_retries=0)
    assert list(caller.stream())
    assert await read(caller.astream())
    assert await asyncio.to_thread(relay.closes, 2)
    deadline, before = time.monotonic() + PATIENCE, -1
    while relay.connections != before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
        before = relay.connections
        for _ in range(3):
            assert caller.whole(max_tokens=1)
            assert await caller.awhole(max_tokens=1)


@EVERY_CALLER
async def test_a_connection_that_is_closed_as_the_next_call_is_made(make: Make, relay: Relay) -> None:
    caller = make(relay.url, max_retries=2)
    for _ in range(ROUNDS):
        assert list(caller.stream())
        assert caller.whole()
        assert await read(caller.astream())
        assert await caller.awhole()
    assert relay.requests <= 4 * ROUNDS + 2 * ROUNDS  # one more for each that was closed, at most


async def test_a_connection_that_has_taken_all_its_requests(relay: Relay) -> None:
    caller = Core(relay.url, max_retries=0)
    for _ in range(KEPT + 1):
        assert caller.whole(max_tokens=1)
        assert await caller.awhole(max_tokens=1)
    assert (relay.requests, relay.connections) == (2 * (KEPT + 1), 4)


async def test_connections_that_were_closed_after_some_seconds_of_rest(relay: Relay) -> None:
    caller = Core(relay.url, max_retries=0)
    assert caller.whole()
    assert await caller.awhole()
    assert await asyncio.to_thread(relay.closes, 2)
    assert caller.whole()
    assert await caller.awhole()
    assert (relay.requests, relay.connections) == (4, 4)


# Calls that are left


@EVERY_CALLER
def test_a_stream_that_is_left(make: Make, llama: Server) -> None:
    caller = make(llama.url, max_retries=2)
    for _ in caller.stream(**ENDLESS):
        assert llama.busy() == 1
        break
    assert llama.becomes(busy=0)
    assert caller.whole()


@EVERY_CALLER
async def test_a_stream_of_asyncio_that_is_left(make: Make, llama: Server) -> None:
    caller = make(llama.url, max_retries=2)
    async for _ in caller.astream(**ENDLESS):
        assert llama.busy() == 1
        break
    assert await asyncio.to_thread(llama.becomes, busy=0)
    assert await caller.awhole()


@EVERY_CALLER
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_task_that_is_cancelled(streamed: bool, make: Make, llama: Server) -> None:
    caller = make(llama.url, max_retries=2)
    task = asyncio.ensure_future(read(caller.astream(**ENDLESS)) if streamed else caller.awhole(**ENDLESS))
    assert await asyncio.to_thread(llama.becomes, busy=1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(llama.becomes, busy=0)
    assert await caller.awhole()


# Many at a time


def words(number: int) -> str:
    """Return a prompt whose length says whose it is."""
    return "word " * number


def check(prompt_tokens: list[int], worked: int) -> None:
    """Every call has its own answer, and the server has made no other: of one token, behind a longer prompt each."""
    assert prompt_tokens == sorted(set(prompt_tokens))
    assert len(prompt_tokens) == CROWD
    assert worked == sum(prompt_tokens) + CROWD


@EVERY_CALLER
async def test_two_hundred_calls_at_a_time(make: Make, llama: Server) -> None:
    caller, before = make(llama.url, max_retries=0), llama.tokens()
    calls = [caller.awhole(words(number), max_tokens=1) for number in range(CROWD)]
    counts = await asyncio.gather(*calls)
    assert llama.becomes(busy=0)
    check(counts, llama.tokens() - before)


async def test_two_hundred_streams_at_a_time(llama: Server) -> None:
    caller, before = Core(llama.url, max_retries=0), llama.tokens()
    streams = await asyncio.gather(*(read(caller.astream(words(number), max_tokens=1)) for number in range(CROWD)))
    assert llama.becomes(busy=0)
    check([events[-1].usage.input_tokens for events in streams], llama.tokens() - before)


def test_two_hundred_threads(llama: Server) -> None:
    caller, before = Core(llama.url, max_retries=0), llama.tokens()
    with ThreadPoolExecutor(CROWD) as pool:
        counts = list(pool.map(lambda number: caller.whole(words(number), max_tokens=1), range(CROWD)))
    assert llama.becomes(busy=0)
    check(counts, llama.tokens() - before)
