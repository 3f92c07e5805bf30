"""Imports point down only, and each third-party library has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import wandb_inference

SRC = Path(wandb_inference.__file__).parent

# Room: (layer, rooms of the same layer it may know)
ROOMS: dict[str, tuple[int, set[str]]] = {
    "_version": (0, set()),
    "errors": (0, {"chat"}),  # for type checkers only: a failed stream holds a partial Completion
    "settings": (0, {"errors"}),
    "chat": (0, set()),
    "catalog": (1, set()),
    "_wire": (1, {"catalog"}),  # a card says how its model's reasoning is switched
    "_guard": (0, set()),
    "_turns": (0, set()),
    "accounting": (2, set()),
    "routing": (2, {"accounting"}),
    "_exchange": (2, set()),
    "_observers": (2, {"accounting"}),
    "_preflight": (2, set()),
    "_schema_tool": (2, set()),
    "_transport": (3, set()),
    "_streams": (3, {"_transport"}),
    "_call": (3, set()),
    "client": (3, {"_transport", "_streams", "_call"}),
    "_refresh": (3, {"_transport", "client"}),
    "langchain": (4, set()),
    "litellm": (4, set()),
    "_autolog": (4, set()),
    "emulator": (4, set()),
    "cli": (5, set()),
}
HOMES = {
    "httpx": {"_transport", "client", "_exchange", "langchain", "litellm"},  # but for the first, they name its types
    "pycurl": {"_transport"},
    "aiohttp": {"_transport"},
    "yarl": {"_transport"},  # aiohttp's
    "certifi": {"_transport"},
    "langchain_core": {"langchain", "cli"},  # cli: the demo is a LangChain program
    "langchain_protocol": {"langchain"},
    "litellm": {"litellm"},
    "starlette": {"emulator"},
    "uvicorn": {"emulator"},
    "jsonschema": {"emulator", "langchain"},
    "referencing": {"langchain"},  # jsonschema's
    "typing_extensions": {"langchain"},  # pydantic's
    "wandb": {"_autolog"},
    "opentelemetry": {"_autolog"},
    "requests": {"_autolog"},
    "typer": {"cli"},
    "yaml": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
    "pydantic": {"settings", "catalog", "client", "langchain", "cli", "_autolog"},
}


@cache
def imports() -> tuple[tuple[str, str, str], ...]:
    """Every import: (room, module, imported name)."""
    return tuple(_imports())


def _imports() -> Iterator[tuple[str, str, str]]:
    for path in sorted(SRC.rglob("*.py")):
        room = path.relative_to(SRC).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                assert node.module is not None
                yield room, str(path.relative_to(SRC)), node.module
                if node.module == "wandb_inference":
                    yield from (
                        (room, str(path.relative_to(SRC)), f"wandb_inference.{alias.name}") for alias in node.names
                    )
            elif isinstance(node, ast.Import):
                yield from ((room, str(path.relative_to(SRC)), alias.name) for alias in node.names)


def test_every_room_has_a_layer() -> None:
    found = {path.name.removesuffix(".py") for path in SRC.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("layer", sorted({layer for layer, _ in ROOMS.values()}))
def test_imports_point_down(layer: int) -> None:
    assert [wrong for row in imports() if ROOMS[row[0]][0] == layer if (wrong := _objection(*row))] == []


def _objection(room: str, module: str, imported: str) -> str | None:
    parts = imported.split(".")
    layer, friends = ROOMS[room]
    if parts[0] == "wandb_inference":
        other = parts[1] if len(parts) > 1 else ""
        if other not in ROOMS or other == room:  # the package itself (its public names), or the room's own
            return None if other or layer >= 4 else f"{module}: only doors import from the top"
        return None if ROOMS[other][0] < layer or other in friends else f"{module} may not know {other}"
    if parts[0] in HOMES:
        return None if room in HOMES[parts[0]] else f"{module}: {parts[0]} lives elsewhere"
    return None if parts[0] in sys.stdlib_module_names else f"{module}: {parts[0]} has no home in the table"


def test_emulator_and_client_share_no_protocol_code() -> None:
    # If both sides shared code, one misunderstanding would cancel itself out.
    known = {
        imported for room, _, imported in imports() if room == "emulator" and imported.startswith("wandb_inference.")
    }
    assert {name.split(".")[1] for name in known} == {"catalog", "emulator"}
