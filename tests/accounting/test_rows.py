"""Records as rows: every column of a whole call, and what stays of calls that were none."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from wandb_inference import (
    BudgetExceededError,
    CallRecord,
    ChatOptions,
    ChatRequest,
    Choice,
    Completion,
    Cost,
    InferenceError,
    Labels,
    RateLimitedError,
    ToolCall,
    Usage,
    __version__,
)
from wandb_inference.accounting import Attempt, Failure
from wandb_inference.accounting.rows import COLUMNS, CONTENT, to_row
from wandb_inference.errors import Reply

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:,"}},
            {"type": "image_url", "image_url": {"url": "data:,"}},
            {"type": "image_url", "image_url": {"url": "data:,"}},
            "odd",
            {"type": "text", "text": 5},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}, {}],
    },
]
FORMAT = {"type": "json_schema", "json_schema": {"name": "Report", "schema": {}}}
OPTIONS = ChatOptions(
    tools=[TOOL],
    tool_choice={"type": "function", "function": {"name": "f"}},
    response_format=FORMAT,
    temperature=0.5,
    stop=["a"],
    reasoning="low",
    extra_body={"service_tier": "flex", "user": "Ann", "top_k": None},
)
FIRST = Attempt(
    model="me/a",
    outcome="RateLimitedError",
    seconds=0.25,
    usage=Usage(input_tokens=10, output_tokens=1),
    cost=Cost(Decimal("0.1"), Decimal("0.02"), Decimal("0.003")),
)
SECOND = Attempt(
    model="me/b",
    outcome="ok",
    seconds=2.0000004,
    first_event_seconds=0.50000049,
    usage=Usage(input_tokens=20, output_tokens=5, cached_tokens=7, reasoning_tokens=3),
    cost=Cost(Decimal(1), Decimal("0.2"), Decimal("0.03")),
    booked=Decimal("1.50"),
)
ANSWER = Completion(
    id="chatcmpl-1",
    model="me/b-2026",
    system_fingerprint="fp",
    headers={"x-request-id": "r-1"},
    choices=(
        Choice(text="Hi", reasoning="think", tool_calls=(ToolCall("c", "f", "{}"),), finish_reason="tool_calls"),
        Choice(index=1, text="Ho", finish_reason="stop"),
    ),
)
PLAN = {
    "policy": "cheapest",
    "notes": ["kept", "told"],
    "need": {"tools": 1},
    "candidates": [
        {"model": "me/a", "ok": False, "rejected": [{"code": "price"}, {"code": "slow"}]},
        {"model": "me/b", "ok": True},
    ],
}
WHOLE = CallRecord(
    requested="auto",
    attempts=(FIRST, SECOND),
    plan=PLAN,
    request=ChatRequest("auto", MESSAGES, OPTIONS),
    body=json.dumps(
        {
            "model": "me/b",
            "messages": MESSAGES,
            "tools": [TOOL, {}],
            "tool_choice": OPTIONS.tool_choice,
            "response_format": FORMAT,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "stop": ["a"],
            "reasoning_effort": "low",
            "service_tier": "flex",
            "user": "Ann",
            "top_k": None,
        }
    ).encode(),
    completion=ANSWER,
    stream=True,
    labels=Labels("s", {"feature": "rag"}, "p", "t"),
    entry="langchain",
    call_id="call-1",
    started=1_795_000_000.25,
    seconds=3.0000004,
    first_event_seconds=0.7500004,
    tries=3,
    queued=0.1000004,
    paused=0.2000004,
    worst_case=Decimal("2.5"),
    budget_left=Decimal("7.5"),
    base_url="https://api.example.com:8443/v1",
    catalog_version="2026-11-20",
)
ROW: dict[str, Any] = {
    "schema": 1,
    "call_id": "call-1",
    "parent_call_id": "p",
    "trace_id": "t",
    "parent_span_id": None,
    "session_id": "s",
    "tags": {"feature": "rag"},
    "started_at": "2026-11-18T11:06:40.250000Z",
    "ended_at": "2026-11-18T11:06:43.250000Z",
    "entry": "langchain",
    "operation": "chat",
    "stream": True,
    "status": "ok",
    "model_requested": "auto",
    "model_sent": "me/b",
    "model_returned": "me/b-2026",
    "messages": MESSAGES,
    "content": "Hi",
    "reasoning": "think",
    "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
    "more_answers": [{"content": "Ho", "reasoning": None, "tool_calls": None, "finish_reason": "stop"}],
    "finish_reason": "tool_calls",
    "error_type": None,
    "error_message": None,
    "http_status": 200,
    "retryable": None,
    "prompt_tokens": 30,
    "cached_tokens": 7,
    "completion_tokens": 6,
    "reasoning_tokens": 3,
    "total_tokens": 36,
    "usage_source": "api",
    "cost_usd": 1.353,
    "cost_input_usd": 1.1,
    "cost_cached_usd": 0.22,
    "cost_output_usd": 0.033,
    "cost_worst_case_usd": 2.5,
    "cost_source": "catalog",
    "price_version": "2026-11-20",
    "budget_remaining_usd": 7.5,
    "latency_s": 3.0,
    "ttft_s": 0.75,
    "tokens_per_s": 2.5,
    "queue_s": 0.1,
    "retry_wait_s": 0.2,
    "n_attempts": 3,
    "attempts": [
        {
            "model": "me/a",
            "outcome": "RateLimitedError",
            "seconds": 0.25,
            "usage": {"input_tokens": 10, "output_tokens": 1},
            "cost_usd": "0.123",
        },
        {
            "model": "me/b",
            "outcome": "ok",
            "seconds": 2.0,
            "first_event_seconds": 0.5,
            "usage": {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 7, "reasoning_tokens": 3},
            "cost_usd": "1.23",
            "booked_usd": "1.5",
        },
    ],
    "route_policy": "cheapest",
    "route_reason": "kept; told",
    "route_candidates": {"me/a": ["price", "slow"], "me/b": []},
    "need": {"tools": 1},
    "tools": [TOOL, {}],
    "tool_names": ["f", "None"],
    "tool_choice": "f",
    "response_format": FORMAT,
    "response_format_kind": "json_schema",
    "schema_name": "Report",
    "params": {
        "temperature": 0.5,
        "stop": ["a"],
        "reasoning_effort": "low",
        "service_tier": "flex",
        "user": "Ann",
        "top_k": None,
    },
    "n_messages": 3,
    "n_images": 3,
    "prompt_chars": len("Be brief.") + len("Look") + len("{}"),
    "answer_chars": len("Hi") + len("think") + len("Ho"),
    "response_id": "chatcmpl-1",
    "request_id": "r-1",
    "system_fingerprint": "fp",
    "base_url_host": "api.example.com:8443",
    "catalog_version": "2026-11-20",
    "pkg_version": __version__,
    "weave_call_id": None,
    "redaction": None,
    "sampled_rate": None,
}


def test_every_column_of_a_whole_call() -> None:
    row = WHOLE.to_dict()
    assert to_row(WHOLE) == row
    assert row == ROW
    assert list(row) == list(COLUMNS)
    assert all(value is None or type(value) is COLUMNS[name] for name, value in row.items())
    assert json.loads(json.dumps(row)) == row


def test_without_what_was_said() -> None:
    said = (
        "messages",
        "content",
        "reasoning",
        "tool_calls",
        "more_answers",
        "error_message",
        "tools",
        "response_format",
    )
    assert set(said) == set(CONTENT)
    params = {"temperature": 0.5, "reasoning_effort": "low", "service_tier": "flex", "top_k": None}
    assert WHOLE.to_dict(content=False) == {**ROW, **dict.fromkeys(said), "params": params}


BUSY = RateLimitedError("Busy.", status_code=429, response=Reply(429, {"x-request-id": "r-2"}))
NOTHING: dict[str, Any] = {
    **dict.fromkeys(ROW),
    "schema": 1,
    "call_id": "c",
    "tags": {},
    "entry": "native",
    "operation": "chat",
    "stream": False,
    "started_at": "1970-01-01T00:00:00.000000Z",
    "ended_at": "1970-01-01T00:00:00.000000Z",
    "status": "ok",
    "model_requested": "m",
    "usage_source": "none",
    "cost_source": "none",
    "latency_s": 0.0,
    "queue_s": 0.0,
    "retry_wait_s": 0.0,
    "n_attempts": 0,
    "attempts": [],
    "base_url_host": "",
    "catalog_version": "",
    "pkg_version": __version__,
    "messages": [],
    "params": {},
    "n_messages": 0,
    "n_images": 0,
    "prompt_chars": 0,
}
ODD: list[Any] = [{"role": "user", "content": b"x", 1: 2, (3,): 4}]
ANSWERED = {"content": "", "answer_chars": 0, "http_status": 200}
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (what is known of a call, the columns that are not as those of nothing)
    "nothing": ({}, {}),
    "an answer that says nothing": ({"completion": Completion()}, ANSWERED),
    "a failure": (
        {"status": "error", "failure": Failure.of(BUSY)},
        {
            "status": "error",
            "error_type": "RateLimitedError",
            "error_message": "Busy.",
            "http_status": 429,
            "retryable": True,
            "request_id": "r-2",
        },
    ),
    "a failure that is no status": (
        {"status": "error", "failure": Failure.of(KeyError("x"))},
        {"status": "error", "error_type": "KeyError", "error_message": "'x'", "retryable": False},
    ),
    "a failure of a stream": (
        {"status": "partial", "failure": Failure.of(BUSY), "completion": Completion()},
        {
            "status": "partial",
            "error_type": "RateLimitedError",
            "error_message": "Busy.",
            "retryable": True,
            **ANSWERED,
            "http_status": 429,
            "request_id": "r-2",
        },
    ),
    "tokens without a price": (
        {"attempts": (replace(SECOND, cost=None, seconds=0.0, booked=None, first_event_seconds=None),)},
        {
            "prompt_tokens": 20,
            "cached_tokens": 7,
            "completion_tokens": 5,
            "reasoning_tokens": 3,
            "total_tokens": 25,
            "usage_source": "api",
            "attempts": [
                {
                    "model": "me/b",
                    "outcome": "ok",
                    "seconds": 0.0,
                    "usage": {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 7, "reasoning_tokens": 3},
                }
            ],
        },
    ),
    "speed is that of the last": (
        {"attempts": (replace(SECOND, cost=None, booked=None), Attempt(model="me/c", outcome="closed", seconds=1.0))},
        {
            "prompt_tokens": 20,
            "cached_tokens": 7,
            "completion_tokens": 5,
            "reasoning_tokens": 3,
            "total_tokens": 25,
            "usage_source": "api",
            "attempts": [
                {
                    "model": "me/b",
                    "outcome": "ok",
                    "seconds": 2.0,
                    "first_event_seconds": 0.5,
                    "usage": {"input_tokens": 20, "output_tokens": 5, "cached_tokens": 7, "reasoning_tokens": 3},
                },
                {"model": "me/c", "outcome": "closed", "seconds": 1.0},
            ],
        },
    ),
    "a speed that is no round number": (
        {"attempts": (Attempt(model="m", outcome="ok", seconds=3.0, usage=Usage(input_tokens=1, output_tokens=5)),)},
        {
            "prompt_tokens": 1,
            "completion_tokens": 5,
            "total_tokens": 6,
            "usage_source": "api",
            "tokens_per_s": 1.667,
            "attempts": [
                {"model": "m", "outcome": "ok", "seconds": 3.0, "usage": {"input_tokens": 1, "output_tokens": 5}}
            ],
        },
    ),
    "counts without parts": (
        {"attempts": (replace(FIRST, usage=Usage(input_tokens=0, output_tokens=4)),), "catalog_version": "v"},
        {
            "prompt_tokens": 0,
            "completion_tokens": 4,
            "total_tokens": 4,
            "usage_source": "api",
            "cost_usd": 0.123,
            "cost_input_usd": 0.1,
            "cost_cached_usd": 0.02,
            "cost_output_usd": 0.003,
            "cost_source": "catalog",
            "price_version": "v",
            "catalog_version": "v",
            "tokens_per_s": 16.0,
            "attempts": [
                {
                    "model": "me/a",
                    "outcome": "RateLimitedError",
                    "seconds": 0.25,
                    "usage": {"input_tokens": 0, "output_tokens": 4},
                    "cost_usd": "0.123",
                }
            ],
        },
    ),
    "a plan without candidates": (
        {"plan": {"policy": "ordered"}, "need": {"tools": 2}},
        {"route_policy": "ordered", "need": {"tools": 2}},
    ),
    "a call that was refused before it was sent": (
        {"request": ChatRequest("m", [{"role": "user", "content": "Hello"}], ChatOptions(tools=[TOOL], seed=7))},
        {
            "messages": [{"role": "user", "content": "Hello"}],
            "n_messages": 1,
            "prompt_chars": 5,
            "tools": [TOOL],
            "tool_names": ["f"],
            "params": {"seed": 7},
        },
    ),
    "a stream that was refused": (
        {"request": ChatRequest("m", [], ChatOptions(tools=[TOOL], tool_choice="auto")), "stream": True},
        {"stream": True, "tools": [TOOL], "tool_names": ["f"], "tool_choice": "auto"},
    ),
    "what JSON cannot hold": (
        {"request": ChatRequest("m", ODD, ChatOptions(seed=7))},
        {"messages": [{"role": "user", "content": "b'x'", "1": 2}], "n_messages": 1, "prompt_chars": 4},
    ),
    "a call that is none": (
        {"request": ChatRequest("m", 5)},  # type: ignore[arg-type]
        {"messages": None, "params": None, "n_messages": None, "n_images": None, "prompt_chars": None},
    ),
    "a format that is none": (
        {"body": b'{"model": "m", "messages": [], "response_format": "json"}'},
        {"model_sent": "m", "response_format": "json"},
    ),
    "a format without a name": (
        {"body": b'{"model": "m", "messages": null, "response_format": {"type": "json_object", "json_schema": 5}}'},
        {
            "model_sent": "m",
            "response_format": {"type": "json_object", "json_schema": 5},
            "response_format_kind": "json_object",
        },
    ),
    "labels": (
        {"labels": Labels("s", {}, "p", "t")},
        {"session_id": "s", "parent_call_id": "p", "trace_id": "t"},
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    known, columns = ROWS[name]
    record = CallRecord(**{"requested": "m", "attempts": (), "call_id": "c", **known})
    assert record.to_dict() == {**NOTHING, **columns}


def test_the_id_of_a_request_is_that_of_its_answer() -> None:
    record = CallRecord(requested="m", attempts=(), failure=Failure.of(BUSY), completion=ANSWER)
    assert record.to_dict()["request_id"] == "r-1"


def test_a_record_of_its_own() -> None:
    one, other = (CallRecord(requested="m", attempts=()) for _ in range(2))
    assert one.call_id != other.call_id
    assert (one.base_url, one.catalog_version, one.entry, one.body) == ("", "", "native", None)
    assert (len(one.call_id), one.labels, one.cost, one.first_event_seconds) == (32, Labels(), None, None)


def test_what_a_record_cost_and_where_it_went() -> None:
    unknown = replace(SECOND, cost=None)
    assert WHOLE.cost == Decimal("1.353")
    assert replace(WHOLE, attempts=(FIRST, unknown)).cost == Decimal("0.123")
    assert replace(WHOLE, attempts=(unknown,)).cost is None
    assert WHOLE.route == {
        "requested": "auto",
        "attempts": ROW["attempts"],
        "cost_usd": "1.353",
        "plan": PLAN,
    }
    assert CallRecord(requested="m", attempts=(), need={"tools": 1}).route == {
        "requested": "m",
        "attempts": [],
        "need": {"tools": 1},
    }


def test_a_record_shows_nothing_that_was_said() -> None:
    secret = replace(
        WHOLE,
        plan={"x": "secret"},
        need={"x": "secret"},
        failure=Failure("KeyError", "secret"),
        request=ChatRequest("m", [{"content": "secret"}]),
        body=b"secret",
        completion=Completion(choices=(Choice(text="secret"),)),
    )
    assert "secret" not in repr(secret)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (BUSY, Failure("RateLimitedError", "Busy.", True, 429, "r-2")),
        (InferenceError("No.", hint="Try."), Failure("InferenceError", "No. Try.")),
        (KeyboardInterrupt(), Failure("KeyboardInterrupt", "")),
        (
            BudgetExceededError(limit=Decimal(1), spent=Decimal(1), reserved=Decimal(0), needed=Decimal(1)),
            Failure(
                "BudgetExceededError",
                "The call may cost 1 USD, and the budget has 0 of 1 left (1 spent, 0 reserved by calls in flight). "
                "Set a lower max_tokens, choose a cheaper model, or raise the budget.",
            ),
        ),
    ],
)
def test_what_is_kept_of_an_error(error: BaseException, failure: Failure) -> None:
    assert Failure.of(error) == failure
