"""``init_chat_model("wandb:…")``, for those who ask for it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from wandb_inference.errors import ConfigurationError
from wandb_inference.langchain.errors import langchain_errors
from wandb_inference.langchain.provider import PROVIDER

_ENTRY = ("wandb_inference.langchain", "ChatWandbInference")


@langchain_errors()
def register_with_init_chat_model() -> None:
    """Let ``init_chat_model("wandb:openai/gpt-oss-20b")`` and ``create_agent("wandb:…")`` make our models.

    LangChain offers no way to add a provider (langchain 1.4: a private table, no entry points), so nothing here happens
    by itself: this call adds one row to that table.

    Raises:
        ImportError: ``langchain`` is not installed; it is no part of the extra, which needs langchain-core only.
        ConfigurationError: this LangChain keeps its providers elsewhere, or has a provider of this name already.
    """
    try:
        providers: Any = getattr(import_module("langchain.chat_models.base"), "_BUILTIN_PROVIDERS", None)
    except ImportError as e:
        raise ImportError("init_chat_model is part of langchain, not of langchain-core: pip install langchain") from e
    if not isinstance(providers, dict):
        raise ConfigurationError(
            "This version of langchain keeps its providers where they cannot be added to.",
            hint="Make the model itself: ChatWandbInference(model=…) goes wherever a model's name goes.",
        )
    ours = (*_ENTRY, _make)
    if providers.setdefault(PROVIDER, ours)[:2] != _ENTRY:
        raise ConfigurationError(
            f"langchain has a provider {PROVIDER!r} already: {providers[PROVIDER][1]}.",
            hint="Make the model itself: ChatWandbInference(model=…).",
        )


def _make(cls: type[Any], **fields: Any) -> Any:
    return cls(**fields)
