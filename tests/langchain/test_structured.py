"""Structured output, a method and a kind of schema at a time."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage
from langchain_support import BOTH, Make, Movie

import wandb_inference as core_package
from wandb_inference.emulator import Emulator, Reply, ToolUse

METHODS = pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])


@METHODS
@BOTH
def test_structured(method: Any, run: Any, make: Make) -> None:
    model = make().with_structured_output(Movie, method=method)
    assert run(model, "The movie 'Metropolis' of 1927") == Movie(title="Metropolis", year=1927)


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
