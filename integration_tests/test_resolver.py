"""Whoever installs us beside an agent framework gets the version of it that they would get without us.

The one test that asks the package index: what it resolves to today is what users get.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
NEIGHBOURS = [
    "browser-use",
    "crewai",
    "deepagents",
    "dspy",
    "google-adk",
    "instructor",
    "langchain-mcp-adapters",
    "langgraph-supervisor",
    "langgraph-swarm",
    "langmem",
    "litellm-haystack",
    "llama-index-llms-litellm",
    "mem0ai",
    "openai-agents[litellm]",
    "smolagents[litellm]",
    "strands-agents[litellm]",
]


@cache
def resolved(*requirements: str) -> dict[str, str]:
    """Name: version, as the index has it for this Python."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", "-"]
    out = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True, check=False)  # noqa: S603 (uv, pinned)
    assert out.returncode == 0, out.stderr
    pinned = (line.partition(" ;")[0].split("==") for line in out.stdout.splitlines() if "==" in line)
    return dict(pinned)


def ours(extra: str) -> str:
    return f"wandb-inference[{extra}] @ {ROOT.as_uri()}"


@pytest.fixture(scope="module", autouse=True)
def _index() -> None:
    try:
        resolved("certifi")
    except AssertionError as e:
        pytest.skip(f"no package index: {str(e).strip()[-200:]}")


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_no_extra_holds_a_neighbour_back(neighbour: str) -> None:
    name = Requirement(neighbour).name
    alone = resolved(neighbour)[name]
    beside = {extra: resolved(neighbour, ours(extra))[name] for extra in EXTRAS if extra != "all"}
    assert beside == dict.fromkeys(beside, alone)


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_all_extras_hold_a_neighbour_back_no_more_than_their_hosts_do(neighbour: str) -> None:
    # A resolver that has to choose between a host and a neighbour chooses as it does where nobody names us.
    name = Requirement(neighbour).name
    hosts = {Requirement(line).name for extra, lines in EXTRAS.items() if extra != "all" for line in lines}
    assert resolved(neighbour, ours("all"))[name] in (
        resolved(neighbour)[name],
        resolved(neighbour, *sorted(hosts))[name],
    )
