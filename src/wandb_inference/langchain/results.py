"""A whole answer as a ``ChatResult``."""

from __future__ import annotations

import json
from collections.abc import Iterable

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from wandb_inference.chat import Completion
from wandb_inference.chat import ToolCall as WireCall
from wandb_inference.langchain.facts import Facts, beside_the_text, extra_metadata, to_token_usage, to_usage_metadata


def to_result(completion: Completion, facts: Facts) -> ChatResult:
    """Return all choices as generations; usage and cost stand on the first one only, or sums would double."""
    usage = completion.usage
    generations = []
    for position, choice in enumerate(completion.choices):
        own = usage if position == 0 else None
        metadata = extra_metadata(completion.extra, choice.extra, choice.message_extra)
        metadata |= facts.at_start(completion.id, completion.model)
        metadata |= facts.at_end(choice.finish_reason, completion.system_fingerprint, own, completion.route)
        if choice.logprobs:
            metadata["logprobs"] = {"content": list(choice.logprobs)}
        valid, invalid = _tool_calls(choice.tool_calls)
        message = AIMessage(
            content=choice.text,
            additional_kwargs=beside_the_text(choice.reasoning, choice.refusal),
            tool_calls=valid,
            invalid_tool_calls=invalid,
            usage_metadata=to_usage_metadata(own, metadata) if own else None,
            response_metadata=metadata,
        )
        info = {key: metadata[key] for key in ("finish_reason", "logprobs") if key in metadata}
        generations.append(ChatGeneration(message=message, generation_info=info))
    output = {"model_name": completion.model, **({"token_usage": to_token_usage(usage)} if usage else {})}
    return ChatResult(generations=generations, llm_output=output)


def read_call(call: WireCall) -> ToolCall | InvalidToolCall:
    """Return a tool call with its arguments parsed; as an invalid one, with the reason, when they do not parse."""
    try:
        # Control characters inside strings are common in model output and harmless.
        arguments = json.loads(call.arguments or "{}", strict=False)
        problem = None if isinstance(arguments, dict) else "the arguments are not a JSON object"
    except (ValueError, RecursionError) as e:
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
