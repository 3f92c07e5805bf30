"""Whose fault an error is, and what an answer lacks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from wandb_inference import ChatOptions, ChatRequest, Choice, Completion, ToolCall, errors
from wandb_inference.routing.outcome import fault_of, shortcoming


def no_path() -> errors.NotFoundError:
    error = errors.NotFoundError("no", status_code=404)
    error.is_path = True
    return error


FAULTS: dict[str, tuple[errors.InferenceError, str]] = {
    # name: (error, whose fault it is)
    "a bad request": (errors.BadRequestError("no", status_code=400), "request"),
    "a wrong key": (errors.AuthenticationError("no", status_code=401), "request"),
    "no credits": (errors.QuotaExceededError("no", status_code=402), "request"),
    "no access": (errors.AccessDeniedError("no", status_code=403), "request"),
    "refused before it was sent": (errors.RequestReviewError("no", model="m", findings=()), "request"),
    "unknown to the catalog": (errors.UnknownModelError("no", model="m"), "request"),
    "any other status": (errors.StatusError("no", status_code=405), "request"),
    "unknown to the service": (errors.NotFoundError("no", status_code=404), "model"),
    "a path that is not there": (no_path(), "request"),
    "too long a prompt": (errors.ContextLengthError("no", status_code=400), "window"),
    "too dear": (
        errors.BudgetExceededError(limit=Decimal(1), spent=Decimal(1), reserved=Decimal(0), needed=Decimal(1)),
        "budget",
    ),
    "too many calls": (errors.RateLimitedError("no", status_code=429), "service"),
    "a failure": (errors.ServerError("no", status_code=500), "service"),
    "overload": (errors.OverloadedError("no", status_code=503), "service"),
    "no connection": (errors.ConnectionFailedError("no"), "service"),
    "no answer in time": (errors.TimedOutError("no"), "service"),
    "a broken stream": (errors.StreamInterruptedError("no"), "service"),
    "nonsense": (errors.MalformedResponseError("no"), "service"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str) -> None:
    error, fault = FAULTS[name]
    assert fault_of(error) == fault


def schema(type_: Any = None, **rest: Any) -> dict[str, Any]:
    """A response format that holds an answer to a schema."""
    of = rest if type_ is None else {"type": type_, **rest}
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": of}}


ANY_JSON = {"type": "json_object"}
CALLED = (ToolCall("c", "f", "{}"),)
LACKS: dict[str, tuple[Choice, dict[str, Any] | None, str | None]] = {
    # name: (the first choice, the format that was asked for, what it lacks)
    "text": (Choice(text="Hi", finish_reason="stop"), None, None),
    "cut": (Choice(text="Hi", finish_reason="length"), None, "length"),
    "cut, with nothing said yet": (Choice(reasoning="Hm", finish_reason="length"), None, "length"),
    "filtered": (Choice(text="Hi", finish_reason="content_filter"), None, "refusal"),
    "nothing": (Choice(finish_reason="stop"), None, "empty"),
    "white space": (Choice(text=" \n", finish_reason="stop"), None, "empty"),
    "reasoning only": (Choice(reasoning="Hm", finish_reason="stop"), None, "empty"),
    "a call": (Choice(tool_calls=CALLED, finish_reason="tool_calls"), None, None),
    "a call instead of JSON": (Choice(tool_calls=CALLED, text="Hi"), schema("object"), None),
    "no JSON where text was asked for": (Choice(text="{"), {"type": "text"}, None),
    "JSON": (Choice(text="{}"), ANY_JSON, None),
    "a list where any JSON will do": (Choice(text="[1]"), ANY_JSON, None),
    "no JSON": (Choice(text="Hi"), ANY_JSON, "schema"),
    "no JSON for a schema": (Choice(text="{"), schema("object"), "schema"),
    "an object": (Choice(text='{"a": 1}'), schema("object", required=["a"]), None),
    "an object of nothing": (Choice(text="{}"), schema("object", required=["a"]), "schema"),
    "an object of one of two": (Choice(text='{"a": 1}'), schema("object", required=["a", "b"]), "schema"),
    "an object that need not have anything": (Choice(text="{}"), schema("object", required=None), None),
    "an object where nothing is said of types": (Choice(text='{"b": 1}'), schema(required=["a"]), "schema"),
    "an object where a list was asked for": (Choice(text="{}"), schema("array"), "schema"),
    "a list": (Choice(text="[]"), schema("array", required=["a"]), None),
    "a list where an object was asked for": (Choice(text="[]"), schema("object"), "schema"),
    "a string": (Choice(text='"a"'), schema("string"), None),
    "a number where a string was asked for": (Choice(text="5"), schema("string"), "schema"),
    "a number": (Choice(text="5.5"), schema("number"), None),
    "a whole number is one": (Choice(text="5"), schema("number"), None),
    "a string where a number was asked for": (Choice(text='"5"'), schema("number"), "schema"),
    "a whole number": (Choice(text="5"), schema("integer"), None),
    "half a number where a whole one was asked for": (Choice(text="5.5"), schema("integer"), "schema"),
    "true": (Choice(text="true"), schema("boolean"), None),
    "a number where true or false was asked for": (Choice(text="1"), schema("boolean"), "schema"),
    "true where a number was asked for": (Choice(text="true"), schema("number"), "schema"),
    "false where a whole number was asked for": (Choice(text="false"), schema("integer"), "schema"),
    "JSON without end": (Choice(text="[" * 100_000), ANY_JSON, "schema"),
    "types of which any will do": (Choice(text="null"), schema(["object", "null"]), None),
    "a format without a schema": (Choice(text="5"), {"type": "json_schema"}, None),
    "a schema that is none": (Choice(text="5"), {"type": "json_schema", "json_schema": {"schema": True}}, None),
}


@pytest.mark.parametrize("name", LACKS)
def test_lacks(name: str) -> None:
    choice, format_, lack = LACKS[name]
    answer = Completion(choices=(choice, Choice(index=1, finish_reason="length")))
    assert shortcoming(answer, ChatRequest("m", [], ChatOptions(response_format=format_))) == lack


@pytest.mark.parametrize(("refusals", "lack"), [(["", ""], None), (["I cannot.", ""], "refusal"), (["", "No."], None)])
def test_a_refusal_stands_beside_the_text(refusals: list[str], lack: str | None) -> None:
    choices = tuple(Choice(index=index, text="Hi", refusal=refusal) for index, refusal in enumerate(refusals))
    assert shortcoming(Completion(choices=choices), ChatRequest("m", [])) == lack
