"""Three hundred calls at a time, of a service that takes three seconds: a Router, and a real LiteLLM proxy."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import litellm
import openai
import pytest
from litellm.router import Router
from proxies import MASTER, litellm_proxy, needs_proxy

from wandb_inference.emulator import Emulator
from wandb_inference.litellm import deployments, register

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM itself warns of much
CALLS, SECONDS = 300, 3.0
SMALL, OTHERS, FAMILY = "openai/gpt-oss-20b", ("openai/gpt-oss-120b", "zai-org/GLM-5.2"), "family/gpt-oss"
ANSWERERS = {SMALL: {SMALL}, FAMILY: {SMALL, OTHERS[0]}}
ASK: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def slow() -> Iterator[Emulator]:
    emulator = Emulator(latency=SECONDS)
    with emulator:
        yield emulator


@pytest.fixture(scope="module", params=["1", "inf"])
def fallback_price(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def proxy(slow: Emulator, fallback_price: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    told = ("--families", "--fallback-price", fallback_price)
    folder: Path = tmp_path_factory.mktemp("proxy")
    with litellm_proxy(slow, folder, SMALL, *OTHERS, told=told) as url:
        yield url


async def outcome(opened: Any, stream: bool) -> str:
    try:
        answer = await opened
        if not stream:
            return str(answer.model)
        return str({chunk.model for chunk in [chunk async for chunk in answer]}.pop())
    except (openai.OpenAIError, litellm.exceptions.APIError) as e:
        return type(e).__name__


def same(found: list[str], group: str) -> None:
    answered = Counter(name.removeprefix("wandb_inference/") for name in found)
    assert answered.total() == CALLS
    assert set(answered) <= ANSWERERS[group], answered


@pytest.fixture
def router(slow: Emulator, fallback_price: str) -> Any:
    register()
    where: dict[str, Any] = {"api_base": slow.url, "api_key": slow.api_key}
    price = math.inf if fallback_price == "inf" else 1
    return Router(**deployments(models=[SMALL, *OTHERS], families=True, fallback_price=price, **where))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("group", [SMALL, FAMILY])
def test_a_router_of_tasks(group: str, stream: bool, router: Any) -> None:
    async def run() -> list[str]:
        calls = (router.acompletion(model=group, messages=ASK, stream=stream) for _ in range(CALLS))
        return await asyncio.gather(*(outcome(call, stream) for call in calls))

    same(asyncio.run(run()), group)


@pytest.mark.parametrize("stream", [False, True])
def test_a_router_of_threads(stream: bool, router: Any) -> None:
    def one(_: int) -> str:
        try:
            answer = router.completion(model=SMALL, messages=ASK, stream=stream)
            return str({chunk.model for chunk in answer}.pop() if stream else answer.model)
        except litellm.exceptions.APIError as e:
            return type(e).__name__

    with ThreadPoolExecutor(CALLS) as pool:
        same(list(pool.map(one, range(CALLS))), SMALL)


@needs_proxy
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("group", [SMALL, FAMILY])
def test_a_proxy(group: str, stream: bool, proxy: str, slow: Emulator) -> None:
    slow.reset()

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{proxy}/v1", api_key=MASTER, max_retries=0, timeout=120) as sdk:
            calls = (sdk.chat.completions.create(model=group, messages=ASK, stream=stream) for _ in range(CALLS))
            return await asyncio.gather(*(outcome(call, stream) for call in calls))

    found = asyncio.run(run())
    # A proxy shows the name of the group that was asked for: what the service was asked says who answered.
    assert Counter(found).total() == CALLS
    assert not [name for name in found if "Error" in name], Counter(found)
    asked = Counter(seen.json()["model"] for seen in slow.requests)
    assert asked.total() == CALLS
    assert set(asked) <= ANSWERERS[group], asked
