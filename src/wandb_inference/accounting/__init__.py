"""What calls cost: afterwards to the digit, before as an expectation and as a worst case, and within a budget."""

from wandb_inference.accounting.budget import Budget, Reservation, to_usd
from wandb_inference.accounting.estimate import USUAL_ANSWER, Estimate, affordable_max_tokens, estimate
from wandb_inference.accounting.labels import Labels, current_labels, labels
from wandb_inference.accounting.price import Cost, in_usd, price
from wandb_inference.accounting.record import Attempt, CallRecord, Failure, Status

__all__ = [
    "USUAL_ANSWER",
    "Attempt",
    "Budget",
    "CallRecord",
    "Cost",
    "Estimate",
    "Failure",
    "Labels",
    "Reservation",
    "Status",
    "affordable_max_tokens",
    "current_labels",
    "estimate",
    "in_usd",
    "labels",
    "price",
    "to_usd",
]
