"""Our errors as langchain-core's: each class gets a twin that is both, so that either library's handlers catch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core import exceptions as core

from wandb_inference import errors

_TWINS: dict[type[errors.InferenceError], type[core.ModelError]] = {
    errors.ConfigurationError: core.ModelInvalidRequestError,
    errors.UnknownModelError: core.ModelNotFoundError,
    errors.RequestReviewError: core.ModelInvalidRequestError,
    errors.NoCandidateError: core.ModelInvalidRequestError,
    errors.BudgetExceededError: core.ModelPermissionDeniedError,
    errors.ConnectionFailedError: core.ModelConnectionError,
    errors.TimedOutError: core.ModelTimeoutError,
    errors.StreamInterruptedError: core.ModelConnectionError,
    errors.StatusError: core.ModelError,
    errors.BadRequestError: core.ModelInvalidRequestError,
    errors.ContextLengthError: core.ContextOverflowError,
    errors.AuthenticationError: core.ModelAuthenticationError,
    errors.QuotaExceededError: core.ModelPermissionDeniedError,  # no class of its own for 402
    errors.AccessDeniedError: core.ModelPermissionDeniedError,
    errors.NotFoundError: core.ModelNotFoundError,
    errors.RateLimitedError: core.ModelRateLimitError,
    errors.ServerError: core.ModelAPIError,
    errors.OverloadedError: core.ModelAPIError,
    errors.MalformedResponseError: core.ModelAPIError,
}


def _twin(ours: type[errors.InferenceError], theirs: type[core.ModelError], name: str) -> type[errors.InferenceError]:
    fields = {"is_retryable": ours.retryable, "__doc__": ours.__doc__, "__module__": __name__}
    globals()[name] = twin = type(name, (ours, theirs), fields)  # where pickle looks for it
    return twin


_BOTH = {ours: _twin(ours, theirs, ours.__name__) for ours, theirs in _TWINS.items()}
_OVERFLOWS = {
    errors.RequestReviewError: _twin(errors.RequestReviewError, core.ContextOverflowError, "ReviewedOverflowError"),
    errors.NoCandidateError: _twin(errors.NoCandidateError, core.ContextOverflowError, "PlannedOverflowError"),
}


def as_langchain(error: errors.InferenceError) -> errors.InferenceError:
    """Return the same exception, now also an instance of the langchain-core class for its condition."""
    # The class is exchanged in place: a copy would lose the traceback, or show the error twice.
    twin = _BOTH.get(type(error))
    if isinstance(error, errors.RequestReviewError | errors.NoCandidateError) and error.is_overflow:
        twin = _OVERFLOWS.get(type(error))
    if twin is not None:
        error.__class__ = twin
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
