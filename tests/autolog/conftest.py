"""Each test of this room begins with logging off, in a folder of its own, and leaves no thread behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from autolog_support import threads

from wandb_inference import autolog


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_INFERENCE_AUTOLOG_CONTENT", raising=False)
    yield
    autolog.disable(60)
    assert threads() == set()
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it reads its settings from the environment once
