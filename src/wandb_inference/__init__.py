"""W&B Inference (CoreWeave Serverless Inference) for Python: typed, priced, checked before it is sent.

The core: ``Client`` and ``AsyncClient``, the values of ``wandb_inference.chat``, the ``Catalog``, the error tree.
The doors to other frameworks are imported by name, so that nobody pays for a framework they do not use:
``wandb_inference.langchain``, ``wandb_inference.emulator``, ``wandb_inference.cli``.
"""

from wandb_inference._exchange import RetryPolicy, Timeouts
from wandb_inference._version import __version__
from wandb_inference.accounting import Cost, price
from wandb_inference.catalog import Catalog, Finding, ModelCard, Price, ReviewWarning, review
from wandb_inference.chat import (
    ChatOptions,
    ChatRequest,
    Choice,
    Completion,
    LogprobsDelta,
    ReasoningDelta,
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
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    NotFoundError,
    OverloadedError,
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
from wandb_inference.settings import DEFAULT_BASE_URL, Settings

__all__ = [
    "DEFAULT_BASE_URL",
    "AccessDeniedError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "Catalog",
    "ChatOptions",
    "ChatRequest",
    "Choice",
    "Client",
    "Completion",
    "ConfigurationError",
    "ConnectionFailedError",
    "ContextLengthError",
    "Cost",
    "Finding",
    "InferenceError",
    "LogprobsDelta",
    "MalformedResponseError",
    "ModelCard",
    "NotFoundError",
    "OverloadedError",
    "Price",
    "QuotaExceededError",
    "RateLimitedError",
    "ReasoningDelta",
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
    "TransportError",
    "UnknownModelError",
    "Usage",
    "__version__",
    "collect",
    "price",
    "review",
]
