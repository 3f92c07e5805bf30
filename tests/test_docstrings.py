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


def test_the_code_blocks_of_the_chat_model(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", emulator.url)
    monkeypatch.setenv("WANDB_API_KEY", emulator.api_key)
    blocks = re.findall(r"\.\. code-block:: python\n\n((?: +.*\n|\n)+)", inspect.getdoc(ChatWandbInference) or "")
    assert len(blocks) >= 5
    names: dict[str, Any] = {"__name__": __name__}
    for block in blocks:
        exec(dedent(block), names)  # noqa: S102 (our own documentation)
    assert "You said: Say hello in French." in capsys.readouterr().out
    assert names["answer"].response_metadata["cost"] > 0
