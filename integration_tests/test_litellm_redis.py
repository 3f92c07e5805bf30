"""Two real LiteLLM proxies that share a real Redis: what one learns, the other knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest
from proxies import MASTER, litellm_proxy, needs_proxy, needs_redis, redis

from wandb_inference.emulator import Emulator

pytestmark = [needs_proxy, needs_redis]
SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, list[openai.OpenAI]]]:
    emulator = Emulator()
    with ExitStack() as stack:
        stack.enter_context(emulator)
        told = ("--redis", stack.enter_context(redis(tmp_path_factory.mktemp("redis"))))
        urls = [
            stack.enter_context(litellm_proxy(emulator, tmp_path_factory.mktemp("proxy"), SMALL, LARGE, told=told))
            for _ in range(2)
        ]
        yield emulator, [openai.OpenAI(base_url=f"{url}/v1", api_key=MASTER, max_retries=0) for url in urls]


def ask(sdk: openai.OpenAI, text: str) -> Any:
    return sdk.chat.completions.create(model=SMALL, messages=[{"role": "user", "content": text}])


def test_an_answer_is_kept_for_both(pair: tuple[Emulator, list[openai.OpenAI]]) -> None:
    emulator, (one, other) = pair
    emulator.reset()
    first, second = ask(one, "Keep this."), ask(other, "Keep this.")
    assert first.choices[0].message.content == second.choices[0].message.content == "You said: Keep this."
    assert first.id == second.id
    assert len(emulator.requests) == 1
