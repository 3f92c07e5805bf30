"""Schemas as a request carries them, and answers as they are read: whole, in pieces, and when they do not fit."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import typing
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import jsonschema
import pydantic.v1
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.tools import tool
from langchain_support import Movie
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from wandb_inference import ConfigurationError
from wandb_inference.langchain.schemas import describe, to_tool
from wandb_inference.langchain.structured import as_format, instructed, instruction, reader_of, response_format

METROPOLIS = {"title": "Metropolis", "year": 1927}
PROPERTIES = {"title": {"type": "string"}, "year": {"type": "integer"}}
PARAMETERS = {"type": "object", "properties": PROPERTIES, "required": ["title", "year"]}


@dataclass
class Film:
    title: str
    year: int


class MovieDict(TypedDict):
    """A movie."""

    title: str
    year: int


FUNCTIONS: dict[str, tuple[Any, str, str | None]] = {
    # name: (schema, name and description of its function)
    "pydantic": (Movie, "Movie", "A movie."),
    "dataclass": (Film, "Film", None),
    "TypedDict": (MovieDict, "MovieDict", "A movie."),
    "JSON schema": ({"title": "Movie", "description": "d", **PARAMETERS}, "Movie", "d"),
    "JSON schema without a name": (PARAMETERS, "Answer", None),
    "a function": ({"name": "Movie", "description": "d", "parameters": PARAMETERS}, "Movie", "d"),
    "a tool": ({"type": "function", "function": {"name": "Movie", "parameters": PARAMETERS}}, "Movie", None),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    schema, called, described = FUNCTIONS[name]
    function = describe(schema).function
    assert (function["name"], function.get("description") or None) == (called, described)
    assert set(function["parameters"]["properties"]) == {"title", "year"}
    assert "title" not in function["parameters"]
    assert "strict" not in function


def test_a_strict_function() -> None:
    assert to_tool(Movie, strict=True)["function"]["strict"] is True


MOVIE = {"title": "Movie", "description": "d", **PARAMETERS}
FORMATS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    # name: (schema, keywords, what the request's response_format holds)
    "a schema": (MOVIE, {}, {"name": "Movie", "description": "d", "schema": MOVIE, "strict": True}),
    "a schema without a name": (PARAMETERS, {"strict": True}, {"name": "Answer", "schema": PARAMETERS, "strict": True}),
    "a schema that need not hold": (
        PARAMETERS,
        {"strict": False},
        {"name": "Answer", "schema": PARAMETERS, "strict": False},
    ),
    "one that says so itself": (
        {"name": "n", "description": "d", "strict": False, "schema": PARAMETERS},
        {},
        {"name": "n", "description": "d", "schema": PARAMETERS, "strict": False},
    ),
    "one that says so itself, in vain": (
        {"type": "json_schema", "json_schema": {"name": "n", "strict": False, "schema": PARAMETERS}},
        {"strict": True},
        {"name": "n", "schema": PARAMETERS, "strict": True},
    ),
    "a title that is no name": ({"title": " a b! ", **PARAMETERS}, {}, {"name": "a_b", "strict": True}),
    "a title without a letter": ({"title": "Ταινία", **PARAMETERS}, {}, {"name": "Answer", "strict": True}),
    "a generic type": (dict[str, Movie], {}, {"name": "dict_str_Movie", "strict": True}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_format(name: str) -> None:
    schema, keywords, held = FORMATS[name]
    sent = response_format(schema, **keywords)
    assert set(sent) == {"type", "json_schema"}
    assert sent["type"] == "json_schema"
    assert {key: sent["json_schema"].get(key) for key in held} == held
    assert set(sent["json_schema"]) <= {"name", "description", "schema", "strict"}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


class Named(BaseModel):
    default: Named | None = None


class Endless(BaseModel):
    x: float = float("inf")


class Sets(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"a": {1, 2}}]})  # type: ignore[dict-item]
    a: int


class Extra(TypedDict, extra_items=int):  # type: ignore[call-arg]  # PEP 728
    a: int


REFUSED: dict[str, tuple[Any, str]] = {
    # name: (what is no schema, what is said)
    "nothing": ({}, "There is no schema in {}: any answer would fit."),
    "a function without parameters": ({"name": "n", "description": "d"}, "There is no schema in"),
    "JSON mode": ({"type": "json_object"}, "There is no schema in"),
    "a format without a schema": ({"type": "json_schema", "json_schema": {"name": "n"}}, "There is no schema in"),
    "a format that holds nothing": ({"type": "json_schema", "json_schema": {"schema": {}}}, "There is no schema in"),
    "a type that does not exist": ({"type": "objekt"}, "The schema is none, at type: 'objekt' is not valid"),
    "keywords of wrong types": ({"type": "object", "required": "a"}, "The schema is none, at required: "),
    "what is no JSON": ({"type": "string", "default": object()}, "The schema is no JSON: Object of type object"),
    "a reference elsewhere": (
        {"$ref": "https://example.com/s.json"},
        "The schema refers to 'https://example.com/s.json'",
    ),
    "a reference to nothing": (
        {"$ref": "#/$defs/Missing"},
        "The schema refers to '#/$defs/Missing', which is not in it",
    ),
    "a reference past the end": (
        {"type": "array", "prefixItems": [{"$ref": "#/prefixItems/5"}]},
        "The schema refers to '#/prefixItems/5'",
    ),
    "a reference to an anchor that is none": (
        {"type": "object", "properties": {"a": {"$ref": "#a"}}},
        "refers to '#a'",
    ),
    "one that is nested too deep": (nested(400), "nested too deep"),
    "a default that is no JSON": (Endless, "The schema Endless is no JSON: Out of range float values"),
    "a class whose extras are no JSON": (Sets, "The schema Sets is no JSON: Object of type set"),
    "a pattern that pydantic cannot read": (
        list[Annotated[str, Field(pattern="^(?!x)a")]],
        "cannot be written as a JSON",
    ),
    "the name of a type": (list["Movie"], "'Movie' is the name of a type and not the type"),
    "a TypedDict with extra items": (Extra, "Extra has extra_items, which pydantic does not know"),
    "a reference of a field called default": (
        {"type": "object", "properties": {"default": {"$ref": "#/nowhere"}}},
        "The schema refers to '#/nowhere'",
    ),
    "a reference beside": ({"$ref": "other.json"}, "The schema refers to 'other.json'"),
    "a name": ("Movie", "Movie"),
    "an instance": (5, "5 cannot be written as a JSON schema: "),
    "any object": (object, "There is no schema in {}: any answer would fit."),
    "anything": (Any, "There is no schema in {}: any answer would fit."),
    "a file": (asyncio.AbstractEventLoop, "AbstractEventLoop cannot be written as a JSON schema: "),
    "a class that nobody knows": (list["Nowhere"], "cannot be written as a JSON schema: "),  # type: ignore[name-defined]  # noqa: F821
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_schema_is_refused(name: str) -> None:
    schema, said = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        describe(schema)
    assert said in str(caught.value)


U = TypeVar("U")


class Old(pydantic.v1.BaseModel if sys.version_info < (3, 14) else BaseModel):  # type: ignore[misc]
    a: int


@tool
def look_up(title: str) -> str:
    """Look it up."""
    return title


NODE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
ROOT = {
    "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}],
    "$defs": {"node": {"type": "object", "properties": {"kid": {"$ref": "#"}}}},
}
HELD: dict[str, tuple[Any, Any, Any]] = {
    # name: (schema, what it takes, what it refuses)
    "a pattern of JavaScript": ({"type": "string", "pattern": r"^\p{L}+$"}, "abc", 5),
    "an anchor": ({"$ref": "#n", "$defs": {"n": {"$anchor": "n", "type": "string"}}}, "a", 5),
    "an id inside": ({"$ref": "https://x.y/a", "$defs": {"a": {"$id": "https://x.y/a", "type": "string"}}}, "a", 5),
    "a reference in a default": ({"type": "string", "default": {"$ref": "x"}}, "a", 5),
    "endless": ({"type": "number", "multipleOf": 0.1}, 1.5, float("inf")),
    "tuples": ({"type": "object", "required": ("a",)}, {"a": 1}, {}),
    "a lazy one": (Iterable[Movie], [METROPOLIS], [{}]),
    "a whole number with a point": (MovieDict, {"title": "a", "year": 3.0}, {"title": "a", "year": 3.5}),
    "a reference to its own root": (ROOT, {"kid": {"kid": None}}, {"kid": {"kid": 5}}),
}


@pytest.mark.parametrize("name", HELD)
def test_held(name: str) -> None:
    schema, taken, refused = HELD[name]
    described = describe(schema)
    for one, wrap in ((described, False), (described.as_object(), not described.is_object)):
        one.whole({"answer": taken} if wrap else taken)
        with pytest.raises(ValueError, match=r".+"):
            one.whole({"answer": refused} if wrap else refused)
    sent = described.as_object().json_schema
    checked = jsonschema.Draft202012Validator(sent)
    if name not in ("a pattern of JavaScript", "endless", "an id inside"):
        assert checked.is_valid({"answer": taken} if described.as_object().is_wrapped else taken)


def test_a_root_that_refers_to_a_definition_is_that_definition() -> None:
    for schema in (
        {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
        {"title": "N", "$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
    ):
        described = describe(schema)
        assert described.json_schema == schema  # a dict goes as it is
        assert described.as_object().is_wrapped is False
        assert described.function["parameters"] == {**NODE, "$defs": {"Node": NODE}}
    circle = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    assert describe(circle).json_schema == circle
    node = describe(Named).json_schema
    assert node["properties"]["default"]["anyOf"][0] == {"$ref": "#/$defs/Named"}
    assert "Named" in node["$defs"]
    film = describe(Annotated[Movie, Field(description="A film of note.")])
    assert (film.name, film.description) == ("Movie", "A film of note.")
    assert "$defs" not in film.json_schema


def test_a_generic_typed_dict_is_named_alike_in_every_process() -> None:
    class Box(typing.TypedDict, Generic[U]):
        item: U

    defs = describe(list[Box[Box[int]]]).json_schema["$defs"]
    assert set(defs) == {"Box_int", "Box_Box_int"} or all("0x" not in name and name.isidentifier() for name in defs)


def test_what_reads_can_be_pickled() -> None:
    for schema, method in ((Movie, "json_schema"), (list[Movie], "function_calling"), (MOVIE, "json_mode"), (None, "")):
        before = reader(schema, method, include_raw=False)
        after = pickle.loads(pickle.dumps(before))  # noqa: S301 (our own)
        message = AIMessage(TEXT) if method != "function_calling" else AIMessage("", tool_calls=[OTHER])
        assert after.invoke(message) == before.invoke(message)


WHOLE: dict[str, tuple[Any, bool, Any, Any, str]] = {
    # name: (schema, whether it is made an object, an answer, what it means, what else is said of another answer)
    "an object": (MOVIE, False, METROPOLIS, METROPOLIS, "'title' is a required property"),
    "a class": (Movie, False, METROPOLIS, Movie(**METROPOLIS), "2 validation errors"),
    "a class of pydantic 1": (Old, False, {"a": 1}, Old(a=1), "1 validation error"),
    "a tool": (look_up, False, {"title": "a"}, {"title": "a"}, "'title' is a required property"),
    "a list": ({"type": "array"}, True, {"answer": [1]}, [1], "it has no field 'answer'"),
    "a list of a class": (list[Movie], True, {"answer": []}, [], "it has no field 'answer'"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_an_answer_means(name: str) -> None:
    schema, wrapped, answer, meant, said = WHOLE[name]
    described = describe(schema)
    assert described.is_object is not wrapped
    as_object = described.as_object()
    assert as_object.is_wrapped is wrapped
    assert as_object.whole(answer) == meant
    assert described.makes_instances is (name in ("a class", "a class of pydantic 1", "a list of a class"))
    assert as_object.part(answer) == meant
    with pytest.raises(ValueError, match=said):
        as_object.whole({})
    with pytest.raises(ValueError, match=r"object|array|field|dictionary|dict"):
        as_object.whole([])


def test_a_name_is_short_and_said_without_its_module() -> None:
    assert describe({"title": "x" * 100, **PARAMETERS}).name == "x" * 64
    assert describe(list[Movie]).name == "list_Movie"
    with pytest.raises(ConfigurationError) as caught:
        describe({"name": "x" * 200})
    assert len(str(caught.value).partition(": any answer")[0]) == len("There is no schema in ") + 100


AS_FORMAT: dict[str, tuple[Any, str | None]] = {
    # name: (what a call names as its format, the name of the schema; None: it goes as it is)
    "nothing": (None, None),
    "text": ({"type": "text"}, None),
    "JSON": ({"type": "json_object"}, None),
    "several types": ({"title": "T", "type": ["object", "null"]}, "T"),
    "another server's": ({"type": "regex", "pattern": "a+"}, None),
    "a class": (Movie, "Movie"),
    "no type": ({"title": "T", "enum": [1]}, "T"),
    **{f"a schema of {kind}": ({"title": "T", "type": kind}, "T") for kind in ("object", "array", "string", "number")},
    **{f"a schema of {kind}": ({"title": "T", "type": kind}, "T") for kind in ("integer", "boolean", "null")},
}


@pytest.mark.parametrize("name", AS_FORMAT)
def test_the_format_of_a_call(name: str) -> None:
    given, named = AS_FORMAT[name]
    found = as_format(given)
    if named is None:
        assert found is given
    else:
        assert found is not None
        assert found["json_schema"]["name"] == named


WITHOUT_A_VALIDATOR: dict[str, tuple[dict[str, Any], Any, Any]] = {
    # name: (schema, what is taken, what is refused)
    "another type": ({"type": "array"}, [], {}),
    "a field that is missing": (MOVIE, {"title": 1, "year": 2}, {"title": "a"}),
    "several types": ({"type": ["array", "null"]}, None, 5),
    "true is no number": ({"type": "number"}, 1, True),
    "half a number": ({"type": "integer"}, 1.0, 1.5),
    "half a number in words": ({"type": "integer"}, 1, "1"),
}


@pytest.mark.parametrize("name", WITHOUT_A_VALIDATOR)
def test_what_is_checked_without_jsonschema(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    schema, taken, refused = WITHOUT_A_VALIDATOR[name]
    described = describe(schema)
    assert described.whole(taken) == taken
    with pytest.raises(ValueError, match="its outermost type, or a required field, is not as the schema says"):
        described.whole(refused)


def test_an_instruction_shows_the_schema() -> None:
    schema = {"title": "Film", "type": "object", "properties": {"größe": {"type": "integer"}}}
    said = instruction(describe(schema))
    assert said.startswith("Answer with one JSON object and nothing else.")
    assert json.loads(said.partition("\n")[2]) == {key: schema[key] for key in ("type", "properties")}
    assert "größe" in said


H, T, TESTER = HumanMessage("h"), "\n\nt", ChatMessage(content="s", role="tester")
SYSTEM_TURNS: dict[str, tuple[list[Any], list[Any]]] = {
    # name: (the messages, those with the instruction "t")
    "text": ([SystemMessage("s"), H], [SystemMessage("s" + T), H]),
    "blocks": (
        [SystemMessage([{"type": "text", "text": "s"}]), H],
        [SystemMessage([{"type": "text", "text": "s"}, {"type": "text", "text": T}]), H],
    ),
    "a text among blocks": (
        [SystemMessage(["s"]), H],
        [SystemMessage(["s", {"type": "text", "text": T}]), H],
    ),
    "named": ([SystemMessage("s", name="n"), H], [SystemMessage("s" + T, name="n"), H]),
    "ChatMessage": ([ChatMessage(content="s", role="system"), H], [ChatMessage(content="s" + T, role="system"), H]),
    "developer": ([ChatMessage(content="s", role="developer"), H], [ChatMessage(content="s" + T, role="developer"), H]),
    "OpenAI's developer": (
        [SystemMessage("s", additional_kwargs={"__openai_role__": "developer"}), H],
        [SystemMessage("s" + T, additional_kwargs={"__openai_role__": "developer"}), H],
    ),
    "none": ([H], [SystemMessage("t"), H]),
    "another role": (
        [ChatMessage(content="s", role="tester"), H],
        [SystemMessage("t"), ChatMessage(content="s", role="tester"), H],
    ),
    "later": ([H, SystemMessage("s")], [SystemMessage("t"), H, SystemMessage("s")]),
    "nothing": ([], [SystemMessage("t")]),
}


@pytest.mark.parametrize("name", SYSTEM_TURNS)
def test_an_instruction_stands_at_the_end_of_the_system_turn(name: str) -> None:
    messages, expected = SYSTEM_TURNS[name]
    assert instructed(messages, "t") == expected


def parts(text: str, size: int = 6) -> list[AIMessageChunk]:
    """An answer of a stream, in pieces."""
    made = [AIMessageChunk(content=text[at : at + size]) for at in range(0, len(text), size)]
    return [*made, AIMessageChunk(content="", chunk_position="last", response_metadata={"finish_reason": "stop"})]


def reader(schema: Any, method: str, *, include_raw: bool) -> Any:
    described = None if schema is None else describe(schema)
    return reader_of(described, called=method == "function_calling", include_raw=include_raw, others=["search"])


def read(schema: Any, messages: list[Any], method: Any = "json_schema", *, include_raw: bool = False) -> list[Any]:
    """Read an answer both ways; return what is handed out."""
    reading = reader(schema, method, include_raw=include_raw)

    async def each() -> AsyncIterator[Any]:
        for message in messages:
            yield message

    async def run() -> list[Any]:
        return [part async for part in reading.atransform(each())]

    found = list(reading.transform(iter(messages)))
    assert repr(asyncio.run(run())) == repr(found)
    return found


TEXT = json.dumps(METROPOLIS)
CALL = tool_call(name="Movie", args=METROPOLIS, id="1")
OTHER = tool_call(name="search", args={}, id="2")
READ: dict[str, tuple[Any, list[Any], str, list[Any]]] = {
    # name: (schema, messages, method, what is handed out)
    "a dict": ({"title": "Movie", **PARAMETERS}, [AIMessage(TEXT)], "json_schema", [METROPOLIS]),
    "a fence": (Movie, [AIMessage(f"Here it is:\n```json\n{TEXT}\n```\nEnjoy!")], "json_mode", [Movie(**METROPOLIS)]),
    "a fence in a string": (None, [AIMessage('{"a": "```json\\n5\\n```"}')], "json_mode", [{"a": "```json\n5\n```"}]),
    "a fence in a list": (None, [AIMessage('["```\\n5\\n```"]')], "json_mode", [["```\n5\n```"]]),
    "a line break in a string": (None, [AIMessage('{"a": "b\nc"}')], "json_mode", [{"a": "b\nc"}]),
    "any JSON": (None, [AIMessage(TEXT)], "json_mode", [METROPOLIS]),
    "an object": (Movie, [AIMessage(TEXT)], "json_schema", [Movie(**METROPOLIS)]),
    "a dataclass": (Film, [AIMessage(TEXT)], "json_schema", [Film(**METROPOLIS)]),  # type: ignore[arg-type]
    "a call": (Movie, [AIMessage("", tool_calls=[CALL])], "function_calling", [Movie(**METROPOLIS)]),
    "a call as a dict": (
        {"title": "Movie", **PARAMETERS},
        [AIMessage("", tool_calls=[CALL])],
        "function_calling",
        [METROPOLIS],
    ),
    "a call as a dataclass": (
        Film,
        [AIMessage("", tool_calls=[{**CALL, "name": "Film"}])],
        "function_calling",
        [Film(**METROPOLIS)],  # type: ignore[arg-type]
    ),
    "a call beside another": (
        Movie,
        [AIMessage("", tool_calls=[OTHER, CALL])],
        "function_calling",
        [Movie(**METROPOLIS)],
    ),
    "another call instead": (Movie, [AIMessage("", tool_calls=[OTHER])], "function_calling", [None]),
    "a call instead of text": (Movie, [AIMessage("", tool_calls=[OTHER])], "json_schema", [None]),
    "a call beside text": (Movie, [AIMessage(TEXT, tool_calls=[OTHER])], "json_schema", [Movie(**METROPOLIS)]),
    "nothing": (Movie, [], "json_schema", []),
    "a stream of a dict": (
        {"title": "Movie", **PARAMETERS},
        parts('{"title": "Met", "year": 1927}', 8),
        "json_schema",
        [{}, {"title": "Met"}, {"title": "Met", "year": 1927}],
    ),
    "a stream of a list, which LangChain would add up": (
        {"type": "array"},
        parts("[1, 2, 3]", 3),
        "json_schema",
        [[1, 2, 3]],
    ),
    "a stream of a text": ({"type": "string"}, parts('"abc"', 2), "json_schema", ["abc"]),
    "a stream of a number": (int, parts("12345", 2), "json_schema", [12345]),
    "a stream of an object": (Movie, parts(TEXT), "json_schema", [Movie(**METROPOLIS)]),
    "a stream of a dataclass": (Film, parts(TEXT), "json_schema", [Film(**METROPOLIS)]),  # type: ignore[arg-type]
    "a stream of a call": (
        {"title": "Movie", **PARAMETERS},
        [
            AIMessageChunk(
                content="", tool_call_chunks=[tool_call_chunk(name="Movie", args='{"title": "Met"', id="1", index=0)]
            ),
            AIMessageChunk(
                content="", tool_call_chunks=[tool_call_chunk(name=None, args=', "year": 1}', id=None, index=0)]
            ),
            AIMessageChunk(content="", chunk_position="last"),
        ],
        "function_calling",
        [{"title": "Met"}, {"title": "Met", "year": 1}],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str) -> None:
    schema, messages, method, handed_out = READ[name]
    found = read(schema, messages, method)
    assert found == handed_out
    assert [type(part) for part in found] == [type(part) for part in handed_out]


def test_read_with_the_raw_answer() -> None:
    message = AIMessage(TEXT)
    movie = Movie(title="Metropolis", year=1927)
    assert read(Movie, [message], include_raw=True) == [{"raw": message}, {"parsed": movie}, {"parsing_error": None}]
    assert read(Movie, [], include_raw=True) == []
    pieces = parts('{"title": "M"}', 8)
    first, second, last = pieces
    schema = {"title": "Movie", "type": "object", "properties": PROPERTIES}
    assert read(schema, pieces, include_raw=True) == [
        *({"raw": first}, {"parsed": {}}, {"raw": second}, {"parsed": {"title": "M"}}, {"raw": last}),
        *({"parsed": {"title": "M"}}, {"parsing_error": None}),
    ]


USAGE: Any = {
    "input_tokens": 1,
    "output_tokens": 7,
    "total_tokens": 8,
    "output_token_details": {"reasoning": 5},
}
CUT = {"finish_reason": "length"}
RAISED: dict[str, tuple[Any, AIMessage, str, str]] = {
    # name: (schema, message, method, what is said)
    "no JSON": (Movie, AIMessage("Hi"), "json_schema", "The answer is not Movie: Expecting value"),
    "JSON and more": (Movie, AIMessage(TEXT + " Enjoy!"), "json_schema", "The answer is not Movie: Extra data"),
    "JSON that ends early": (Movie, AIMessage(TEXT[:-1]), "json_mode", "The answer is not Movie: "),
    "JSON without end": (None, AIMessage("[" * 100_000), "json_mode", "The answer is not JSON: "),
    "two fences": (None, AIMessage("```json\n1\n```\n```json\n2\n```"), "json_mode", "The answer is not JSON: "),
    "another shape": (Movie, AIMessage("{}"), "json_schema", "The answer is not Movie: 2 validation errors"),
    "another shape of a dict": (
        MOVIE,
        AIMessage("{}"),
        "json_schema",
        "The answer is not Movie: 'title' is a required",
    ),
    "another shape further in": (
        MOVIE,
        AIMessage('{"title": "a", "year": "b"}'),
        "json_schema",
        "The answer is not Movie: year: 'b' is not of type 'integer'",
    ),
    "another shape of a dataclass": (Film, AIMessage("{}"), "json_schema", "The answer is not Film: "),
    "another shape of a call": (
        Movie,
        AIMessage("", tool_calls=[{**CALL, "args": {}}]),
        "function_calling",
        "The answer is not Movie: 2 validation errors",
    ),
    "nothing": (Movie, AIMessage(""), "json_schema", "There is no JSON in the answer: nothing came."),
    "nothing but reasoning": (
        Movie,
        AIMessage("", additional_kwargs={"reasoning_content": "hm"}),
        "json_schema",
        "There is no JSON in the answer: nothing but reasoning came.",
    ),
    "reasoning in a block": (
        Movie,
        AIMessage([{"type": "reasoning", "reasoning": "hm"}]),
        "function_calling",
        "There is no call of Movie in the answer: nothing but reasoning came.",
    ),
    "text instead of a call": (
        Movie,
        AIMessage("Hi"),
        "function_calling",
        "There is no call of Movie in the answer: the model wrote 'Hi'.",
    ),
    "a refusal": (
        Movie,
        AIMessage("", additional_kwargs={"refusal": "I cannot."}),
        "json_schema",
        "The model refuses: I cannot.",
    ),
    "a refusal to call": (
        Movie,
        AIMessage("", additional_kwargs={"refusal": "I cannot."}),
        "function_calling",
        "The model refuses: I cannot.",
    ),
    "a call by another name": (
        Movie,
        AIMessage("", tool_calls=[{**CALL, "name": "movie"}]),
        "function_calling",
        "The model calls ['movie'], and none of the tools is called so.",
    ),
    "a call where text was asked for": (
        Movie,
        AIMessage("", tool_calls=[CALL]),
        "json_schema",
        "The model calls ['Movie'], and none of the tools is called so.",
    ),
    "a filter": (
        Movie,
        AIMessage("I", response_metadata={"finish_reason": "content_filter"}),
        "json_mode",
        "A content filter stopped the answer.",
    ),
    **{
        f"a call with {arguments!r}": (
            Movie,
            AIMessage("", invalid_tool_calls=[invalid_tool_call(name="Movie", args=arguments, id="1", error=None)]),
            "function_calling",
            "The call of Movie cannot be read: the arguments are not ",
        )
        for arguments in ('{"title": ', "null", "[1]", '"a"', "5", TEXT + " Enjoy!", "not at all")
    },
    "a call of another tool that cannot be read": (
        Movie,
        AIMessage("", invalid_tool_calls=[invalid_tool_call(name="search", args="{", id="1", error="e")]),
        "json_schema",
        "The call of search cannot be read: the arguments are not JSON",
    ),
    "cut": (
        Movie,
        AIMessage("{", response_metadata=CUT),
        "json_schema",
        "The answer was cut, so its JSON is incomplete: raise max_tokens, or ask for less.",
    ),
    "cut, after some tokens": (
        Movie,
        AIMessage("{", response_metadata=CUT, usage_metadata={**USAGE, "output_token_details": {}}),
        "json_schema",
        "The answer was cut after 7 tokens, so its JSON",
    ),
    "cut, after some thoughts": (
        Movie,
        AIMessage("", response_metadata=CUT, usage_metadata=USAGE),
        "function_calling",
        "The answer was cut after 7 tokens, 5 of them reasoning, so its JSON",
    ),
}


@pytest.mark.parametrize("name", RAISED)
def test_raised(name: str) -> None:
    schema, message, method, said = RAISED[name]
    with pytest.raises(OutputParserException) as caught:
        reader(schema, method, include_raw=False).invoke(message)
    assert str(caught.value).startswith(said)
    assert caught.value.llm_output == str(message.content)
    raw = reader(schema, method, include_raw=True).invoke(message)
    assert (raw["raw"], raw["parsed"], type(raw["parsing_error"])) == (message, None, OutputParserException)
    assert str(raw["parsing_error"]) == str(caught.value)


def test_whatever_a_validator_raises_stands_beside_the_raw_answer() -> None:
    @dataclass
    class Picky:
        title: str

        def __post_init__(self) -> None:
            raise KeyError(self.title)

    raw = reader(Picky, "json_schema", include_raw=True).invoke(AIMessage('{"title": "x"}'))
    assert (raw["parsed"], type(raw["parsing_error"])) == (None, KeyError)


@pytest.mark.parametrize("schema", [Movie, MOVIE, list[int], str, int])
def test_parts_with_the_raw_answer_add_up_to_the_whole(schema: Any) -> None:
    text = {Movie: TEXT, list[int]: "[1, 2]", str: '"ab"', int: "12"}.get(
        schema if schema is not MOVIE else Movie, TEXT
    )
    found = read(schema, parts(text, 2), include_raw=True)
    whole = found[0]
    for part in found[1:]:
        whole = whole + part
    assert whole["raw"].text == text
    assert whole["parsed"] == describe(schema).whole(json.loads(text))
    assert whole["parsing_error"] is None
