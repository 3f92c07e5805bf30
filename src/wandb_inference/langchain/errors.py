"""Our errors as langchain-core's: each class gets a twin that is both, so that either library's handlers catch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from langchain_core import exceptions as core

from wandb_inference import errors

# A class that is not here takes the entry of its nearest base.
_CORE: dict[type[errors.InferenceError], type[core.ModelError]] = {
    errors.InferenceError: core.ModelError,
    errors.ConfigurationError: core.ModelInvalidRequestError,
    errors.UnknownModelError: core.ModelNotFoundError,
    errors.RequestReviewError: core.ModelInvalidRequestError,
    errors.NoCandidateError: core.ModelInvalidRequestError,
    errors.BudgetExceededError: core.ModelPermissionDeniedError,
    errors.TransportError: core.ModelConnectionError,
    errors.TimedOutError: core.ModelTimeoutError,
    errors.BadRequestError: core.ModelInvalidRequestError,
    errors.ContextLengthError: core.ContextOverflowError,
    errors.AuthenticationError: core.ModelAuthenticationError,
    errors.QuotaExceededError: core.ModelPermissionDeniedError,  # no class of its own for 402
    errors.AccessDeniedError: core.ModelPermissionDeniedError,
    errors.NotFoundError: core.ModelNotFoundError,
    errors.RateLimitedError: core.ModelRateLimitError,
    errors.ServerError: core.ModelAPIError,
    errors.MalformedResponseError: core.ModelAPIError,
}


@cache
def _both(ours: type[errors.InferenceError], theirs: type[core.ModelError] | None = None) -> type[Any]:
    """Return the class that is one of ours and langchain-core's for the same condition."""
    theirs = theirs or next(_CORE[base] for base in ours.__mro__ if base in _CORE)
    fields = {"is_retryable": ours.retryable, "__doc__": ours.__doc__, "__module__": __name__, "__reduce__": _reduce}
    return type(ours.__name__, (ours, theirs), fields)


def _reduce(error: errors.InferenceError) -> tuple[Any, ...]:
    return _restored, (type(error).__bases__[0], error.args, dict(error.__dict__))


def _restored(ours: type[errors.InferenceError], args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    return as_langchain(errors.restored(ours, args, fields))


def as_langchain(error: errors.InferenceError) -> errors.InferenceError:
    """Return the same exception, now also an instance of the langchain-core class for its condition."""
    # The class is exchanged in place: a copy would lose the traceback, or show the error twice.
    if not isinstance(error, core.ModelError):
        overflow = isinstance(error, errors.RequestReviewError | errors.NoCandidateError) and error.is_overflow
        ours: Any = type(error)
        error.__class__ = _both(ours, core.ContextOverflowError if overflow else None)
    if error.partial is not None and (error.partial.text or error.partial.reasoning or error.partial.tool_calls):
        error.is_retryable = False  # type: ignore[attr-defined]  # what was handed out would come again
    return error


@contextmanager
def langchain_errors() -> Iterator[None]:
    """Raise our errors as both ours and langchain-core's."""
    try:
        yield
    except errors.InferenceError as e:
        as_langchain(e)
        raise
