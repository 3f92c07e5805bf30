"""What is known of every model, as data: limits, abilities, prices, lifecycle, each fact dated and sourced.

``Catalog`` finds a ``ModelCard``; ``review`` holds a call against it before anything is sent.
"""

from wandb_inference.catalog.card import Conflict, LostValue, ModelCard, Price, ReasoningSupport
from wandb_inference.catalog.catalog import Catalog
from wandb_inference.catalog.review import Finding, ReviewMode, ReviewWarning, review
from wandb_inference.catalog.tokens import TokenEstimator, estimate_tokens

__all__ = [
    "Catalog",
    "Conflict",
    "Finding",
    "LostValue",
    "ModelCard",
    "Price",
    "ReasoningSupport",
    "ReviewMode",
    "ReviewWarning",
    "TokenEstimator",
    "estimate_tokens",
    "review",
]
