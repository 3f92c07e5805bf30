"""The names of parameters, tools and choices of them, as LangChain and its users write them."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

import jsonschema
import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool, Tool, tool
from pydantic import BaseModel, ConfigDict, RootModel

from wandb_inference import ConfigurationError
from wandb_inference.langchain.options import CALL_OPTIONS, canonical, renamed, to_tool_choice, typed
from wandb_inference.langchain.schemas import to_tool

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


class Tree(BaseModel):
    """A tree."""

    name: str
    kids: list[Tree] = []


class Mood(TypedDict):
    """A mood.

    Args:
        name: what it is.
    """

    name: Annotated[str, ..., "its name"]
    since: NotRequired[int]
    trees: list[Tree]


class Prices(TypedDict):
    prices: dict[str, float]


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


class Color(Enum):
    RED = "red"


class Numbers(RootModel[list[int]]): ...


class Robot: ...


def plant(tree: Tree, *, depth: Annotated[int, "in metres"] = 1) -> str:
    """Plant a tree.

    Args:
        tree: which one.
        depth: how deep.
    """
    return f"{tree} {depth}"


def feel(mood: Mood, others: list[Mood] | None = None) -> str:
    """Feel something."""
    return f"{mood} {others}"


def nothing() -> None:
    """Do nothing."""


def hidden(query: str, secret: Annotated[str, InjectedToolArg]) -> str:
    """Search."""
    return query + secret


OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
RECURSIVE = {"$ref": "#/$defs/Tree"}
TREE_TITLED = Tree.model_json_schema()["$defs"]["Tree"]["properties"]
TOOLS: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    # name: (tool, its name and description, properties of its parameters)
    "class": (Weather, "Weather", "Tell the weather.", {"city": {"type": "string"}}),
    "recursive class": (
        Tree,
        "Tree",
        "A tree.",
        {"name": {"type": "string"}, "kids": {"default": [], "type": "array", "items": RECURSIVE}},
    ),
    "TypedDict": (
        Mood,
        "Mood",
        "A mood.",
        {
            "name": {"type": "string", "description": "its name"},
            "since": {"type": "integer"},
            "trees": {"type": "array", "items": RECURSIVE},
        },
    ),
    "map": (Prices, "Prices", "", {"prices": {"type": "object", "additionalProperties": {"type": "number"}}}),
    "dataclass": (Point, "Point", "A point.", {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}}),
    "function": (
        plant,
        "plant",
        "Plant a tree.",
        {
            "tree": {**RECURSIVE, "description": "which one."},
            "depth": {"type": "integer", "default": 1, "description": "how deep."},
        },
    ),
    "function of TypedDicts": (
        feel,
        "feel",
        "Feel something.",
        {
            "mood": {"$ref": "#/$defs/Mood"},
            "others": {
                "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Mood"}}, {"type": "null"}],
                "default": None,
            },
        },
    ),
    "function of nothing": (nothing, "nothing", "Do nothing.", {}),
    "LangChain's": (weather, "weather", "Tell the weather.", {"city": {"type": "string"}}),
    "LangChain's of a recursive class": (
        StructuredTool.from_function(plant, description="Plant a tree."),
        "plant",
        "Plant a tree.",
        {"tree": RECURSIVE, "depth": {"type": "integer", "default": 1, "description": "in metres"}},
    ),
    "LangChain's with a hidden argument": (tool(hidden), "hidden", "Search.", {"query": {"type": "string"}}),
    "LangChain's with a schema": (
        StructuredTool(name="s", description="d", args_schema={**OBJECT, "title": "T"}, func=nothing),
        "s",
        "d",
        OBJECT["properties"],
    ),
    "LangChain's old one": (
        Tool(name="t", description="d", func=print),
        "t",
        "d",
        {"__arg1": {"title": "__arg1", "type": "string"}},
    ),
    "JSON schema": ({"title": "T", "description": "d", **OBJECT}, "T", "d", OBJECT["properties"]),
    "function definition": ({"name": "f", "description": "d", "parameters": OBJECT}, "f", "d", OBJECT["properties"]),
    "of the responses API": (
        {"type": "function", "name": "f", "description": "d", "parameters": OBJECT},
        "f",
        "d",
        OBJECT["properties"],
    ),
    "Anthropic's": ({"name": "f", "description": "d", "input_schema": OBJECT}, "f", "d", OBJECT["properties"]),
    "Bedrock's": (
        {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": OBJECT}}},
        "f",
        "d",
        OBJECT["properties"],
    ),
    "a schema beside the name": ({"name": "f", "description": "d", **OBJECT}, "f", "d", OBJECT["properties"]),
    "a class as parameters": (
        {"name": "f", "description": "d", "parameters": Weather},
        "f",
        "d",
        {"city": {"type": "string"}},
    ),
    "JSON schema of a recursive class": ({**Tree.model_json_schema(), "title": "T"}, "T", "A tree.", TREE_TITLED),
    "LangChain's with a recursive JSON schema": (
        StructuredTool(name="s", description="d", args_schema=Tree.model_json_schema(), func=nothing),
        "s",
        "d",
        TREE_TITLED,
    ),
    "MCP's": (
        {"name": "f", "title": "F", "description": "d", "inputSchema": OBJECT, "annotations": {}},
        "f",
        "d",
        OBJECT["properties"],
    ),
}


@pytest.mark.parametrize("strict", [None, True, False])
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_says_what_it_was_written_with(name: str, strict: bool | None) -> None:
    given, called, described, properties = TOOLS[name]
    function = to_tool(given, strict=strict)["function"]
    assert (function["name"], function.get("description", ""), function.get("strict")) == (called, described, strict)
    assert function["parameters"]["properties"] == properties
    jsonschema.Draft202012Validator(function["parameters"]).check_schema(function["parameters"])
    for ref in re.findall(r'"#/\$defs/(\w+)"', json.dumps(function["parameters"])):
        assert function["parameters"]["$defs"][ref]["properties"]


NO_TOOLS: dict[str, tuple[Any, str]] = {
    # name: (what is no tool, what is said)
    "Enum": (Color, "Color is no object, and a tool takes arguments by name."),
    "a list": (Numbers, "Numbers is no object"),
    "a JSON schema of a list": ({"title": "T", "type": "array"}, "A tool of type 'array' cannot be sent"),
    "a JSON schema without a title": (OBJECT, "A JSON schema needs a title to be a tool."),
    "a number": (5, "5 cannot be written as a JSON schema"),
    "a class of no fields": (Robot, "Robot cannot be written as a JSON schema"),
    "a function without a name": (functools.partial(nothing), "cannot be written as a JSON schema"),
    "nothing": ({}, "A JSON schema needs a title"),
    "OpenAI's free text": ({"type": "custom", "name": "f"}, "A tool of type 'custom' cannot be sent"),
    "no name": ({"type": "function", "function": {"parameters": {}}}, "has no name."),
    "a list beside the name": ({"name": "f", "items": OBJECT}, "The tool f has no parameters among ['items']."),
}


@pytest.mark.parametrize("name", NO_TOOLS)
def test_what_is_no_tool(name: str) -> None:
    given, said = NO_TOOLS[name]
    with pytest.raises(ConfigurationError) as caught:
        to_tool(given)
    assert said in str(caught.value)


@pytest.mark.parametrize("either", ["anyOf", "oneOf"])
def test_a_union_of_objects_is_a_tools_arguments(either: str) -> None:
    schema = {"title": "T", either: [OBJECT, {"$ref": "#/$defs/A"}], "$defs": {"A": {"allOf": [OBJECT]}}}
    assert to_tool(schema)["function"]["parameters"] == {key: value for key, value in schema.items() if key != "title"}
    with pytest.raises(ConfigurationError, match="is no object"):
        to_tool({"title": "T", either: [OBJECT, {"type": "string"}]})


def test_a_tool_that_takes_nothing() -> None:
    nothing_at_all = StructuredTool(name="s", description="d", args_schema={}, func=nothing)
    assert to_tool(nothing_at_all)["function"]["parameters"] == {"type": "object", "properties": {}}


def test_a_tool_without_parameters_and_one_that_is_strict_itself() -> None:
    assert to_tool({"name": "f"}, strict=True) == {"type": "function", "function": {"name": "f", "strict": True}}
    loose = {"name": "f", "parameters": OBJECT, "strict": False}
    assert to_tool(loose, strict=True)["function"]["strict"] is False


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
