"""What a llama-server refuses, and its death, as the core and both doors say it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from langchain_core import exceptions as langchain
from litellm import exceptions as litellm
from llama_cpp import ENDLESS, KEY, PATIENCE, SLOTS, WINDOW, Relay, Server, llama_server
from llama_cpp_callers import Caller, Core, LangChain, LiteLLM, OfRouter
from llama_cpp_ways import EVERY_WAY, Way

from wandb_inference import errors as core

pytestmark = [
    pytest.mark.usefixtures("over", "own_litellm"),
    pytest.mark.filterwarnings("ignore"),  # LiteLLM itself warns of much
]

HELLO, LONG = "Hello!", "Hello! " * WINDOW
PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}

# The core's class, what LangChain's is besides, and LiteLLM's.
REFUSALS: dict[str, tuple[dict[str, Any], type[Exception], type[Exception], type[Exception], str]] = {
    "wrong key": (
        {"key": "a-wrong-key-0123456789"},
        core.AuthenticationError,
        langchain.ModelAuthenticationError,
        litellm.AuthenticationError,
        "Invalid API Key",
    ),
    "prompt too long": (
        {"prompt": LONG},
        core.ContextLengthError,
        langchain.ContextOverflowError,
        litellm.ContextWindowExceededError,
        f"exceeds the available context size .{WINDOW} tokens.",
    ),
    "bad parameter": (
        {"extra_body": {"seed": "x"}},
        core.BadRequestError,
        langchain.ModelInvalidRequestError,
        litellm.BadRequestError,
        "must be number",
    ),
    "bad schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}},
        core.BadRequestError,
        langchain.ModelInvalidRequestError,
        litellm.BadRequestError,
        "unrecognized type nothing",
    ),
}


def expected(way: Way, *classes: type[Exception]) -> tuple[type[Exception], ...]:
    ours, langchains, litellms = classes
    return {"core": (ours,), "langchain": (ours, langchains)}.get(way.door, (litellms,))


@EVERY_WAY
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_final(name: str, way: Way, relay: Relay) -> None:
    given, *classes, message = REFUSALS[name]
    with pytest.raises(Exception, match=message) as caught:
        way.ask(relay.url, **{"prompt": HELLO, **given})
    for class_ in expected(way, *classes):
        assert isinstance(caught.value, class_)
    assert given.get("key", KEY) not in f"{caught.value}{caught.value!r}"
    assert relay.requests == 1


@EVERY_WAY
def test_an_overflow_says_by_how_much(way: Way, llama: Server) -> None:
    with pytest.raises(Exception, match="exceeds the available context size") as caught:
        way.ask(llama.url, LONG)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, core.ContextLengthError):
        error = error.__cause__ or error.__context__  # behind LiteLLM's
    assert error is not None
    assert error.limit == WINDOW
    assert error.prompt_tokens is not None
    assert error.prompt_tokens > WINDOW


@EVERY_WAY
def test_an_unknown_path(way: Way, relay: Relay) -> None:
    with pytest.raises(Exception, match="File Not Found") as caught:
        way.ask(f"{relay.url}/nowhere", HELLO)
    for class_ in expected(way, core.NotFoundError, langchain.ModelNotFoundError, litellm.NotFoundError):
        assert isinstance(caught.value, class_)
    assert relay.requests == 1


@EVERY_WAY
def test_a_picture_is_a_failure_of_llama_server(way: Way, llama: Server) -> None:
    with pytest.raises(Exception, match="image input is not supported") as caught:  # with status 500
        way.ask(llama.url, PICTURE, max_retries=0)
    for class_ in expected(way, core.ServerError, langchain.ModelAPIError, litellm.InternalServerError):
        assert isinstance(caught.value, class_)


@EVERY_WAY
def test_log_probabilities_beside_tools_are_not_streamed(way: Way, llama: Server) -> None:
    given: Any = {"tools": [TOOL], "logprobs": True, "top_logprobs": 1}
    if not way.streamed:
        assert way.ask(llama.url, HELLO, **given).logprobs
        return
    with pytest.raises(Exception, match=r"not supported with tools \+ stream") as caught:
        way.ask(llama.url, HELLO, **given)
    for class_ in expected(way, core.BadRequestError, langchain.ModelInvalidRequestError, litellm.BadRequestError):
        assert isinstance(caught.value, class_)


# By caller: the classes of a stream that breaks, and of a server that is not there.
BROKEN: dict[Any, tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]] = {
    Core: ((core.StreamInterruptedError,), (core.ConnectionFailedError,)),
    LangChain: (
        (core.StreamInterruptedError, langchain.ModelConnectionError),
        (core.ConnectionFailedError, langchain.ModelConnectionError),
    ),
    LiteLLM: ((litellm.MidStreamFallbackError,), (litellm.APIConnectionError,)),
    OfRouter: ((litellm.APIConnectionError,), (litellm.APIConnectionError,)),
}


def check(error: Exception, classes: tuple[type[Exception], ...]) -> None:
    for class_ in classes:
        assert isinstance(error, class_)
    if isinstance(error, core.StreamInterruptedError):
        assert error.partial is not None
        assert error.partial.reasoning + error.partial.text


async def test_a_server_that_dies_in_the_middle_of_streams(tmp_path: Path, llama: Server) -> None:
    with llama_server(tmp_path, slots=2 * len(BROKEN)) as server:  # another one than all tests use
        callers: list[tuple[Caller, Any, Any]] = [(make(server.url, max_retries=0), *BROKEN[make]) for make in BROKEN]
        streams = [(caller.stream(**ENDLESS), caller.astream(**ENDLESS), classes) for caller, classes, _ in callers]
        for stream, astream, _ in streams:
            next(stream)
            await anext(astream)
        assert server.busy() == 2 * len(BROKEN)
        os.kill(server.pid, signal.SIGKILL)
        beside = Core(llama.url, max_retries=2)
        for _ in range(50):
            assert await beside.awhole(max_tokens=1)  # the streams break meanwhile, and nobody reads them
        calls = [asyncio.ensure_future(beside.awhole(**ENDLESS | {"max_tokens": 1000})) for _ in range(2 * len(BROKEN))]
        assert await asyncio.to_thread(llama.becomes, busy=SLOTS)
        for _, astream, classes in streams:
            with pytest.raises(Exception, match="the stream ended before the answer did") as caught:
                [piece async for piece in astream]
            check(caught.value, classes)
        assert await asyncio.wait_for(asyncio.gather(*calls), 3 * PATIENCE)
        for stream, _, classes in streams:
            with pytest.raises(Exception, match="the stream ended before the answer did") as caught:
                list(stream)
            check(caught.value, classes)
        for caller, _, classes in callers:
            with pytest.raises(Exception, match="Cannot connect to") as caught:
                caller.whole()
            check(caught.value, classes)
            with pytest.raises(Exception, match="Cannot connect to") as caught:
                await caller.awhole()
            check(caught.value, classes)
