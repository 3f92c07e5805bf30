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
        return "model"
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
    if choice.finish_reason == "content_filter" or _refused(completion):
        return "refusal"
    if choice.finish_reason == "length":
        return "length"
    if not choice.text.strip() and not choice.tool_calls:
        return "empty"
    format_ = request.options.response_format or {}
    if format_.get("type") in ("json_schema", "json_object") and not choice.tool_calls:
        named = format_.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return None if _fits(choice.text, schema if isinstance(schema, dict) else {}) else "schema"
    return None


def _refused(completion: Completion) -> bool:
    choices: Any = (completion.raw or {}).get("choices") or ({},)
    return bool((choices[0].get("message") or {}).get("refusal"))


_TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}


def _fits(text: str, schema: dict[str, Any]) -> bool:
    """Whether an answer is JSON of the schema's outermost type with the fields it requires.

    What a server does that does not enforce schemas shows here; a whole validator would be a dependency of everybody.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    kind = _TYPES.get(str(schema.get("type")))
    truth = isinstance(value, bool) and kind is not bool  # JSON's true is no number, as Python's is
    if kind is not None and (truth or not isinstance(value, kind)):  # type: ignore[arg-type]  # a tuple of types is one, too
        return False
    return not isinstance(value, dict) or all(name in value for name in schema.get("required") or ())
