"""Two real LiteLLM proxies that share a real Redis: what one counts and keeps, the other knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from proxies import MASTER, litellm_proxy, needs_proxy, needs_redis, redis

from wandb_inference.emulator import Emulator

pytestmark = [needs_proxy, needs_redis]
SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
RPM = 6


@dataclass
class Pair:
    """Two proxies in front of one emulator."""

    behind: Emulator
    sdks: list[openai.OpenAI]

    def ask(self, which: int, model: str, text: str) -> Any:
        return self.sdks[which].chat.completions.create(model=model, messages=[{"role": "user", "content": text}])

    @property
    def asked(self) -> list[str]:
        """The models that the emulator was asked for."""
        return [seen.json()["model"] for seen in self.behind.requests]


@pytest.fixture(scope="module")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    emulator = Emulator()
    with ExitStack() as stack:
        stack.enter_context(emulator)
        shared, password = stack.enter_context(redis(tmp_path_factory.mktemp("redis")))
        urls = [
            stack.enter_context(
                litellm_proxy(
                    emulator,
                    tmp_path_factory.mktemp("proxy"),
                    SMALL,
                    LARGE,
                    told=("--redis", shared, "--cache", "--families", "--rpm", str(RPM)),
                    environment={"REDIS_PASSWORD": password},
                )
            )
            for _ in range(2)
        ]
        yield Pair(emulator, [openai.OpenAI(base_url=f"{url}/v1", api_key=MASTER, max_retries=0) for url in urls])


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    _pair.behind.reset()
    return _pair


def test_an_answer_is_kept_for_both(pair: Pair) -> None:
    first, second = pair.ask(0, SMALL, "Keep this."), pair.ask(1, SMALL, "Keep this.")
    assert first.choices[0].message.content == second.choices[0].message.content == "You said: Keep this."
    assert first.id == second.id
    assert len(pair.asked) == 1


def test_calls_to_either_count_for_both(pair: Pair) -> None:
    if time.gmtime().tm_sec > 45:  # LiteLLM counts by the minute of the clock
        time.sleep(16)
    for number in range(RPM):
        pair.ask(number % 2, LARGE, f"Call {number}.")
    assert pair.asked == [LARGE] * RPM
    refused = []
    for which in range(2):
        # The proxy falls back from a group that is full.
        pair.ask(which, LARGE, f"One too many, {which}.")
        refused.append(pair.asked[-1])
    assert refused == [SMALL, SMALL]
