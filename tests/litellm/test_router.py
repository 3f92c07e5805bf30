"""What ``deployments`` gives a Router, in use: under load, beside failures, and where we refuse a call."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import pytest
from litellm import exceptions as theirs
from litellm.router import Router

from wandb_inference.emulator import Emulator, Fault
from wandb_inference.litellm import deployments
from wandb_inference.litellm.calls import to_labels

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM itself warns of much
SMALL, LARGE, FAMILY = "openai/gpt-oss-20b", "zai-org/GLM-5.2", "family/gpt-oss"
ASK: Any = [{"role": "user", "content": "Hello"}]
IMAGE: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
LONG: Any = [{"role": "user", "content": "word " * 200_000}]
WAYS = ["async whole", "async stream", "threads whole", "threads stream"]
JUDGES_A_400 = tuple(map(int, version("litellm").split(".")[:3])) >= (1, 108, 7)

Ask = Callable[..., list[str]]


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Make a number of calls at a time, and return which model answered each, or the class of its error."""
    way: str = request.param
    stream = way.endswith("stream")

    def one(router: Any, arguments: dict[str, Any]) -> str:
        try:
            answer: Any = router.completion(stream=stream, **arguments)
            return model_of(list(answer) if stream else [answer])
        except Exception as e:  # noqa: BLE001 (whatever it is, it is what the caller sees)
            return type(e).__name__

    async def aone(router: Any, arguments: dict[str, Any]) -> str:
        try:
            answer: Any = await router.acompletion(stream=stream, **arguments)
            return model_of([chunk async for chunk in answer] if stream else [answer])
        except Exception as e:  # noqa: BLE001 (as above)
            return type(e).__name__

    async def all_of(router: Any, arguments: dict[str, Any], times: int) -> list[str]:
        return await asyncio.gather(*(aone(router, arguments) for _ in range(times)))

    def ask(router: Any, times: int = 1, **given: Any) -> list[str]:
        arguments = {"model": SMALL, "messages": ASK, **given}
        if way.startswith("async"):
            return asyncio.run(all_of(router, arguments, times))
        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(lambda _: one(router, arguments), range(times)))

    return ask


def model_of(answers: list[Any]) -> str:
    return str(answers[0].model).removeprefix("wandb_inference/")


def router(emulator: Emulator, *models: str, retries: int = 0, **given: Any) -> Any:
    made = deployments(models=models, api_base=emulator.url, api_key=emulator.api_key, **given)
    return Router(**made, num_retries=retries)


@pytest.fixture
def slow() -> Iterator[Callable[..., Emulator]]:
    started: list[Emulator] = []

    def slow(**given: Any) -> Emulator:
        started.append(Emulator(latency=0.2, **given))
        started[-1].start()
        return started[-1]

    yield slow
    for emulator in started:
        emulator.stop()


LOADS: dict[str, tuple[str, dict[str, Any], dict[str, Any], set[str]]] = {
    # name: (group, arguments of deployments, of the emulator, who may answer)
    "a model": (SMALL, {}, {}, {SMALL}),
    "a model, whatever a fallback costs": (SMALL, {"fallback_price": math.inf}, {}, {SMALL}),
    "a family": (FAMILY, {"families": True}, {}, {SMALL, "openai/gpt-oss-120b"}),
}


@pytest.mark.parametrize("name", LOADS)
def test_many_calls_at_a_time_wait_and_are_answered_by_whom_they_were_made_to(
    name: str, ask: Ask, slow: Callable[..., Emulator]
) -> None:
    group, given, service, answerers = LOADS[name]
    routed = router(slow(**service), SMALL, "openai/gpt-oss-120b", LARGE, **given)
    found = Counter(ask(routed, times=60, model=group))
    assert set(found) <= answerers, found
    assert found.total() == 60


def test_a_service_that_takes_fewer_at_a_time(ask: Ask, slow: Callable[..., Emulator]) -> None:
    routed = router(slow(max_in_flight=30), SMALL, LARGE, retries=5)
    assert Counter(ask(routed, times=60)) == {SMALL: 60}


