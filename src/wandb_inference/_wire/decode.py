"""A whole answer, from the bytes of its body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Any

from wandb_inference._wire.failure import failure
from wandb_inference._wire.page import is_page, page_line
from wandb_inference.chat import (
    Choice,
    Completion,
    ExtraFields,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    ServedModel,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from wandb_inference.errors import MalformedResponseError

UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a body of another shape than the protocol's comes to."""


def decode(content: bytes, *, model: str, headers: Mapping[str, str] | None = None) -> Completion:
    """Return the answer in this body.

    Args:
        content: the body of a response with status 200.
        model: the model asked for, to be named in errors.
        headers: response headers, kept with the answer.

    Raises:
        StatusError: the body holds an error despite its status.
        MalformedResponseError: the body is no chat completion.
    """
    body = _json_of(content)
    if body is _NO_JSON:
        raise malformed(model, "is not JSON" if content.strip() else "is empty", content)
    if not isinstance(body, dict):
        raise malformed(model, "is not a JSON object", content)
    if is_error(body):
        raise failure(model=model, body=body)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(c, dict) for c in choices):
        raise malformed(model, "has no choices", content)
    id_ = str(body.get("id") or "")
    with suppress(*UNREADABLE):
        usage = usage_of(body)
        return Completion(
            id=id_,
            model=str(body.get("model") or model),
            created=created_of(body),
            system_fingerprint=body.get("system_fingerprint") or None,
            choices=tuple(
                with_incomplete_details(_choice(choice, position, id_), usage)
                for position, choice in enumerate(choices)
            ),
            usage=usage,
            extra=extra_of(body, ANSWER_FIELDS),
            headers=headers or {},
            raw=body,
        )
    raise malformed(model, "is of an unknown shape", content)


def events_of(completion: Completion) -> list[StreamEvent]:
    """Return a whole answer as the events of a stream, for a server that does not stream when asked to."""
    events: list[StreamEvent] = [StreamStart(completion.id, completion.model, completion.created)]
    for choice in completion.choices:
        if choice.reasoning:
            events.append(ReasoningDelta(choice.reasoning, choice.index))
        if choice.text:
            events.append(TextDelta(choice.text, choice.index))
        events += (
            ToolCallDelta(position, call.arguments, call.id, call.name, choice.index)
            for position, call in enumerate(choice.tool_calls)
        )
        if choice.refusal:
            events.append(RefusalDelta(choice.refusal, choice.index))
        if choice.logprobs:
            events.append(LogprobsDelta(choice.logprobs, choice.index))
    extra = ExtraFields(
        completion.extra,
        {choice.index: choice.extra for choice in completion.choices if choice.extra},
        {choice.index: choice.message_extra for choice in completion.choices if choice.message_extra},
    )
    if extra != ExtraFields():
        events.append(extra)
    reasons = {choice.index: choice.finish_reason or "stop" for choice in completion.choices}
    events.append(StreamEnd(reasons, completion.usage, completion.system_fingerprint))
    return events


def decode_models(content: bytes) -> tuple[ServedModel, ...]:
    """Return the models in the body of a ``/models`` response, by id.

    Raises:
        MalformedResponseError: the body is no model list.
    """
    with suppress(*UNREADABLE):
        rows = _json_of(content)["data"]
        models = (ServedModel(str(row["id"]), row.get("max_model_len")) for row in rows)
        return tuple(sorted(models, key=lambda model: model.id))
    raise malformed("models", "is no model list", content)


_NO_JSON: Any = object()
# No error is raised while another one is handled here: what Python and its JSON decoder say of a body quotes it, and a
# server may have put the key there.


def _json_of(content: bytes) -> Any:
    """Return what a body holds; ``_NO_JSON``: none that can be read."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return _NO_JSON


def is_error(body: Mapping[str, Any]) -> bool:
    """Whether this is an error, in any of the shapes that came with status 200: OpenAI's, FastAPI's, older vLLM's."""
    said = body.get("detail") or isinstance(body.get("message"), str)
    return bool(body.get("error") or (said and "choices" not in body))


