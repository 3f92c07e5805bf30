"""Files of overrides that are none, or want names that others have: a message of ours, soon, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wandb_inference import Catalog, ConfigurationError

NEW = '[[model]]\nid = "me/a"\nname = "A"\nfamily = "a"\nstatus = "active"\nchecked = 2026-11-01\nsource = "me"\n'
ID = "openai/gpt-oss-20b"
FILES: dict[str, tuple[str | bytes, str]] = {
    # name: (file, what the error says)
    "nested without end": ("a = " + "[" * 3_000, "not valid TOML"),
    "a number that Python does not read": ("version = " + "9" * 5_000, "line of"),
    "a dotted key": (".".join("a" * 50_000) + " = 1", "line of"),
    "a long file": ("# x\n" * 300_000, "more than 1,000,000 bytes"),
    "no text": (b"\xff\xfe", "not UTF-8"),
    "mixed keys": ("x = 1\ny = 2", "no table 'x'"),
    "a price beyond numbers": (f"{NEW}[model.price]\ninput = 1e999999\noutput = 1", "price.input"),
    "a price beyond reason": (f"{NEW}[model.price]\ninput = 1000001\noutput = 1", "price.input"),
    "no id": (NEW.replace("me/a", ""), "is no id"),
    "an id in two lines": (NEW.replace("me/a", "me\\na"), "is no id"),
    "an id that steers terminals": (NEW.replace("me/a", "me\\u001b[2J"), "is no id"),
    "an id with blanks": (NEW.replace("me/a", "me a"), "is no id"),
    "an id that asks for any model": (NEW.replace("me/a", "auto:cheapest"), "asks for a model to be chosen"),
    "an alias that does": (f'{NEW}aliases = ["AUTO"]', "asks for a model to be chosen"),
    "an alias that is another's id": (f'{NEW}aliases = ["{ID}"]', f"'{ID}' would name"),
    "an alias that is another's alias": (f'{NEW}aliases = ["gpt-oss-20b"]', "'gpt-oss-20b' would name"),
    "an id that is another's alias": (NEW.replace("me/a", "gpt-oss-20b"), "'gpt-oss-20b' would name"),
    "an alias without letters": (f'{NEW}aliases = [""]', "is no id"),
    "the same id twice": (NEW + NEW, "me/a is there twice"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    content, said = FILES[name]
    path = tmp_path / "models.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    begun = time.process_time()
    with pytest.raises(ConfigurationError, match=said):
        Catalog.bundled().with_overrides(path)
    assert time.process_time() - begun < 30  # of what took minutes, and gigabytes


@pytest.mark.parametrize("path", ["no\0file", "/", "/nowhere/at/all"])
def test_paths(path: str) -> None:
    with pytest.raises(ConfigurationError, match="Cannot read the catalog file"):
        Catalog.bundled().with_overrides(path)


def test_what_is_one_s_own_may_be_changed() -> None:
    catalog = Catalog.bundled().with_overrides({"model": [{"id": ID, "aliases": ["gpt-oss-20b", "mine"]}]})
    assert catalog.card("mine").id == ID
