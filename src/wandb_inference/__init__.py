"""W&B Inference (CoreWeave Serverless Inference) for Python: typed, priced, checked before it is sent.

The core: ``Client`` and ``AsyncClient``, the values of ``wandb_inference.chat``, the ``Catalog``, the error tree.
The doors to other frameworks are imported by name, so that nobody pays for a framework they do not use:
``wandb_inference.langchain``, ``wandb_inference.litellm``, ``wandb_inference.emulator``, ``wandb_inference.cli``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wandb_inference._exchange import RetryPolicy, Timeouts
from wandb_inference._refresh import refresh
from wandb_inference._version import __version__
from wandb_inference.accounting import Attempt, Budget, CallRecord, Cost, Failure, Labels, Ledger, Totals, labels, price
from wandb_inference.catalog import Catalog, Finding, ModelCard, Price, ReviewWarning, review
from wandb_inference.chat import (
    ChatOptions,
    ChatRequest,
    Choice,
    Collector,
    Completion,
    EmptyAnswerWarning,
    ExtraFields,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    ServedModel,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
)
from wandb_inference.client import AsyncClient, Client
from wandb_inference.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    QueueTimeoutError,
    QuotaExceededError,
    RateLimitedError,
    RequestReviewError,
    ServerError,
    StatusError,
    StreamInterruptedError,
    TimedOutError,
    TransportError,
    UnknownModelError,
)
from wandb_inference.routing import Candidate, Entry, Need, Plan, Policy, Rejection
from wandb_inference.settings import DEFAULT_BASE_URL, Settings

if TYPE_CHECKING:
    from wandb_inference._autolog import autolog

__all__ = [
    "DEFAULT_BASE_URL",
    "AccessDeniedError",
    "AsyncClient",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "Budget",
    "BudgetExceededError",
    "CallRecord",
    "Candidate",
    "Catalog",
    "ChatOptions",
    "ChatRequest",
    "Choice",
    "Client",
    "Collector",
    "Completion",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContextLengthError",
    "Cost",
    "EmptyAnswerWarning",
    "Entry",
    "ExtraFields",
    "Failure",
    "Finding",
    "InferenceError",
    "Labels",
    "Ledger",
    "LogprobsDelta",
    "MalformedResponseError",
    "ModelCard",
    "Need",
    "NoCandidateError",
    "NotFoundError",
    "OverloadedError",
    "Plan",
    "Policy",
    "Price",
    "QueueTimeoutError",
    "QuotaExceededError",
    "RateLimitedError",
    "ReasoningDelta",
    "RefusalDelta",
    "Rejection",
    "RequestReviewError",
    "RetryPolicy",
    "ReviewWarning",
    "ServedModel",
    "ServerError",
    "Settings",
    "StatusError",
    "StreamEnd",
    "StreamEvent",
    "StreamInterruptedError",
    "StreamStart",
    "TextDelta",
    "TimedOutError",
    "Timeouts",
    "ToolCall",
    "ToolCallDelta",
    "Totals",
    "TransportError",
    "UnknownModelError",
    "Usage",
    "__version__",
    "autolog",
    "collect",
    "labels",
    "price",
    "refresh",
    "review",
]


def __getattr__(name: str) -> Any:
    if name == "autolog":  # its threads and hooks are for those who name it
        from wandb_inference._autolog import autolog  # noqa: PLC0415

        return autolog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