def _choice(choice: Mapping[str, Any], position: int, answer_id: str) -> Choice:
    message = choice.get("message") or {}
    index = choice.get("index")
    return Choice(
        index=index if isinstance(index, int) else position,
        text=text_of(message.get("content")),
        reasoning=reasoning_of(message),
        tool_calls=tuple(
            ToolCall(
                str(call.get("id") or call_id(answer_id, number)),
                str((call.get("function") or {}).get("name") or ""),
                arguments_of((call.get("function") or {}).get("arguments")),
            )
            for number, call in enumerate(message.get("tool_calls") or ())
        ),
        finish_reason=reason_of(choice),
        logprobs=logprobs_of(choice),
        refusal=text_of(message.get("refusal")),
        extra=extra_of(choice, CHOICE_FIELDS),
        message_extra=extra_of(message, MESSAGE_FIELDS),
    )


def text_of(content: Any) -> str:
    """Return the text of a content field: a string, null, or a list of text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def reasoning_of(message: Mapping[str, Any]) -> str:
    """Return the reasoning under either name; vLLM 0.14 sends the same text under both."""
    either, other = message.get("reasoning"), message.get("reasoning_content")
    return ((either and text_of(either)) or (other and text_of(other))) or ""


def arguments_of(arguments: Any) -> str:
    """Return tool arguments as JSON text; some servers send an object instead of a string."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def call_id(answer_id: str, number: int) -> str:
    """Return an id for a tool call that came without one; the tool's result cannot be paired without it."""
    return f"call_{answer_id.rpartition('-')[2]}_{number}"


def logprobs_of(choice: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the token entries of ``logprobs``, which is null, absent or ``{"content": null}`` when not asked for."""
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if logprobs else None
    return tuple(tokens) if tokens and isinstance(tokens, Sequence) else ()


def reason_of(choice: Mapping[str, Any]) -> str | None:
    """Return the finish reason as text, whatever it is; an empty one is none."""
    reason = choice.get("finish_reason")
    if reason is None or isinstance(reason, str):
        return reason or None
    return json.dumps(reason, ensure_ascii=False)


ANSWER_FIELDS = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "error", "detail"}
CHOICE_FIELDS = {"index", "message", "delta", "finish_reason", "logprobs"}
MESSAGE_FIELDS = {"role", "content", "reasoning", "reasoning_content", "tool_calls", "refusal"}


def extra_of(body: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    """Return the fields that have no name here and hold something."""
    return {name: value for name, value in body.items() if name not in known and value not in (None, [], {})}


def with_incomplete_details(choice: Choice, usage: Usage | None) -> Choice:
    """Return the choice; where nothing is left of it because reasoning spent its tokens, it says so."""
    if choice.finish_reason != "length" or choice.text or choice.tool_calls or choice.refusal:
        return choice
    if not choice.reasoning and not (usage and usage.reasoning_tokens):
        return choice
    counts = {"output_tokens": usage.output_tokens, "reasoning_tokens": usage.reasoning_tokens} if usage else {}
    details = {"reason": "max_output_tokens", **{name: count for name, count in counts.items() if count is not None}}
    return replace(choice, extra={**choice.extra, "incomplete_details": details})


def created_of(body: Mapping[str, Any]) -> int | None:
    """Return the time stamp, if it is one."""
    created = body.get("created")
    return int(created) if isinstance(created, int | float) else None


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """Return the token counts of a body or chunk; ``None`` when it has none that make sense."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    counted = _count(usage.get("prompt_tokens"))
    if counted is None:
        return None
    return Usage(
        input_tokens=counted,
        output_tokens=_count(usage.get("completion_tokens")) or 0,
        cached_tokens=_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
        reasoning_tokens=_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
    )


def _count(value: Any) -> int | None:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count < _ABSURD else None


_ABSURD = 2**53  # tokens; what JSON readers no longer tell apart


def malformed(model: str, what: str, content: bytes) -> MalformedResponseError:
    """Return the error for a body that breaks the protocol, with its beginning quoted."""
    text = content[:20_000].decode("utf-8", "replace")
    if is_page(text):
        return MalformedResponseError(
            f"{model}: the answer {what}: {page_line(text)}.",
            hint="Something else answered instead of the service: a login page of the network, a proxy, or a web site, "
            "if base_url names one (it usually ends in /v1).",
        )
    return MalformedResponseError(
        f"{model}: the answer {what}: {text[:200]!r}.",
        hint="Check that base_url names an OpenAI-compatible service (it usually ends in /v1).",
    )
