"""Cards as rows of LiteLLM's cost map."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from cards import card

from wandb_inference.litellm.models import model_info

LEAST = {
    "litellm_provider": "wandb_inference",
    "mode": "chat",
    "supports_system_messages": True,
    "supports_vision": False,
    "source": "a test",
}
CALLS = ("supports_function_calling", "supports_tool_choice", "supports_parallel_function_calling")
COSTS = (
    "input_cost_per_token",
    "cache_creation_input_token_cost",
    "cache_read_input_token_cost",
    "output_cost_per_token",
)
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (facts of the card, the row beside what is in every one)
    "nothing known": ({}, {}),
    "a window": (
        {"context_window": 1000},
        dict.fromkeys(("max_input_tokens", "max_output_tokens", "max_tokens"), 1000),
    ),
    "a window and a limit": (
        {"context_window": 1000, "output_limit": 500},
        {"max_input_tokens": 1000, "max_output_tokens": 500, "max_tokens": 500},
    ),
    "tools": ({"tools": True}, dict.fromkeys(CALLS, True)),
    "no tools": ({"tools": False}, dict.fromkeys(CALLS, False)),
    "sight": ({"input": ("text", "image")}, {"supports_vision": True}),
    "schemas": ({"structured_output": True}, {"supports_response_schema": True}),
    "reasoning": ({"reasoning": {"mode": "always"}}, {"supports_reasoning": True}),
    "no reasoning": ({"reasoning": {"mode": "none"}}, {"supports_reasoning": False}),
    "its end": ({"retired_on": date(2027, 1, 2)}, {"deprecation_date": "2027-01-02"}),
    "a price": (
        {"price": {"input": 4, "output": 10, "cached_input": 1}},
        {**dict(zip(COSTS, (4e-06, 4e-06, 1e-06, 1e-05), strict=True)), "supports_prompt_caching": True},
    ),
    "a price with no discount": (
        {"price": {"input": 4, "output": 10, "cached_input": 4}},
        {**dict(zip(COSTS, (4e-06, 4e-06, 4e-06, 1e-05), strict=True)), "supports_prompt_caching": False},
    ),
    "a price without a known discount": (
        {"price": {"input": 4, "output": 10}},
        dict(zip(COSTS, (4e-06, 4e-06, 4e-06, 1e-05), strict=True)),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    facts, beside = ROWS[name]
    assert model_info(card(**facts)) == {**LEAST, **beside}
