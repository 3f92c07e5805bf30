"""langchain-tests' integration suite on the emulator, on the server you name, and live."""

from __future__ import annotations

import pytest
from standard_suite import StandardSuite
from targets import MODEL, without_live, without_named

from wandb_inference.emulator import Emulator


class TestEmulator(StandardSuite):
    model_id = "zai-org/GLM-5.3-Flash"  # sees, and always reasons
    other_id = "google/gemma-4-31B-it"

    @pytest.fixture(autouse=True)
    def _emulator(self, wandb_inference_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", wandb_inference_emulator.url)
        monkeypatch.setenv("WANDB_API_KEY", wandb_inference_emulator.api_key)


@pytest.mark.live
@without_named
class TestNamed(StandardSuite):
    model_id = MODEL


class TestNamedFunctionCalling(TestNamed):
    method = "function_calling"


class TestNamedJsonMode(TestNamed):
    method = "json_mode"


@pytest.mark.live
@without_live
class TestLive(StandardSuite):
    model_id = MODEL
    other_id = "openai/gpt-oss-120b"
