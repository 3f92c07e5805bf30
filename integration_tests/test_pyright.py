"""What users write is accepted by the other type checker, too: strictly, without a plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def checked(tmp_path: Path, files: list[Path]) -> dict[str, Any]:
    """Return what pyright says of the files."""
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps({"include": [str(file) for file in files], "typeCheckingMode": "strict"}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 (ours)
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def test_what_runs_is_accepted(tmp_path: Path) -> None:
    said = checked(tmp_path, [ROOT / "tests" / "typed" / "users.py"])
    assert said["summary"]["filesAnalyzed"] == 1
    assert said["generalDiagnostics"] == []


def test_what_does_not_run_is_not(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from wandb_inference.langchain import ChatWandbInference\n"
        "ChatWandbInference(model=3)\n"
        "ChatWandbInference(temperatur=0.5)\n"
        "ChatWandbInference(max_cost=[1])\n"
    )
    said = checked(tmp_path, [wrong])
    assert {one["range"]["start"]["line"] for one in said["generalDiagnostics"] if one["severity"] == "error"} == {
        1,
        2,
        3,
    }
