"""Model cards of which a test states what it is about."""

from __future__ import annotations

from datetime import date
from typing import Any

from wandb_inference import ModelCard

LEAST: dict[str, Any] = {
    "name": "M",
    "family": "f",
    "status": "active",
    "checked": date(2026, 11, 20),
    "source": "a test",
}
"""What every card states, beside its id."""


def card(id_: str = "me/m", **facts: Any) -> ModelCard:
    """A card of which nothing is known but these facts."""
    return ModelCard.model_validate({"id": id_, **LEAST, **facts})
