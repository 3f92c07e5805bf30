"""Structured output, a method and a kind of schema at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import pydantic.v1
import pytest
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_support import BOTH, Make, Movie, add, ainvoke, invoke
from pydantic import BaseModel
from typing_extensions import TypedDict

import wandb_inference as core_package
from wandb_inference.emulator import Emulator, Reply, ToolUse
from wandb_inference.langchain.structured import function_of


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
    function = function_of(schema)["name"]
    emulator.script(Reply("", "", (ToolUse(function, answer),)) if called else Reply(json.dumps(answer), ""))
    found = run(make().with_structured_output(schema, method=method), "x")
    assert type(found) is type(expected)
    assert found == expected
    sent = emulator.requests[0].json()
    where = {"function_calling": "tools", "json_schema": "response_format", "json_mode": "messages"}[method]
    assert all(name in json.dumps(sent[where]) for name in answer)


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


def test_a_class_as_response_format_and_a_schema_without_a_name(make: Make, emulator: Emulator) -> None:
    make().bind(response_format=Movie).invoke("x")
    assert emulator.requests[-1].json()["response_format"]["json_schema"]["name"] == "Movie"
    answer = make().with_structured_output({"type": "object", "properties": PROPERTIES}).invoke("x")
    assert set(answer) == {"title", "year"}
