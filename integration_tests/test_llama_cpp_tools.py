"""Tool calls and schemas of a llama-server, through the core and both doors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import litellm
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_cpp import KEY, MODEL, Server
from llama_cpp_ways import EVERY_WAY, LITELLM_MODEL, OPTIONS, Answer, Way, messages
from pydantic import BaseModel

from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

pytestmark = [
    pytest.mark.usefixtures("over", "own_litellm"),
    pytest.mark.filterwarnings("ignore"),  # LiteLLM itself warns of much
]

WEATHER, TWO_CITIES = "What is the weather in Paris?", "What is the weather in Paris and London?"
JOKE = "Give me a joke about cats as JSON with keys setup and punchline."
PLACE = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the current weather in a city.", "parameters": PLACE},
}
REPORT = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["first", "second"]},
        "flags": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["kind", "flags", "count"],
    "additionalProperties": False,
}
"""What the model would never write by itself."""
FORMAT = {"type": "json_schema", "json_schema": {"name": "report", "strict": True, "schema": REPORT}}


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str


def check_calls(answer: Answer, number: int) -> None:
    assert len(answer.calls) == number
    for name, arguments in answer.calls:
        assert name == "get_weather"
        jsonschema.validate(arguments, {**PLACE, "additionalProperties": False})
        assert arguments["location"]
    assert len(set(filter(None, answer.call_ids))) == number
    assert answer.finish_reason == "tool_calls"
    assert answer.reasoning
    assert answer.text == ""  # none of the markup that the model calls tools with


@EVERY_WAY
@pytest.mark.parametrize(
    "choice",
    ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}],
    ids=["auto", "required", "named"],
)
def test_a_tool_call(choice: Any, way: Way, llama: Server) -> None:
    check_calls(way.ask(llama.url, WEATHER, tools=[TOOL], tool_choice=choice), 1)


@EVERY_WAY
@pytest.mark.parametrize("parallel", [None, True, False])
def test_two_calls_at_a_time_which_llama_server_does_not_forbid(parallel: bool | None, way: Way, llama: Server) -> None:
    given = {} if parallel is None else {"parallel_tool_calls": parallel}
    check_calls(way.ask(llama.url, TWO_CITIES, tools=[TOOL], **given), 2)


@EVERY_WAY
def test_tools_that_must_not_be_called(way: Way, llama: Server) -> None:
    answer = way.ask(llama.url, WEATHER, tools=[TOOL], tool_choice="none")
    assert answer.calls == []
    assert answer.finish_reason == "stop"


@EVERY_WAY
def test_the_answer_to_what_a_tool_returned(way: Way, llama: Server) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Paris"}'}}
    turns = [
        *messages(WEATHER),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny, 22 C"},
    ]
    answer = way.ask(llama.url, turns, tools=[TOOL])
    assert "sunny, 22 C" in answer.text
    assert answer.calls == []
    assert answer.finish_reason == "stop"


@EVERY_WAY
@pytest.mark.parametrize("beside", [{}, {"tools": [TOOL]}], ids=["alone", "beside tools, which are not called then"])
def test_a_schema(beside: dict[str, Any], way: Way, llama: Server) -> None:
    answer = way.ask(llama.url, WEATHER, response_format=FORMAT, **beside)
    jsonschema.validate(json.loads(answer.text), REPORT)
    assert answer.reasoning
    assert answer.calls == []


@EVERY_WAY
def test_json_of_any_shape(way: Way, llama: Server) -> None:
    answer = way.ask(llama.url, "Hello!", response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.text), dict)
    assert answer.reasoning


# What only one door has


@pytest.fixture
def model(llama: Server) -> ChatWandbInference:
    return ChatWandbInference(model=MODEL, base_url=llama.url, api_key=KEY, **OPTIONS)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_of_langchain(method: Any, model: ChatWandbInference) -> None:
    reader = model.with_structured_output(Joke, method=method)
    for joke in (reader.invoke(JOKE), asyncio.run(reader.ainvoke(JOKE)), list(reader.stream(JOKE))[-1]):
        assert isinstance(joke, Joke)
        assert joke.setup
        assert joke.punchline


def test_json_mode_of_langchain_has_json_of_any_shape(model: ChatWandbInference) -> None:
    reader = model.with_structured_output(Joke, method="json_mode", include_raw=True)
    for read in (reader.invoke(JOKE), asyncio.run(reader.ainvoke(JOKE))):
        assert isinstance(read, dict)
        assert isinstance(json.loads(read["raw"].text), dict)
        assert (read["parsed"] is None) is isinstance(read["parsing_error"], OutputParserException)


def test_a_turn_of_langchain_with_its_tool(model: ChatWandbInference) -> None:
    def get_weather(location: str) -> str:
        """Get the current weather in a city."""
        return f"sunny in {location}"

    bound = model.bind_tools([get_weather])
    ask = HumanMessage(WEATHER)
    calling: AIMessage = bound.invoke([ask])
    results = [ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]) for call in calling.tool_calls]
    assert results
    answer = bound.invoke([ask, calling, *results])
    assert answer.text
    assert answer.tool_calls == []


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_a_class_as_response_format_of_litellm(later: bool, llama: Server) -> None:
    register()
    given: Any = {"model": LITELLM_MODEL, "api_base": llama.url, "api_key": KEY, "messages": messages(JOKE)}
    given |= OPTIONS | {"response_format": Joke}
    answer: Any = asyncio.run(litellm.acompletion(**given)) if later else litellm.completion(**given)
    assert Joke.model_validate_json(answer.choices[0].message.content).punchline
