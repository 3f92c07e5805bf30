"""What the service publishes about its models, in its two public feeds (as read 2026-10-07)."""

from __future__ import annotations

from typing import Any

from wandb_inference.catalog import Catalog, ModelCard

_STAGES = {"active": "general-availability", "unconfirmed": "experimental"}


def models(catalog: Catalog) -> dict[str, Any]:
    """Return the feed in the schema of models.dev: what is served, with limits and prices."""
    served = {card.id: _model(card) for card in catalog if card.status in ("active", "deprecated")}
    return {"wandb": {"id": "wandb", "name": "Weights & Biases", "models": served}}


def stages(catalog: Catalog) -> list[dict[str, Any]]:
    """Return the feed of every model's life, the retired ones included."""
    return [
        {
            "idPlayground": card.id,
            "label": card.name,
            "contextWindow": card.context_window,
            "modalitiesInput": list(card.input),
            "lifecycleStage": _STAGES.get(card.status, card.status),
        }
        for card in catalog
    ]


def _model(card: ModelCard) -> dict[str, Any]:
    price = card.price
    cost = {"input": float(price.input), "output": float(price.output)} if price else {}
    if price and price.cached_input is not None:
        cost["cache_read"] = float(price.cached_input)
    row: dict[str, Any] = {
        "id": card.id,
        "name": card.name,
        "tool_call": card.tools,
        "structured_output": card.structured_output,
        "reasoning": card.reasoning.mode not in ("none", None),
        "modalities": {"input": list(card.input), "output": ["text"]},
        # The feed repeats the window as the limit of an answer, for every model.
        "limit": {"context": card.context_window, "output": card.context_window},
        "cost": cost,
    }
    return {name: value for name, value in row.items() if value not in (None, {})}
