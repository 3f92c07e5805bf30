"""Structured output, a method and a kind of schema at a time."""

from __future__ import annotations

import asyncio
import json
import sys
import typing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import jsonschema
import pydantic.dataclasses
import pydantic.v1
import pytest
import typing_extensions
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langchain_support import BOTH, Make, Movie, add, ainvoke, invoke
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

import wandb_inference as core_package
from wandb_inference.emulator import Emulator, Reply, ToolUse
from wandb_inference.langchain.schemas import describe


def last_of(model: Any, prompt: str) -> Any:
    *_, last = model.stream(prompt)
    return last


def alast_of(model: Any, prompt: str) -> Any:
    async def run() -> Any:
        return [part async for part in model.astream(prompt)][-1]

    return asyncio.run(run())


METHODS = pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])


@METHODS
@BOTH
def test_structured(method: Any, run: Any, make: Make) -> None:
    model = make().with_structured_output(Movie, method=method)
    assert run(model, "The movie 'Metropolis' of 1927") == Movie(title="Metropolis", year=1927)


class MovieDict(TypedDict):
    """A movie."""

    title: str
    year: int


class OldMovie(pydantic.v1.BaseModel if sys.version_info < (3, 14) else BaseModel):  # type: ignore[misc]
    """A movie, in pydantic 1."""

    title: str
    year: int


@dataclass
class Person:
    name: str


@dataclass
class Credits:
    """A movie, and who made it."""

    title: str
    year: int
    director: Person = field(default_factory=lambda: Person("unknown"))


METROPOLIS = {"title": "Metropolis", "year": 1927}
PROPERTIES = {"title": {"type": "string"}, "year": {"type": "integer"}}
JSON_SCHEMA = {"title": "Movie", "type": "object", "properties": PROPERTIES, "required": ["title", "year"]}

SCHEMAS: dict[str, tuple[Any, Any]] = {
    # name: (schema, what comes back)
    "pydantic": (Movie, Movie(title="Metropolis", year=1927)),
    "pydantic 1": (OldMovie, OldMovie(title="Metropolis", year=1927)),
    "TypedDict": (MovieDict, METROPOLIS),
    "dataclass": (Credits, Credits("Metropolis", 1927, Person("Lang"))),
    "JSON schema": (JSON_SCHEMA, METROPOLIS),
    "JSON schema, described": ({**JSON_SCHEMA, "description": "A movie."}, METROPOLIS),
    "an OpenAI tool": (
        {"type": "function", "function": {"name": "Movie", "parameters": JSON_SCHEMA}},
        METROPOLIS,
    ),
}


@METHODS
@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("run", [invoke, ainvoke, last_of, alast_of])
def test_every_kind_of_schema(run: Any, name: str, method: Any, make: Make, emulator: Emulator) -> None:
    schema, expected = SCHEMAS[name]
    answer = {**METROPOLIS, **({"director": {"name": "Lang"}} if schema is Credits else {})}
    called = method == "function_calling"
    function = describe(schema).name
    emulator.script(Reply("", "", (ToolUse(function, answer),)) if called else Reply(json.dumps(answer), ""))
    found = run(make().with_structured_output(schema, method=method), "x")
    assert type(found) is type(expected)
    assert found == expected
    sent = emulator.requests[0].json()
    where = {"function_calling": "tools", "json_schema": "response_format", "json_mode": "messages"}[method]
    assert all(name in json.dumps(sent[where]) for name in answer)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Book(BaseModel):
    pages: int


class Node(BaseModel):
    name: str
    kids: list[Node] = []


class Ping(BaseModel):
    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Pet(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Everything(BaseModel):
    """Of many types."""

    when: date
    price: Decimal
    id: UUID
    tags: set[str]
    pair: tuple[int, str]
    scores: dict[str, float]
    color: Color
    maybe: int | None = None


class Aliased(BaseModel):
    from_: str = Field(alias="from")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date
    color: Color


class Bounded(BaseModel):
    """With limits."""

    age: Annotated[int, Field(ge=0, le=150, description="in years")]
    code: str = Field(pattern="^[A-Z]{2}$")


class Sequel(Movie):
    number: int


class Titled(BaseModel):
    title: str
    properties: dict[str, str]


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    item: T


class Numbers(RootModel[list[int]]): ...


class Prices(RootModel[dict[str, float]]): ...


class Film(typing.TypedDict):
    """A film."""

    title: str
    year: typing_extensions.NotRequired[int]


class Partial(typing.TypedDict, total=False):
    title: typing_extensions.Required[str]
    year: int


class Sealed(typing.TypedDict):
    code: typing_extensions.ReadOnly[str]


class Perhaps(typing.TypedDict):
    year: int | None


class Folder(typing.TypedDict):
    """Holds folders.

    Args:
        name: how it is called.
        inside: what is in it.
    """

    name: str
    inside: typing_extensions.NotRequired[list[Folder]]


class Shelf(typing.TypedDict):
    films: list[Film]
    best: Film | None


class Cased(typing.TypedDict):
    book: Book
    color: Color
    level: Literal["low", "high"]


class Told(typing.TypedDict):
    title: Annotated[str, ..., "the title"]
    year: Annotated[int, Field(ge=1888)]
    note: Annotated[str | None, None, "a note"]
    short: Annotated[str, "a word"]


class Pair(typing.TypedDict, Generic[T]):
    first: T
    second: list[T]


class Longer(Film):
    minutes: int


class Newer(TypedDict):
    title: str


class Exact(TypedDict, closed=True):
    title: str


Functional = typing.TypedDict("Functional", {"a-b": int})


@dataclass
class Tree:
    name: str
    kids: list[Tree] = field(default_factory=list)


@dataclass
class Spot:
    x: float
    y: float = 0.0
    color: Color = Color.RED


@dataclass(frozen=True)
class Route:
    """A way."""

    spots: list[Spot]
    length: int | None = None


@dataclass
class Holder:
    movie: Movie
    extra: dict[str, int] = field(default_factory=dict)


@pydantic.dataclasses.dataclass
class Checked:
    age: Annotated[int, Field(ge=0)]


def get_movie(title: str, year: int) -> str:
    """Look a movie up."""
    return f"{title} {year}"


A_STRING, AN_INTEGER = {"type": "string"}, {"type": "integer"}


def tree_of(ref: str) -> dict[str, Any]:
    fields = {"name": A_STRING, "kids": {"type": "array", "items": {"$ref": ref}}}
    return {"type": "object", "properties": fields, "required": ["name"], "additionalProperties": False}


OBJECT = {"type": "object", "properties": {"a": A_STRING}, "required": ["a"]}

INPUTS: dict[str, tuple[Any, Any, Any]] = {
    # name: (schema, an instance, what is none)
    # Roots of JSON Schema
    "array": ({"title": "Cities", "type": "array", "items": A_STRING}, ["Rome"], [5]),
    "array, untitled": ({"type": "array", "items": A_STRING}, [], "Rome"),
    "array of objects": ({"type": "array", "items": OBJECT}, [{"a": "x"}], [{"a": 1}]),
    "array of arrays": ({"type": "array", "items": {"type": "array", "items": AN_INTEGER}}, [[1], []], [1]),
    "array, at least two": ({"type": "array", "minItems": 2}, [1, 2], [1]),
    "array, at most one": ({"type": "array", "maxItems": 1}, [1], [1, 2]),
    "array, unique": ({"type": "array", "uniqueItems": True}, [1, 2], [1, 1]),
    "array, contains": ({"type": "array", "contains": AN_INTEGER}, ["a", 1], ["a"]),
    "tuple": ({"type": "array", "prefixItems": [A_STRING, AN_INTEGER]}, ["a", 1], [1, "a"]),
    "items without a type": ({"items": A_STRING, "type": "array"}, ["a"], [None]),
    "map": ({"title": "Prices", "type": "object", "additionalProperties": {"type": "number"}}, {"a": 1.5}, {"a": "b"}),
    "map of maps": (
        {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": AN_INTEGER}},
        {"a": {"b": 1}},
        {"a": 1},
    ),
    "patternProperties": (
        {"type": "object", "patternProperties": {"^n_": AN_INTEGER}, "additionalProperties": False},
        {"n_a": 1},
        {"b": 1},
    ),
    "propertyNames": ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, {"a": 1}, {"A": 1}),
    "minProperties": ({"type": "object", "minProperties": 1}, {"a": 1}, {}),
    "any object": ({"title": "Bag", "type": "object"}, {"a": [1]}, [1]),
    "anyOf with null": ({"title": "Either", "anyOf": [OBJECT, {"type": "null"}]}, {"a": "x"}, {"a": 1}),
    "anyOf, null": ({"anyOf": [OBJECT, {"type": "null"}]}, None, "x"),
    "anyOf of scalars": ({"anyOf": [A_STRING, AN_INTEGER]}, 5, 5.5),
    "oneOf": ({"oneOf": [{"type": "number", "multipleOf": 5}, {"type": "number", "multipleOf": 3}]}, 9, 15),
    "allOf": ({"allOf": [OBJECT, {"required": ["b"]}]}, {"a": "x", "b": 1}, {"a": "x"}),
    "enum": ({"title": "Color", "enum": ["red", "blue"]}, "red", "green"),
    "enum with a type": ({"type": "string", "enum": ["red", "blue"]}, "blue", "Blue"),
    "enum of anything": ({"enum": [1, None, "a"]}, None, 2),
    "const": ({"const": "yes"}, "yes", "no"),
    "$ref": ({"$ref": "#/$defs/A", "$defs": {"A": OBJECT}}, {"a": "x"}, {"a": 1}),
    "$ref to a list": (
        {"title": "L", "$ref": "#/definitions/L", "definitions": {"L": {"type": "array", "items": AN_INTEGER}}},
        [1],
        ["a"],
    ),
    "recursion over $defs": (
        {"$ref": "#/$defs/T", "$defs": {"T": tree_of("#/$defs/T")}},
        {"name": "a", "kids": [{"name": "b"}]},
        {"name": "a", "kids": [{"name": 5}]},
    ),
    "recursion to the root": (tree_of("#"), {"name": "a", "kids": [{"name": "b"}]}, {"name": "a", "kids": [{}]}),
    "recursion to a root that is a list": (
        {"type": "array", "items": {"anyOf": [{"$ref": "#"}, AN_INTEGER]}},
        [1, [2, [3]]],
        [1, ["2"]],
    ),
    "a reference into itself": (
        {"type": "array", "prefixItems": [{"type": "string"}, {"$ref": "#/prefixItems/0"}]},
        ["a", "b"],
        ["a", 1],
    ),
    "string": ({"title": "Word", "type": "string"}, "a", 5),
    "string with a pattern": ({"type": "string", "pattern": "^[a-z]+$"}, "abc", "ABC"),
    "string of a length": ({"type": "string", "minLength": 2, "maxLength": 3}, "ab", "a"),
    "integer": ({"type": "integer"}, 5, 5.5),
    "integer in a range": ({"type": "integer", "minimum": 1, "maximum": 5}, 5, 6),
    "number": ({"type": "number", "exclusiveMinimum": 0}, 0.5, 0),
    "multiple": ({"type": "number", "multipleOf": 5}, 10, 11),
    "boolean": ({"type": "boolean"}, False, 0),
    "null": ({"type": "null"}, None, 0),
    "several types": ({"type": ["string", "null"]}, None, 1),
    "object or null": ({"type": ["object", "null"], "properties": {"a": A_STRING}}, {"a": "x"}, {"a": 1}),
    "object": (JSON_SCHEMA, METROPOLIS, {"title": "Metropolis"}),
    "object, described": ({**JSON_SCHEMA, "description": "A movie."}, METROPOLIS, {**METROPOLIS, "year": "1927"}),
    "object, untitled": ({"type": "object", "properties": PROPERTIES, "required": ["year"]}, {"year": 1}, {}),
    "object without a type": ({"properties": PROPERTIES, "required": ["title"]}, {"title": "a"}, {"title": 1}),
    "object in an object": ({"type": "object", "properties": {"o": OBJECT}}, {"o": {"a": "x"}}, {"o": {}}),
    "closed object": ({**OBJECT, "additionalProperties": False}, {"a": "x"}, {"a": "x", "b": 1}),
    "nullable field": ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, {"a": None}, {"a": 1}),
    "enum field": ({"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]}, {"a": "x"}, {"a": "y"}),
    "dependentRequired": ({"type": "object", "dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
    "if and then": (
        {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"b": 1},
        {"a": 1},
    ),
    "not": ({"not": {"type": "string"}}, 5, "a"),
    "unevaluatedProperties": (
        {"type": "object", "allOf": [{"properties": {"a": A_STRING}}], "unevaluatedProperties": False},
        {"a": "x"},
        {"b": 1},
    ),
    "draft 7": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [A_STRING, AN_INTEGER]},
        ["a", 1],
        [1, "a"],
    ),
    "odd title": ({"title": "My film: a & b", **OBJECT}, {"a": "x"}, {}),
    "long title": ({"title": "x" * 100, **OBJECT}, {"a": "x"}, {}),
    "title in Greek": ({"title": "Ταινία", **OBJECT}, {"a": "x"}, {}),
    "fields of keywords' names": (
        {"type": "object", "properties": {"title": A_STRING, "$ref": A_STRING, "properties": AN_INTEGER}},
        {"title": "a", "$ref": "b", "properties": 1},
        {"properties": "a"},
    ),
    "field of another script": ({"type": "object", "properties": {"größe": AN_INTEGER}}, {"größe": 1}, {"größe": "x"}),
    "a stray name": ({"name": "Thing", **OBJECT}, {"a": "x"}, {}),
    # What wraps one
    "OpenAI: name and schema": ({"name": "n", "schema": OBJECT}, {"a": "x"}, {"a": 1}),
    "OpenAI: name and schema of a list": ({"name": "n", "schema": {"type": "array", "items": A_STRING}}, ["a"], [1]),
    "OpenAI: a response format": (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": OBJECT, "strict": True}},
        {"a": "x"},
        {"a": 1},
    ),
    "OpenAI: a response format of the responses API": (
        {"type": "json_schema", "name": "n", "schema": OBJECT, "strict": True},
        {"a": "x"},
        {"a": 1},
    ),
    "OpenAI: a tool": ({"type": "function", "function": {"name": "n", "parameters": OBJECT}}, {"a": "x"}, {}),
    "OpenAI: a tool of the responses API": ({"type": "function", "name": "n", "parameters": OBJECT}, {"a": "x"}, {}),
    "OpenAI: a function": ({"name": "n", "description": "d", "parameters": OBJECT}, {"a": "x"}, {}),
    "Anthropic's tool": ({"name": "n", "description": "d", "input_schema": OBJECT}, {"a": "x"}, {}),
    "Bedrock's tool": ({"toolSpec": {"name": "n", "inputSchema": {"json": OBJECT}}}, {"a": "x"}, {}),
    "MCP's tool": ({"name": "n", "description": "d", "inputSchema": OBJECT}, {"a": "x"}, {}),
    "a function": (get_movie, METROPOLIS, {"title": "a"}),
    "a tool": (tool(get_movie), METROPOLIS, {"year": 5}),
    # pydantic
    "class": (Movie, METROPOLIS, {"title": "a"}),
    "class of pydantic 1": (OldMovie, METROPOLIS, {"title": "a"}),
    "class: recursive": (Node, {"name": "a", "kids": [{"name": "b", "kids": []}]}, {"name": "a", "kids": [{}]}),
    "class: recursive, as a dict": (Node.model_json_schema(), {"name": "a", "kids": []}, {"name": "a", "kids": [{}]}),
    "class: mutually recursive": (Ping, {"pong": {"ping": {"pong": None}}}, {"pong": {}}),
    "class: union": (Pet, {"pet": {"kind": "cat", "lives": 9}}, {"pet": {"kind": "cat", "name": "a"}}),
    "class: many types": (
        Everything,
        {
            "when": "2026-01-01",
            "price": "1.5",
            "id": "12345678-1234-5678-1234-567812345678",
            "tags": ["a"],
            "pair": [1, "a"],
            "scores": {"a": 1.5},
            "color": "red",
        },
        {"when": 5},
    ),
    "class: alias": (Aliased, {"from": "a"}, {"from_": "a"}),
    "class: closed": (Closed, {"a": 1}, {"a": 1, "b": 2}),
    "class: strict": (Strict, {"day": "2026-01-01", "color": "red"}, {"day": "2026-01-01", "color": "green"}),
    "class: limits": (Bounded, {"age": 5, "code": "AB"}, {"age": -1, "code": "AB"}),
    "class: pattern": (Bounded, {"age": 5, "code": "AB"}, {"age": 5, "code": "abc"}),
    "class: inherited": (Sequel, {**METROPOLIS, "number": 2}, METROPOLIS),
    "class: fields of keywords' names": (Titled, {"title": "a", "properties": {}}, {"title": "a", "properties": 5}),
    "class: generic": (Box[int], {"item": 5}, {"item": "five"}),
    "class: generic of a class": (Box[Movie], {"item": METROPOLIS}, {"item": {}}),
    "class: root list": (Numbers, [1, 2], ["one"]),
    "class: root map": (Prices, {"a": 1.5}, {"a": "b"}),
    "class: made": (create_model("Made", a=(int, ...)), {"a": 1}, {}),
    # TypedDicts
    "TypedDict": (MovieDict, METROPOLIS, {"title": "a"}),
    "TypedDict: a text for a number": (MovieDict, METROPOLIS, {**METROPOLIS, "year": "1927"}),
    "TypedDict: NotRequired": (Film, {"title": "a"}, {"year": 1}),
    "TypedDict: NotRequired, null": (Film, {"title": "a", "year": 5}, {"title": "a", "year": None}),
    "TypedDict: Required": (Partial, {"title": "a"}, {"year": 5}),
    "TypedDict: ReadOnly": (Sealed, {"code": "a"}, {"code": 5}),
    "TypedDict: Optional": (Perhaps, {"year": None}, {}),
    "TypedDict: recursive": (Folder, {"name": "a", "inside": [{"name": "b"}]}, {"name": "a", "inside": [{}]}),
    "TypedDict: nested": (Shelf, {"films": [{"title": "a"}], "best": None}, {"films": [{}], "best": None}),
    "TypedDict: of classes": (
        Cased,
        {"book": {"pages": 5}, "color": "red", "level": "low"},
        {"book": {"pages": 5}, "color": "green", "level": "low"},
    ),
    "TypedDict: of a broken class": (
        Cased,
        {"book": {"pages": 5}, "color": "red", "level": "low"},
        {"book": {}, "color": "red", "level": "low"},
    ),
    "TypedDict: described": (Told, {**METROPOLIS, "short": "b"}, {**METROPOLIS, "year": 1800, "short": "b"}),
    "TypedDict: generic": (Pair[int], {"first": 1, "second": [2]}, {"first": 1, "second": ["a"]}),
    "TypedDict: generic of one": (Pair[Film], {"first": {"title": "a"}, "second": []}, {"first": {}, "second": []}),
    "TypedDict: inherited": (Longer, {"title": "a", "minutes": 5}, {"title": "a"}),
    "TypedDict: of typing_extensions": (Newer, {"title": "a"}, {}),
    "TypedDict: closed": (Exact, {"title": "a"}, {"title": "a", "b": 1}),
    "TypedDict: functional": (Functional, {"a-b": 1}, {"a-b": "c"}),
    # Dataclasses
    "dataclass": (Credits, {**METROPOLIS, "director": {"name": "Lang"}}, {"title": "a"}),
    "dataclass: recursive": (Tree, {"name": "a", "kids": [{"name": "b"}]}, {"name": "a", "kids": [{}]}),
    "dataclass: defaults": (Spot, {"x": 1.5}, {"y": 1.5}),
    "dataclass: enum": (Spot, {"x": 1.5, "color": "blue"}, {"x": 1.5, "color": "green"}),
    "dataclass: frozen": (Route, {"spots": [{"x": 1}]}, {"spots": [{}]}),
    "dataclass: of a class": (Holder, {"movie": METROPOLIS}, {"movie": {}}),
    "dataclass: of pydantic": (Checked, {"age": 5}, {"age": -5}),
    # Other types
    "list of classes": (list[Movie], [METROPOLIS], [{}]),
    "list of numbers": (list[int], [1, 2], ["one"]),
    "list of TypedDicts": (list[Film], [{"title": "a"}], [{}]),
    "list of dataclasses": (list[Spot], [{"x": 1}], [{}]),
    "dict": (dict[str, int], {"a": 1}, {"a": "b"}),
    "dict of classes": (dict[str, Movie], {"a": METROPOLIS}, {"a": {}}),
    "tuple of types": (tuple[int, str], [1, "a"], ["a", "b"]),
    "set": (set[int], [1, 2], ["a"]),
    "either class": (Movie | Book, {"pages": 5}, {"pages": "many"}),
    "class or None": (Movie | None, None, {}),
    "Union of TypedDicts": (Film | Sealed, {"code": "a"}, {}),
    "Literal": (Literal["yes", "no"], "yes", "maybe"),
    "Enum": (Color, "red", "green"),
    "IntEnum": (Level, 2, 3),
    "whole number": (int, 5, "five"),
    "text": (str, "a", 5),
    "truth": (bool, True, "perhaps"),
    "date": (date, "2026-01-01", [5]),
    "Annotated": (Annotated[int, Field(ge=0)], 5, -5),
    "Annotated class": (Annotated[Movie, "about it"], METROPOLIS, {}),
}  # fmt: skip


def sent_schema(body: dict[str, Any], method: str) -> dict[str, Any]:
    """Return the schema that a request carries."""
    if method == "json_schema":
        return body["response_format"]["json_schema"]["schema"]  # type: ignore[no-any-return]
    if method == "function_calling":
        return body["tools"][0]["function"]["parameters"]  # type: ignore[no-any-return]
    return json.loads(body["messages"][0]["content"].partition("\n")[2])  # type: ignore[no-any-return]


def as_its_type(schema: Any, instance: Any) -> Any:
    """Return what comes back for an instance: of dicts, TypedDicts and tools the JSON itself."""
    is_typed_dict = typing_extensions.is_typeddict(typing.get_origin(schema) or schema)
    if isinstance(schema, dict | BaseTool) or schema is get_movie or is_typed_dict:
        return instance
    if schema is OldMovie:
        return OldMovie(**instance)
    try:
        return TypeAdapter(schema).validate_json(json.dumps(instance))
    except PydanticUserError:  # of typing's TypedDicts, which pydantic reads from Python 3.12 on only
        return instance


@METHODS
@pytest.mark.parametrize("name", INPUTS)
def test_an_answer_is_held_to_what_was_sent(name: str, method: Any, make: Make, emulator: Emulator) -> None:
    schema, instance, none = INPUTS[name]
    model = make().with_structured_output(schema, method=method)

    def reply(value: Any) -> Reply:
        if method != "function_calling":
            return Reply(json.dumps(value), "")
        return Reply("", "", (ToolUse(describe(schema).name, json.dumps(value)),))

    emulator.script(Reply("", ""))
    with pytest.raises(core.OutputParserException):
        model.invoke("x")  # empty
    sent = sent_schema(emulator.requests[-1].json(), method)
    wrapped = set(sent.get("properties", ())) == {"answer"}
    good, bad = ({"answer": instance}, {"answer": none}) if wrapped else (instance, none)
    validator = jsonschema.validators.validator_for(sent, jsonschema.Draft202012Validator)(sent)
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)
    assert method == "json_schema" or isinstance(good, dict)  # in tools and JSON mode, only an object will do
    emulator.script(*[reply(good)] * 2, *[reply(bad)] * 2)
    found = model.invoke("x")
    assert last_of(model, "x") == found
    assert found == as_its_type(schema, instance)
    for refused in (model.invoke, lambda prompt: last_of(model, prompt)):
        with pytest.raises(core.OutputParserException):
            refused("x")


def test_a_dataclass_that_the_answer_does_not_fit(make: Make, emulator: Emulator) -> None:
    model = make().with_structured_output(Credits)
    emulator.script(Reply('{"title": "Metropolis"}', ""), Reply('{"title": "Metropolis"}', ""))
    with pytest.raises(core.OutputParserException, match="year"):
        model.invoke("x")
    raw = make().with_structured_output(Credits, include_raw=True).invoke("x")
    assert raw["parsed"] is None
    assert isinstance(raw["parsing_error"], core.OutputParserException)


def test_the_schema_of_a_dataclass_is_whole(make: Make, emulator: Emulator) -> None:
    make().with_structured_output(Credits).invoke("x")
    sent = emulator.requests[0].json()["response_format"]["json_schema"]
    assert sent["name"] == "Credits"
    assert sent.get("description", "A movie, and who made it.") == "A movie, and who made it."  # since pydantic 2.11
    assert "name" in json.dumps(sent["schema"]["properties"]["director"]) or "$defs" in sent["schema"]


@METHODS
def test_structured_stream_ends_with_the_whole(method: Any, make: Make) -> None:
    *_, last = make().with_structured_output(Movie, method=method).stream("The movie 'Metropolis' of 1927")
    assert last == Movie(title="Metropolis", year=1927)


@METHODS
def test_structured_with_the_raw_answer(method: Any, make: Make, emulator: Emulator) -> None:
    model = make().with_structured_output(Movie, method=method, include_raw=True)
    good = model.invoke("The movie 'Metropolis' of 1927")
    assert (good["parsed"], good["parsing_error"]) == (Movie(title="Metropolis", year=1927), None)
    emulator.script(
        Reply("{nonsense", tool_calls=(ToolUse("Movie", '{"title": 5}'),) if method == "function_calling" else ())
    )
    bad = model.invoke("x")
    assert bad["parsed"] is None
    assert bad["parsing_error"]
    assert isinstance(bad["raw"], AIMessage)


@METHODS
@pytest.mark.parametrize("streamed", [False, True])
def test_a_cut_answer_says_so(method: Any, streamed: bool, make: Make) -> None:
    model = make(max_tokens=25).with_structured_output(Movie, method=method)
    with pytest.raises(
        core.OutputParserException, match=r"cut after 25 tokens, \d+ of them reasoning.*raise max_tokens"
    ):
        if streamed:
            list(model.stream("The movie 'Metropolis' of 1927"))
        else:
            model.invoke("The movie 'Metropolis' of 1927")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"schema": Movie, "method": "yaml"}, "'yaml' does not exist"), ({"schema": None}, "needs a schema")],
)
def test_bad_structured_arguments(arguments: dict[str, Any], words: str, make: Make) -> None:
    with pytest.raises(core_package.ConfigurationError, match=words):
        make().with_structured_output(**arguments)


