"""Rows in the words of OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# The conventions are in development, and names still move (semantic-conventions-genai, read 2026-11-20): where they
# did, both are written.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name",),
    "model_returned": ("gen_ai.response.model",),
    "response_id": ("gen_ai.response.id",),
    "session_id": ("gen_ai.conversation.id",),
    "stream": ("gen_ai.request.stream",),
    "response_format_kind": ("gen_ai.output.type",),
    "prompt_tokens": ("gen_ai.usage.input_tokens",),
    "completion_tokens": ("gen_ai.usage.output_tokens",),
    "cached_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    "ttft_s": ("gen_ai.response.time_to_first_chunk",),
    "http_status": ("http.response.status_code",),
    "error_type": ("error.type",),
    "cost_usd": ("wandb_inference.cost.total_usd",),
    "cost_worst_case_usd": ("wandb_inference.cost.worst_case_usd",),
    "price_version": ("wandb_inference.price_version",),
    "tokens_per_s": ("wandb_inference.tokens_per_s",),
    "n_attempts": ("wandb_inference.n_attempts",),
    "queue_s": ("wandb_inference.queue_s",),
    "retry_wait_s": ("wandb_inference.retry_wait_s",),
    "status": ("wandb_inference.status",),
    "entry": ("wandb_inference.entry",),
    "call_id": ("wandb_inference.call_id",),
    "model_requested": ("wandb_inference.model_requested",),
    "route_policy": ("wandb_inference.route.policy",),
    "attempts": ("wandb_inference.attempts",),
    "redaction": ("wandb_inference.redaction",),
    "tools": ("gen_ai.tool.definitions",),
}
PARAMS: Mapping[str, str] = {
    **{
        name: f"gen_ai.request.{name}"
        for name in ("temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty", "seed")
    },
    "stop": "gen_ai.request.stop_sequences",
    "n": "gen_ai.request.choice.count",
}
"""Options that the conventions have a name for."""


def attributes_of(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a span."""
    yield "gen_ai.provider.name", "wandb_inference"
    yield "gen_ai.request.model", row.get("model_sent") or row.get("model_requested") or ""
    host, _, port = (row.get("base_url_host") or "").partition(":")
    yield "server.address", host
    if port.isdigit():
        yield "server.port", int(port)
    for column, names in ATTRIBUTES.items():
        value = row.get(column)
        if value is not None:
            yield from ((name, value if isinstance(value, str | int | float) else _json(value)) for name in names)
    yield from _options(row.get("params") or {})
    if row.get("finish_reason"):
        yield "gen_ai.response.finish_reasons", (row["finish_reason"],)
    if row.get("messages") is not None:
        yield "gen_ai.input.messages", _json([_message(message) for message in row["messages"]])
    if row.get("content") is not None or row.get("tool_calls"):
        answer = _message({name: row.get(name) for name in ("content", "reasoning", "tool_calls")})
        yield "gen_ai.output.messages", _json([{**answer, "finish_reason": row.get("finish_reason")}])
    for name, value in (row.get("tags") or {}).items():
        yield f"wandb_inference.tag.{name}", value


def _options(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, attribute in PARAMS.items():
        value = params.get(name)
        if isinstance(value, int | float):
            yield attribute, value
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            yield attribute, tuple(value)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in the shape of the conventions."""
    content = message.get("content")
    parts: list[Any] = []
    if message.get("reasoning"):
        parts.append({"type": "reasoning", "content": message["reasoning"]})
    if message.get("role") == "tool":
        parts.append({"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content})
    elif isinstance(content, list):
        parts += [
            {"type": "text", "content": part["text"]} if isinstance(part, Mapping) and "text" in part else part
            for part in content
        ]
    elif content:
        parts.append({"type": "text", "content": content})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call
        told = {"name": function.get("name"), "arguments": function.get("arguments")}
        parts.append({"type": "tool_call", "id": call.get("id"), **told})
    return {"role": message.get("role") or "assistant", "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
