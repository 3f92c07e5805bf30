"""Where the integration tests go: the emulator always, a server you name, and the live service with its key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from wandb_inference.emulator import Emulator

NAMED_URL = os.environ.get("WANDB_INFERENCE_BASE_URL")
KEY = os.environ.get("WANDB_API_KEY")
MODEL = os.environ.get("WANDB_INFERENCE_MODEL", "openai/gpt-oss-20b")

without_named = pytest.mark.skipif(
    not (NAMED_URL and KEY),
    reason="no server named: set WANDB_INFERENCE_BASE_URL, WANDB_API_KEY, WANDB_INFERENCE_MODEL",
)
without_live = pytest.mark.skipif(
    not KEY or bool(NAMED_URL),
    reason="no key for the live service: set WANDB_API_KEY (and no WANDB_INFERENCE_BASE_URL)",
)


@dataclass(frozen=True)
class Target:
    """A server, and a model it serves."""

    model: str


@pytest.fixture(
    params=[
        "emulator",
        pytest.param("named", marks=[without_named, pytest.mark.live]),
        pytest.param("live", marks=[without_live, pytest.mark.live]),
    ]
)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Set the environment for this server."""
    if request.param != "emulator":
        yield Target(MODEL)
        return
    emulator = Emulator()
    with emulator as url:
        monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", emulator.api_key)
        yield Target("openai/gpt-oss-20b")
