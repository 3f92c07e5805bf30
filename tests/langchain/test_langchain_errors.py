"""Each of our errors is one of langchain-core's, too."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest
from langchain_core import exceptions as core

from wandb_inference import Choice, Completion, Finding, ToolCall, errors
from wandb_inference.langchain.errors import as_langchain, langchain_errors

TOO_LONG = Finding("context_window", "messages", "error", "too long")
BUDGET: dict[str, Any] = {name: Decimal(1) for name in ("limit", "spent", "reserved", "needed")}


class Plan:
    candidates = ()


def made(cls: type[errors.InferenceError], **facts: Any) -> errors.InferenceError:
    return cls("no", **facts)


TWINS: dict[str, tuple[errors.InferenceError, type[core.ModelError]]] = {
    # name: (ours, theirs)
    "any": (made(errors.InferenceError), core.ModelError),
    "configuration": (made(errors.ConfigurationError), core.ModelInvalidRequestError),
    "unknown model": (made(errors.UnknownModelError, model="m"), core.ModelNotFoundError),
    "review": (made(errors.RequestReviewError, model="m", findings=()), core.ModelInvalidRequestError),
    "review of a long prompt": (
        made(errors.RequestReviewError, model="m", findings=[TOO_LONG]),
        core.ContextOverflowError,
    ),
    "no candidate": (made(errors.NoCandidateError, plan=Plan()), core.ModelInvalidRequestError),
    "budget": (errors.BudgetExceededError(**BUDGET), core.ModelPermissionDeniedError),
    "connection": (made(errors.ConnectionFailedError), core.ModelConnectionError),
    "stream": (made(errors.StreamInterruptedError), core.ModelConnectionError),
    "time": (made(errors.TimedOutError), core.ModelTimeoutError),
    "400": (made(errors.BadRequestError, status_code=400), core.ModelInvalidRequestError),
    "window": (made(errors.ContextLengthError, status_code=400), core.ContextOverflowError),
    "401": (made(errors.AuthenticationError, status_code=401), core.ModelAuthenticationError),
    "402": (made(errors.QuotaExceededError, status_code=402), core.ModelPermissionDeniedError),
    "403": (made(errors.AccessDeniedError, status_code=403), core.ModelPermissionDeniedError),
    "404": (made(errors.NotFoundError, status_code=404), core.ModelNotFoundError),
    "405": (made(errors.StatusError, status_code=405), core.ModelError),
    "429": (made(errors.RateLimitedError, status_code=429), core.ModelRateLimitError),
    "500": (made(errors.ServerError, status_code=500), core.ModelAPIError),
    "503": (made(errors.OverloadedError, status_code=503), core.ModelAPIError),
    "nonsense": (made(errors.MalformedResponseError), core.ModelAPIError),
}


@pytest.mark.parametrize("name", TWINS)
def test_twin(name: str) -> None:
    error, theirs = TWINS[name]
    ours, again, text = type(error), error.retryable, str(error)
    twin: Any = as_langchain(error)
    assert (twin.retryable, twin.is_retryable) == (again, again)
    assert twin is error
    assert isinstance(twin, ours)
    assert type(twin).__bases__[-1] is theirs
    assert type(twin).__module__ == "wandb_inference.langchain.errors"
    assert (type(twin).__name__, type(twin).__doc__, str(twin)) == (ours.__name__, ours.__doc__, text)
    assert as_langchain(twin) is twin
    restored = pickle.loads(pickle.dumps(twin))  # noqa: S301 (our own)
    assert (type(restored), str(restored)) == (type(twin), text)


@pytest.mark.parametrize(
    ("choice", "again"),
    [
        (None, True),
        (Choice(), True),
        (Choice(text="Hi"), False),
        (Choice(reasoning="Hm"), False),
        (Choice(tool_calls=(ToolCall("c", "f", ""),)), False),
    ],
)
def test_what_was_handed_out_is_not_asked_for_again(choice: Choice | None, again: bool) -> None:
    error = made(errors.StreamInterruptedError)
    error.partial = None if choice is None else Completion(choices=(choice,))
    twin: Any = as_langchain(error)
    assert twin.is_retryable is again


def test_errors_inside_a_block() -> None:
    with pytest.raises(core.ModelNotFoundError), langchain_errors():
        raise errors.NotFoundError("no", status_code=404)
    with pytest.raises(KeyError), langchain_errors():
        raise KeyError
