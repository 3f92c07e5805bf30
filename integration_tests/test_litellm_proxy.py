"""A real LiteLLM proxy, in a process of its own, configured by our command line, in front of the emulator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import litellm
import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from litellm.caching.caching import Cache
from proxies import MASTER, litellm_proxy, needs_proxy
from pydantic import BaseModel, SecretStr

from wandb_inference import Catalog
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

pytestmark = needs_proxy
SMALL, LARGE = "openai/gpt-oss-20b", "zai-org/GLM-5.2"
ASK: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def _behind() -> Iterator[Emulator]:
    emulator = Emulator()
    with emulator:
        yield emulator


@pytest.fixture
def behind(_behind: Emulator) -> Emulator:
    _behind.reset()
    return _behind


@pytest.fixture(scope="module")
def _log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the proxy's callback writes."""
    return tmp_path_factory.mktemp("log") / "bills.jsonl"


@pytest.fixture(scope="module")
def proxy(_behind: Emulator, _log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    dearer = ("--fallback-price", "30")
    with litellm_proxy(_behind, tmp_path_factory.mktemp("proxy"), SMALL, LARGE, told=dearer, bills=_log) as url:
        yield url


@pytest.fixture
def logged(_log: Path) -> Callable[[], Any]:
    """Wait for the next bill that the proxy writes, and return it."""
    read = len(_log.read_text().splitlines()) if _log.exists() else 0

    def following() -> Any:
        nonlocal read
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            lines = _log.read_text().splitlines() if _log.exists() else []
            if len(lines) > read:
                read += 1
                return json.loads(lines[read - 1])
            time.sleep(0.1)
        pytest.fail("The proxy logged nothing.")

    return following


@pytest.fixture
def sdk(proxy: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{proxy}/v1", api_key=MASTER, max_retries=0)


def test_chat_and_its_cost(sdk: openai.OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model=SMALL, messages=ASK)
    answer = raw.parse()
    assert answer.choices[0].message.content == "You said: Hello"
    assert answer.usage is not None
    exact = (answer.usage.prompt_tokens * 0.03 + answer.usage.completion_tokens * 0.13) / 1_000_000
    assert float(raw.headers["x-litellm-response-cost"]) == pytest.approx(exact)


def test_stream(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(model=SMALL, messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: Hello"
    assert any(getattr(c.choices[0].delta, "reasoning_content", None) for c in chunks if c.choices)
    (usage,) = [c.usage for c in chunks if c.usage]
    assert usage.total_tokens == 23


ODD = {
    "prompt_tokens": 1237,
    "completion_tokens": 353,
    "total_tokens": 1590,
    "prompt_tokens_details": {"cached_tokens": 409},
}


def test_odd_numbers_are_billed_as_counted(sdk: openai.OpenAI, behind: Emulator, logged: Callable[[], Any]) -> None:
    prices = Catalog.bundled().card(LARGE).price
    assert prices
    assert prices.cached_input is not None
    bill = float((828 * prices.input + 409 * prices.cached_input + 353 * prices.output) / 1_000_000)
    behind.script(Reply("x", usage=ODD), Reply("x", usage=ODD))
    raw = sdk.chat.completions.with_raw_response.create(model=LARGE, messages=ASK)
    assert float(raw.headers["x-litellm-response-cost"]) == pytest.approx(bill, rel=1e-9)
    assert logged()["response_cost"] == pytest.approx(bill, rel=1e-9)
    list(sdk.chat.completions.create(model=LARGE, messages=ASK, stream=True))
    streamed = logged()
    assert (streamed["stream"], streamed["prompt_tokens"], streamed["completion_tokens"]) == (True, 1237, 353)
    assert streamed["response_cost"] == pytest.approx(bill, rel=1e-9)


def test_tools_and_a_schema(sdk: openai.OpenAI, behind: Emulator) -> None:
    behind.script(Reply("", "", (ToolUse("f", {"a": 1}), ToolUse("f", {"a": 2}))))
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    answer = sdk.chat.completions.create(model=SMALL, messages=ASK, tools=tools)
    calls: Any = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"a": 1}, {"a": 2}]
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    format_: Any = {"type": "json_schema", "json_schema": {"name": "City", "schema": schema}}
    text = sdk.chat.completions.create(model=SMALL, messages=ASK, response_format=format_).choices[0].message.content
    assert set(json.loads(text or "")) == {"city"}


def test_models_and_their_prices(proxy: str, sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == [SMALL, LARGE]
    rows = httpx.get(f"{proxy}/model/info", headers={"authorization": f"Bearer {MASTER}"}, timeout=30).json()["data"]
    info = {row["model_name"]: row["model_info"] for row in rows}
    assert info[SMALL]["input_cost_per_token"] == 3e-08
    assert info[SMALL]["supports_function_calling"] is True
    assert "emulator-key" not in json.dumps(rows)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"model": SMALL, "input": "Hello"}),
        ("/v1/messages", {"model": SMALL, "max_tokens": 100, "messages": ASK}),
    ],
)
def test_other_protocols(path: str, body: dict[str, Any], proxy: str) -> None:
    answer = httpx.post(f"{proxy}{path}", json=body, headers={"authorization": f"Bearer {MASTER}"}, timeout=30)
    assert answer.is_success, answer.text
    assert "You said: Hello" in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_busy_service_is_asked_again(stream: bool, sdk: openai.OpenAI, behind: Emulator) -> None:
    behind.script(Fault(status=429, retry_after=1))
    answer: Any = sdk.chat.completions.create(model=SMALL, messages=ASK, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    else:
        text = answer.choices[0].message.content
    assert text == "You said: Hello"
    assert len(behind.requests) == 2


def test_a_stream_falls_back_to_a_larger_window(sdk: openai.OpenAI, behind: Emulator) -> None:
    overflow = (
        "This model's maximum context length is 131072 tokens. However, your prompt contains 140000 input tokens."
    )
    behind.script(Fault(status=400, message=overflow))
    chunks = sdk.chat.completions.create(model=SMALL, messages=ASK, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: Hello"
    assert [seen.json()["model"] for seen in behind.requests] == [SMALL, LARGE]


IMAGE: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an image": ({"messages": IMAGE}, "the model reads text only"),
    "reasoning that cannot be switched off": ({"reasoning_effort": "none"}, "cannot be switched off"),
    "a limit out of range": ({"n": 0}, "n=0 must be at least 1"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_succeed_is_refused_with_its_reason(
    name: str, stream: bool, sdk: openai.OpenAI, behind: Emulator
) -> None:
    given, reason = REFUSED[name]
    with pytest.raises(openai.BadRequestError, match=reason):
        sdk.chat.completions.create(**{"model": SMALL, "messages": ASK, "stream": stream, **given})
    assert behind.requests == ()


@pytest.mark.filterwarnings("ignore")  # LiteLLM itself warns of much
def test_a_cached_answer_has_its_price(behind: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.setattr(litellm, "cache", Cache(type="local"))  # type: ignore[arg-type]  # which needs the proxy extra
    given: Any = {"api_base": behind.url, "api_key": behind.api_key, "messages": ASK, "caching": True}
    costs = [litellm.completion_cost(litellm.completion(model=f"wandb_inference/{SMALL}", **given)) for _ in range(2)]
    assert costs[0] == costs[1] > 0
    assert len(behind.requests) == 1


# LangChain in front of the proxy


@pytest.fixture(params=["ChatOpenAI", "ChatWandbInference"])
def chat_model(request: pytest.FixtureRequest, proxy: str) -> BaseChatModel:
    if request.param == "ChatOpenAI":
        model: BaseChatModel = ChatOpenAI(model=SMALL, base_url=f"{proxy}/v1", api_key=SecretStr(MASTER), max_retries=0)
        return model
    return ChatWandbInference(model=SMALL, base_url=f"{proxy}/v1", api_key=MASTER, max_retries=0)


class City(BaseModel):
    """A city."""

    name: str


def test_a_chat_model_of_langchain(chat_model: BaseChatModel, behind: Emulator) -> None:
    answer = chat_model.invoke("Hello")
    assert answer.text == "You said: Hello"
    assert answer.usage_metadata
    assert answer.usage_metadata["total_tokens"] == 23
    streamed = list(chat_model.stream("Hello"))
    assert "".join(chunk.text for chunk in streamed) == "You said: Hello"
    assert isinstance(chat_model.with_structured_output(City).invoke("Describe Oslo."), City)
    behind.script(Reply("", "", (ToolUse("get_weather", {"city": "Oslo"}),)))
    bound = chat_model.bind_tools([{"name": "get_weather", "parameters": {"type": "object", "properties": {}}}])
    assert [(call["name"], call["args"]) for call in bound.invoke("?").tool_calls] == [
        ("get_weather", {"city": "Oslo"})
    ]
    behind.script(Fault(status=429, retry_after=1))
    assert chat_model.invoke("Hello").text == "You said: Hello"
