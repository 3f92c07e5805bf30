"""Runs every test on what the package index gives today, and shows it host by host; exits with 1 when a test failed.

The environments are made anew: one with everything, one with LiteLLM's proxy, whose extra may hold LiteLLM back.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = (ROOT / "tests", ROOT / "integration_tests")
# Host: what is imported by those who use it
HOSTS = {
    "langchain-core": r"langchain_core\b|wandb_inference\.langchain\b",
    "langchain": r"langchain\b",
    "langchain-tests": r"langchain_tests\b",
    "langgraph": r"langgraph\b|langchain\.agents\b",
    "litellm": r"litellm\b|wandb_inference\.litellm\b",
    "wandb": r"wandb\b|wandb_inference\._autolog\b|(.* import )?autolog$",
    "weave": r"weave\b",
    "pydantic": r"pydantic\b|wandb_inference\b",
    "httpx": r"httpx\b|wandb_inference\b",
}


_IMPORT = re.compile(r"(?:^\s*(?:from|import)\s+|importorskip\(.)(.+)", re.MULTILINE)
"""Imports, and those of the programs that tests write out as texts."""
_REPORTED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
"""The last one: modules that cannot be imported are errors in the report."""


@dataclass(frozen=True)
class Set:
    """An environment, and what runs in it."""

    name: str
    groups: tuple[str, ...]
    tests: tuple[str, ...]
    hosts: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ROOT / f".venv-{self.name}" / "bin" / "python"


SETS = (
    Set(
        "newest",
        ("test", "integration"),
        ("tests", "integration_tests", "--ignore=integration_tests/test_resolver.py"),  # which takes the newest anyway
        tuple(HOSTS),
    ),
    Set(
        "newest-proxy",
        ("test", "integration", "proxy"),
        tuple(f"integration_tests/test_{name}.py" for name in ("litellm_proxy", "litellm_redis", "proxy_example")),
        ("litellm",),
    ),
)


@dataclass
class Row:
    """What one host's tests came to."""

    version: str
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def make(of: Set) -> None:
    """Make its environment, with the newest of everything."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, of.python.parent.parent], check=True)
    groups = [word for group in of.groups for word in ("--group", group)]
    into: list[str | Path] = ["--python", of.python, "--editable", f"{ROOT}[all]"]
    subprocess.run([*uv, "pip", "install", "--quiet", "--refresh", *into, *groups], check=True, cwd=ROOT)


def run(of: Set) -> dict[str, Row]:
    """Run its tests; return a row for each of its hosts."""
    report = of.python.parent.parent / "report.xml"
    report.unlink(missing_ok=True)
    options = ["--numprocesses", "auto", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    ended = subprocess.run([of.python, "-m", "pytest", *options, *of.tests], check=False, cwd=ROOT).returncode
    if ended not in _REPORTED:
        raise SystemExit(f"{of.name}: pytest ended with {ended}, and says nothing of its tests")
    versions = _versions(of)
    rows = {host: Row(versions.get(host, "not installed")) for host in of.hosts}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (pytest wrote it)
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        for host in hosts_of(ROOT / case.attrib["file"]) & set(of.hosts):
            rows[host].outcomes[outcome] += 1
            if outcome in ("failure", "error"):
                rows[host].failed.append(f"{case.attrib['file']}::{case.attrib['name']}")
    return rows


def _versions(of: Set) -> dict[str, str]:
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    printed = subprocess.run([of.python, "-c", code], check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(printed)
    return found


@cache
def hosts_of(path: Path) -> frozenset[str]:
    """Return the hosts that a test module uses: by itself, by its helpers, or through a door of ours."""
    seen, waiting, names = {path}, [path, *_conftests(path)], set[str]()
    while waiting:
        lines = _IMPORT.findall(waiting.pop().read_text("utf-8"))
        imported = {name.strip() for line in lines for name in line.split(",")}
        modules = {name.partition(" ")[0] for name in imported}
        helpers = {file for name in modules for root in TESTS if (file := root / f"{name}.py").exists()} - seen
        names |= imported
        seen |= helpers
        waiting += helpers
    return frozenset(host for host, pattern in HOSTS.items() if any(re.match(pattern, name) for name in names))


def _conftests(path: Path) -> list[Path]:
    return [found for folder in path.parents if ROOT in folder.parents and (found := folder / "conftest.py").exists()]


def main() -> int:
    """Run the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help="which of them", default=[of.name for of in SETS])
    wanted = parser.parse_args().sets
    rows: list[tuple[str, Row]] = []
    for of in SETS:
        if of.name in wanted:
            make(of)
            extra = "[proxy]" if "proxy" in of.groups else ""
            rows += [(host + extra, row) for host, row in run(of).items()]
    print(f"\n{'host':18} {'version':14} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for host, row in rows:
        failed = row.outcomes["failure"] + row.outcomes["error"]
        print(f"{host:18} {row.version:14} {row.outcomes['passed']:7} {failed:7} {row.outcomes['skipped']:8}")
    failures = sorted({name for _, row in rows for name in row.failed})
    print("\n".join(["", *(f"failed: {name}" for name in failures)] if failures else ["", "every test passed"]))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
