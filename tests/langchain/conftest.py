"""A chat model on the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference

MODEL = "openai/gpt-oss-20b"


@pytest.fixture
def make(emulator: Emulator) -> Callable[..., ChatWandbInference]:
    """Make a model that talks to the emulator; keywords override."""

    def make(**fields: Any) -> ChatWandbInference:
        given = {"model": MODEL, "base_url": emulator.url, "api_key": emulator.api_key, "max_retries": 0, **fields}
        return ChatWandbInference(**given)

    return make
