"""Examples in docstrings run: the doctests of every module, and the code blocks of the LangChain class."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from textwrap import dedent
from typing import Any

import pytest

import wandb_inference
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference

MODULES = sorted(m.name for m in pkgutil.walk_packages(wandb_inference.__path__, "wandb_inference."))


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_doctests() -> None:
    finder = doctest.DocTestFinder()
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples]
    assert len(found) >= 6


SECTIONS = """Setup; Key init args - completion; Key init args - client; Instantiate; Invoke; Stream; Async;
Tool calling; Structured output; JSON mode; Image input; Reasoning; Token usage; Logprobs; Response metadata; Raises"""


def test_the_chat_model_is_documented_as_langchains_partners_are() -> None:
    documented = inspect.getdoc(ChatWandbInference) or ""
    assert re.findall(r"^(\w.*):$", documented, re.MULTILINE) == re.split(r";\s", SECTIONS)


def test_the_code_blocks_of_the_chat_model_print_what_stands_below_them(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", emulator.url)
    monkeypatch.setenv("WANDB_API_KEY", emulator.api_key)
    documented = inspect.getdoc(ChatWandbInference) or ""
    blocks = re.findall(r"\.\. code-block:: (python|text)\n\n((?: {8}.*\n|\n)+)", documented)
    names: dict[str, Any] = {"__name__": __name__}
    printed, checked = "", 0
    for kind, block in blocks:
        if kind == "python":
            assert not printed, f"{printed!r} stands nowhere"
            exec(dedent(block), names)  # noqa: S102 (our own documentation)
            printed = capsys.readouterr().out
        else:
            assert printed.strip() == dedent(block).strip()
            printed, checked = "", checked + 1
    assert checked == (len(blocks) - 1) // 2 == 12  # all but the one that prints nothing
