"""What tokens are counted in: prompts as they would be sent, and something of their size where they could not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from wandb_inference.langchain.messages import Replay, to_wire
from wandb_inference.langchain.schemas import to_tool


def countable(messages: Sequence[BaseMessage], replay: Replay = "all") -> list[dict[str, Any]]:
    """Return the messages on the wire; counting refuses nothing, so what cannot be sent counts as its text."""
    try:
        return to_wire(messages, replay)
    except Exception:  # noqa: BLE001 (whatever is wrong with them is told when they are sent)
        if len(messages) == 1:
            return [{"role": "user", "content": str(messages[0].content)}]
        return [wire for message in messages for wire in countable([message], replay)]


def countable_tool(tool: Any) -> Mapping[str, Any]:
    """Return a tool's definition, or its text where it has none."""
    try:
        return to_tool(tool)
    except Exception:  # noqa: BLE001 (as above: signatures can fail in any way)
        return {"tool": str(tool)}
