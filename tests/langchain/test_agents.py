"""Agents: ``create_agent`` with each middleware that looks at its model, and graphs that stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.chat_models import base as registry
from langchain.chat_models import init_chat_model
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_support import GEMMA, MODEL, SEES, Make, Movie

from wandb_inference import Catalog, ConfigurationError, RateLimitedError
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse
from wandb_inference.langchain import ChatWandbInference, register_with_init_chat_model


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"sunny in {city}"


@tool
def send_mail(to: str) -> str:
    """Send a mail to somebody."""
    return f"sent to {to}"


def end_now(agent: Any, *messages: Any) -> dict[str, Any]:
    """The final state of an agent."""
    return agent.invoke({"messages": list(messages)})  # type: ignore[no-any-return]


def end_later(agent: Any, *messages: Any) -> dict[str, Any]:
    return asyncio.run(agent.ainvoke({"messages": list(messages)}))


def now(agent: Any, *messages: Any) -> list[AnyMessage]:
    return end_now(agent, *messages)["messages"]  # type: ignore[no-any-return]


def later(agent: Any, *messages: Any) -> list[AnyMessage]:
    return end_later(agent, *messages)["messages"]  # type: ignore[no-any-return]


BOTH = pytest.mark.parametrize("run", [now, later])
ASK = ("human", "What is the weather in Paris?")


@BOTH
def test_a_plain_agent(run: Any, make: Make) -> None:
    messages = run(create_agent(make(), [get_weather], name="My Agent"), ASK)
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "The tool says: sunny in Paris"
    again = run(create_agent(make(model=SEES), [get_weather]), *messages, ASK)
    assert again[-1].text == "The tool says: sunny in Paris"


# model -> the strategies that LangChain itself picks for a bare schema, and both by name
@pytest.mark.parametrize("run", [end_now, end_later])
@pytest.mark.parametrize("model", [MODEL, GEMMA])
@pytest.mark.parametrize("strategy", [Movie, ProviderStrategy(Movie), ToolStrategy(Movie)], ids=str)
def test_structured_responses_beside_tools(strategy: Any, model: str, run: Any, make: Make) -> None:
    agent = create_agent(make(model=model), [get_weather], response_format=strategy)
    end = run(agent, ("human", "What is the weather in Paris in 1927?"))
    assert isinstance(end["structured_response"], Movie)
    assert any(message.type == "tool" and "sunny" in message.text for message in end["messages"])


def test_a_provider_strategy_without_tools_sends_none(make: Make, emulator: Emulator) -> None:
    agent: Any = create_agent(make(), response_format=ProviderStrategy(Movie))
    assert isinstance(agent.invoke({"messages": [ASK]})["structured_response"], Movie)
    assert "tools" not in emulator.requests[0].json()


@BOTH
def test_fallback(run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Fault(status=503))
    agent = create_agent(make(), [get_weather], middleware=[ModelFallbackMiddleware(make(model=GEMMA))])
    history = AIMessage(
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}},
        ],
        response_metadata={"model_provider": "anthropic"},
    )
    messages = run(agent, ("human", "Hi"), history, ASK)
    assert messages[-1].text == "The tool says: sunny in Paris"
    assert [seen.json()["model"] for seen in emulator.requests] == [MODEL, GEMMA, MODEL]
    assert emulator.requests[1].json()["messages"][1] == {"role": "assistant", "content": "Hello.", "reasoning": "hm"}


RETRIED: list[tuple[Fault, bool]] = [
    (Fault(status=429), True),
    (Fault(status=503), True),
    (Fault("empty"), True),
    (Fault("cut", after=3), False),  # it has begun to answer, and whoever listens has heard it
    (Fault(status=401), False),
    (Fault(status=402), False),
    (Fault(status=404), False),
    (Fault(status=422), False),
]


@BOTH
@pytest.mark.parametrize(("fault", "retried"), RETRIED, ids=lambda x: str(getattr(x, "status", x)))
def test_retry(fault: Fault, retried: bool, run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(fault)
    model = make(streaming=fault.kind in ("cut", "empty"))
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error")
    agent = create_agent(model, middleware=[retry])
    if retried:
        assert run(agent, ASK)[-1].text.startswith("You said")
    else:
        with pytest.raises(core.ModelError):
            run(agent, ASK)
    assert len(emulator.requests) == 1 + retried


def small(window: int) -> Catalog:
    row = {"id": "small", "name": "s", "family": "s", "status": "active", "checked": "2026-11-21", "source": "test"}
    return Catalog.bundled().with_overrides({"model": [{**row, "context_window": window, "tools": True}]})


LONG = [HumanMessage("word " * 300), AIMessage("word " * 300), HumanMessage("word " * 300), AIMessage("ok")]


@BOTH
def test_summaries_by_a_fraction_of_the_window(run: Any) -> None:
    with Emulator(catalog=small(3000)) as url:
        model = ChatWandbInference(model="small", base_url=url, api_key="emulator-key", catalog=small(3000))
        assert model.profile is not None
        assert model.profile["max_input_tokens"] == 3000
        middleware = SummarizationMiddleware(model, trigger=("fraction", 0.3), keep=("messages", 1))
        messages = run(create_agent(model, middleware=[middleware]), *LONG, ASK)
    assert "summary" in messages[0].text
    assert len(messages) == 3
    assert messages[-2].text == ASK[1]


@BOTH
def test_summaries_by_the_tokens_that_the_service_reported(run: Any, make: Make) -> None:
    reported = AIMessage(
        "ok",
        usage_metadata={"input_tokens": 5000, "output_tokens": 1, "total_tokens": 5001},
        response_metadata={"model_provider": "wandb"},
    )
    middleware = SummarizationMiddleware(make(), trigger=("tokens", 5000), keep=("messages", 1))
    messages = run(create_agent(make(), middleware=[middleware]), ("human", "Hi"), reported, ASK)
    assert "summary" in messages[0].text


@BOTH
@pytest.mark.parametrize("review", ["strict", "off"])  # the catalog says so, the service says so
def test_summaries_that_overflow_are_shortened(review: Any, run: Any) -> None:
    with (emulator := Emulator(catalog=small(3000))) as url:
        model = ChatWandbInference(
            model="small", base_url=url, api_key="emulator-key", catalog=small(3000), review=review, max_retries=0
        )
        middleware = SummarizationMiddleware(
            model, trigger=("messages", 3), keep=("messages", 1), trim_tokens_to_summarize=None
        )
        long = [HumanMessage("word " * 2000), AIMessage("word " * 2000), AIMessage("ok")]
        messages = run(create_agent(model, middleware=[middleware]), *long, ASK)
    assert "summary" in messages[0].text
    assert len(emulator.requests) == (3 if review == "off" else 2)  # the overflow, the summary, the answer


@BOTH
def test_context_editing_with_the_models_own_count(run: Any, make: Make, emulator: Emulator) -> None:
    edit = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=500, keep=1)], token_count_method="model")
    history: list[Any] = [ASK]
    for n in range(3):
        history.append(AIMessage("", tool_calls=[{"id": f"c{n}", "name": "get_weather", "args": {"city": "Paris"}}]))
        history.append(ToolMessage("word " * 300, tool_call_id=f"c{n}"))
    run(create_agent(make(), [get_weather], middleware=[edit]), *history)
    tools = [message["content"] for message in emulator.requests[0].json()["messages"] if message["role"] == "tool"]
    assert tools == ["[cleared]", "[cleared]", "word " * 300]


@BOTH
def test_the_tool_selector(run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Reply(json.dumps({"tools": ["send_mail"]})))
    selector = LLMToolSelectorMiddleware(model=make(model=GEMMA), max_tools=1)
    run(create_agent(make(), [get_weather, send_mail], middleware=[selector]), ("human", "Write to Ada."))
    chosen, asked = (seen.json() for seen in emulator.requests[:2])
    assert chosen["response_format"]["type"] == "json_schema"
    assert [each["function"]["name"] for each in asked["tools"]] == ["send_mail"]


@BOTH
def test_limits(run: Any, make: Make, emulator: Emulator) -> None:
    once = create_agent(make(), [get_weather], middleware=[ModelCallLimitMiddleware(run_limit=1)])
    assert "limit" in run(once, ASK)[-1].text
    assert len(emulator.requests) == 1
    none = create_agent(make(), [get_weather], middleware=[ToolCallLimitMiddleware(run_limit=0, exit_behavior="end")])
    assert "limit" in run(none, ASK)[-1].text


@BOTH
def test_another_model_and_other_settings_for_a_turn(run: Any, make: Make, emulator: Emulator) -> None:
    class Switch(_Both):
        @staticmethod
        def change(request: ModelRequest) -> ModelRequest:
            settings = {"temperature": 0.1, "reasoning_effort": "high", "extra_body": {"cache_salt": "s"}}
            return request.override(model=make(), model_settings=settings)

    run(create_agent(make(model=GEMMA), middleware=[Switch.middleware()]), ASK)
    body = emulator.requests[0].json()
    assert {name: body[name] for name in ("model", "temperature", "reasoning_effort", "cache_salt")} == {
        "model": MODEL,
        "temperature": 0.1,
        "reasoning_effort": "high",
        "cache_salt": "s",
    }


@BOTH
def test_the_model_as_a_setting_and_a_misspelt_one(run: Any, make: Make, emulator: Emulator) -> None:
    class Settings(_Both):
        given: dict[str, Any] = {"model": SEES}  # noqa: RUF012 (replaced below)

        @classmethod
        def change(cls, request: ModelRequest) -> ModelRequest:
            return request.override(model_settings=cls.given)

    agent = create_agent(make(), [get_weather], middleware=[Settings.middleware()])
    run(agent, ASK)
    assert {seen.json()["model"] for seen in emulator.requests} == {SEES}
    Settings.given = {"temprature": 1}
    with pytest.raises(ConfigurationError, match="Did you mean 'temperature'"):
        run(agent, ASK)


class _Both:
    """A middleware that changes the request, for invoke and ainvoke."""

    @staticmethod
    def change(request: ModelRequest) -> ModelRequest:
        return request

    @classmethod
    def middleware(cls) -> Any:
        class Middleware(AgentMiddleware):
            def wrap_model_call(self, request: ModelRequest, handler: Any) -> Any:
                return handler(cls.change(request))

            async def awrap_model_call(self, request: ModelRequest, handler: Any) -> Any:
                return await handler(cls.change(request))

        return Middleware()


@BOTH
def test_middleware_that_makes_plain_calls(run: Any, make: Make, emulator: Emulator) -> None:
    emulator.script(Reply("", "", (ToolUse("get_weather", {"city": "Paris"}),)), Reply("made up"))
    middleware: Any = [LLMToolEmulator(model=make()), TodoListMiddleware(), PIIMiddleware("email")]
    messages = run(create_agent(make(), [get_weather], middleware=middleware), ("human", "I am ada@example.com"))
    assert [m.text for m in messages if m.type == "tool"] == ["made up"]
    assert "[REDACTED_EMAIL]" in messages[0].text
    assert "ada@example.com" not in str([seen.json() for seen in emulator.requests])


def test_a_graph_streams_messages(make: Make) -> None:
    agent: Any = create_agent(make(), [get_weather])

    async def arun() -> list[Any]:
        return [part async for part in agent.astream({"messages": [ASK]}, stream_mode="messages")]

    for parts in (list(agent.stream({"messages": [ASK]}, stream_mode="messages")), asyncio.run(arun())):
        chunks = [message for message, _ in parts if isinstance(message, AIMessageChunk)]
        assert "".join(chunk.text for chunk in chunks).endswith("The tool says: sunny in Paris")
        assert any(chunk.tool_call_chunks for chunk in chunks)
        assert any("reasoning_content" in chunk.additional_kwargs for chunk in chunks)
        assert sum(bool(chunk.usage_metadata) for chunk in chunks) == 2  # one a call


def test_a_graph_passes_errors_on_while_it_streams(make: Make, emulator: Emulator) -> None:
    emulator.script(Fault(status=429))
    agent: Any = create_agent(make(), [get_weather])
    with pytest.raises(RateLimitedError):
        list(agent.stream({"messages": [ASK]}, stream_mode="messages"))


def test_init_chat_model(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(registry._BUILTIN_PROVIDERS)
    monkeypatch.setattr(registry, "_BUILTIN_PROVIDERS", table)
    monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", emulator.url)
    monkeypatch.setenv("WANDB_API_KEY", emulator.api_key)
    with pytest.raises(ValueError, match="Unable to infer model provider"):
        init_chat_model("wandb:openai/gpt-oss-20b")
    register_with_init_chat_model()
    register_with_init_chat_model()  # once more changes nothing
    model = init_chat_model("wandb:openai/gpt-oss-20b", temperature=0.5)
    assert isinstance(model, ChatWandbInference)
    assert (model.model, model.temperature) == ("openai/gpt-oss-20b", 0.5)
    assert now(create_agent("wandb:openai/gpt-oss-20b", [get_weather]), ASK)[-1].text == "The tool says: sunny in Paris"
    configurable: Any = init_chat_model("wandb:openai/gpt-oss-20b", configurable_fields=("model",))
    answer = configurable.invoke("x", {"configurable": {"model": f"wandb:{SEES}"}})
    assert answer.response_metadata["model_name"] == SEES
    table["wandb"] = ("somebody_else", "ChatWandb", table["wandb"][2])
    with pytest.raises(ConfigurationError, match="has a provider 'wandb' already: ChatWandb"):
        register_with_init_chat_model()
    monkeypatch.delattr(registry, "_BUILTIN_PROVIDERS")
    with pytest.raises(ConfigurationError, match="cannot be added to"):
        register_with_init_chat_model()
