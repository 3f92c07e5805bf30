"""A request as the service wants to read it."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import Any

from wandb_inference.catalog import ModelCard
from wandb_inference.chat import ChatOptions, ChatRequest
from wandb_inference.errors import RequestReviewError

_OTHERWISE = {
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "schema_as_tool",
    "reasoning",
    "include_usage",
    "extra_body",
}
_SAME_NAME = tuple(option.name for option in fields(ChatOptions) if option.name not in _OTHERWISE)
_values = attrgetter(*_SAME_NAME)
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(request: ChatRequest, card: ModelCard | None = None, *, stream: bool = False) -> bytes:
    """Return the JSON body of this call.

    Args:
        request: the call.
        card: what is known of the model; it says how reasoning is switched.
        stream: ask for server-sent events.

    Raises:
        RequestReviewError: the call holds what JSON cannot.
    """
    options = request.options
    body: dict[str, Any] = {"model": card.id if card else request.model, "messages": list(request.messages)}
    body |= {name: value for name, value in zip(_SAME_NAME, _values(options), strict=True) if value is not None}
    body.update(_tools(options))
    body.update(_reasoning(options, card))
    if stream:
        body["stream"] = True
        if options.include_usage:
            body["stream_options"] = {"include_usage": True}
    for name, value in (options.extra_body or {}).items():
        both_objects = isinstance(value, dict) and isinstance(body.get(name), dict)
        body[name] = {**body[name], **value} if both_objects else value
    try:
        return _JSON.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as e:  # ValueError: NaN, or half of a surrogate pair
        why = "half of a surrogate pair, which is no character" if isinstance(e, UnicodeEncodeError) else str(e)
        raise RequestReviewError(
            f"{request.model}: the request cannot be written as JSON: {why}.",
            model=request.model,
            findings=(),
            hint="Messages and options hold strings, finite numbers, booleans, lists and dicts only.",
        ) from e


def _tools(options: ChatOptions) -> dict[str, Any]:
    if not options.tools:
        return {}  # vLLM answers 400 to `tools: []`, and to a tool_choice without tools
    # "any" is what other APIs call "required"; vLLM answers it with 400.
    choice = "required" if options.tool_choice == "any" else options.tool_choice
    optional = {"tool_choice": choice, "parallel_tool_calls": options.parallel_tool_calls}
    return {"tools": list(options.tools), **{name: value for name, value in optional.items() if value is not None}}


def _reasoning(options: ChatOptions, card: ModelCard | None) -> dict[str, Any]:
    """Map on / off / effort to this model's own switch; what the model cannot do is the review's to refuse."""
    wanted = options.wants_reasoning
    if wanted is None:
        return {}
    known = card.reasoning if card else None
    switch = known.switch if known and known.mode else ("enable_thinking",)  # the documented one
    kwargs = {"chat_template_kwargs": dict.fromkeys(switch, wanted is not False)} if switch else {}
    if isinstance(wanted, bool):
        return kwargs
    starts_off = known is not None and known.mode == "switchable" and known.default != "on"
    return {"reasoning_effort": wanted, **(kwargs if starts_off else {})}
