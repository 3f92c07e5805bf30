"""Schemas as a request carries them, and answers as they are read: whole, in pieces, and when they do not fit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_support import Movie
from typing_extensions import TypedDict

from wandb_inference.langchain.structured import function_of, instructed, instruction, reader_of, response_format

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
    function = function_of(schema)
    assert (function["name"], function.get("description") or None) == (called, described)
    assert set(function["parameters"]["properties"]) == {"title", "year"}
    assert "title" not in function["parameters"]
    assert "strict" not in function


def test_a_strict_function() -> None:
    assert function_of(Movie, strict=True)["strict"] is True


FORMATS: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    # name: (schema, method, keywords, the request's response_format)
    "JSON mode": (Movie, "json_mode", {"strict": None}, {"type": "json_object"}),
    "no schema": (None, "json_schema", {"strict": None}, {"type": "json_object"}),
    "a schema": (
        {"title": "Movie", "description": "d", **PARAMETERS},
        "json_schema",
        {"strict": None},
        {
            "type": "json_schema",
            "json_schema": {"name": "Movie", "description": "d", "schema": PARAMETERS, "strict": True},
        },
    ),
    "a schema without a description": (
        {"title": "Movie", **PARAMETERS},
        "json_schema",
        {"strict": True},
        {"type": "json_schema", "json_schema": {"name": "Movie", "schema": PARAMETERS, "strict": True}},
    ),
    "a schema that need not hold": (
        {"title": "Movie", **PARAMETERS},
        "json_schema",
        {"strict": False},
        {"type": "json_schema", "json_schema": {"name": "Movie", "schema": PARAMETERS, "strict": False}},
    ),
    "a function without parameters": (
        {"name": "Nothing", "description": "d"},
        "json_schema",
        {"strict": None},
        {"type": "json_schema", "json_schema": {"name": "Nothing", "description": "d", "schema": {}, "strict": True}},
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_format(name: str) -> None:
    schema, method, keywords, sent = FORMATS[name]
    assert response_format(schema, method, **keywords) == sent


def test_an_instruction_shows_the_schema() -> None:
    said = instruction({"title": "Film", "type": "object", "properties": {"größe": {"type": "integer"}}})
    assert said.startswith("Answer with one JSON object and nothing else.")
    assert json.loads(said.partition("\n")[2])["properties"] == {"größe": {"type": "integer"}}
    assert "größe" in said
    assert instruction({"name": "Nothing", "description": "d"}).endswith("\n{}")


def test_an_instruction_stands_at_the_end_of_the_system_turn() -> None:
    human, blocks = HumanMessage("h"), SystemMessage([{"type": "text", "text": "s"}])
    assert instructed([SystemMessage("s"), human], "t") == [SystemMessage("s\n\nt"), human]
    assert instructed([human, SystemMessage("s")], "t") == [SystemMessage("t"), human, SystemMessage("s")]
    assert instructed([blocks, human], "t") == [SystemMessage("t"), blocks, human]
    assert instructed([], "t") == [SystemMessage("t")]


def parts(text: str, size: int = 6) -> list[AIMessageChunk]:
    """An answer of a stream, in pieces."""
    made = [AIMessageChunk(content=text[at : at + size]) for at in range(0, len(text), size)]
    return [*made, AIMessageChunk(content="", chunk_position="last", response_metadata={"finish_reason": "stop"})]


def read(schema: Any, messages: list[Any], method: Any = "json_schema", *, include_raw: bool = False) -> list[Any]:
    """Read an answer both ways; return what is handed out."""
    reader = reader_of(schema, method, include_raw=include_raw)

    async def each() -> AsyncIterator[Any]:
        for message in messages:
            yield message

    async def run() -> list[Any]:
        return [part async for part in reader.atransform(each())]

    found = list(reader.transform(iter(messages)))
    assert repr(asyncio.run(run())) == repr(found)
    return found


METROPOLIS = {"title": "Metropolis", "year": 1927}
TEXT = json.dumps(METROPOLIS)
CALL = tool_call(name="Movie", args=METROPOLIS, id="1")
OTHER = tool_call(name="search", args={}, id="2")
READ: dict[str, tuple[Any, list[Any], str, list[Any]]] = {
    # name: (schema, messages, method, what is handed out)
    "a dict": ({"title": "Movie", **PARAMETERS}, [AIMessage(TEXT)], "json_schema", [METROPOLIS]),
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
    schema = {"title": "Movie", **PARAMETERS}
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
    "no JSON": (Movie, AIMessage("Hi"), "json_schema", "Invalid json output: Hi"),
    "another shape": (Movie, AIMessage("{}"), "json_schema", "Failed to parse Movie from completion {}"),
    "another shape of a dataclass": (Film, AIMessage("{}"), "json_schema", "The answer does not fit: "),
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
        reader_of(schema, method, include_raw=False).invoke(message)  # type: ignore[arg-type]  # a row's
    assert str(caught.value).startswith(said)
    assert caught.value.llm_output in (message.content, None)
    raw = reader_of(schema, method, include_raw=True).invoke(message)  # type: ignore[arg-type]  # a row's
    assert (raw["raw"], raw["parsed"], type(raw["parsing_error"])) == (message, None, OutputParserException)
    assert str(raw["parsing_error"]) == str(caught.value)


def test_whatever_a_validator_raises_stands_beside_the_raw_answer() -> None:
    @dataclass
    class Picky:
        title: str

        def __post_init__(self) -> None:
            raise KeyError(self.title)

    raw = reader_of(Picky, "json_schema", include_raw=True).invoke(AIMessage('{"title": "x"}'))
    assert (raw["parsed"], type(raw["parsing_error"])) == (None, KeyError)