def test_json_mode_without_a_schema(make: Make) -> None:
    answer = make().with_structured_output(method="json_mode").invoke("keys 'a' and 'b'")
    assert set(answer) == {"a", "b"}


NOT_FITTING = {"pydantic": Movie, "TypedDict": MovieDict, "dataclass": Credits}


@pytest.mark.parametrize("name", ["pydantic", "dataclass"])
@pytest.mark.parametrize("run", [invoke, ainvoke, last_of, alast_of])
def test_an_answer_that_does_not_fit_is_no_silence(run: Any, name: str, make: Make, emulator: Emulator) -> None:
    emulator.script(*[Reply('{"title": "Metropolis", "year": "no"}', "")] * 2)
    with pytest.raises(core.OutputParserException, match="year"):
        run(make().with_structured_output(NOT_FITTING[name]), "x")
    raw = make().with_structured_output(NOT_FITTING[name], include_raw=True)
    end = add_up(raw, run)
    assert end["parsed"] is None
    assert "year" in str(end["parsing_error"])
    assert end["raw"].text.startswith("{")


def add_up(model: Any, run: Any) -> dict[str, Any]:
    """What all parts of a streamed answer come to."""
    if run in (invoke, ainvoke):
        return run(model, "x")  # type: ignore[no-any-return]

    async def later() -> list[Any]:
        return [part async for part in model.astream("x")]

    parts = asyncio.run(later()) if run is alast_of else list(model.stream("x"))
    raw = [part["raw"] for part in parts if "raw" in part]
    end = {key: value for part in parts for key, value in part.items()}  # of what grows, the last
    return {**end, "raw": add(raw)}


