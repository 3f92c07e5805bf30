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
from langchain_support import BOTH, Make, Movie, ainvoke, invoke
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
