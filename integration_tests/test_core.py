"""What every OpenAI-compatible server should give the core: the same cases on each."""

from __future__ import annotations

import json

import pytest
from targets import Target

from wandb_inference import (
    AuthenticationError,
    ChatOptions,
    ChatRequest,
    Client,
    NotFoundError,
    ReasoningDelta,
    Settings,
    StreamEnd,
    StreamStart,
    TextDelta,
)

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "movie",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
            "required": ["title", "year"],
            "additionalProperties": False,
        },
    },
}


def ask(target: Target, text: str, **options: object) -> ChatRequest:
    given = {"max_tokens": 1000, "temperature": 0, **options}
    return ChatRequest(target.model, [{"role": "user", "content": text}], ChatOptions(**given))  # type: ignore[arg-type]


def test_models(target: Target) -> None:
    with Client() as client:
        assert target.model in {model.id for model in client.models()}


def test_chat(target: Target) -> None:
    with Client() as client:
        completion = client.chat(ask(target, "Say hello."))
    assert completion.text + completion.reasoning
    assert completion.finish_reason
    assert completion.usage
    assert completion.usage.input_tokens > 0


def test_stream(target: Target) -> None:
    with Client() as client, client.stream(ask(target, "Say hello.")) as stream:
        events = list(stream)
    assert isinstance(events[0], StreamStart)
    assert isinstance(events[-1], StreamEnd)
    assert any(isinstance(event, TextDelta | ReasoningDelta) for event in events)
    assert events[-1].usage


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_tools(target: Target, choice: str) -> None:
    with Client() as client:
        completion = client.chat(ask(target, "What is the weather in Paris?", tools=[TOOL], tool_choice=choice))
    call = completion.tool_calls[0]
    assert call.name == "get_weather"
    assert "Paris" in json.loads(call.arguments)["city"]


def test_schema(target: Target) -> None:
    with Client() as client:
        completion = client.chat(ask(target, "Describe the movie 'Metropolis' of 1927.", response_format=SCHEMA))
    assert set(json.loads(completion.text)) == {"title", "year"}


def test_wrong_key(target: Target) -> None:
    base_url = Settings.resolve().base_url
    with Client(api_key="wrong", base_url=base_url, max_retries=0) as client, pytest.raises(AuthenticationError):
        client.chat(ask(target, "Hello"))


def test_unknown_model(target: Target) -> None:
    with Client(max_retries=0) as client, pytest.raises(NotFoundError):
        client.chat(ChatRequest("no-such/model", [{"role": "user", "content": "Hello"}]))