@METHODS
@pytest.mark.parametrize("run", [invoke, ainvoke, last_of, alast_of])
@pytest.mark.parametrize("schema", [Movie, MovieDict])
def test_a_cut_answer_with_its_raw_form(schema: Any, run: Any, method: Any, make: Make) -> None:
    end = add_up(make(max_tokens=25).with_structured_output(schema, method=method, include_raw=True), run)
    assert end["parsed"] is None
    assert "raise max_tokens" in str(end["parsing_error"])


@METHODS
def test_a_stream_shows_what_can_be_read_so_far(method: Any, make: Make) -> None:
    model = make(coalesce=False).with_structured_output(MovieDict, method=method)
    parts = list(model.stream("The movie 'Metropolis' of 1927"))
    assert parts[-1] == METROPOLIS
    assert len(parts) > 2
    assert all(set(part) <= set(METROPOLIS) for part in parts)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_tools_beside_a_schema(method: Any, make: Make, emulator: Emulator) -> None:
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return city

    model = make().with_structured_output(Movie, method=method, tools=[get_weather], include_raw=True)
    called = model.invoke("What is the weather in Paris?")
    assert [call["name"] for call in called["raw"].tool_calls] == ["get_weather"]
    assert (called["parsed"], called["parsing_error"]) == (None, None)
    use = (ToolUse("Movie", METROPOLIS),) if method == "function_calling" else ()
    emulator.script(Reply("" if use else json.dumps(METROPOLIS), "", use))
    assert model.invoke("x")["parsed"] == Movie(title="Metropolis", year=1927)


