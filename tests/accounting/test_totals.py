"""Totals out of rows: what counts where, and in which order it is shown."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wandb_inference import CallRecord, ConfigurationError, Labels, Ledger
from wandb_inference.accounting import Totals, quantile
from wandb_inference.accounting.ledger import read_rows


def row(**columns: Any) -> dict[str, Any]:
    return {"schema": 1, "status": "ok", "model_sent": "me/m", **columns}


def shown(totals: Totals) -> dict[str, Any]:
    """Return what is not as in totals of nothing."""
    nothing, found = Totals().to_dict(), totals.to_dict()
    return {name: value for name, value in found.items() if value != nothing[name]}


def total(*rows: dict[str, Any]) -> dict[str, Any]:
    ledger = Ledger()
    for each in rows:
        ledger.add(each)
    return shown(ledger.total)


FAST = {f"latency_p{q}_s": 0.0 for q in (50, 95, 99)}
TOTALS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    # name: (rows, what they come to, but for what is nothing)
    "nothing": ([], {}),
    "a call of which little is known": ([row()], {"calls": 1, "unpriced": 1, **FAST}),
    "tokens and money": (
        [
            row(
                cost_usd=0.1,
                prompt_tokens=10,
                cached_tokens=4,
                completion_tokens=3,
                reasoning_tokens=2,
            ),
            row(cost_usd=0.2, prompt_tokens=1, completion_tokens=1),
        ],
        {
            "calls": 2,
            "prompt_tokens": 11,
            "cached_tokens": 4,
            "completion_tokens": 4,
            "reasoning_tokens": 2,
            "cost_usd": 0.3,
            **FAST,
        },
    ),
    "a call for nothing is no unpriced one": ([row(cost_usd=0)], {"calls": 1, **FAST}),
    "times": (
        [row(cost_usd=0, latency_s=2, ttft_s=1), row(cost_usd=0, latency_s=4, ttft_s=0)],
        {
            "calls": 2,
            "latency_p50_s": 2.0,
            "latency_p95_s": 4.0,
            "latency_p99_s": 4.0,
            "ttft_p50_s": 0.0,
            "ttft_p95_s": 1.0,
            "ttft_p99_s": 1.0,
        },
    ),
    "errors by their class, the most common first": (
        [
            row(status="error", error_type="A"),
            row(status="error", error_type="B"),
            row(status="partial", error_type="B", ttft_s=1),
        ],
        {"calls": 3, "errors": {"B": 2, "A": 1}, "ttft_p50_s": 1.0, "ttft_p95_s": 1.0, "ttft_p99_s": 1.0},
    ),
    "a call that was given up, whatever it raised": (
        [row(status="cancelled", error_type="CancelledError")],
        {"calls": 1, "errors": {"cancelled": 1}},
    ),
    "an error without a name": ([row(status="error")], {"calls": 1, "errors": {"error": 1}}),
    "what a failed call cost": (
        [row(status="error", error_type="A", cost_usd=0.5, prompt_tokens=3, latency_s=9)],
        {"calls": 1, "errors": {"A": 1}, "cost_usd": 0.5, "prompt_tokens": 3},
    ),
    "attempts instead of the row's own sums": (
        [
            row(
                cost_usd=9,
                prompt_tokens=99,
                attempts=[
                    {"model": "me/a", "cost_usd": "0.1", "usage": {"input_tokens": 1, "output_tokens": 2}},
                    {
                        "model": "me/b",
                        "cost_usd": "0.2",
                        "usage": {"input_tokens": 3, "output_tokens": 4, "cached_tokens": 1, "reasoning_tokens": 2},
                    },
                    {"model": "me/c"},
                ],
            )
        ],
        {
            "calls": 1,
            "cost_usd": 0.3,
            "prompt_tokens": 4,
            "completion_tokens": 6,
            "cached_tokens": 1,
            "reasoning_tokens": 2,
            **FAST,
        },
    ),
}


@pytest.mark.parametrize("name", TOTALS)
def test_total(name: str) -> None:
    rows, come_to = TOTALS[name]
    found = total(*rows)
    assert found == come_to
    assert list(found.get("errors", ())) == list(come_to.get("errors", ()))


def test_money_is_exact() -> None:
    ledger = Ledger()
    for _ in range(10):
        ledger.add(row(cost_usd=0.1))
    assert ledger.total.cost == Decimal(1)


def test_totals_show_no_single_times() -> None:
    ledger = Ledger()
    ledger.add(row(latency_s=1234.5, ttft_s=1234.5))
    assert "1234.5" not in repr(ledger.total)


def names(rows: list[dict[str, Any]], what: Any) -> dict[str, tuple[int, float]]:
    ledger = Ledger()
    for each in rows:
        ledger.add(each)
    return {name: (totals.calls, float(totals.cost)) for name, totals in ledger.by(what).items()}


TRIED = [{"model": "me/a", "cost_usd": "0.1"}, {"model": "me/b", "cost_usd": "0.2"}]
GROUPS: dict[str, tuple[str, list[dict[str, Any]], dict[str, tuple[int, float]]]] = {
    # name: (grouped by, rows, calls and USD of each group, in order)
    "sessions": (
        "session",
        [row(session_id="a", cost_usd=1), row(session_id="b", cost_usd=2), row(), row(session_id="a", cost_usd=3)],
        {"a": (2, 4.0), "b": (1, 2.0), "": (1, 0.0)},
    ),
    "of one price, the busier first; then by name": (
        "session",
        [*(row(session_id=id_, cost_usd=0) for id_ in "cabb"), row(session_id="d", cost_usd=1)],
        {"d": (1, 1.0), "b": (2, 0.0), "a": (1, 0.0), "c": (1, 0.0)},
    ),
    "minutes, the first one first": (
        "minute",
        [
            row(started_at="2026-11-18T11:07:40.250000Z", cost_usd=5),
            row(started_at="2026-11-18T11:06:59.999999Z", cost_usd=1),
            row(started_at="2026-11-18T11:06:00.000000Z", cost_usd=1),
            row(),
        ],
        {"": (1, 0.0), "2026-11-18T11:06": (2, 2.0), "2026-11-18T11:07": (1, 5.0)},
    ),
    "tags, each of them": (
        "tag",
        [row(tags={"feature": "rag", "draft": ""}, cost_usd=1), row(tags={"feature": "chat"}), row(tags=None)],
        {"draft": (1, 1.0), "feature=rag": (1, 1.0), "feature=chat": (1, 0.0)},
    ),
    "models": ("model", [row(cost_usd=1), row(model_sent="me/n")], {"me/m": (1, 1.0), "me/n": (1, 0.0)}),
    "models that were only asked for": (
        "model",
        [row(model_sent=None, model_requested="auto"), row(model_sent=None)],
        {"": (1, 0.0), "auto": (1, 0.0)},
    ),
    "the call is the last model's, and each has its own costs": (
        "model",
        [row(attempts=TRIED)],
        {"me/b": (1, 0.2), "me/a": (0, 0.1)},
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_groups(name: str) -> None:
    what, rows, groups = GROUPS[name]
    found = names(rows, what)
    assert found == groups
    assert list(found) == list(groups)


def test_an_error_counts_with_the_model_that_answered_last() -> None:
    ledger = Ledger()
    ledger.add(row(status="error", error_type="A", attempts=TRIED, latency_s=1))
    assert {name: shown(totals) for name, totals in ledger.by("model").items()} == {
        "me/b": {"calls": 1, "errors": {"A": 1}, "cost_usd": 0.2},
        "me/a": {"cost_usd": 0.1},
    }


def test_names_that_no_terminal_takes() -> None:
    assert names([row(session_id="a\ud83d"), row(session_id=7)], "session") == {"7": (1, 0.0), "a?": (1, 0.0)}


def test_all_of_it() -> None:
    ledger = Ledger()
    ledger.add(row(session_id="s", tags={"t": ""}, cost_usd=1))
    found = ledger.to_dict()
    assert list(found) == ["total", "model", "tag", "session", "minute"]
    assert found["total"] == found["model"]["me/m"] == found["tag"]["t"] == found["session"]["s"] == found["minute"][""]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "broken",
    [
        row(latency_s=float("inf")),
        row(ttft_s="soon"),
        row(cost_usd="much"),
        row(cost_usd=float("nan")),
        row(tags=["a"]),
        row(attempts=[{}]),
    ],
)
def test_a_row_that_makes_no_sense_raises(broken: dict[str, Any]) -> None:
    with pytest.raises((ValueError, ArithmeticError, AttributeError, KeyError)):
        Ledger().add(broken)


def test_a_record_counts_as_its_row() -> None:
    ledger = Ledger()
    ledger.add(CallRecord(requested="m", attempts=(), labels=Labels("s")))
    assert list(ledger.by("session")) == ["s"]
    assert list(ledger.by("model")) == ["m"]


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        ([], 50, None),
        ([7], 1, 7),
        ([7], 100, 7),
        ([1, 2], 50, 1),
        ([1, 2], 51, 2),
        ([3, 1, 2], 34, 2),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),
        (range(1, 101), 0, 1),
        (range(1, 100_001), 95, 95_000),
    ],
)
def test_quantiles(values: Any, percent: float, found: float | None) -> None:
    assert quantile(values, percent) == found


# Files


def test_a_file_holds_a_line_a_call_without_what_was_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(row(content="said", params={"seed": 7, "user": "said"}))
        assert path.read_bytes().endswith(b"\n")  # at once: whoever is killed has lost nothing
    ledger.add(row())  # counted, and not written any more
    ledger.close()  # once more, which is nothing
    with Ledger(path) as ledger:
        ledger.add(row(cost_usd=1))
    first, second = path.read_bytes().splitlines(keepends=True)
    assert b"said" not in first
    assert json.loads(first)["params"] == {"seed": 7}
    assert b'"cost_usd":1,' in second
    assert Ledger.read(path).total.calls == 2


READ: dict[str, tuple[bytes, list[int], str]] = {
    # name: (file, prompt tokens of its rows, what a strict reader says of it)
    "rows": (b'{"schema":1,"n":1}\n{"schema":1,"n":2}\n', [1, 2], ""),
    "a last line without its end": (b'{"schema":1,"n":1}\n{"schema":1,"n":2}', [1, 2], ""),
    "a last line that was cut": (b'{"schema":1,"n":1}\n{"schema":1,"n', [1], ""),
    "blank lines": (b'\n{"schema":1,"n":1}\n  \n\n', [1], ""),
    "an older one": (b'{"schema":0,"n":1}\n', [1], ""),
    "no JSON": (
        b'{"schema":1,"n":1}\nx\n{"schema":1,"n":2}\n',
        [1, 2],
        "line 2 is no record of a call: JSONDecodeError",
    ),
    "no UTF-8": (b'"\xff"\n', [], "line 1 is no record of a call: UnicodeDecodeError"),
    "no object": (b"[]\n", [], "line 1 is no record of a call: TypeError"),
    "no schema": (b"{}\n", [], "line 1 is no record of a call: KeyError"),
    "a schema of words": (b'{"schema":"1"}\n', [], "line 1 is no record of a call: TypeError"),
    "too deep": (b"[" * 100_000 + b"\n", [], "line 1 is no record of a call: RecursionError"),
}


@pytest.mark.parametrize("name", READ)
def test_read(name: str, tmp_path: Path) -> None:
    content, numbers, said = READ[name]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert [each["n"] for each in read_rows(path, strict=False)] == numbers
    if not said:
        assert [each["n"] for each in read_rows(path)] == numbers
        return
    with pytest.raises(ConfigurationError, match=said):
        list(read_rows(path))


@pytest.mark.parametrize("strict", [True, False])
def test_a_newer_file_is_refused_in_any_case(strict: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"schema":2}\n')
    with pytest.raises(ConfigurationError, match="line 1 has schema 2, which is newer than 1") as caught:
        list(read_rows(path, strict=strict))
    assert caught.value.hint == "Upgrade wandb-inference."


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"latency_s": "long"}, "ValueError"),
        ({"latency_s": [1]}, "TypeError"),
        ({"attempts": [{}]}, "KeyError"),
        ({"tags": ["a"]}, "AttributeError"),
        ({"cost_usd": "much"}, "InvalidOperation"),
    ],
)
def test_a_record_that_cannot_be_counted_is_named(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n".join(json.dumps(each) for each in (row(), row(**columns))) + "\n")
    with pytest.raises(ConfigurationError, match=rf"rows\.jsonl, record 2, cannot be counted: {said}") as caught:
        Ledger.read(path)
    assert "Ledger(path)" in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Cannot read .*none\.jsonl: No such file"):
        Ledger.read(tmp_path / "none.jsonl")


def test_files_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b'{"schema":1,"status":"ok"}\n')
    assert Ledger.read(tmp_path / "a", str(tmp_path / "b")).total.calls == 2
