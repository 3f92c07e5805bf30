"""Answers for LiteLLM: a whole one as the body it knows, a streamed one as chunks in the order that it bills."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from litellm.types.utils import ModelResponseStream

from wandb_inference.accounting import price
from wandb_inference.catalog import ModelCard
from wandb_inference.chat import (
    Completion,
    ExtraFields,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCallDelta,
    Usage,
    joined,
)


def to_body(completion: Completion, card: ModelCard | None = None) -> dict[str, Any]:
    """Return a chat completion's body, with reasoning under LiteLLM's name for it; ``card``: of its model."""
    choices = []
    for choice in completion.choices:
        message: dict[str, Any] = {**choice.message_extra, "role": "assistant", "content": choice.text or None}
        if choice.refusal:
            message["refusal"] = choice.refusal
        if choice.reasoning:
            message["reasoning_content"] = choice.reasoning
        if choice.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in choice.tool_calls
            ]
        logprobs = {"content": list(choice.logprobs)} if choice.logprobs else None
        facts = {"index": choice.index, "finish_reason": choice.finish_reason, "logprobs": logprobs}
        choices.append({**choice.extra, **facts, "message": message})
    body = {
        **completion.extra,
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
    }
    if completion.system_fingerprint:
        body["system_fingerprint"] = completion.system_fingerprint
    return {**body, "choices": choices, **({"usage": to_usage(completion.usage, card)} if completion.usage else {})}


def to_usage(usage: Usage, card: ModelCard | None) -> dict[str, Any]:
    """Return the counts in OpenAI's shape, with what they cost, by which LiteLLM bills a stream that was taken over."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if cost := price(usage, card.price if card else None):
        counts["cost"] = float(cost.total)
    return counts


