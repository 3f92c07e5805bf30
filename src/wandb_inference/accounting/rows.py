"""Records as rows: flat, with the same columns in JSON lines, in tables and in spans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wandb_inference._version import __version__
from wandb_inference._wire import encode
from wandb_inference.chat import Choice
from wandb_inference.errors import InferenceError

if TYPE_CHECKING:
    from wandb_inference.accounting.record import CallRecord

SCHEMA = 1
"""Raised when a column changes its meaning; new columns do not raise it."""

COLUMNS: Mapping[str, type] = {
    # What kind of value each column holds; dict and list: JSON. Any of them may be None, which means: not known.
    "schema": int,
    "call_id": str,
    "parent_call_id": str,
    "trace_id": str,
    "parent_span_id": str,  # of OpenTelemetry
    "session_id": str,
    "tags": dict,
    "started_at": str,  # ISO 8601, UTC
    "ended_at": str,
    "entry": str,
    "operation": str,
    "stream": bool,
    "status": str,
    "model_requested": str,
    "model_sent": str,
    "model_returned": str,
    "messages": list,
    "content": str,
    "reasoning": str,
    "tool_calls": list,
    "more_answers": list,  # where more than one was asked for
    "finish_reason": str,
    "error_type": str,
    "error_message": str,
    "http_status": int,
    "retryable": bool,
    "prompt_tokens": int,  # tokens and costs are those of all attempts
    "cached_tokens": int,
    "completion_tokens": int,
    "reasoning_tokens": int,
    "total_tokens": int,
    "usage_source": str,
    "cost_usd": float,
    "cost_input_usd": float,
    "cost_cached_usd": float,
    "cost_output_usd": float,
    "cost_worst_case_usd": float,
    "cost_source": str,
    "price_version": str,
    "budget_remaining_usd": float,
    "latency_s": float,
    "ttft_s": float,
    "tokens_per_s": float,
    "queue_s": float,
    "retry_wait_s": float,
    "n_attempts": int,  # requests that were sent
    "attempts": list,  # models that were asked
    "route_policy": str,
    "route_reason": str,
    "route_candidates": dict,
    "need": dict,
    "tools": list,
    "tool_names": list,
    "tool_choice": str,
    "response_format": dict,
    "response_format_kind": str,
    "schema_name": str,
    "params": dict,
    "n_messages": int,
    "n_images": int,
    "prompt_chars": int,
    "answer_chars": int,
    "response_id": str,
    "request_id": str,
    "system_fingerprint": str,
    "base_url_host": str,
    "catalog_version": str,
    "pkg_version": str,
    "weave_call_id": str,
    "redaction": str,  # what a logger has left out
    "sampled_rate": float,
}

CONTENT = (
    *("messages", "content", "reasoning", "tool_calls", "more_answers"),
    *("error_message", "tools", "response_format"),
)
"""Columns that repeat what was said; and ``params``, in part."""


def to_row(record: CallRecord, *, content: bool = True) -> dict[str, Any]:
    """Return a record as a row of ``COLUMNS``, as JSON takes it.

    USD are floats: a cost has at most 15 digits (whole tokens, prices of four decimals and less), so that
    ``Decimal(str(value))`` is the exact amount.
    """
    row = dict.fromkeys(COLUMNS) | _identity(record) | _answered(record) | spent(record) | _routed(record)
    with suppress(Exception):  # of a call that was refused for its form, which may be anything
        body = _body(record)
        row |= _asked(body)
        row["model_sent"] = str(body.get("model")) if record.body is not None else None
    return row if content else without_content(row)


def without_content(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row without what was said: names, counts and sizes only."""
    words = ("reasoning_effort", "service_tier")  # others may be words of the prompt
    params = {
        name: value
        for name, value in (row.get("params") or {}).items()
        if isinstance(value, int | float) or name in words or value is None
    }
    return {**row, **dict.fromkeys(CONTENT), "params": params}


def _body(record: CallRecord) -> dict[str, Any]:
    """Return what was sent; of a call that was refused before, what would have been, as far as it can be written."""
    if record.body is not None:
        return dict(json.loads(record.body))
    if record.request is None:
        return {}
    try:
        return dict(json.loads(encode(record.request, stream=record.stream)))
    except InferenceError:  # it holds what JSON cannot, which is why it was refused
        return {
            "model": record.requested,
            "messages": json.loads(json.dumps(list(record.request.messages), default=repr, skipkeys=True)),
        }


def _texts(messages: Any) -> Iterator[str]:
    """Yield every text that these messages hold, parts and tool arguments included; media are none."""
    for message in messages or ():
        content = message.get("content")
        yield from [content] if isinstance(content, str) else ()
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
        for call in message.get("tool_calls") or ():
            yield str((call.get("function") or {}).get("arguments") or "")


