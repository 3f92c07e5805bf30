"""What is known of every model, as data: limits, abilities, prices, lifecycle, each fact dated and sourced.

``Catalog`` finds a ``ModelCard``; ``review`` holds a call against it before anything is sent.
"""

from wandb_inference.catalog.card import Conflict, LostValue, Modality, ModelCard, Price, ReasoningSupport
from wandb_inference.catalog.catalog import Catalog
from wandb_inference.catalog.feeds import MODELS_FEED, STAGES_FEED, Change, Refreshed, refreshed
from wandb_inference.catalog.lint import Stale, lint
from wandb_inference.catalog.review import Finding, ReviewMode, ReviewWarning, check_shape, findings, review
from wandb_inference.catalog.tokens import MEDIA_BOUND, Measured, TokenEstimator, estimate_of, estimate_tokens

__all__ = [
    "MEDIA_BOUND",
    "MODELS_FEED",
    "STAGES_FEED",
    "Catalog",
    "Change",
    "Conflict",
    "Finding",
    "LostValue",
    "Measured",
    "Modality",
    "ModelCard",
    "Price",
    "ReasoningSupport",
    "Refreshed",
    "ReviewMode",
    "ReviewWarning",
    "Stale",
    "TokenEstimator",
    "check_shape",
    "estimate_of",
    "estimate_tokens",
    "findings",
    "lint",
    "refreshed",
    "review",
]
