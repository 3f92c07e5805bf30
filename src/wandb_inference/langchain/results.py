"""Answers to LangChain: a whole completion to a ``ChatResult``, the events of a stream to message chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall, UsageMetadata
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from wandb_inference.accounting import Cost, price
from wandb_inference.catalog import ModelCard
from wandb_inference.chat import (
    Completion,
    LogprobsDelta,
    ReasoningDelta,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from wandb_inference.chat import ToolCall as WireCall
from wandb_inference.langchain.provider import PROVIDER


def to_result(completion: Completion, card: ModelCard | None, *, include_headers: bool = False) -> ChatResult:
    """Return all choices as generations; usage and cost stand on the first one only, or sums would double."""
    usage = completion.usage
    generations = []
    for position, choice in enumerate(completion.choices):
        metadata: dict[str, Any] = {
            "model_provider": PROVIDER,
            "model_name": completion.model,
            "finish_reason": choice.finish_reason,
            **({"id": completion.id} if completion.id else {}),
            **_tail(completion.system_fingerprint, usage if position == 0 else None, card),
        }
        if choice.logprobs:
            metadata["logprobs"] = {"content": list(choice.logprobs)}
        if include_headers:
            metadata["headers"] = dict(completion.headers)
        valid, invalid = _tool_calls(choice.tool_calls)
        message = AIMessage(
            content=choice.text,
            additional_kwargs={"reasoning_content": choice.reasoning} if choice.reasoning else {},
            tool_calls=valid,
            invalid_tool_calls=invalid,
            usage_metadata=_usage_metadata(usage) if usage and position == 0 else None,
            response_metadata=metadata,
        )
        info = {key: metadata[key] for key in ("finish_reason", "logprobs") if key in metadata}
        generations.append(ChatGeneration(message=message, generation_info=info))
    output = {"model_name": completion.model, **({"token_usage": _token_usage(usage)} if usage else {})}
    return ChatResult(generations=generations, llm_output=output)


class Chunks:
    """Turns the events of one stream into message chunks.

    Each fact stands in exactly one chunk, because LangChain adds chunks up: strings would double, costs would sum.
    """

    def __init__(self, card: ModelCard | None, headers: Mapping[str, str] | None, *, coalesce: bool = True) -> None:
        self._card = card
        self._headers = headers
        self._coalesce = coalesce

    def of(self, batch: Iterable[StreamEvent]) -> Iterator[ChatGenerationChunk]:
        """Return the chunks of one network read: neighbours of the same kind become one chunk."""
        run: list[StreamEvent] = []
        for event in batch:
            if run and not (self._coalesce and type(event) is type(run[-1])):
                yield self._chunk(run)
                run = []
            run.append(event)
        if run:
            yield self._chunk(run)

    def _chunk(self, run: list[StreamEvent]) -> ChatGenerationChunk:
        first = run[0]
        metadata: dict[str, Any] = {"model_provider": PROVIDER}
        info: dict[str, Any] = {}
        if isinstance(first, TextDelta):
            text = "".join(event.text for event in run if isinstance(event, TextDelta))
            return _generation(AIMessageChunk(content=text, response_metadata=metadata))
        if isinstance(first, ReasoningDelta):
            text = "".join(event.text for event in run if isinstance(event, ReasoningDelta))
            kwargs = {"reasoning_content": text}
            return _generation(AIMessageChunk(content="", additional_kwargs=kwargs, response_metadata=metadata))
        if isinstance(first, ToolCallDelta):
            fragments = _fragments(event for event in run if isinstance(event, ToolCallDelta))
            return _generation(AIMessageChunk(content="", tool_call_chunks=fragments, response_metadata=metadata))
        if isinstance(first, LogprobsDelta):
            tokens = [token for event in run if isinstance(event, LogprobsDelta) for token in event.tokens]
            info["logprobs"] = {"content": tokens}
            return _generation(AIMessageChunk(content="", response_metadata=metadata), info)
        if isinstance(first, StreamStart):
            metadata["model_name"] = first.model
            if first.id:
                metadata["id"] = first.id
            if self._headers is not None:
                metadata["headers"] = dict(self._headers)
            return _generation(AIMessageChunk(content="", response_metadata=metadata))
        return self._end(first, metadata)

    def _end(self, end: StreamEnd, metadata: dict[str, Any]) -> ChatGenerationChunk:
        metadata |= _tail(end.system_fingerprint, end.usage, self._card)
        message = AIMessageChunk(
            content="",
            usage_metadata=_usage_metadata(end.usage) if end.usage else None,
            response_metadata=metadata,
            chunk_position="last",
        )
        return _generation(message, {"finish_reason": end.finish_reason})


def _generation(message: AIMessageChunk, info: dict[str, Any] | None = None) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=message, generation_info=info)


def _fragments(events: Iterable[ToolCallDelta]) -> list[ToolCallChunk]:
    """Return one chunk for each call that these events are about."""
    calls: dict[int, list[ToolCallDelta]] = {}
    for event in events:
        calls.setdefault(event.index, []).append(event)
    return [
        tool_call_chunk(
            name=next((delta.name for delta in deltas if delta.name), None),
            args="".join(delta.arguments for delta in deltas),
            id=deltas[0].id,
            index=index,
        )
        for index, deltas in calls.items()
    ]


def _tool_calls(calls: Iterable[WireCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    valid, invalid = [], []
    for call in calls:
        try:
            # Control characters inside strings are common in model output and harmless.
            arguments = json.loads(call.arguments or "{}", strict=False)
            problem = None if isinstance(arguments, dict) else "the arguments are not a JSON object"
        except ValueError as e:
            arguments, problem = None, f"the arguments are not JSON: {e}"
        if problem is None:
            valid.append(tool_call(name=call.name, args=arguments, id=call.id))
        else:
            invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=problem))
    return valid, invalid


def _tail(fingerprint: str | None, usage: Usage | None, card: ModelCard | None) -> dict[str, Any]:
    """Return the facts known only when the answer is complete."""
    tail: dict[str, Any] = {}
    if fingerprint:
        tail["system_fingerprint"] = fingerprint
    if usage is not None:
        tail["token_usage"] = _token_usage(usage)
    cost = price(usage, card.price if card else None)
    if cost is not None:
        tail |= _cost(cost)
    return tail


def _cost(cost: Cost) -> dict[str, Any]:
    # Metadata must survive JSON, so floats here; exact decimals come from wandb_inference.price.
    parts = {"input": float(cost.input), "cached_input": float(cost.cached_input), "output": float(cost.output)}
    return {"cost": float(cost.total), "cost_details": {"currency": "USD", **parts}}


def _token_usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def _usage_metadata(usage: Usage) -> UsageMetadata:
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata
