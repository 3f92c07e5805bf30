"""Run a recipe for every agent framework, each in an environment of its own, against the emulator; show what holds.

python integration_tests/frameworks/run.py                      # all of them, in today's newest versions
python integration_tests/frameworks/run.py crewai dspy --json

A row is ``ok``, ``lost`` (by the framework: the recipe declares it, with its cause) or a ``fault``. With a fault, the
exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checks import ROWS, Recorder, check
from recipes import FOLDER, ROOT, InstallError, Recipe, install, newest, recipes, why_not
from results import Result, Row, Version, judged, table
from served import EndedError, Served, serving

from wandb_inference.emulator import Emulator

TOKEN_DELAY = 0.02  # seconds: a stream that arrives all at once is read at once, and leaves in one piece
_SHOWN_LINES = 15
_INHERITED = ("PATH", "LANG", "SYSTEMROOT", "TMPDIR")
_QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MEM0_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
}


class Runner:
    """Runs recipes against an emulator."""

    def __init__(self, project: Path) -> None:
        self._project, self._recorder = project, Recorder()
        self._emulator = Emulator(script=self._recorder, token_delay=TOKEN_DELAY)

    def run(self, chosen: list[Recipe]) -> list[Result]:
        """Return what came of each recipe."""
        with self._emulator:
            return [self._result(recipe) for recipe in chosen]

    def _result(self, recipe: Recipe) -> Result:
        print(f"{recipe.name} …", file=sys.stderr, flush=True)
        result = Result(recipe.name, recipe.door, dict.fromkeys(recipe.distributions, Version()))
        try:
            python = install(recipe, self._project)
            found = newest(recipe.distributions, python)
        except InstallError as e:
            result.rows = dict.fromkeys(ROWS, Row("fault", f"it cannot be installed: {_end(str(e))}"))
            return result
        command: list[str | Path] = [python, FOLDER / "serve.py", recipe.script, *recipe.distributions]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            log = Path(home) / "log"
            try:
                with serving(command, self._environment(home), log) as served:
                    result.versions = self._versions(recipe, python, served.read(), found)
                    self._rows(served, result)
            except EndedError as e:
                ended = Row("fault", f"{e}; the last that it printed:\n{_end(log.read_text(errors='replace'))}")
                result.rows = {name: result.rows.get(name, ended) for name in ROWS}
        return result

    def _versions(
        self, recipe: Recipe, python: Path, installed: dict[str, str], found: dict[str, str]
    ) -> dict[str, Version]:
        versions: dict[str, Version] = {}
        for name, version in installed.items():
            pins = [f"{before}=={versions[before].installed}" for before in versions]  # what counts more stays
            wanted = f"{name}=={found[name]}"
            reason = "" if version == found[name] else why_not(recipe, self._project, python, *pins, wanted)
            versions[name] = Version(version, found[name], reason)
        return versions

    def _rows(self, served: Served, result: Result) -> None:
        opening = served.read()
        for name in ROWS:
            self._recorder.take()
            self._emulator.reset()
            outcome = served.run(name)
            outcome["tried"] += opening.pop("tried", [])
            result.rows[name] = self._row(name, outcome, opening["lost"])

    def _row(self, name: str, outcome: dict[str, Any], lost: dict[str, str]) -> Row:
        exchanges = self._recorder.take()
        if outcome["tried"]:
            return Row("fault", f"it tried to reach {', '.join(outcome['tried'])}")
        if "error" in outcome:
            return Row("fault", _end(outcome["error"]))
        refused = sum(seen.method == "POST" for seen in self._emulator.requests) - len(exchanges)
        if refused:
            return Row("fault", f"the service refused {refused} of its requests")
        return judged(check(name, outcome["value"], exchanges), lost)

    def _environment(self, home: str) -> dict[str, str]:
        """Return variables that name no service but the emulator, and a home without caches of earlier answers."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        ours = {"WANDB_INFERENCE_BASE_URL": self._emulator.url, "WANDB_API_KEY": self._emulator.api_key}
        return {**inherited, **_QUIET, **ours, "HOME": home, "USERPROFILE": home}


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_SHOWN_LINES:])


def main() -> int:
    """Run the recipes that the command line names; return the exit status."""
    known = recipes()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="framework", help=f"of {', '.join(known)}; all when none is named")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--project", type=Path, default=ROOT, help="the checkout, or the wheel, of wandb-inference")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"there is no recipe for {', '.join(unknown)}, but for {', '.join(known)}")
    chosen = [known[name] for name in options.names or known]
    results = Runner(options.project.resolve()).run(chosen)
    print(json.dumps([asdict(result) for result in results], indent=2) if options.json else table(results))
    return int(any(result.has_fault for result in results))


if __name__ == "__main__":
    sys.exit(main())
