"""Lists that must agree, wherever they stand: what is added to one and forgotten in another fails here."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import tomllib
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from langchain_core import exceptions as core

import wandb_inference
from wandb_inference import (
    Catalog,
    ChatOptions,
    ChatRequest,
    Client,
    ContextLengthError,
    ExtraFields,
    InferenceError,
    LogprobsDelta,
    Policy,
    ReasoningDelta,
    RefusalDelta,
    StatusError,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCallDelta,
    Usage,
    collect,
    errors,
)
from wandb_inference._autolog.spans import PARAMS, attributes_of
from wandb_inference._wire.encode import encode
from wandb_inference._wire.failure import failure
from wandb_inference.accounting.rows import COLUMNS
from wandb_inference.chat import joined
from wandb_inference.emulator.refusal import SERVICE_ERRORS
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.langchain.errors import as_langchain
from wandb_inference.langchain.streams import Delta
from wandb_inference.routing.outcome import fault_of
from wandb_inference.settings import TransportName

ROOT = Path(__file__).parent.parent
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {}}}}

# Every option: a value, and what it is in the body. None: what no body shows by itself.
OPTIONS: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"top_p": 0.5}),
    "max_tokens": (5, {"max_tokens": 5}),
    "stop": (["x"], {"stop": ["x"]}),
    "seed": (7, {"seed": 7}),
    "n": (2, {"n": 2}),
    "frequency_penalty": (0.5, {"frequency_penalty": 0.5}),
    "presence_penalty": (0.5, {"presence_penalty": 0.5}),
    "logit_bias": ({"5": 1.0}, {"logit_bias": {"5": 1.0}}),
    "logprobs": (True, {"logprobs": True}),
    "top_logprobs": (3, {"top_logprobs": 3}),
    "tools": ([TOOL], {"tools": [TOOL]}),
    "tool_choice": ("required", {"tool_choice": "required"}),
    "parallel_tool_calls": (False, {"parallel_tool_calls": False}),
    "response_format": (SCHEMA, {"response_format": SCHEMA}),
    "schema_as_tool": (True, None),
    "reasoning": ("low", {"reasoning_effort": "low"}),
    "include_usage": (False, None),
    "extra_body": ({"top_k": 3}, {"top_k": 3}),
}
SENT = {name: (value, sent) for name, (value, sent) in OPTIONS.items() if sent is not None}
BESIDE: dict[str, dict[str, Any]] = {
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
    "top_logprobs": {"logprobs": True},
}
"""What an option means nothing without."""


def names(cls: Any) -> set[str]:
    return {field.name for field in fields(cls)}


def test_the_table_has_every_option() -> None:
    assert set(OPTIONS) == names(ChatOptions)


def body_of(options: ChatOptions) -> dict[str, Any]:
    request = ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "x"}], options)
    body: dict[str, Any] = json.loads(encode(request))
    return body


@pytest.mark.parametrize("name", SENT)
def test_every_option_is_sent(name: str) -> None:
    value, sent = SENT[name]
    assert sent.items() <= body_of(ChatOptions(**{name: value}, **BESIDE.get(name, {}))).items()
    assert not sent.keys() & body_of(ChatOptions(**BESIDE.get(name, {}))).keys()


def test_a_stream_can_leave_its_counts_out() -> None:
    request = ChatRequest("m", [], ChatOptions(include_usage=False))
    assert "stream_options" not in json.loads(encode(request, stream=True))
    assert json.loads(encode(ChatRequest("m", []), stream=True))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("name", SENT)
def test_every_option_of_a_body_is_read(name: str) -> None:
    value, _ = SENT[name]
    assert getattr(ChatOptions.from_fields({name: value} if name != "extra_body" else value), name) == value


@pytest.mark.parametrize("where", ["model", "call", "extra_body"])
@pytest.mark.parametrize("name", SENT)
def test_every_option_goes_through_langchain(name: str, where: str) -> None:
    value, sent = SENT[name]
    beside = BESIDE.get(name, {})
    of_model = set(ChatWandbInference.model_fields) & set(OPTIONS)
    assert set(OPTIONS) - of_model == {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "include_usage",
    }
    given = {name: value} if name == "extra_body" or where != "extra_body" else {"extra_body": {name: value}}
    in_model = where == "model" and name in of_model
    model = ChatWandbInference(model="openai/gpt-oss-20b", api_key="k", **(given if in_model else {}))
    request = model._request([], None, {**beside, **({} if in_model else given)})
    assert sent.items() <= json.loads(encode(request)).items()


@pytest.mark.parametrize("where", ["argument", "extra_body"])
@pytest.mark.parametrize("name", SENT)
def test_every_option_goes_through_litellm(name: str, where: str) -> None:
    calls = pytest.importorskip("wandb_inference.litellm.calls", reason="no litellm")
    value, sent = SENT[name]
    given = {name: value, **BESIDE.get(name, {})}
    request = calls.to_asked("m", [], given if where == "argument" else {"extra_body": given}, None).request
    expected = sent if (name, where) != ("extra_body", "extra_body") else {"extra_body": value}
    assert expected.items() <= json.loads(encode(request)).items()


NO_CONVENTION = {  # in the conventions for generative AI, or shown as something else
    *("logit_bias", "logprobs", "top_logprobs", "tool_choice", "parallel_tool_calls", "reasoning", "extra_body"),
    *("tools", "response_format"),  # gen_ai.tool.definitions and gen_ai.output.type
    *("schema_as_tool", "include_usage"),
}


def test_every_option_with_a_convention_is_in_spans() -> None:
    assert set(PARAMS) | NO_CONVENTION == set(OPTIONS)
    row = {"params": {name: OPTIONS[name][0] for name in PARAMS}}
    shown = dict(attributes_of(row))
    for name, attribute in PARAMS.items():
        value = OPTIONS[name][0]
        assert shown[attribute] == (tuple(value) if isinstance(value, list) else value)


def test_spans_show_columns_that_exist() -> None:
    from wandb_inference._autolog.spans import ATTRIBUTES  # noqa: PLC0415

    assert set(ATTRIBUTES) <= set(COLUMNS)


# Errors


def tree(base: type[InferenceError] = InferenceError) -> list[type[InferenceError]]:
    own = [cls for cls in base.__subclasses__() if cls.__module__ == errors.__name__]
    return [base, *(sub for cls in own for sub in tree(cls))]


def made(cls: type[InferenceError]) -> InferenceError:
    """An error of that class, by what its constructor asks for."""
    if cls is errors.BudgetExceededError:
        return errors.BudgetExceededError(limit=Decimal(1), spent=Decimal(0), reserved=Decimal(0), needed=Decimal(2))
    asked: dict[str, Any] = {"model": "m", "findings": (), "status_code": 500, "plan": SimpleNamespace(candidates=())}
    kinds = (inspect.Parameter.KEYWORD_ONLY,)
    needed = [p.name for p in inspect.signature(cls).parameters.values() if p.kind in kinds and p.default is p.empty]
    return cls("failed", **{name: asked[name] for name in needed})


# Class: (langchain-core's, LiteLLM's, whose fault it is)
ERRORS: dict[str, tuple[str, str, str]] = {
    "InferenceError": ("ModelError", "APIError", "request"),
    "ConfigurationError": ("ModelInvalidRequestError", "BadRequestError", "request"),
    "UnknownModelError": ("ModelNotFoundError", "NotFoundError", "request"),
    "RequestReviewError": ("ModelInvalidRequestError", "BadRequestError", "request"),
    "BudgetExceededError": ("ModelPermissionDeniedError", "PaymentRequiredError", "budget"),
    "NoCandidateError": ("ModelInvalidRequestError", "BadRequestError", "request"),
    "TransportError": ("ModelConnectionError", "APIConnectionError", "service"),
    "ConnectionFailedError": ("ModelConnectionError", "APIConnectionError", "service"),
    "TimedOutError": ("ModelTimeoutError", "Timeout", "service"),
    "QueueTimeoutError": ("ModelTimeoutError", "Timeout", "service"),
    "StreamInterruptedError": ("ModelConnectionError", "APIConnectionError", "service"),
    "MalformedResponseError": ("ModelAPIError", "InternalServerError", "service"),
    "StatusError": ("ModelError", "APIError", "request"),
    "BadRequestError": ("ModelInvalidRequestError", "BadRequestError", "request"),
    "ContextLengthError": ("ContextOverflowError", "ContextWindowExceededError", "window"),
    "AuthenticationError": ("ModelAuthenticationError", "AuthenticationError", "request"),
    "QuotaExceededError": ("ModelPermissionDeniedError", "PaymentRequiredError", "request"),
    "AccessDeniedError": ("ModelPermissionDeniedError", "PermissionDeniedError", "request"),
    "NotFoundError": ("ModelNotFoundError", "NotFoundError", "model"),
    "RateLimitedError": ("ModelRateLimitError", "RateLimitError", "service"),
    "ServerError": ("ModelAPIError", "InternalServerError", "service"),
    "OverloadedError": ("ModelAPIError", "ServiceUnavailableError", "service"),
}


def test_the_table_has_every_error() -> None:
    assert {cls.__name__ for cls in tree()} == set(ERRORS)


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_is_one_of_langchains_and_has_a_fault(cls: type[InferenceError]) -> None:
    theirs, _, fault = ERRORS[cls.__name__]
    error = made(cls)
    assert fault_of(error) == fault
    converted = as_langchain(error)
    assert converted is error
    assert isinstance(error, cls)
    assert isinstance(error, getattr(core, theirs))
    assert error.is_retryable is cls.retryable
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert type(again) is type(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_is_one_of_litellms(cls: type[InferenceError]) -> None:
    theirs = pytest.importorskip("litellm.exceptions", reason="no litellm")
    from wandb_inference.litellm.errors import as_litellm  # noqa: PLC0415 (without litellm there is none)

    error = made(cls)
    if isinstance(error, StatusError):
        statuses: dict[type[InferenceError], int] = {
            type(failure(model="m", status=status)): status for status in range(599, 399, -1)
        }
        error.status_code = (statuses | {errors.ServerError: 500, StatusError: 418}).get(cls, 400)
    expected = getattr(theirs, ERRORS[cls.__name__][1], theirs.APIError)  # LiteLLM 1.91 has no PaymentRequiredError
    assert type(as_litellm(error, "m")) is expected


class NewError(errors.ServerError):
    """An error that no table knows."""


def test_an_error_that_no_table_knows_is_its_base_s_everywhere() -> None:
    error = as_langchain(NewError("failed", status_code=500))
    assert isinstance(error, NewError)
    assert isinstance(error, core.ModelAPIError)
    assert fault_of(error) == "service"
    assert isinstance(pickle.loads(pickle.dumps(error)), core.ModelAPIError)  # noqa: S301 (our own)
    litellm = pytest.importorskip("litellm.exceptions", reason="no litellm")
    from wandb_inference.litellm.errors import as_litellm  # noqa: PLC0415 (as above)

    assert type(as_litellm(error, "m")) is litellm.InternalServerError


def test_every_status_that_the_service_names_has_a_class_of_its_own() -> None:
    found = {status: type(failure(model="m", status=status)) for status in SERVICE_ERRORS}
    assert StatusError not in found.values()
    assert set(tree(StatusError)) - {StatusError} == {*found.values(), errors.BadRequestError, ContextLengthError}


# Events, transports, policies, extras


EVENTS: tuple[StreamEvent, ...] = (
    StreamStart("1", "m", 1),
    TextDelta("text"),
    ReasoningDelta("thought"),
    ToolCallDelta(0, "{}", "id", "f"),
    LogprobsDelta(({"token": "text", "logprob": -0.5, "top_logprobs": []},)),
    RefusalDelta("no"),
    ExtraFields({"a": 1}, {0: {"b": 2}}, {0: {"c": 3}}),
    StreamEnd({0: "stop"}, Usage(input_tokens=1, output_tokens=2)),
)


def test_every_event_is_public_and_read_by_everyone() -> None:
    # Readers end in assert_never, too: the type checker knows who has forgotten a kind.
    assert {type(event) for event in EVENTS} == set(get_args(StreamEvent))
    assert {kind.__name__ for kind in get_args(StreamEvent)} <= set(wandb_inference.__all__)
    assert list(joined(EVENTS)) == list(EVENTS)
    answer = collect(EVENTS)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("text", "thought", "stop")
    assert (answer.id, len(answer.tool_calls), len(answer.choices[0].logprobs)) == ("1", 1, 1)
    choice = answer.choices[0]
    assert (choice.refusal, answer.extra, choice.extra, choice.message_extra) == ("no", {"a": 1}, {"b": 2}, {"c": 3})
    delta = Delta()
    for event in EVENTS:
        delta.add(event)
    assert (delta.start, delta.end, delta.text, delta.reasoning) == (EVENTS[0], EVENTS[-1], "text", "thought")
    assert (list(delta.calls), len(delta.logprobs), delta.refusal, delta.extra) == ([0], 1, "no", EVENTS[-2])


def test_every_event_is_read_by_litellm_s_door() -> None:
    answers = pytest.importorskip("wandb_inference.litellm.answers", reason="no litellm")
    chunks = list(answers.Chunks().of(EVENTS))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "text"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "thought"
    assert sum(bool(delta.tool_calls) for delta in deltas) == 1
    assert sum(bool(chunk.choices and chunk.choices[0].logprobs) for chunk in chunks) == 1
    assert [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)] == [3]
    assert (chunks[-1].id, chunks[-1].choices[0].finish_reason) == ("1", "tool_calls")  # there is a call


@pytest.mark.parametrize("name", get_args(TransportName))
def test_every_transport_can_be_had(name: TransportName) -> None:
    with Client(transport=name, api_key="k") as client:
        assert client.settings.transport == name


def test_the_readme_has_every_field_of_a_policy() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = re.search(r"^\| `Policy\(…\)`.*?\n\n", readme, re.MULTILINE | re.DOTALL)
    assert table
    shown = {
        name for row in re.findall(r"^\| (`.*?) \|", table[0], re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert shown == names(Policy)


def test_all_is_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert everything == f"wandb-inference[{','.join(extras)}]"


def test_every_alias_and_replacement_is_a_model() -> None:
    catalog = Catalog.bundled()
    assert {card.replacement for card in catalog if card.replacement} <= {card.id for card in catalog}
