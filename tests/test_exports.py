"""What the package shows, and what importing it costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import wandb_inference

ROOMS = ("wandb_inference", *(f"wandb_inference.{room}" for room in ("catalog", "emulator", "langchain", "litellm")))


@pytest.mark.parametrize("room", ROOMS)
def test_all_is_sorted_and_true(room: str) -> None:
    module = importlib.import_module(room)
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_every_error_is_exported() -> None:
    tree = {wandb_inference.InferenceError}
    while True:
        more = {
            sub for cls in tree for sub in cls.__subclasses__() if sub.__module__ == "wandb_inference.errors"
        } - tree
        if not more:
            break
        tree |= more
    assert {cls.__name__ for cls in tree} <= set(wandb_inference.__all__)
    drawing = importlib.import_module("wandb_inference.errors").__doc__ or ""
    assert all(cls.__name__ in drawing for cls in tree)


def test_every_public_name_is_documented() -> None:
    undocumented = [
        name
        for name in wandb_inference.__all__
        if isinstance(getattr(wandb_inference, name), type) and not getattr(wandb_inference, name).__doc__
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        # rich is absent from these lists: httpx imports it wherever it is installed
        ("import wandb_inference", ["langchain_core", "litellm", "wandb", "starlette", "uvicorn", "typer"]),
        ("import wandb_inference.litellm, wandb_inference.cli", ["litellm", "langchain_core"]),
        ("import wandb_inference.langchain", ["litellm", "wandb", "starlette", "uvicorn", "typer"]),
        ("import wandb_inference_pytest", ["wandb_inference", "httpx", "pydantic", "starlette"]),
        ("import wandb_inference.cli", ["typer", "langchain_core", "starlette"]),
    ],
)
def test_importing_a_room_imports_no_other_host(statement: str, unwanted: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {unwanted!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("hidden", "statement", "extra"),
    [
        ("langchain_core", "import wandb_inference.langchain", "langchain"),
        ("litellm", "from wandb_inference.litellm import register", "litellm"),
        ("starlette", "import wandb_inference.emulator", "emulator"),
        ("typer", "from wandb_inference.cli import main; main()", "cli"),
    ],
)
def test_a_missing_host_names_its_extra(hidden: str, statement: str, extra: str) -> None:
    code = f"import sys; sys.modules[{hidden!r}] = None; {statement}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 1
    assert f"pip install 'wandb-inference[{extra}]'" in out.stderr


def test_the_version_is_written_once() -> None:
    assert importlib.metadata.version("wandb-inference") == wandb_inference.__version__