@pytest.mark.parametrize("group", [SMALL, FAMILY])
@pytest.mark.parametrize("status", [401, 402, 429, 500])
def test_good_calls_after_a_failed_one(status: int, group: str, ask: Ask, emulator: Emulator) -> None:
    routed = router(emulator, SMALL, "openai/gpt-oss-120b", LARGE, families=True)
    emulator.script(*[Fault(status=status)] * 3)
    for _ in range(3):
        ask(routed, model=group)
    assert len(emulator.requests) >= 3
    emulator.reset()
    assert set(ask(routed, times=4, model=group)) <= {SMALL, "openai/gpt-oss-120b"}
    assert len(emulator.requests) == 4


REFUSED: dict[str, dict[str, Any]] = {
    "reasoning that cannot be switched off": {"reasoning_effort": "none"},
    "an image": {"messages": IMAGE},
    "a limit out of range": {"n": 0},
    "a configuration": {"review": "sometimes"},
    "a malformed project": {"project": "no project"},
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("fallback_price", [1.0, math.inf])
def test_what_we_refuse_is_not_asked_of_a_dearer_model(
    fallback_price: float, name: str, ask: Ask, emulator: Emulator
) -> None:
    if fallback_price > 1 and not JUDGES_A_400:
        pytest.skip("this LiteLLM falls back from whatever fails")
    routed = router(emulator, SMALL, LARGE, "zai-org/GLM-5.3-Flash", fallback_price=fallback_price)
    assert ask(routed, **REFUSED[name]) == ["BadRequestError"]
    assert emulator.requests == ()


def test_a_prompt_too_long_goes_to_a_larger_window_where_that_may_cost_more(ask: Ask, emulator: Emulator) -> None:
    assert ask(router(emulator, SMALL, LARGE), messages=LONG, max_tokens=9) == ["ContextWindowExceededError"]
    assert ask(router(emulator, SMALL, LARGE, fallback_price=30), messages=LONG, max_tokens=9) == [LARGE]


def test_a_prompt_too_long_for_some_of_a_family(ask: Ask, emulator: Emulator) -> None:
    chinese: Any = [{"role": "user", "content": "模型" * 60_000}]  # OpenAI's tokenizer counts more than it has
    routed = router(emulator, "deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V4-Flash-0731", families=True)
    family: dict[str, Any] = {"model": "family/deepseek", "times": 6, "max_tokens": 9}
    assert set(ask(routed, **family, messages=LONG)) == {"deepseek-ai/DeepSeek-V4-Flash-0731"}
    assert "ContextWindowExceededError" not in ask(routed, **family, messages=chinese)


def test_a_failure_of_the_service_is_asked_of_a_model_that_is_not_dearer(ask: Ask, emulator: Emulator) -> None:
    emulator.script(Fault(status=500))
    assert ask(router(emulator, SMALL, "openai/gpt-oss-120b"), model="openai/gpt-oss-120b") == [SMALL]
    emulator.reset()
    emulator.script(Fault(status=500))
    assert ask(router(emulator, SMALL, LARGE)) == [theirs.InternalServerError.__name__]
    emulator.script(Fault(status=500))
    assert ask(router(emulator, SMALL, LARGE, fallback_price=math.inf)) == [LARGE]


def test_a_call_has_no_tags_but_its_own(ask: Ask, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []  # what LiteLLM hands over, and bills by

    def seen(params: Any) -> Any:
        found.append(params["metadata"]["tags"])
        return to_labels(params)

    monkeypatch.setattr("wandb_inference.litellm.handler.to_labels", seen)
    assert ask(router(emulator, SMALL), metadata={"tags": ["mine"]}) == [SMALL]
    assert found == [["mine"]]


NOT_SERVED: dict[str, dict[str, Any]] = {
    "aembedding": {"input": ["x"]},
    "aimage_generation": {"prompt": "x"},
    "amoderation": {"input": "x"},
    "arerank": {"query": "x", "documents": ["y"]},
    "aspeech": {"input": "x", "voice": "y"},
    "atranscription": {"file": ("a.wav", b"x")},
}


@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_the_service_does_not_serve(name: str, emulator: Emulator) -> None:
    routed = router(emulator, SMALL)
    with pytest.raises(theirs.BadRequestError, match="W&B Inference serves no"):
        asyncio.run(getattr(routed, name)(model=SMALL, **NOT_SERVED[name]))
    assert emulator.requests == ()


def test_limits_that_are_asked_for_refuse(ask: Ask, emulator: Emulator) -> None:
    routed = router(emulator, SMALL, LARGE, rpm=2)
    found = Counter(ask(routed)[0] for _ in range(4))
    assert found == {SMALL: 2, "RateLimitError": 2}
