"""examples/litellm_proxy, as its reader runs it: one command to start, and the lines of curl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from proxies import MASTER, free_port, needs_proxy, proxy_answers, running

FOLDER = Path(__file__).parent.parent / "examples" / "litellm_proxy"
pytestmark = [needs_proxy, pytest.mark.skipif(not shutil.which("curl"), reason="no curl")]


def test_the_proxy_starts_and_answers(tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, "PORT": str(port), "LITELLM_MASTER_KEY": MASTER}
    with running([sys.executable, FOLDER / "start.py"], tmp_path / "log", env, lambda: proxy_answers(port)):
        ask = ["sh", str(FOLDER / "ask.sh")]
        asked = subprocess.run(ask, env=env, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert asked.returncode == 0, asked.stderr
    models, info, headers, *_ = (line for line in asked.stdout.splitlines() if line)
    assert '"openai/gpt-oss-20b"' in models
    prices = {row["model_name"]: row["model_info"]["input_cost_per_token"] for row in json.loads(info)["data"]}
    assert prices["openai/gpt-oss-20b"] == 3e-08
    assert headers.startswith("HTTP/1.1 200")
    assert "x-litellm-response-cost: " in asked.stdout
    assert '"content":"You said: Why is the sky blue?"' in asked.stdout
    assert asked.stdout.rstrip().endswith("data: [DONE]")
    log = (tmp_path / "log").read_text()
    assert "the emulator answers" in log
    assert MASTER not in log
