"""Totals of calls: exact, from many threads, and read back from files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import KEY, MODEL, ask

from wandb_inference import (
    CallRecord,
    Catalog,
    Client,
    ConfigurationError,
    InferenceError,
    Labels,
    Ledger,
    Policy,
    Price,
    price,
)
from wandb_inference.accounting import quantile
from wandb_inference.emulator import Emulator, Fault, Reply

GLM = "zai-org/GLM-5.2"


def test_totals_from_many_threads_are_exact(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger, Client(base_url=emulator.url, api_key=KEY, on_record=ledger.add) as client:

        def call(n: int) -> Decimal:
            labels = Labels.of(f"s{n % 3}", {"feature": "rag"} if n % 2 else ["draft"])
            answer = client.chat(ask(f"Hello {n}", model=(MODEL, GLM)[n % 2]), labels=labels)
            cost = price(answer.usage, client.catalog.card(answer.model).price)
            assert cost is not None
            return cost.total

        with ThreadPoolExecutor(8) as pool:
            costs = list(pool.map(call, range(40)))
    for counted in (ledger, Ledger.read(path)):
        assert (counted.total.calls, counted.total.cost) == (40, sum(costs))
        models, tags, sessions = counted.by("model"), counted.by("tag"), counted.by("session")
        assert {name: totals.cost for name, totals in models.items()} == {MODEL: sum(costs[::2]), GLM: sum(costs[1::2])}
        assert list(models) == [GLM, MODEL]  # the dearest first
        assert {name: totals.calls for name, totals in tags.items()} == {"feature=rag": 20, "draft": 20}
        assert {name: totals.cost for name, totals in sessions.items()} == {f"s{n}": sum(costs[n::3]) for n in range(3)}
        assert len(counted.total.latencies) == 40
    assert ledger.to_dict() == Ledger.read(path).to_dict()
    assert KEY not in path.read_text()
    assert "Hello" not in path.read_text()


def test_failures_have_their_names(emulator: Emulator) -> None:
    emulator.script(Fault(status=503), Fault(status=401), Fault("stall", after=4))
    ledger = Ledger()
    with Client(base_url=emulator.url, api_key=KEY, on_record=ledger.add, max_retries=0) as client:
        for _ in range(2):
            with suppress(InferenceError):
                client.chat(ask("Hello"))
        with client.stream(ask("Hello")) as events:
            next(events)
    with Client(base_url=emulator.url, api_key=KEY, on_record=ledger.add, catalog=Catalog.empty()) as client:
        client.chat(ask("Hello"))
    assert dict(ledger.total.errors) == {"OverloadedError": 1, "AuthenticationError": 1, "cancelled": 1}
    assert (ledger.total.calls, len(ledger.total.latencies), ledger.total.unpriced) == (4, 1, 2)


def test_attempts_are_paid_by_the_models_that_made_them(emulator: Emulator) -> None:
    emulator.script(Reply(""), Reply("Enough"))
    ledger = Ledger()
    with Client(base_url=emulator.url, api_key=KEY, on_record=ledger.add) as client:
        answer = client.chat(
            ask("Hello", model="auto"), policy=Policy(models=[MODEL, GLM], escalate=frozenset({"empty"}))
        )
    assert answer.route is not None
    paid = {attempt["model"]: Decimal(attempt["cost_usd"]) for attempt in answer.route["attempts"]}
    models = ledger.by("model")
    assert {name: totals.cost for name, totals in models.items()} == paid
    assert {name: totals.calls for name, totals in models.items()} == {MODEL: 0, GLM: 1}
    assert sum(paid.values()) == ledger.total.cost


LINES: dict[str, tuple[str, str]] = {
    # name: (text, what is said of it)
    "no JSON": ("{}\n{", "line 1"),
    "cut in the middle": ('{"schema": 1, "status": "ok"}\n{"sch\n{"schema": 1}\n', "line 2"),
    "no record": ('{"model": "m"}\n', "line 1 is no record of a call: KeyError"),
    "no object": ("[]\n", "line 1"),
    "tags that are none": ('{"schema": 1, "tags": [1]}\n', "cannot be counted"),
    "an attempt without its model": ('{"schema": 1, "attempts": [{}]}\n', "cannot be counted: KeyError"),
    "a cost that is none": ('{"schema": 1, "cost_usd": "abc"}\n', "cannot be counted"),
    "no number": ('{"schema": 1, "status": "ok", "cost_usd": NaN}\n', "is no amount"),
    "no time": ('{"schema": 1, "status": "ok", "latency_s": Infinity}\n', "is no time"),
    "newer": ('{"schema": 2}\n', "schema 2, which is newer"),
}


@pytest.mark.parametrize("name", LINES)
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    text, said = LINES[name]
    (tmp_path / "other.jsonl").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        Ledger.read(tmp_path / "other.jsonl")


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text('{"schema": 1, "status": "ok", "cost_usd": 0.5}\n\n{"schema": 1, "sta')
    assert (Ledger.read(tmp_path / "cut.jsonl").total.calls, Ledger.read().total.calls) == (1, 0)
    with pytest.raises(ConfigurationError, match="Cannot read"):
        Ledger.read(tmp_path / "none.jsonl")


def test_processes_share_a_file(tmp_path: Path) -> None:
    path, row = tmp_path / "shared.jsonl", {"schema": 1, "status": "ok", "cost_usd": 0.1, "content": "x" * 9000}
    code = (
        "import sys; from wandb_inference import Ledger; ledger = Ledger(sys.argv[1])\n"
        f"for _ in range(200): ledger.add({row!r})"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [process.wait(300) for process in running] == [0, 0, 0]
    read = Ledger.read(path)
    assert (read.total.calls, read.total.cost) == (600, Decimal(60))
    assert path.stat().st_size < 600 * 2000  # nothing that was said


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(1, 100))
def test_quantile(values: list[float], percent: int) -> None:
    found: Any = quantile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_own_prices_are_exact(emulator: Emulator, tmp_path: Path) -> None:
    price_ = Price(input="0.1234567890123", output="0.9876543210987")
    cards = [card.model_copy(update={"price": price_}) for card in Catalog.bundled() if card.id == MODEL]
    records: list[CallRecord] = []
    with Ledger(tmp_path / "l.jsonl") as ledger:

        def both(record: CallRecord) -> None:
            records.append(record)
            ledger.add(record)

        with Client(base_url=emulator.url, api_key=KEY, catalog=Catalog(cards), on_record=both) as client:
            for n in range(5):
                client.chat(ask("word " * (n + 1)))
    exact = sum((record.cost or Decimal(0) for record in records), Decimal(0))
    assert ledger.total.cost == Ledger.read(tmp_path / "l.jsonl").total.cost == exact


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_waits_for_no_lock_of_its_parent() -> None:
    code = (
        "import os, threading\n"
        "from wandb_inference import Ledger\n"
        "ledger = Ledger()\n"
        "held = threading.Event()\n"
        "def hold():\n"
        "    with ledger._lock: held.set(); threading.Event().wait()\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "held.wait()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    ledger.add({'schema': 1, 'status': 'ok'})\n"
        "    os._exit(ledger.total.calls)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)


def test_to_dict_is_json() -> None:
    assert json.loads(json.dumps(Ledger().to_dict()))["total"]["latency_p50_s"] is None
