"""The names of parameters, tools and choices of them, as LangChain and its users write them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict

from wandb_inference import ConfigurationError
from wandb_inference.langchain.options import CALL_OPTIONS, canonical, renamed, to_tool, to_tool_choice, typed

KNOWN = ("model", "api_key", "timeout", "stop", "max_tokens", "reasoning", "stream_usage", "temperature")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model_name", "model"),
        ("wandb_api_key", "api_key"),
        ("request_timeout", "timeout"),
        ("stop_sequences", "stop"),
        ("max_completion_tokens", "max_tokens"),
        ("reasoning_effort", "reasoning"),
        ("include_usage", "stream_usage"),
        ("temperature", "temperature"),
    ],
)
def test_other_spellings(theirs: str, ours: str) -> None:
    assert renamed({theirs: 1}) == canonical({theirs: 1}, KNOWN) == {ours: 1}


def test_a_name_that_does_not_exist() -> None:
    assert renamed({"heat": 1}) == {"heat": 1}
    with pytest.raises(ConfigurationError) as caught:
        canonical({"temprature": 1, "model": "m", "zeal": 2}, KNOWN)
    assert str(caught.value) == (
        "There is no parameter 'temprature'. Did you mean 'temperature'? "
        "Further fields of the request body go into extra_body={…}."
    )
    with pytest.raises(ConfigurationError) as caught:
        canonical({"zeal": 1}, KNOWN)
    assert (
        str(caught.value) == "There is no parameter 'zeal'. Further fields of the request body go into extra_body={…}."
    )


def test_what_a_call_may_name() -> None:
    assert {"model", "stream_usage", "policy", "budget", "max_cost", "temperature", "extra_body"} <= CALL_OPTIONS
    assert not {"include_usage", "api_key", "timeout"} & CALL_OPTIONS


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


class Weather(BaseModel):
    """Tell the weather."""

    city: str


DEFINED = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("given", [weather, Weather, DEFINED], ids=["tool", "class", "definition"])
def test_tools(given: Any) -> None:
    definition = to_tool(given)
    assert definition["type"] == "function"
    assert definition["function"]["name"] in ("weather", "Weather", "f")
    assert definition["function"].get("strict") is None
    if not isinstance(given, dict):  # a definition says for itself
        assert to_tool(given, strict=True)["function"]["strict"] is True


@pytest.mark.parametrize("given", [{"type": "web_search"}, {"type": "computer", "function": "f"}])
def test_a_tool_of_another_providers_servers(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"A tool of type '{given['type']}' cannot be sent") as caught:
        to_tool(given)
    assert "a definition of type 'function'" in caught.value.hint


NAMED = {"type": "function", "function": {"name": "f"}}
CHOICES: dict[str, tuple[Any, Any]] = {
    # name: (LangChain's, the wire's)
    "none given": (None, None),
    "no": (False, None),
    "yes": (True, "required"),
    "any": ("any", "required"),
    "required": ("required", "required"),
    "auto": ("auto", "auto"),
    "none": ("none", "none"),
    "a name": ("f", NAMED),
    "OpenAI's": (NAMED, NAMED),
    "Anthropic's, a name": ({"type": "tool", "name": "f"}, NAMED),
    "Anthropic's, any": ({"type": "any"}, "required"),
    "Anthropic's, auto": ({"type": "auto"}, "auto"),
    "Anthropic's, none": ({"type": "none"}, "none"),
    "a function of null": ({"type": "tool", "function": None, "name": "f"}, NAMED),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name: str) -> None:
    given, sent = CHOICES[name]
    assert to_tool_choice(given, ["e", "f"]) == sent


@pytest.mark.parametrize(
    ("given", "named"), [("x", "'x'"), ({"type": "tool", "name": "x"}, "'x'"), ({}, "None"), ("", "''")]
)
def test_a_choice_of_what_is_not_there(given: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"tool_choice names {named}, which is none of the tools") as caught:
        to_tool_choice(given, ["e", "f"])
    assert caught.value.hint == "They are: ['e', 'f']."


class Own:
    """A value that pydantic knows nothing of."""


class Fields(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    own: Own | None = None
    temperature: float | None = None
    stop: list[str] | None = None
    seed: int | None = None


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"temperature": "0.5", "seed": "7"}, {"temperature": 0.5, "seed": 7}),
        ({"stop": "a"}, {"stop": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"temperature": None, "tools": "any"}, {"temperature": None, "tools": "any"}),
    ],
)
def test_values_are_held_as_the_models_fields_are(given: dict[str, Any], held: dict[str, Any]) -> None:
    found = typed(given, Fields.model_fields)
    assert found == held
    assert [type(value) for value in found.values()] == [type(value) for value in held.values()]


def test_a_value_of_ones_own_class() -> None:
    own = Own()
    assert typed({"own": own}, Fields.model_fields)["own"] is own
    with pytest.raises(ConfigurationError, match="does not fit: Input should be an instance of Own"):
        typed({"own": 5}, Fields.model_fields)


def test_a_value_that_does_not_fit() -> None:
    with pytest.raises(ConfigurationError) as caught:
        typed({"temperature": "hot"}, Fields.model_fields)
    assert str(caught.value).startswith("temperature='hot' does not fit: Input should be a valid number")
    assert caught.value.hint == "Nothing was sent."
