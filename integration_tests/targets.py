"""Where the integration tests go: the emulator and a llama-server always, a server you name, the live service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import llama_cpp
import pytest
from support import TRANSPORTS

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

BEYOND_LLAMA_CPP = {
    "test_unknown_model": "llama-server answers for any model name",
    "test_tools": "its model calls the tool, but for a city of its own: test_llama_cpp_tools.py",
}
"""Tests of a target that a llama-server cannot pass, and why."""


@dataclass(frozen=True)
class Target:
    """A server, and a model it serves."""

    model: str


@pytest.fixture
def own_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave LiteLLM's callbacks as they were: every Router adds some, and LiteLLM takes a hundred."""
    litellm = import_module("litellm")
    for name in ("callbacks", "success_callback", "failure_callback"):
        for prefix in ("", "_async_"):
            if hasattr(litellm, prefix + name):
                monkeypatch.setattr(litellm, prefix + name, list(getattr(litellm, prefix + name)))


@pytest.fixture(
    params=[
        "emulator",
        *(f"llama-server over {transport}" for transport in TRANSPORTS),
        pytest.param("named", marks=[without_named, pytest.mark.live]),
        pytest.param("live", marks=[without_live, pytest.mark.live]),
    ]
)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Set the environment for this server."""
    name: str = request.param
    if name == "emulator":
        emulator = Emulator()
        with emulator as url:
            monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", url)
            monkeypatch.setenv("WANDB_API_KEY", emulator.api_key)
            yield Target("openai/gpt-oss-20b")
    elif name.startswith("llama-server"):
        if reason := BEYOND_LLAMA_CPP.get(request.node.originalname):
            pytest.skip(reason)
        server: llama_cpp.Server = request.getfixturevalue("llama")
        monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", llama_cpp.KEY)
        monkeypatch.setenv("WANDB_INFERENCE_TRANSPORT", name.rpartition(" ")[2])
        yield Target(llama_cpp.MODEL)
    else:
        yield Target(MODEL)
