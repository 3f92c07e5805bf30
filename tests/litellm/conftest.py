"""LiteLLM with our provider registered, and as it was before afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
import pytest

from wandb_inference.emulator import Emulator
from wandb_inference.litellm import register

MODEL = "wandb_inference/openai/gpt-oss-20b"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("callbacks", "success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback")
    for name in (*kept, "custom_provider_map"):
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    register()


@pytest.fixture
def call(emulator: Emulator) -> Callable[..., dict[str, Any]]:
    """The arguments of a call to the emulator; keywords override."""

    def call(text: Any = "Hello", **given: Any) -> dict[str, Any]:
        messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
        where = {"api_base": emulator.url, "api_key": emulator.api_key, "max_retries": 0}
        return {"model": MODEL, "messages": messages, **where, **given}

    return call
