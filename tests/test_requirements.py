"""What users may install, what is locked, and what is tested: the same list."""

from __future__ import annotations

import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def direct() -> list[Requirement]:
    """What the core and every extra depend on."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for name in extras if name != "all" for line in extras[name])]
    return [Requirement(line) for line in lines]


def grouped() -> list[Requirement]:
    """What the dependency groups list."""
    lines = [line for group in PROJECT["dependency-groups"].values() for line in group]
    return [Requirement(line) for line in lines if isinstance(line, str)]


@cache
def versions(path: Path, python: str = "3.11") -> dict[str, str]:
    """Name: version, for a Python on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.4", "sys_platform": "linux"}
    rows = [Requirement(line) for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    for row in rows:
        assert [pin.operator for pin in row.specifier] == ["=="], f"{path.name}: {row} is not exact"
    named = [row for row in rows if row.marker is None or row.marker.evaluate(environment)]
    found: dict[str, str] = {canonicalize_name(row.name): next(iter(row.specifier)).version for row in named}
    assert len(found) == len(named), f"{path.name}: a package has two versions on Python {python}"
    return found


def floors(python: str) -> dict[str, str]:
    environment = {"python_version": python, "python_full_version": f"{python}.4"}
    rows = [row for row in direct() if row.marker is None or row.marker.evaluate(environment)]
    return {
        canonicalize_name(row.name): next(pin.version for pin in row.specifier if pin.operator == ">=") for row in rows
    }


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_a_lock_holds_names_and_exact_versions_and_no_address(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"://|@ |--(index|extra|find|hash)", text)
    for python in PYTHONS:
        assert versions(path, python)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_is_locked_within_its_range(python: str) -> None:
    locked = versions(ROOT / "requirements" / "locked.txt", python)
    for row in direct():
        assert row.specifier.contains(locked[canonicalize_name(row.name)]), row


@pytest.mark.parametrize("python", PYTHONS)
def test_every_floor_is_tested(python: str) -> None:
    lowest, apart = (versions(ROOT / "requirements" / f"{name}.txt", python) for name in ("lowest", "lowest-apart"))
    for name, floor in floors(python).items():
        assert Version(floor) in {Version(tested[name]) for tested in (lowest, apart) if name in tested}, name


def test_users_ranges_are_open() -> None:
    for row in direct():
        bounds = {pin.operator: pin.version for pin in row.specifier}
        assert ">=" in bounds, f"{row} has no floor"
        assert set(bounds) <= {">=", "<"}, f"{row} holds others back"
        assert bounds.get("<", "0").isdecimal(), f"{row}: only the next major version may be left out"


HOSTS = {"langchain", "langchain-tests", "langchain-openai", "langchain-groq", "langchain-litellm", "litellm", "weave"}


def test_tools_are_pinned_and_hosts_are_not() -> None:
    extras = {row.name for row in direct()}
    for row in grouped():
        exact = [pin.operator for pin in row.specifier] == ["=="]
        assert exact is (row.name not in HOSTS | extras), row


@pytest.mark.parametrize("group", ["test", "lint", "types", "build"])
def test_every_tool_is_locked_at_its_pin(group: str) -> None:
    locked = versions(ROOT / "requirements" / "locked.txt")
    for line in PROJECT["dependency-groups"][group]:
        row = Requirement(line)
        assert row.specifier.contains(locked[canonicalize_name(row.name)]), row


def test_the_classifiers_name_the_pythons_that_are_tested() -> None:
    classifiers = PROJECT["project"]["classifiers"]
    found = [found[1] for line in classifiers if (found := re.fullmatch(r".*:: (3\.\d+)", line))]
    assert tuple(found) == PYTHONS
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert re.findall(r"python: \[(.*)\]", workflow)[0] == ", ".join(f'"{python}"' for python in PYTHONS)
