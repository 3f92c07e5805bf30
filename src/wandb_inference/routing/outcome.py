"""What an attempt's outcome means: is it the request's fault, the model's, or only the answer's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from wandb_inference.chat import ChatRequest, Completion
from wandb_inference.errors import (
    BudgetExceededError,
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from wandb_inference.routing.policy import Escalation

Fault: TypeAlias = Literal["request", "model", "service", "window", "budget"]
"""``request``: every model would refuse it. ``model``: the service does not serve it. ``service``: it failed for the
moment. ``window``: the prompt is too long for this model. ``budget``: it is too dear there."""


def fault_of(error: InferenceError) -> Fault:
    """Return whose fault an error is; only a request's own ends a call at once."""
    if isinstance(error, NotFoundError):
        return "request" if error.is_path else "model"  # a path that is not there is there for no model
    if isinstance(error, ContextLengthError):
        return "window"
    if isinstance(error, BudgetExceededError):
        return "budget"
    if isinstance(error, RateLimitedError | ServerError | TransportError | MalformedResponseError):
        return "service"
    return "request"  # 400, 401, 402, 403, 422, and what was refused before it was sent


def shortcoming(completion: Completion, request: ChatRequest) -> Escalation | None:
    """Return what an answer lacks; ``None`` when nothing."""
    choice = completion.choices[0]
    if choice.finish_reason == "content_filter" or choice.refusal:
        return "refusal"
    if choice.finish_reason == "length":
        return "length"
    if not choice.text.strip() and not choice.tool_calls:
        return "empty"
    format_ = request.options.response_format or {}
    if format_.get("type") in ("json_schema", "json_object") and not choice.tool_calls:
        named = format_.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return None if _is_of(choice.text, schema if isinstance(schema, Mapping) else {}) else "schema"
    return None


def _is_of(text: str, schema: Mapping[str, Any]) -> bool:
    try:
        return fits(json.loads(text), schema)
    except (ValueError, RecursionError):
        return False


JSON_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether decoded JSON is of a schema's outermost type, with the fields it requires.

    What a server does that does not enforce schemas shows here; a whole validator would be a dependency of everybody.
    """
    kinds = schema.get("type") or ()
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    return not isinstance(value, dict) or all(name in value for name in schema.get("required") or ())


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # JSON's true is no number, as Python's is
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, JSON_TYPES.get(kind, object))
