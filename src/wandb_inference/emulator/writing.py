"""Write an answer the way vLLM 0.32 does: one JSON body, or the events of a stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from wandb_inference.emulator.protocol import Call
from wandb_inference.emulator.script import Reply, ToolUse
from wandb_inference.emulator.tokens import pieces

ReasoningField: TypeAlias = Literal["reasoning", "reasoning_content", "both"]
"""Where reasoning goes: vLLM since 0.16 ``reasoning``, before ``reasoning_content``, 0.14 both."""

FINGERPRINT = "emulator-1"


@dataclass(frozen=True, slots=True)
class Spoken:
    """One of the ``n`` answers as tokens, cut where the call says."""

    reasoning: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[tuple[str, str, tuple[str, ...]], ...]
    """(id, name, arguments) of each call."""
    finish_reason: str
    stop_reason: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens generated, the one that ends the answer included."""
        return len(self.reasoning) + len(self.text) + sum(len(arguments) + 4 for _, _, arguments in self.calls) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything there is to write."""

    id: str
    created: int
    call: Call
    choices: tuple[Spoken, ...]
    prompt_tokens: int
    cached_tokens: int
    reasoning_field: ReasoningField = "reasoning"
    counts: Mapping[str, Any] | None = None
    """Reported instead of our own."""

    def usage(self, part: float = 1.0) -> dict[str, Any]:
        """Return the token counts; ``part`` scales the output for the running counts of a stream."""
        if self.counts is not None:
            return dict(self.counts)
        output = sum(min(choice.tokens, self.call.max_tokens or choice.tokens) for choice in self.choices)
        reasoning = sum(len(choice.reasoning) for choice in self.choices)
        output, reasoning = int(output * part), int(reasoning * part)
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + output,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "created_cache_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": min(reasoning, output)},
        }


def speak(reply: Reply, call: Call, answer_id: str, choice: int = 0, room: int | None = None) -> Spoken:
    """Return a reply as tokens: reasoning only when it is on, cut at stops, ``max_tokens`` and the window."""
    text, stop_reason = reply.text, None
    found = sorted((text.index(stop), stop) for stop in call.stop if stop in text)
    if found:
        text, stop_reason = text[: found[0][0]], found[0][1]
    budget = min(limit for limit in (call.max_tokens, room, 10**9) if limit is not None)
    reasoning = _take(reply.reasoning, budget) if call.thinking else ()
    spoken = _take(text, budget - len(reasoning))
    left = budget - len(reasoning) - len(spoken)
    whole = "".join(spoken) == text and "".join(reasoning) == (reply.reasoning if call.thinking else "")
    calls = []
    for number, use in enumerate(reply.tool_calls if whole else ()):
        arguments = _take(_arguments(use), max(left, 0))
        whole = whole and "".join(arguments) == _arguments(use)
        left -= len(arguments)
        calls.append((f"chatcmpl-tool-{answer_id[-12:]}{choice}{number}", use.name, arguments))
        if not whole:
            break
    # vLLM ends a call of a named tool with "stop" (recorded), and only the others with "tool_calls".
    natural = "tool_calls" if reply.tool_calls and not call.tool_choice.startswith("name:") else "stop"
    finish = reply.finish_reason or (natural if whole else "length")
    return Spoken(reasoning, spoken, tuple(calls), finish, stop_reason if whole else None)


def body(answer: Answer) -> dict[str, Any]:
    """Return the whole answer as one JSON object."""
    return {
        **_head(answer, "chat.completion"),
        "choices": [_choice(answer, index, spoken) for index, spoken in enumerate(answer.choices)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": answer.usage(),
        "prompt_logprobs": None,
        "kv_transfer_params": None,
    }


def events(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield the chunks of the answer, without the final ``[DONE]``."""
    head = _head(answer, "chat.completion.chunk")
    call = answer.call

    def chunk(index: int, delta: Mapping[str, Any], *, spoken: Spoken | None = None, token: str = "") -> dict[str, Any]:
        logprobs = _logprobs((token,), call) if token and call.top_logprobs is not None else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        if spoken is not None:
            choice |= {"finish_reason": spoken.finish_reason, "stop_reason": spoken.stop_reason}
        return {**head, "choices": [choice]}

    for index in range(len(answer.choices)):
        yield chunk(index, {"role": "assistant", "content": ""})
    deltas = [list(_deltas(answer, spoken)) for spoken in answer.choices]
    longest = max(map(len, deltas))
    for position in range(longest):  # the choices of one answer come interleaved
        for index, own in enumerate(deltas):
            if position < len(own):
                delta, token = own[position]
                event = chunk(index, delta, token=token)
                if call.continuous_usage:
                    event["usage"] = answer.usage((position + 1) / longest)
                yield event
    for index, spoken in enumerate(answer.choices):
        yield chunk(index, {}, spoken=spoken)
    if call.include_usage:
        yield {**head, "choices": [], "usage": answer.usage(), "system_fingerprint": FINGERPRINT}


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": answer.id, "object": kind, "created": answer.created, "model": answer.call.card.id}


def _choice(answer: Answer, index: int, spoken: Spoken) -> dict[str, Any]:
    call = answer.call
    content: str | None = "".join(spoken.text) or None
    if spoken.calls and content is None:
        content = None if call.tool_choice == "auto" else ""  # recorded: null for auto, "" for required and named
    elif content is None and spoken.finish_reason != "length":
        content = ""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if spoken.calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": "".join(arguments)}}
            for id_, name, arguments in spoken.calls
        ]
    message |= _reasoning(answer, "".join(spoken.reasoning) or None)
    logprobs = _logprobs((*spoken.reasoning, *spoken.text), call) if call.top_logprobs is not None else None
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": spoken.finish_reason,
        "stop_reason": spoken.stop_reason,
    }


def _deltas(answer: Answer, spoken: Spoken) -> Iterator[tuple[dict[str, Any], str]]:
    for token in spoken.reasoning:
        if answer.call.include_reasoning:
            yield _reasoning(answer, token), token
    for token in spoken.text:
        yield {"content": token}, token
    for number, (id_, name, arguments) in enumerate(spoken.calls):
        function = {"name": name, "arguments": ""}
        yield {"tool_calls": [{"id": id_, "type": "function", "index": number, "function": function}]}, ""
        for token in arguments:
            yield {"content": None, "tool_calls": [{"index": number, "function": {"arguments": token}}]}, ""


def _reasoning(answer: Answer, text: str | None) -> dict[str, Any]:
    if not answer.call.include_reasoning:
        text = None
    names = ("reasoning", "reasoning_content") if answer.reasoning_field == "both" else (answer.reasoning_field,)
    return dict.fromkeys(names, text)


def _take(text: str, budget: int) -> tuple[str, ...]:
    return tuple(pieces(text)[: max(budget, 0)])


def _arguments(use: ToolUse) -> str:
    return use.arguments if isinstance(use.arguments, str) else json.dumps(use.arguments, ensure_ascii=False)


def _logprobs(tokens: tuple[str, ...], call: Call) -> dict[str, Any]:
    return {"content": [_token(token, call.top_logprobs or 0) for token in tokens]}


def _token(token: str, top: int) -> dict[str, Any]:
    # Any number will do, as long as it is the same for the same token and the alternatives are less likely.
    logprob = -int.from_bytes(hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=2).digest(), "big") / 65536
    entry = {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
    others = [{"token": f"{token}{'~' * k}", "logprob": logprob - k, "bytes": []} for k in range(1, top)]
    return {**entry, "top_logprobs": [entry, *others] if top else []}
