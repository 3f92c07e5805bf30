"""What calls cost: afterwards to the digit, before as an expectation and as a worst case, and within a budget."""

from wandb_inference.accounting.budget import Budget, Reservation, to_usd
from wandb_inference.accounting.estimate import USUAL_ANSWER, Estimate, affordable_max_tokens, estimate
from wandb_inference.accounting.labels import Labels, current_labels, labels
from wandb_inference.accounting.ledger import By, Ledger, Totals, quantile, read_rows
from wandb_inference.accounting.price import Cost, in_usd, price
from wandb_inference.accounting.record import Attempt, CallRecord, Failure, Status
from wandb_inference.accounting.rows import COLUMNS, CONTENT, spent, without_content

__all__ = [
    "COLUMNS",
    "CONTENT",
    "USUAL_ANSWER",
    "Attempt",
    "Budget",
    "By",
    "CallRecord",
    "Cost",
    "Estimate",
    "Failure",
    "Labels",
    "Ledger",
    "Reservation",
    "Status",
    "Totals",
    "affordable_max_tokens",
    "current_labels",
    "estimate",
    "in_usd",
    "labels",
    "price",
    "quantile",
    "read_rows",
    "spent",
    "to_usd",
    "without_content",
]
