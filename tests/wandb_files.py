"""Read back what an offline W&B run wrote: its ``.wandb`` file (LevelDB's log format around protobuf) and tables."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2 as pb

_BLOCK = 32768
_HEADER = 7  # bytes of the file's head, and of each fragment's


@dataclass
class WrittenRun:
    """What is in the files of one run."""

    folder: Path
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    record: Any = None
    exit_code: int | None = None

    def table(self, key: str) -> list[dict[str, Any]]:
        """The rows of a table, over all of its increments."""
        paths = [row[f"{key}/path"] for row in self.history if f"{key}/path" in row]
        if not paths and key in self.summary:
            paths = [self.summary[key]["path"]]
        rows: list[dict[str, Any]] = []
        for path in paths:
            table = json.loads((self.folder / "files" / path).read_text("utf-8"))
            rows += [dict(zip(table["columns"], data, strict=True)) for data in table["data"]]
        return rows


def read_run(folder: Path) -> WrittenRun:
    """The run in this folder."""
    run = WrittenRun(folder)
    for record in _records(next(folder.glob("*.wandb")).read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            run.history.append(_items(record.history.item))
        elif kind == "summary":
            run.summary.update(_items(record.summary.update))
        elif kind == "config":
            run.config.update(_items(record.config.update))
        elif kind == "run":
            run.record = record.run
            run.config.update(_items(record.run.config.update))
        elif kind == "artifact":
            run.artifacts.append(record.artifact)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def read_runs(folder: Path) -> list[WrittenRun]:
    """The runs below this folder, in the order of their beginning."""
    wandb.teardown()  # its service writes the last bytes after finish() has returned
    return [read_run(path.parent) for path in sorted(folder.rglob("*.wandb"), key=lambda p: p.stat().st_ctime)]


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def _records(data: bytes) -> Iterator[Any]:
    assert data[:4] == b":W&B"
    at, whole = _HEADER, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # the rest of a block is padding
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + _HEADER])
        whole += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (1, 4):  # whole, or the last fragment
            record = pb.Record()  # type: ignore[attr-defined]  # generated
            record.ParseFromString(whole)
            whole = b""
            yield record
