"""What a call requires of a model, read off the call itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from wandb_inference.catalog import MEDIA_BOUND, Measured, Modality
from wandb_inference.chat import ChatRequest, Reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a call requires."""

    modalities: tuple[Modality, ...] = ("text",)
    """Of all its messages, the history and tool results included."""
    tools: int = 0
    """Tools it brings."""
    tool_choice: str | None = None
    """``required``, ``none``, or the name of the tool that must be called; ``None``: the model's choice."""
    schema: bool = False
    """Whether the answer is held to a JSON schema."""
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    answers: int = 1
    prompt_tokens: int = 0
    """About, by its bytes."""
    prompt_bound: int = 0
    """At most."""
    assumptions: tuple[str, ...] = ()
    """What the figures rest on that is no fact."""
    measured: Measured = field(repr=False, compare=False)

    @classmethod
    def of(cls, request: ChatRequest) -> Need:
        """Return what this call needs."""
        call, options = Measured(request), request.options
        choice: Any = options.tool_choice if options.tools else None
        if isinstance(choice, dict):
            choice = str((choice.get("function") or {}).get("name"))
        media = len(call.media)
        return cls(
            modalities=("text", *dict.fromkeys(kind for _, kind in call.media)),
            tools=len(options.tools or ()),
            tool_choice=None if choice == "auto" else choice,
            schema=(options.response_format or {}).get("type") == "json_schema",
            reasoning=options.wants_reasoning,
            # What makes no sense is the review's to name; here it must only do no harm.
            max_tokens=_count(options.max_tokens),
            answers=_count(options.n) or 1,
            prompt_tokens=call.estimate,
            prompt_bound=call.bound,
            assumptions=(f"a picture has at most {MEDIA_BOUND:,} tokens",) if media else (),
            measured=call,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; what is not asked for is absent."""
        shown = {
            "modalities": list(self.modalities),
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "schema": self.schema,
            "reasoning": self.reasoning,
            "max_tokens": self.max_tokens,
            "answers": self.answers if self.answers > 1 else None,
            "prompt_tokens": self.prompt_tokens,
            "prompt_bound": self.prompt_bound,
        }
        return {name: value for name, value in shown.items() if value or (value is False and name == "reasoning")}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def conversation_of(request: ChatRequest) -> str:
    """Return what stays the same over the turns of one conversation: its system turns, first user turn and tools."""
    beginning: list[Any] = []
    for message in request.messages:
        beginning.append([message.get("role"), message.get("content")])
        if message.get("role") == "user":
            break
    told = json.dumps([beginning, list(request.options.tools or ())], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
