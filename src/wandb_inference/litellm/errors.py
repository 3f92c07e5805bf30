"""Our errors as LiteLLM's: its retries, cooldowns and fallbacks go by class, status and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
from litellm import exceptions as theirs

from wandb_inference import errors as ours
from wandb_inference.catalog import Catalog
from wandb_inference.litellm.provider import PROVIDER

_PAYMENT: Any = getattr(theirs, "PaymentRequiredError", theirs.APIError)  # LiteLLM 1.91 has none of its own
# A class that is not here takes the entry of its nearest base.
_BY_CLASS: dict[type[ours.InferenceError], type[Exception]] = {
    ours.InferenceError: theirs.APIError,
    ours.ContextLengthError: theirs.ContextWindowExceededError,
    ours.AuthenticationError: theirs.AuthenticationError,
    ours.QuotaExceededError: _PAYMENT,
    ours.AccessDeniedError: theirs.PermissionDeniedError,
    ours.NotFoundError: theirs.NotFoundError,
    ours.UnknownModelError: theirs.NotFoundError,
    ours.RateLimitedError: theirs.RateLimitError,
    ours.OverloadedError: theirs.ServiceUnavailableError,
    ours.ServerError: theirs.InternalServerError,
    ours.BadRequestError: theirs.BadRequestError,
    ours.RequestReviewError: theirs.BadRequestError,
    ours.NoCandidateError: theirs.BadRequestError,
    ours.BudgetExceededError: _PAYMENT,  # LiteLLM takes its own BudgetExceededError for a 500
    ours.ConfigurationError: theirs.BadRequestError,
    ours.TimedOutError: theirs.Timeout,
    ours.TransportError: theirs.APIConnectionError,
    ours.MalformedResponseError: theirs.InternalServerError,
}
_STATUS = {
    theirs.ContextWindowExceededError: 400,
    theirs.BadRequestError: 400,
    theirs.AuthenticationError: 401,
    theirs.NotFoundError: 404,
    theirs.Timeout: 408,
}
_BY_STATUS = {408: theirs.Timeout, 502: theirs.BadGatewayError, 504: theirs.Timeout}


def as_litellm(error: ours.InferenceError, model: str) -> Any:
    """Return LiteLLM's exception for the same condition, with the service's headers where it answered."""
    made: Any = next(_BY_CLASS[base] for base in type(error).__mro__ if base in _BY_CLASS)
    if isinstance(error, ours.ConfigurationError) and "API key" in error.message:
        made = theirs.AuthenticationError
    if isinstance(error, ours.RequestReviewError | ours.NoCandidateError) and error.is_overflow:
        made = theirs.ContextWindowExceededError
    # In LiteLLM, a bare id of the hint would go to another provider, with that one's key.
    told = f"{error.message} {_ids().sub(_prefixed, error.hint)}".strip()
    about: dict[str, Any] = {"message": told, "model": model, "llm_provider": PROVIDER}
    unsent = 402 if isinstance(error, ours.BudgetExceededError) else _STATUS.get(made, 500)
    status = getattr(error, "status_code", None) or unsent
    made = _BY_STATUS.get(status, made)
    if made is theirs.APIError:
        return theirs.APIError(status_code=status, **about)
    if made is theirs.Timeout:
        return made(**about, exception_status_code=status)
    if made is theirs.APIConnectionError:
        return made(**about)
    response = _response(error, status)
    exception = made(**about, response=response)
    exception.litellm_response_headers = response.headers  # where the Router reads Retry-After
    return exception


@cache
def _ids() -> re.Pattern[str]:
    ids = sorted((card.id for card in Catalog.bundled()), key=len, reverse=True)
    return re.compile(rf"(?<![\w/])(?:{'|'.join(map(re.escape, ids))})")


def _prefixed(id_: re.Match[str]) -> str:
    return f"{PROVIDER}/{id_[0]}"


def _response(error: ours.InferenceError, status: int) -> httpx.Response:
    reply = getattr(error, "response", None)
    gone = ("content-encoding", "content-length")  # the content is decoded
    headers = {name: value for name, value in (reply.headers if reply else {}).items() if name not in gone}
    request = httpx.Request("POST", "https://wandb-inference/chat/completions")
    return httpx.Response(status, headers=headers, content=reply.content if reply else b"", request=request)


@contextmanager
def litellm_errors(model: str) -> Iterator[None]:
    """Raise our errors as LiteLLM's."""
    try:
        yield
    except ours.InferenceError as e:
        raise as_litellm(e, model) from e
