"""A model's card as a LangChain model profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.language_models import ModelProfile

from wandb_inference.catalog import ModelCard


class CardProfile(dict[str, Any]):
    """A profile made from a card: it changes with the model, where one of the user's own stays."""


def to_profile(card: ModelCard) -> ModelProfile:
    """Return what langchain-core has fields for; facts that are not known are absent."""
    sees = card.accepts("image")
    known: dict[str, Any] = {
        "name": card.name,
        "status": card.status,
        "release_date": card.released.isoformat() if card.released else None,
        "last_updated": card.checked.isoformat(),
        "open_weights": True,
        "max_input_tokens": card.context_window,
        "max_output_tokens": card.output_limit,
        "text_inputs": True,
        "image_inputs": sees,
        "image_url_inputs": sees,
        "image_tool_message": sees,  # shown to the model in a user turn of its own
        "pdf_inputs": card.accepts("file"),
        "pdf_tool_message": card.accepts("file"),
        "audio_inputs": card.accepts("audio"),
        "video_inputs": card.accepts("video"),
        "attachment": card.accepts("file"),
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": None if card.reasoning.mode is None else card.reasoning.mode != "none",
        "reasoning_effort_levels": list(card.reasoning.efforts) if card.reasoning.efforts else None,
        "tool_calling": card.tools,
        "tool_choice": card.tools,
        "tool_call_streaming": card.tools,
        "structured_output": card.structured_output,
        "temperature": True,
    }
    return _profile(known)


def to_profile_of_all(cards: Iterable[ModelCard]) -> ModelProfile:
    """Return what some of these models can do, or hold: a call goes to one that can."""
    known: dict[str, Any] = {}
    for card in cards:
        for name, value in to_profile(card).items():
            if isinstance(value, bool | int):
                known[name] = max(value, known.get(name, value))
    return _profile(known)


def _profile(known: Mapping[str, Any]) -> ModelProfile:
    fields = ModelProfile.__annotations__  # they grow from version to version, and unknown ones are warned about
    return cast("ModelProfile", CardProfile({k: v for k, v in known.items() if v is not None and k in fields}))
