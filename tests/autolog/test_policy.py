"""Logging never breaks a call, never waits in its thread, and counts what it could not do."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb
from hypothesis import given
from hypothesis import strategies as st
from support import KEY, ask
from wandb_files import read_runs

from wandb_inference import Client, ConfigurationError, InferenceError, autolog
from wandb_inference._autolog import session as sessions
from wandb_inference._autolog.inbox import Inbox
from wandb_inference._autolog.spool import Spool
from wandb_inference.emulator import Emulator, Fault


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(base_url=emulator.url, api_key=KEY, max_retries=0) as client:
        yield client


def spooled(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.rglob("llm-calls-*.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Stuck:
    """A sink that blocks until it is let go."""

    name = "stuck"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.rows: list[Mapping[str, Any]] = []

    def open(self) -> None:
        self.go.wait()

    def write(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)

    def tick(self) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(params=["refuses", "is silent"])
def dead(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a W&B server that is not there, or takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if request.param == "refuses":
            server.close()
        yield f"http://127.0.0.1:{server.getsockname()[1] if request.param == 'is silent' else 9}"


def test_a_dead_server_delays_no_call(
    dead: str, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", dead)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    autolog({"project": "p", "settings": {"init_timeout": 3}})
    for n in range(20):
        client.chat(ask(f"Hello {n}"))
    assert autolog.run is None  # all twenty were answered while W&B was still being asked
    while len(spooled(tmp_path)) < 20:
        time.sleep(0.01)
    assert autolog.run is None  # and are on disk
    assert autolog.disable(60)
    (run,) = read_runs(tmp_path)
    assert len(run.table("llm/calls_final")) == 20
    (said,) = [record.message for record in caplog.records if record.name == "wandb_inference.autolog"]
    assert re.search(rf"logging offline, because .* wandb sync {re.escape(str(run.folder))}", said, re.DOTALL)


def test_without_a_key_it_logs_offline_and_asks_nobody(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    autolog({"project": "p"})
    client.chat(ask("Hello"))
    assert autolog.disable(60)
    assert len(read_runs(tmp_path)[0].table("llm/calls_final")) == 1
    assert "there is no W&B key" in caplog.text


def test_strict_raises_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(wandb.errors.UsageError, match="no W&B key"):
        autolog({"project": "p"}, strict=True)
    assert not autolog.enabled


def test_a_raising_sink_is_suspended_and_counted(
    client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Mapping[str, Any]] = []

    def broken(_: Mapping[str, Any]) -> None:
        raise SystemExit("broken")

    autolog(sinks=[broken, rows.append])
    for n in range(8):
        client.chat(ask(f"Hello {n}"))
    assert autolog.flush(30)
    state = autolog.stats()["sinks"]
    (name,) = [name for name in state if name.endswith("broken")]
    assert (state[name]["written"], state[name]["missed"], state[name]["errors"]) == (0, 8, 5)
    assert state[name]["suspended"]
    assert len(rows) == 8
    assert autolog.stats()["last_error"] == "SystemExit: broken"
    assert not autolog.disable(30)  # one of them has not seen everything: the spool stays
    assert "were not taken by every sink" in caplog.text
    assert len(spooled(tmp_path)) == 8


def test_a_sink_is_tried_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Mapping[str, Any]] = []
    works = threading.Event()

    def flaky(row: Mapping[str, Any]) -> None:
        if not works.is_set():
            raise ValueError("not yet")
        rows.append(row)

    autolog(sinks=[flaky])
    for n in range(5):
        client.chat(ask(f"Hello {n}"))
    assert autolog.flush(30)
    works.set()
    while not rows:
        client.chat(ask("again"))
        assert autolog.flush(30)
    state = autolog.stats()["sinks"]
    assert next(iter(state.values()))["written"] == len(rows)


def test_a_raising_redactor_leaves_names_and_sizes(client: Client, tmp_path: Path) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("broken")

    autolog(sinks=["jsonl"], redact=[broken])
    for n in range(8):
        client.chat(ask(f"Hello {n}"))
    assert autolog.disable(30)
    rows = spooled(tmp_path)
    assert [row["content"] for row in rows] == [None] * 8
    assert [row["prompt_chars"] for row in rows] == [7] * 8
    assert {row["redaction"] for row in rows} == {
        "metadata, because of RuntimeError",
        "metadata, because a function that redacts is suspended",
    }
    assert autolog.stats()["errors"] == 5


def test_disable_is_bounded_and_says_where_the_rows_are(
    client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = Stuck()
    autolog(sinks=[stuck])
    for n in range(5):
        client.chat(ask(f"Hello {n}"))
    assert not autolog.flush(0.2)
    assert not autolog.disable(0.5)
    (path,) = tmp_path.rglob("llm-calls-*.jsonl")
    assert str(path) in caplog.text
    assert autolog.stats()["spool"] == str(path)
    assert len(spooled(tmp_path)) == 5
    stuck.go.set()
    rows: list[Mapping[str, Any]] = []
    assert autolog.replay(path, sinks=[rows.append]) == 5
    assert [row["content"] for row in rows] == [f"You said: Hello {n}" for n in range(5)]
    while any(thread.name.startswith("wandb-inference-autolog") for thread in threading.enumerate()):
        time.sleep(0.01)


def test_a_full_queue_keeps_the_failures(emulator: Emulator, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(sessions.Session, "_write", lambda self, batch: held.wait() and None)
    original = sessions.Session.__dict__["_write"]
    rows: list[Mapping[str, Any]] = []
    autolog(sinks=[rows.append], max_queue=10)
    client.chat(ask("the one that is being written"))
    while autolog._session is not None and autolog._session._inbox._cheap:
        time.sleep(0.01)
    emulator.script(Fault(status=500))
    with pytest.raises(InferenceError):
        client.chat(ask("failure"))
    for n in range(20):
        client.chat(ask(f"success {n}"))
    assert autolog.stats()["dropped"] == 11
    monkeypatch.undo()
    assert original is not sessions.Session._write
    held.set()
    assert autolog.disable(30)
    assert [row["status"] for row in rows].count("error") == 1
    assert [row["messages"][0]["content"] for row in rows if row["status"] == "ok"] == [
        f"success {n}" for n in range(11, 20)
    ]


def test_a_full_disk_breaks_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Spool):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self._file = Path("/dev/full").open("ab")  # noqa: SIM115 (closed by close)

    monkeypatch.setattr(sessions, "Spool", Full)
    autolog(sinks=["jsonl"])
    for n in range(8):
        assert client.chat(ask(f"Hello {n}")).text == f"You said: Hello {n}"
        autolog.flush(10)
    assert autolog.stats()["errors"] >= 5
    assert "No space left" in autolog.stats()["last_error"]
    autolog.disable(10)
    assert caplog.text.count("autolog: cannot write") == 1


def test_a_folder_that_cannot_be_made(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    autolog(sinks=["jsonl"], spool_dir=tmp_path / "file" / "below")
    client.chat(ask("Hello"))
    assert autolog.disable(10)
    assert len(spooled(tmp_path / "tmp")) == 1


def test_rows_have_a_largest_size(client: Client, tmp_path: Path) -> None:
    autolog(sinks=["jsonl"], max_record_bytes=20_000)
    client.chat(ask("x" * 100_000))
    client.chat(ask("small"))
    assert autolog.disable(10)
    large, small = spooled(tmp_path)
    assert len(json.dumps(large)) < 30_000
    assert "more]" in large["messages"][0]["content"]
    assert large["redaction"] == "full, cut to max_record_bytes"
    assert large["prompt_chars"] == 100_000
    assert small["redaction"] == "full"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # name: (arguments, what is said of them)
    "content": ({"content": "some"}, "content='some' does not exist"),
    "truncate": ({"content": "truncate:0"}, "does not exist"),
    "sample": ({"sample": 1.5}, "sample=1.5 is no share"),
    "rows": ({"flush_rows": 0}, "flush_rows=0 is too little"),
    "sink": ({"sinks": ["wandb"]}, "There is no sink 'wandb'"),
    "redact": ({"redact": [7]}, "redact has 7"),
    "run and init": ({"init": {"project": "p"}, "run": object()}, "run= is a run already"),
    "weave": ({"sinks": ["weave"]}, "No API key|needs a project"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_make_no_sense(name: str) -> None:
    arguments, said = REFUSED[name]
    with pytest.raises(ConfigurationError, match=said):
        autolog(**arguments)
    assert not autolog.enabled


def test_off_it_does_nothing(client: Client, tmp_path: Path) -> None:
    assert (autolog.disable(), autolog.flush(), autolog.run, repr(autolog)) == (True, True, None, "<autolog off>")
    client.chat(ask("Hello"))
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_sampling_keeps_conversations_together_and_counts_all(client: Client, tmp_path: Path) -> None:
    autolog({"project": "p"}, sample=0.5, spool_dir=tmp_path / "kept")
    for n in range(60):
        with autolog.context(session=f"s{n % 20}"):
            client.chat(ask("Hello"))
    with pytest.raises(InferenceError):
        client.chat(ask("Hello", max_tokens=10**9))
    assert autolog.disable(60)
    (run,) = read_runs(tmp_path)
    table = run.table("llm/calls_final")
    sessions_of = [row["session_id"] for row in table if row["status"] == "ok"]
    assert 0 < len(set(sessions_of)) < 20
    assert all(sessions_of.count(session) == 3 for session in set(sessions_of))
    assert run.summary["llm/calls_total"] == 61
    assert {(row["status"], row["sampled_rate"]) for row in table} == {("ok", 0.5), ("error", 1.0)}
    assert len([row for row in run.history if "llm/cost_usd" in row]) == 60
    others = [row for row in spooled(tmp_path / "kept") if row["redaction"] == "not sampled"]
    assert len(others) == 61 - len(table)
    assert all(row["messages"] is None for row in others)


def test_warnings_that_are_errors_break_no_call(client: Client) -> None:
    # pytest makes errors of warnings: in the threads of autolog they would end logging.
    autolog(sinks=[lambda _: 1 / 0], redact=[lambda row: row["no such column"]])
    assert client.chat(ask("Hello")).text == "You said: Hello"
    autolog.disable(10)
    assert autolog.stats()["errors"] == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60), st.integers(1, 20), st.integers(50, 200))
def test_the_inbox_drops_the_oldest_cheap_ones(items: list[tuple[int, bool]], max_items: int, max_bytes: int) -> None:
    inbox: Inbox[int] = Inbox(max_items, max_bytes)
    for number, (size, dear) in enumerate(items):
        inbox.put(number, size=size, dear=dear)
    kept = inbox.take()
    assert kept == sorted(kept)
    assert len(kept) + inbox.dropped == len(items)
    assert len(kept) <= max_items
    assert sum(items[number][0] for number in kept) <= max_bytes
    lost = set(range(len(items))) - set(kept)
    if any(items[number][1] for number in lost) and kept:  # a dear one went: no cheap one older than the last was kept
        assert all(items[n][1] or n > min(n for n in lost if items[n][1]) for n in kept)


def test_a_log_of_httpx_shows_no_key(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    autolog(sinks=["jsonl"])
    client.chat(ask(KEY))
    autolog.disable(10)
    assert KEY not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("wandb_inference"))
