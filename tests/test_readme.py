"""The README's examples run as printed, and print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_runner import run_script

from wandb_inference.emulator import Emulator

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=range(len(BLOCKS)))
def test_block(code: str, printed: str, emulator: Emulator, tmp_path: Path) -> None:
    script = tmp_path / "test_block.py"
    script.write_text(code, "utf-8")
    env = {**os.environ, "WANDB_INFERENCE_BASE_URL": emulator.url, "WANDB_API_KEY": emulator.api_key}
    env |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    if code == BLOCKS[0][0]:  # the first one needs no key
        env = dict(os.environ)
    if "def test_" in code:
        command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", script]
        out: Any = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
    else:
        out = run_script(script, tmp_path, env)
    assert out.returncode == 0, out.stderr + out.stdout
    if printed:
        assert out.stdout == printed


def test_the_first_example_is_five_lines() -> None:
    assert len([line for line in BLOCKS[0][0].splitlines() if line]) == 5


def test_every_command_shown_exists() -> None:
    makefile = (README.parent / "Makefile").read_text("utf-8")
    shown = re.findall(r"^make ([a-z_ -]+?)(?: +#|$)", README.read_text("utf-8"), re.MULTILINE)
    targets = {target for line in shown for target in line.split()}
    assert targets >= {"demo", "test", "lint", "types", "integration_tests", "bench"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_what_litellm_says_in_a_process_that_did_not_register_is_in_the_readme(tmp_path: Path) -> None:
    pytest.importorskip("litellm", reason="no litellm")
    code = (
        "import litellm\n"
        'try: litellm.completion(model="wandb_inference/openai/gpt-oss-20b", messages=[])\n'
        "except litellm.BadRequestError as e: print(e.message)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    said = re.search(r"LLM Provider NOT provided\..*?You passed model=wandb_inference/", out.stdout, re.DOTALL)
    assert said, out.stdout
    assert " ".join(said[0].split()) in " ".join(README.read_text("utf-8").split())


def test_every_link_into_the_repository_leads_somewhere_and_every_recipe_is_linked() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text("utf-8"))
    assert [link for link in links if not (README.parent / link).exists()] == []
    recipes = {
        str(path.relative_to(README.parent)) for path in README.parent.glob("integration_tests/frameworks/with_*")
    }
    assert recipes
    assert recipes <= set(links)
