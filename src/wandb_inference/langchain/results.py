"""A whole answer as a ``ChatResult``, and the facts that every form of an answer carries in its metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall, UsageMetadata
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from wandb_inference.accounting import Cost, price
from wandb_inference.catalog import ModelCard
from wandb_inference.chat import Completion, Usage
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
            **facts_at_end(completion.system_fingerprint, usage if position == 0 else None, card),
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
            usage_metadata=to_usage_metadata(usage) if usage and position == 0 else None,
            response_metadata=metadata,
        )
        info = {key: metadata[key] for key in ("finish_reason", "logprobs") if key in metadata}
        generations.append(ChatGeneration(message=message, generation_info=info))
    output = {"model_name": completion.model, **({"token_usage": _token_usage(usage)} if usage else {})}
    return ChatResult(generations=generations, llm_output=output)


def read_call(call: WireCall) -> ToolCall | InvalidToolCall:
    """Return a tool call with its arguments parsed; as an invalid one, with the reason, when they do not parse."""
    try:
        # Control characters inside strings are common in model output and harmless.
        arguments = json.loads(call.arguments or "{}", strict=False)
        problem = None if isinstance(arguments, dict) else "the arguments are not a JSON object"
    except ValueError as e:
        arguments, problem = None, f"the arguments are not JSON: {e}"
    if problem is None:
        return tool_call(name=call.name, args=arguments, id=call.id)
    return invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=problem)


def _tool_calls(calls: Iterable[WireCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in map(read_call, calls):
        if call["type"] == "invalid_tool_call":
            invalid.append(call)
        else:
            valid.append(call)
    return valid, invalid


def facts_at_end(fingerprint: str | None, usage: Usage | None, card: ModelCard | None) -> dict[str, Any]:
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


def to_usage_metadata(usage: Usage) -> UsageMetadata:
    """Return token counts under LangChain's names; parts that the service did not count are absent."""
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata
