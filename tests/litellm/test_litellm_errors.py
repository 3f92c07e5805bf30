"""Our errors as LiteLLM's: class, status, headers, and hints that name models as it does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from litellm import exceptions as theirs

from wandb_inference import Finding, errors
from wandb_inference.errors import Reply
from wandb_inference.litellm.errors import as_litellm, litellm_errors

PAYMENT = getattr(theirs, "PaymentRequiredError", theirs.APIError)
TOO_LONG = Finding("context_window", "messages", "error", "too long")
BUDGET: dict[str, Any] = {name: Decimal(1) for name in ("limit", "spent", "reserved", "needed")}


class Plan:
    candidates = ()


def status(cls: type[errors.StatusError], code: int, **facts: Any) -> errors.StatusError:
    return cls("no", status_code=code, **facts)


TWINS: dict[str, tuple[errors.InferenceError, type[Exception], int]] = {
    # name: (ours, LiteLLM's class and status)
    "any": (errors.InferenceError("no"), theirs.APIError, 500),
    "configuration": (errors.ConfigurationError("no"), theirs.BadRequestError, 400),
    "no key": (errors.ConfigurationError("There is no API key."), theirs.AuthenticationError, 401),
    "unknown model": (errors.UnknownModelError("no", model="m"), theirs.NotFoundError, 404),
    "review": (errors.RequestReviewError("no", model="m", findings=()), theirs.BadRequestError, 400),
    "review of a long prompt": (
        errors.RequestReviewError("no", model="m", findings=[TOO_LONG]),
        theirs.ContextWindowExceededError,
        400,
    ),
    "no candidate": (errors.NoCandidateError("no", plan=Plan()), theirs.BadRequestError, 400),
    "budget": (errors.BudgetExceededError(**BUDGET), PAYMENT, 402),
    "connection": (errors.ConnectionFailedError("no"), theirs.APIConnectionError, 500),
    "stream": (errors.StreamInterruptedError("no"), theirs.APIConnectionError, 500),
    "time": (errors.TimedOutError("no"), theirs.Timeout, 408),
    "400": (status(errors.BadRequestError, 400), theirs.BadRequestError, 400),
    "window": (status(errors.ContextLengthError, 400), theirs.ContextWindowExceededError, 400),
    "401": (status(errors.AuthenticationError, 401), theirs.AuthenticationError, 401),
    "402": (status(errors.QuotaExceededError, 402), PAYMENT, 402),
    "403": (status(errors.AccessDeniedError, 403), theirs.PermissionDeniedError, 403),
    "404": (status(errors.NotFoundError, 404), theirs.NotFoundError, 404),
    "405": (status(errors.StatusError, 405), theirs.APIError, 405),
    "408": (status(errors.ServerError, 408), theirs.Timeout, 408),
    "429": (status(errors.RateLimitedError, 429), theirs.RateLimitError, 429),
    "500": (status(errors.ServerError, 500), theirs.InternalServerError, 500),
    "502": (status(errors.ServerError, 502), theirs.BadGatewayError, 502),
    "503": (status(errors.OverloadedError, 503), theirs.ServiceUnavailableError, 503),
    "504": (status(errors.ServerError, 504), theirs.Timeout, 504),
    "nonsense": (errors.MalformedResponseError("no"), theirs.InternalServerError, 500),
}


@pytest.mark.parametrize("name", TWINS)
def test_twin(name: str) -> None:
    error, cls, code = TWINS[name]
    twin = as_litellm(error, "me/m")
    assert (twin.status_code, twin.model, twin.llm_provider) == (code, "me/m", "wandb_inference")
    assert type(twin) is cls
    assert error.message in str(twin)


HEADERS = {"retry-after": "7", "content-encoding": "gzip", "content-length": "5", "x-request-id": "r"}


@pytest.mark.parametrize(("cls", "code"), [(errors.BadRequestError, 400), (errors.RateLimitedError, 429)])
def test_the_services_headers_go_with_it(cls: type[errors.StatusError], code: int) -> None:
    told = dict(as_litellm(status(cls, code, response=Reply(code, HEADERS, b"slow")), "me/m").litellm_response_headers)
    assert (told["retry-after"], told["x-request-id"], told.get("content-encoding")) == ("7", "r", None)
    assert told.get("content-length") in (None, "4")  # of what was decoded


@pytest.mark.parametrize(("response", "content"), [(Reply(400, HEADERS, b"no"), b"no"), (None, b"")])
def test_the_services_answer_goes_with_it(response: Reply | None, content: bytes) -> None:
    # LiteLLM 1.91 makes an empty answer of its own for 429 and 5xx.
    twin = as_litellm(status(errors.BadRequestError, 400, response=response), "me/m")
    assert (twin.response.status_code, twin.response.content) == (400, content)


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("", "no"),
        ("Try again.", "no Try again."),
        (
            "Use openai/gpt-oss-20b instead.",
            "no Use wandb_inference/openai/gpt-oss-20b instead.",
        ),
        (
            "Did you mean 'openai/gpt-oss-120b' or 'zai-org/GLM-5.2'?",
            "no Did you mean 'wandb_inference/openai/gpt-oss-120b' or 'wandb_inference/zai-org/GLM-5.2'?",
        ),
        ("Not wandb_inference/openai/gpt-oss-20b again.", "no Not wandb_inference/openai/gpt-oss-20b again."),
        ("Nor meopenai/gpt-oss-20b.", "no Nor meopenai/gpt-oss-20b."),
    ],
)
def test_models_of_a_hint_are_named_as_litellm_names_them(hint: str, said: str) -> None:
    twin = as_litellm(errors.NotFoundError("no", hint=hint, status_code=404), "me/m")
    assert str(twin).endswith(said)


def test_errors_inside_a_block() -> None:
    ours = errors.NotFoundError("no", status_code=404)
    with pytest.raises(theirs.NotFoundError) as caught, litellm_errors("me/m"):
        raise ours
    assert caught.value.__cause__ is ours
    assert caught.value.model == "me/m"
    with pytest.raises(KeyError), litellm_errors("me/m"):
        raise KeyError
