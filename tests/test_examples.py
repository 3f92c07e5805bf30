"""The examples run: on their own emulator, and where the environment points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from script_runner import run_script

from wandb_inference.emulator import Emulator

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
PRINTED = {
    "async_streams": ["openai/gpt-oss-20b: You said: Why is the sky blue?", "google/gemma-4-31B-it: You said", "USD"],
    "langchain_agent": ["-> Oslo: 18 °C, light wind", "Report(city='Oslo'", "4 messages, 0.0"],
    "autolog": [
        "You said: Count to three.",
        "logged: 4 calls, 0.0000",
        "errors: {'RequestReviewError': 1}",
        "feature=chat: 2 calls, 44 tokens, 0.000006 USD",
        "offline-run-",
    ],
    "multi_agent": [
        "researcher (zai-org/GLM-5.2): ",
        "writer (openai/gpt-oss-20b): ",
        "supervisor: The tool says: ",
        "openai/gpt-oss-120b: ",
        "USD of 0.50",
    ],
    "routing": [
        "1. openai/gpt-oss-20b: 0.0000",
        "not all, because of input_modality: messages[0].content[1] is image input",
        "No model may take this call (auto:cheapest): max_cost",
        "You said: Why is the sky blue?",
    ],
    "litellm_router": [": You said: Why is the sky blue? (0.0", "openai/gpt-oss-120b, streamed: You said: Why"],
    "langchain_tools": ["get_weather({'city': 'Oslo'}) -> Oslo: 18 °C", "The tool says: Oslo: 18 °C", "5 messages"],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("key", [False, True], ids=["no key", "key"])
def test_example(example: Path, key: bool, emulator: Emulator, tmp_path: Path) -> None:
    env = {"WANDB_INFERENCE_BASE_URL": emulator.url, "WANDB_API_KEY": emulator.api_key} if key else {}
    offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TMPDIR": str(tmp_path)}
    out = run_script(example, tmp_path, {**os.environ, **offline, **env})
    assert out.returncode == 0, out.stderr
    assert all(words in out.stdout for words in PRINTED[example.stem]), out.stdout
    assert bool(emulator.requests) is key
