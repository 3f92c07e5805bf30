"""A model's card as a row of LiteLLM's cost map."""

from __future__ import annotations

from typing import Any

from wandb_inference.catalog import ModelCard
from wandb_inference.litellm.provider import PROVIDER


def model_info(card: ModelCard) -> dict[str, Any]:
    """Return a model's row for LiteLLM's cost map; what is not known is absent."""
    known: dict[str, Any] = {
        "litellm_provider": PROVIDER,
        "mode": "chat",
        "max_input_tokens": card.context_window,
        "max_output_tokens": card.output_limit or card.context_window,
        "max_tokens": card.output_limit or card.context_window,
        "supports_system_messages": True,
        "supports_function_calling": card.tools,
        "supports_tool_choice": card.tools,
        "supports_parallel_function_calling": card.tools,
        "supports_vision": card.accepts("image"),
        "supports_response_schema": card.structured_output,
        "supports_reasoning": None if card.reasoning.mode is None else card.reasoning.mode != "none",
        "deprecation_date": card.retired_on.isoformat() if card.retired_on else None,
        "source": card.source,
    }
    if card.price is not None:
        input_, cached, output = card.price.per_token()
        known |= {
            "input_cost_per_token": input_,
            "output_cost_per_token": output,
            "cache_read_input_token_cost": cached,
            "cache_creation_input_token_cost": input_,
            "supports_prompt_caching": None if card.price.cached_input is None else cached < input_,
        }
    return {name: value for name, value in known.items() if value is not None}