FORMATS: dict[str, tuple[Any, str | None]] = {
    # name: (what a call names as its format, the name of the schema that is sent; None: it goes as it is)
    "class": (Movie, "Movie"),
    "recursive class": (Node, "Node"),
    "TypedDict": (Film, "Film"),
    "dataclass": (Credits, "Credits"),
    "list": (list[Movie], "list_Movie"),
    "JSON schema": (JSON_SCHEMA, "Movie"),
    "JSON schema of a list": ({"type": "array", "items": AN_INTEGER}, "Answer"),
    "OpenAI's name and schema": ({"name": "n", "schema": OBJECT}, "n"),
    "JSON": ({"type": "json_object"}, None),
    "text": ({"type": "text"}, None),
    "a format": ({"type": "json_schema", "json_schema": {"name": "n", "schema": OBJECT}}, None),
}


@BOTH
@pytest.mark.parametrize("name", FORMATS)
def test_the_format_of_a_call(name: str, run: Any, make: Make, emulator: Emulator) -> None:
    given, named = FORMATS[name]
    emulator.script(Reply("{}", ""))
    run(make().bind(response_format=given), "x")
    sent = emulator.requests[-1].json()["response_format"]
    if named is None:
        assert sent == given
        return
    assert (sent["type"], sent["json_schema"]["name"]) == ("json_schema", named)
    assert sent["json_schema"]["schema"] == dict(describe(given).json_schema)


def test_a_schema_without_a_name(make: Make) -> None:
    answer = make().with_structured_output({"type": "object", "properties": PROPERTIES}).invoke("x")
    assert set(answer) == {"title", "year"}