def _identity(record: CallRecord) -> dict[str, Any]:
    labels, failure = record.labels, record.failure
    return {
        "schema": SCHEMA,
        "call_id": record.call_id,
        "parent_call_id": labels.parent,
        "trace_id": labels.trace,
        "session_id": labels.session,
        "tags": dict(labels.tags),
        "started_at": _iso(record.started),
        "ended_at": _iso(record.started + record.seconds),
        "entry": record.entry,
        "operation": "chat",
        "stream": record.stream,
        "status": record.status,
        "model_requested": record.requested,
        "error_type": failure.type if failure else None,
        "error_message": failure.message if failure else None,
        "http_status": failure.status_code if failure else 200 if record.completion else None,
        "retryable": failure.retryable if failure else None,
        "base_url_host": urlsplit(record.base_url).netloc,
        "catalog_version": record.catalog_version,
        "pkg_version": __version__,
    }


def _asked(body: Mapping[str, Any]) -> dict[str, Any]:
    own = ("model", "messages", "tools", "tool_choice", "response_format", "stream", "stream_options")
    tools, wanted, choice = body.get("tools"), body.get("response_format"), body.get("tool_choice")
    messages = body.get("messages") or []
    parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"] if isinstance(p, Mapping)]
    schema = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    return {
        "messages": messages,
        "tools": tools,
        "tool_names": [str((tool.get("function") or {}).get("name")) for tool in tools] if tools else None,
        "tool_choice": choice if isinstance(choice, str | None) else str((choice.get("function") or {}).get("name")),
        "response_format": wanted,
        "response_format_kind": wanted.get("type") if isinstance(wanted, Mapping) else None,
        "schema_name": schema.get("name") if isinstance(schema, Mapping) else None,
        "params": {name: value for name, value in body.items() if name not in own},
        "n_messages": len(messages),
        "n_images": sum(part.get("type") == "image_url" for part in parts),
        "prompt_chars": sum(map(len, _texts(messages))),
    }


def _answered(record: CallRecord) -> dict[str, Any]:
    completion, failure = record.completion, record.failure
    if completion is None:
        return {"request_id": failure.request_id if failure else None}
    first, *more = [_plain(choice) for choice in completion.choices]
    headers = completion.headers
    return {
        **first,
        "more_answers": more or None,
        "model_returned": completion.model or None,
        "response_id": completion.id or None,
        "request_id": headers.get("x-request-id") or (failure.request_id if failure else None),
        "system_fingerprint": completion.system_fingerprint,
        "answer_chars": sum(len(choice.text) + len(choice.reasoning) for choice in completion.choices),
    }


def _plain(choice: Choice) -> dict[str, Any]:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in choice.tool_calls]
    return {
        "content": choice.text,
        "reasoning": choice.reasoning or None,
        "tool_calls": calls or None,
        "finish_reason": choice.finish_reason,
    }


def spent(record: CallRecord) -> dict[str, Any]:
    """Return the columns that tell what a record used: tokens, USD, seconds."""
    usages = [attempt.usage for attempt in record.attempts if attempt.usage is not None]
    costs = [attempt.cost for attempt in record.attempts if attempt.cost is not None]
    last = record.attempts[-1] if record.attempts else None
    cached = [usage.cached_tokens for usage in usages if usage.cached_tokens is not None]
    thought = [usage.reasoning_tokens for usage in usages if usage.reasoning_tokens is not None]
    speed = last.usage.output_tokens / last.seconds if last and last.usage and last.seconds > 0 else None
    return {
        "prompt_tokens": sum(usage.input_tokens for usage in usages) if usages else None,
        "cached_tokens": sum(cached) if cached else None,
        "completion_tokens": sum(usage.output_tokens for usage in usages) if usages else None,
        "reasoning_tokens": sum(thought) if thought else None,
        "total_tokens": sum(usage.total_tokens for usage in usages) if usages else None,
        "usage_source": "none" if not usages else "estimate" if last and last.usage_is_estimate else "api",
        "cost_usd": _usd(record.cost),
        "cost_input_usd": _usd(sum((cost.input for cost in costs), Decimal(0))) if costs else None,
        "cost_cached_usd": _usd(sum((cost.cached_input for cost in costs), Decimal(0))) if costs else None,
        "cost_output_usd": _usd(sum((cost.output for cost in costs), Decimal(0))) if costs else None,
        "cost_worst_case_usd": _usd(record.worst_case),
        "cost_source": "catalog" if costs else "none",
        "price_version": record.catalog_version if costs else None,
        "budget_remaining_usd": _usd(record.budget_left),
        "latency_s": round(record.seconds, 6),
        "ttft_s": None if record.first_event_seconds is None else round(record.first_event_seconds, 6),
        "tokens_per_s": None if speed is None else round(speed, 3),
        "queue_s": round(record.queued, 6),
        "retry_wait_s": round(record.paused, 6),
        "n_attempts": record.tries,
    }


def _routed(record: CallRecord) -> dict[str, Any]:
    plan = record.plan or {}
    candidates = {
        candidate["model"]: [why["code"] for why in candidate.get("rejected") or ()]
        for candidate in plan.get("candidates") or ()
    }
    # The words of attempts are ours (classes of errors, codes), so that they say nothing of what was said.
    return {
        "attempts": [attempt.to_dict() for attempt in record.attempts],
        "route_policy": plan.get("policy"),
        "route_reason": "; ".join(plan.get("notes") or ()) or None,
        "route_candidates": candidates or None,
        "need": plan.get("need") or record.need,
    }


def _usd(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
