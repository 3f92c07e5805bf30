"""The recipes in this folder, and the virtual environments in which they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
INSTALL_SECONDS = 900
_OURS = "wandb-inference"
_HOST = {"litellm": "litellm", "langchain": "langchain-core"}  # whose version a door's result depends on
_METADATA = re.compile(r"^# /// script\n((?:#.*\n)+?)# ///$", re.MULTILINE)


class InstallError(Exception):
    """uv failed; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One framework's script; its requirements are the script's own metadata (PEP 723)."""

    name: str
    script: Path
    requirements: tuple[str, ...]

    @property
    def door(self) -> str:
        """Return the extra of this project that it uses: ``litellm`` or ``langchain``."""
        ours = next(wanted for wanted in self.requirements if wanted.startswith(f"{_OURS}["))
        return ours.removeprefix(f"{_OURS}[").removesuffix("]")

    @property
    def distributions(self) -> list[str]:
        """Return what it shows: the framework, what this comes with, and what stands behind the door."""
        others = (wanted for wanted in self.requirements if not wanted.startswith(f"{_OURS}["))
        return list(dict.fromkeys([*(re.split(r"[\[<>=!~ ]", wanted)[0] for wanted in others), _HOST[self.door]]))


def recipes() -> dict[str, Recipe]:
    """Return all recipes by name: LiteLLM's door first, in the order of their names."""
    found = [_read(script) for script in sorted(FOLDER.glob("with_*.py"))]
    return {recipe.name: recipe for recipe in sorted(found, key=lambda r: r.door != "litellm")}


def _read(script: Path) -> Recipe:
    metadata = _METADATA.search(script.read_text())
    if metadata is None:
        raise ValueError(f"{script} has no metadata (# /// script).")
    parsed = tomllib.loads(re.sub(r"^# ?", "", metadata[1], flags=re.MULTILINE))
    return Recipe(script.stem.removeprefix("with_"), script, tuple(parsed["dependencies"]))


def install(recipe: Recipe, project: Path) -> Path:
    """Bring a recipe's environment to the newest versions, with this project as it is now; return its Python.

    Raises:
        InstallError: uv failed.
    """
    folder = ROOT / ".frameworks" / f"{sys.version_info.major}.{sys.version_info.minor}" / recipe.name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    options = ["--quiet", "--upgrade", "--exact", "--reinstall-package", _OURS, "--python", str(python)]
    _uv("pip", "install", *options, *_wanted(recipe, project))
    return python


def _wanted(recipe: Recipe, project: Path) -> list[str]:
    """Return a recipe's requirements, with this project in the place of a published one."""
    return [f"{r} @ {project.as_uri()}" if r.startswith(f"{_OURS}[") else r for r in recipe.requirements]


def newest(distributions: Sequence[str], python: Path) -> dict[str, str]:
    """Return the newest version that the registry has of each for this Python, whatever else is wanted.

    Raises:
        InstallError: uv failed.
    """
    pinned = _compile(distributions, python, "--no-deps")
    return dict(line.split("==") for line in pinned.split())


def why_not(recipe: Recipe, project: Path, python: Path, *pins: str) -> str:
    """Return why a recipe's environment cannot have these versions (``litellm==1.110.2``); empty when it can."""
    try:
        _compile([*_wanted(recipe, project), *pins], python)
    except InstallError as e:
        message = " ".join(str(e).split())
        facts = re.findall(r"\S+ depends on \S+|only \S+ is available", message)
        reasons = dict.fromkeys(fact.rstrip(",") for fact in facts if not fact.startswith(f"only {_OURS}"))
        return "; ".join(reasons) or message
    return ""


def _compile(requirements: Sequence[str], python: Path, *options: str) -> str:
    quiet = ("--quiet", "--no-header", "--no-annotate", "--python", str(python))
    return _uv("pip", "compile", *quiet, *options, "-", given="\n".join(requirements))


def _uv(*arguments: str, given: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            [*_uv_command(), *arguments],
            check=True,
            input=given,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as e:
        raise InstallError(e.stderr.strip()) from e
    except subprocess.TimeoutExpired as e:
        raise InstallError(f"uv {arguments[0]} took more than {INSTALL_SECONDS} seconds.") from e
    return done.stdout


def _uv_command() -> Sequence[str]:
    if find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    if found := shutil.which("uv"):
        return [found]
    raise InstallError("There is no uv: pip install uv.")
