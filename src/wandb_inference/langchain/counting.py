"""What tokens are counted in: prompts as they would be sent, and something of their size where they could not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from wandb_inference.errors import InferenceError
from wandb_inference.langchain.messages import to_wire


def countable(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return wire messages of the same size; counting refuses nothing, so what cannot be sent counts as its text."""
    wire: list[dict[str, Any]] = []
    for message in messages:
        try:
            wire += to_wire([message])
        except (InferenceError, LookupError, TypeError, ValueError):
            wire.append({"role": "user", "content": str(message.content)})
    return wire


def countable_tool(tool: Any) -> Mapping[str, Any]:
    """Return a tool's definition, or its text where it has none."""
    try:
        return convert_to_openai_tool(tool)
    except (AttributeError, TypeError, ValueError):
        return {"tool": str(tool)}
