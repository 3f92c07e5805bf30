"""Changes the pure modules one spot at a time, and reports the changes that their mirrored tests do not notice.

``python tests/mutants.py [MODULE …]``; fails below 85 % in any module. ``mutants.toml`` lists the modules with their
tests, and the mutants that change nothing a user can see. Those, and mutants that cannot be imported, are not counted.
A mutant whose tests hang is one that they notice. Everything happens in a copy; the modules and tests stay as they are.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from mutations import Mutant, mutants

ROOT = Path(__file__).parent.parent
GOAL = 85.0  # percent
TOO_BROKEN = 99  # exit code of a mutant that cannot be imported
PLUGINS = ("no:cacheprovider", "pytest_asyncio.plugin", "_hypothesis_pytestplugin", "wandb_inference_pytest")
PYTEST = ["-xq", "--hypothesis-profile=mutants", "-Wignore:Module already imported", *(f"-p{name}" for name in PLUGINS)]


class Module:
    """One module of the copy that the working directory is, and the tests that mirror it."""

    def __init__(self, name: str, tests: list[str]) -> None:
        self.name, self._tests = name, tests
        self.path = Path("src", "wandb_inference", *name.split(".")).with_suffix(".py")
        source = self.path.read_text("utf-8")
        self._lines, self._tree = source.splitlines(), ast.parse(source)
        self.mutants = list(mutants(self._tree))

    def line(self, mutant: Mutant) -> str:
        """Return the source line that a mutant begins in."""
        return str(self._lines[mutant.before.lineno - 1].strip())

    def start(self, mutant: Mutant | None, seconds: float) -> int:
        """Begin to run the tests, on a mutant if there is one, in a process whose id is returned."""
        if child := os.fork():
            return child
        signal.setitimer(signal.ITIMER_REAL, seconds)  # its signal ends the process
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        module = f"wandb_inference.{self.name}"
        try:
            if mutant is not None:
                mutant.apply()
                code = compile(ast.fix_missing_locations(self._tree), self.path, "exec")
                read: Any = SourceFileLoader.get_code
                loader: Any = SourceFileLoader
                loader.get_code = lambda own, name: code if name == module else read(own, name)
            importlib.import_module(module)
        except BaseException:  # noqa: BLE001 (whatever it is)
            os._exit(TOO_BROKEN)
        os._exit(pytest.main([*self._tests, *PYTEST]))

    def check(self) -> float:
        """Return the seconds that the tests take without any mutant."""
        begun = time.monotonic()
        _, status = os.waitpid(self.start(None, 600), 0)
        if status:
            raise SystemExit(f"{self.name}: its tests fail without any mutant, or take more than ten minutes.")
        return time.monotonic() - begun

    def outcomes(self, chosen: list[Mutant], seconds: float, jobs: int) -> Iterator[tuple[Mutant, int]]:
        """Yield each mutant with the exit code of its tests; negative: the number of a signal."""
        running: dict[int, Mutant] = {}
        waiting = list(chosen)
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop()
                running[self.start(mutant, seconds)] = mutant
            child, status = os.wait()
            yield running.pop(child), os.waitstatus_to_exitcode(status)


def enter(folder: Path) -> None:
    """Go to a copy, with everything imported once that its modules and tests import from elsewhere."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    os.chdir(folder)
    sys.path[:0] = [str(folder / "src"), str(folder / "tests")]
    os.environ |= {"PYTHONPATH": str(folder / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks GitHub for prices
    sys.dont_write_bytecode = False
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None)


def preload(names: list[str]) -> None:
    """Import what these modules import from elsewhere, and nothing of ours."""
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    for name in found:
        if name.partition(".")[0] not in {"wandb_inference", "__main__"}:
            with suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a command)


def main() -> int:
    """Say what survives, and how many of each module did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as routing.health; none: all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-module", type=int, default=25, metavar="N", help="mutants of each; 0: all of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    asked = parser.parse_args()
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    equivalent = {(row["module"], row["line"], row["change"]) for row in data.get("equivalent", [])}
    names = asked.modules or list(data["modules"])
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        enter(Path(folder))
        preload([f"wandb_inference.{name}" for name in (*names, "client", "emulator")])
        for name in names:
            module = Module(name, data["modules"][name])
            seconds = 15 + 10 * module.check()
            sample = Random(f"{asked.seed} {name}").sample(module.mutants, len(module.mutants))
            sample = sample[: asked.per_module or None]
            known = [m for m in sample if (name, module.line(m), str(m)) in equivalent]
            codes = dict(module.outcomes([m for m in sample if m not in known], seconds, asked.jobs))
            module.check()  # that nothing else broke them meanwhile
            alive = sorted((m for m, code in codes.items() if code == 0), key=lambda m: m.before.lineno)
            for mutant in alive:
                say(f"{module.path}:{mutant.before.lineno}: {mutant}")
            counted = sum(code != TOO_BROKEN for code in codes.values())
            percent = 100 * (counted - len(alive)) / counted if counted else 100.0
            rows.append((name, counted, counted - len(alive), len(alive), len(known), percent))
    say(f"\n{'module':24}   mutants    killed  survived  equivalent")
    for row in rows:
        say("{:24}{:10}{:10}{:10}{:12}{:8.0f} %".format(*row))
    return int(any(row[-1] < GOAL for row in rows))


if __name__ == "__main__":
    sys.exit(main())