class Chunks:
    """Writes a stream as LiteLLM's chunks.

    LiteLLM stops reading at the finish reason, and with it loses the counts that OpenAI and vLLM send after it: it
    would bill nothing. So the counts leave first, the finish reasons last. Its bridge to Anthropic's messages mixes up
    calls whose arguments alternate: a call's fragments wait until the call before it is whole.

    Args:
        card: of the model that answers.
        coalesce: whether deltas of a kind that came together leave as one.
        merge: LiteLLM's ``merge_reasoning_content_in_choices``: reasoning leaves as text, between ``<think>`` tags.
        created: of every chunk, which LiteLLM gives its own last one, too; ``None``: what the service says.
    """

    def __init__(
        self, card: ModelCard | None = None, *, coalesce: bool = True, merge: bool = False, created: int | None = None
    ) -> None:
        self._card, self._coalesce, self._merge, self._created = card, coalesce, merge, created
        self._thinking: set[int] = set()  # choices whose <think> is open
        self._start, self._extra = StreamStart("", ""), ExtraFields()
        self._calls: dict[int, _Calls] = {}
        self._begun: set[int] = set()  # choices whose role is told

    def of(self, batch: Iterable[StreamEvent]) -> Iterator[ModelResponseStream]:
        """Return the chunks of one network read."""
        held: tuple[int, dict[str, Any]] | None = None  # its log probabilities follow it
        events = joined(batch) if self._coalesce else batch
        for event in self._merged(events) if self._merge else events:
            if isinstance(event, LogprobsDelta):
                choice, delta = (
                    held if held is not None and held[0] == event.choice else (event.choice, {"content": ""})
                )
                yield self._chunk([_choice(choice, delta, logprobs={"content": list(event.tokens)})])
                held = None
                continue
            if held is not None:
                yield self._chunk([_choice(*held)])
                held = None
            if isinstance(event, TextDelta):
                held = event.choice, {"content": event.text}
            elif isinstance(event, ReasoningDelta):
                held = event.choice, {"reasoning_content": event.text}
            elif isinstance(event, RefusalDelta):
                held = event.choice, {"provider_specific_fields": {"refusal": event.text}}
            else:
                yield from self._at_once(event)
        if held is not None:
            yield self._chunk([_choice(*held)])

    def _merged(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        for event in events:
            if isinstance(event, ReasoningDelta):
                tag = "" if event.choice in self._thinking else "<think>"
                self._thinking.add(event.choice)
                yield TextDelta(tag + event.text, event.choice)
                continue
            ended = {event.choice} if isinstance(event, TextDelta | ToolCallDelta) else set()
            ended = self._thinking & (self._thinking if isinstance(event, StreamEnd) else ended)
            self._thinking -= ended
            for choice in sorted(ended):
                yield TextDelta("</think>", choice)
            yield event

    def _at_once(self, event: StreamStart | ToolCallDelta | ExtraFields | StreamEnd) -> Iterator[ModelResponseStream]:
        if isinstance(event, StreamStart):
            self._start = event
        elif isinstance(event, ExtraFields):
            self._extra = event
        elif isinstance(event, ToolCallDelta):
            for ready in self._calls.setdefault(event.choice, _Calls()).take(event):
                yield self._chunk([_choice(event.choice, {"tool_calls": [_fragment(ready)]})])
        else:
            yield from self._end(event)

    def _end(self, end: StreamEnd) -> Iterator[ModelResponseStream]:
        for choice, calls in self._calls.items():
            for left in calls.rest():
                yield self._chunk([_choice(choice, {"tool_calls": [_fragment(left)]})])
        # vLLM says "stop" of a call whose name the request gave; of a whole answer, LiteLLM changes that itself.
        reasons = {
            index: "tool_calls" if reason == "stop" and index in self._calls else reason
            for index, reason in {**end.finish_reasons, 0: end.finish_reason}.items()
        }
        others = {index: reason for index, reason in reasons.items() if index}
        if others:  # past the first choice, LiteLLM looks at nothing: they pass beside an empty one
            rest = [_choice(index, {}, finish_reason=reason) for index, reason in sorted(others.items())]
            yield self._chunk([_choice(0, {}), *rest])
        extra = self._extra
        if extra != ExtraFields():  # beside the finish reason, LiteLLM would pass them over
            delta = {"provider_specific_fields": dict(extra.messages.get(0, {}))}
            beside = _choice(0, delta, **extra.choices.get(0, {}))
            yield self._chunk([beside], provider_specific_fields=dict(extra.answer))
        if end.usage is not None:
            yield self._chunk([], usage=to_usage(end.usage, self._card))
        yield self._chunk([_choice(0, {}, finish_reason=reasons[0])], system_fingerprint=end.system_fingerprint)

    def _chunk(self, choices: list[dict[str, Any]], **fields: Any) -> ModelResponseStream:
        start = self._start
        for choice in choices:
            if choice["index"] not in self._begun:
                self._begun.add(choice["index"])
                choice["delta"] = {"role": "assistant", **choice["delta"]}
        return ModelResponseStream(
            id=start.id or None,
            created=start.created if self._created is None else self._created,
            model=start.model,
            choices=choices,  # type: ignore[arg-type]  # LiteLLM makes its classes of them
            **{name: value for name, value in fields.items() if value is not None},
        )


def _choice(index: int, delta: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, **fields}


def _fragment(event: ToolCallDelta) -> dict[str, Any]:
    function = {"name": event.name, "arguments": event.arguments}
    return {"index": event.index, "id": event.id, "type": "function", "function": function}


class _Calls:
    """Puts the fragments of one choice's calls one call after the other."""

    def __init__(self) -> None:
        self._current: int | None = None
        self._told: list[str] = []
        self._waiting: dict[int, list[ToolCallDelta]] = {}

    def take(self, event: ToolCallDelta) -> Iterator[ToolCallDelta]:
        """Take a fragment; return those whose turn it is."""
        self._waiting.setdefault(event.index, []).append(event)
        while self._waiting:
            if self._current is None:
                self._current, self._told = min(self._waiting), []
            for ready in self._waiting.pop(self._current, ()):
                self._told.append(ready.arguments)
                yield ready
            if not self._waiting or not _is_whole(self._told):
                return
            self._current = None

    def rest(self) -> Iterator[ToolCallDelta]:
        """Return what still waits, when nothing more comes."""
        for _, fragments in sorted(self._waiting.items()):
            yield from fragments


def _is_whole(pieces: list[str]) -> bool:
    if not pieces or not pieces[-1].rstrip().endswith("}"):
        return False  # long arguments come in many pieces, and reading all of them after each would take for ever
    try:
        return isinstance(json.loads("".join(pieces)), dict)
    except (ValueError, RecursionError):
        return False
