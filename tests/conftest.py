"""Every test runs without the machine's own settings: no key, no netrc, no base URL from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support import over

from wandb_inference import Client
from wandb_inference.catalog import TokenEstimator
from wandb_inference.client import _BaseClient
from wandb_inference.emulator import Emulator
from wandb_inference.routing import service

__all__ = ["over"]

settings.register_profile("busy machine", deadline=None)  # a pause of the machine's is no failure
settings.load_profile("busy machine")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks GitHub for prices


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "INFERENCE_PROJECT", "INFERENCE_BASE_URL", "INFERENCE_TRANSPORT", "ENTITY", "PROJECT"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-read")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_never_read")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/never-read")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_BaseClient, "_estimator", TokenEstimator())
    monkeypatch.setattr(service, "_KNOWN", {})


@pytest.fixture(scope="session")
def _one_emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    with emulator:
        yield emulator


@pytest.fixture
def emulator(_one_emulator: Emulator) -> Iterator[Emulator]:
    """The emulator of this run, with nothing in its script and no requests remembered."""
    _one_emulator.reset()
    yield _one_emulator
    _one_emulator.reset()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(base_url=emulator.url, api_key=emulator.api_key, max_retries=0, timeout=60) as client:
        yield client
