"""Logging never breaks a call, never waits in its thread, and counts what it could not do."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb
from autolog_support import spooled, threads, until
from hypothesis import given
from hypothesis import strategies as st
from support import KEY, ask
from wandb_files import read_runs

from wandb_inference import Client, ConfigurationError, InferenceError, autolog
from wandb_inference._autolog import opening
from wandb_inference._autolog import session as sessions
from wandb_inference._autolog.inbox import Inbox
from wandb_inference._autolog.spool import Spool
from wandb_inference.emulator import Emulator, Fault


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(base_url=emulator.url, api_key=KEY, max_retries=0) as client:
        yield client


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
    # W&B's own timeouts end this in time; until then nothing is known of the server.
    held = threading.Event()
    monkeypatch.setattr(opening, "_check_key", lambda check=opening._check_key: held.wait() and check())
    autolog({"project": "p", "settings": {"init_timeout": 3}})
    for n in range(20):
        client.chat(ask(f"Hello {n}"))
    until(lambda: autolog.stats()["written"] == 20)
    assert autolog.run is None  # twenty calls were answered, and are on disk, before W&B was asked for the first time
    held.set()
    assert autolog.disable(60)
    (run,) = read_runs(tmp_path)
    assert len(run.table("llm/calls_final")) == 20
    (said,) = [record.getMessage() for record in caplog.records if record.name == "wandb_inference.autolog"]
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
    assert not autolog.flush(30)
    bad, good = autolog.stats()["sinks"]
    assert (bad["written"], bad["missed"], bad["errors"], bad["suspended"]) == (0, 8, 5, True)
    assert (good["written"], good["missed"], good["errors"], good["suspended"]) == (8, 0, 0, False)
    assert len(rows) == 8
    assert autolog.stats()["last_error"] == "SystemExit: broken"
    assert not autolog.disable(30)  # one of them has not seen everything: the spool stays
    assert "were not taken by every sink" in caplog.text
    assert len(spooled(tmp_path)) == 8


def test_a_sink_is_tried_again(client: Client) -> None:
    rows: list[Mapping[str, Any]] = []
    works = threading.Event()

    def flaky(row: Mapping[str, Any]) -> None:
        if not works.is_set():
            raise ValueError("not yet")
        rows.append(row)

    autolog(sinks=[flaky])
    for n in range(5):
        client.chat(ask(f"Hello {n}"))
    assert not autolog.flush(30)
    works.set()

    def again() -> bool:
        client.chat(ask("again"))
        autolog.flush(30)
        return bool(rows)

    until(again)
    (state,) = autolog.stats()["sinks"]
    assert state["written"] == len(rows)


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
    until(lambda: not threads())


def test_a_full_queue_keeps_the_failures(emulator: Emulator, client: Client) -> None:
    held, taken = threading.Event(), threading.Event()
    rows: list[Mapping[str, Any]] = []

    def slow(row: dict[str, Any]) -> dict[str, Any]:
        taken.set()
        held.wait()
        return row

    autolog(sinks=[rows.append], redact=[slow], max_queue=10)
    client.chat(ask("the one that is being written"))
    assert taken.wait(30)
    emulator.script(Fault(status=500))
    with pytest.raises(InferenceError):
        client.chat(ask("failure"))
    for n in range(20):
        client.chat(ask(f"success {n}"))
    assert autolog.stats()["dropped"] == 11
    held.set()
    assert not autolog.disable(30)  # eleven are lost, and it says so
    assert [row["status"] for row in rows].count("error") == 1
    texts = [row["messages"][0]["content"] for row in rows if row["status"] == "ok"]
    assert texts == ["the one that is being written", *(f"success {n}" for n in range(11, 20))]


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
    assert not autolog.disable(10)
    assert autolog.stats()["written"] == 0
    assert autolog.stats()["errors"] >= 8
    assert "No space left" in autolog.stats()["last_error"]
    assert caplog.text.count("autolog: cannot write rows") == 1


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
    client.chat(ask("large " + "x" * 99_994))
    client.chat(ask("small"))
    assert autolog.disable(10)
    large, small = spooled(tmp_path)
    (path,) = tmp_path.rglob("llm-calls-*.jsonl")
    assert max(map(len, path.read_bytes().splitlines())) <= 20_000
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
    "content that is nothing": ({"content": None}, "content=None does not exist"),
    "sample as a text": ({"sample": "0.1"}, "sample='0.1' is no share"),
    "no sinks": ({"sinks": []}, "There are no sinks"),
    "one sink": ({"sinks": "otel"}, "There is no sink 'otel'"),
    "a class": ({"sinks": [autolog.OTLP]}, "There is no sink"),
    "a pattern that is none": ({"redact": ["("]}, "redact has '\\('"),
    "a project": ({"init": "my-project"}, "init is no mapping, but a str"),
    "an argument of wandb.init": ({"init": {"projekt": "p"}}, "no argument 'projekt'. Did you mean 'project'"),
    "sink": ({"sinks": ["wandb"]}, "There is no sink 'wandb'"),
    "redact": ({"redact": [7]}, "redact has 7"),
    "run and init": ({"init": {"project": "p"}, "run": object()}, "run= is a run already"),
    "weave": ({"sinks": ["weave"]}, "No API key|needs a project"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_make_no_sense(name: str, tmp_path: Path) -> None:
    arguments, said = REFUSED[name]
    with pytest.raises(ConfigurationError, match=said):
        autolog(**arguments)
    assert not autolog.enabled
    assert list(tmp_path.rglob("*.jsonl")) == []


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


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60), st.integers(1, 20), st.integers(50, 200))
def test_the_inbox_drops_the_oldest_cheap_ones(items: list[tuple[int, bool]], max_items: int, max_bytes: int) -> None:
    inbox: Inbox[int] = Inbox(max_items, max_bytes)
    kept: list[int] = []
    for number, (size, dear) in enumerate(items):
        inbox.put(number, size=size, dear=dear)
        kept.append(number)
        while len(kept) > max_items or sum(items[n][0] for n in kept) > max_bytes:
            kept.remove(next((n for n in kept if not items[n][1]), kept[0]))
    assert inbox.take() == kept
    assert len(kept) + inbox.dropped == len(items)


def test_no_log_shows_a_key(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    autolog(sinks=["jsonl"])
    client.chat(ask(KEY))
    assert autolog.disable(10)
    assert caplog.records
    assert KEY not in caplog.text


def test_a_function_that_says_what_is_sampled_may_fail(client: Client, tmp_path: Path) -> None:
    autolog(sinks=["jsonl"], sample=0.5, sample_key=lambda row: row["no such column"])
    client.chat(ask("Hello"))
    assert autolog.disable(10)
    (row,) = spooled(tmp_path)
    assert (row["content"], row["redaction"]) == (None, "metadata, because of KeyError")


def test_a_torn_line_costs_one_row_and_no_run(client: Client, tmp_path: Path) -> None:
    autolog({"project": "p"}, spool_dir=tmp_path / "kept")
    client.chat(ask("one"))
    assert autolog.flush(30)
    (path,) = (tmp_path / "kept").iterdir()
    with path.open("ab") as torn:
        torn.write(b'{"schema": 1, "torn\n')
    client.chat(ask("two"))
    assert not autolog.disable(30)
    (run,) = read_runs(tmp_path)
    assert len(run.table("llm/calls_final")) == 2
    assert run.exit_code == 0


def test_a_run_that_its_program_finished_first(
    client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with wandb.init(project="theirs", dir=tmp_path) as theirs:
        autolog(run=theirs)
        client.chat(ask("Hello"))
        assert autolog.flush(30)
    assert not autolog.disable(30)
    assert "is finished" in caplog.text
    assert len(spooled(tmp_path)) == 1  # to be replayed


def test_a_sink_that_makes_calls_does_not_log_itself(client: Client) -> None:
    rows: list[Mapping[str, Any]] = []

    def judge(row: Mapping[str, Any]) -> None:
        rows.append(row)
        client.chat(ask("Was that a good answer?"))

    autolog(sinks=[judge])
    client.chat(ask("Hello"))
    assert autolog.disable(30)
    assert len(rows) == 1


def test_no_more_threads(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            autolog(sinks=["jsonl"])
    assert not autolog.enabled
    assert list(tmp_path.rglob("*.jsonl")) == []
    assert client.chat(ask("Hello")).text == "You said: Hello"


def test_as_a_block(client: Client, tmp_path: Path) -> None:
    with autolog({"project": "p"}) as log:
        client.chat(ask("Hello"))
        assert log.flush(30)
        assert log.run.project == "p"
    assert not autolog.enabled
    assert len(read_runs(tmp_path)[0].table("llm/calls_final")) == 1
