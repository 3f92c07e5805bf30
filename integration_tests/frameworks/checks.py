"""What a row must have given its caller, and sent: read from the calls that the emulator received and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

from wandb_inference.emulator import Reply, ToolUse
from wandb_inference.emulator.brain import answer, last_text
from wandb_inference.emulator.protocol import Call

ROWS = ("chat", "tools", "stream", "structured", "usage", "reasoning")
TOOL = "get_weather"
COUNT = "Count from one to sixty."
COUNTED = " ".join(map(str, range(1, 61)))  # long, so that a stream of it outlasts whatever a framework does first
TOOL_RESULT = "It is sunny in Paris."  # of every recipe's tool; the emulator does not know it

Problems: TypeAlias = Mapping[str, str]
"""By part of the row: its own name, ``tokens`` and ``cost`` of ``usage``, or ``wire`` for what was sent."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call that arrived, and how it was answered."""

    call: Call
    reply: Reply


class Recorder:
    """Answers as the emulator does by itself, with counts that nobody guesses, and keeps what it saw."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    def __call__(self, call: Call) -> Reply:
        """Return the answer to a call."""
        number = len(self._exchanges)
        input_, cached, output = 1237 + 100 * number, 409 + 10 * number, 353 + number
        usage = {
            "prompt_tokens": input_,
            "completion_tokens": output,
            "total_tokens": input_ + output,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": 101},
        }
        reply = replace(_reply(call), usage=usage)
        self._exchanges.append(Exchange(call, reply))
        return reply

    def take(self) -> list[Exchange]:
        """Return what was recorded since the last time."""
        taken, self._exchanges = self._exchanges, []
        return taken


def _reply(call: Call) -> Reply:
    """Return the emulator's own answer, but count when it must, and take the next step of an agent's loop.

    By itself, it calls no tool once an agent has handed the question over, and fills an agent's final tool with words
    of the question instead of the tool's result.
    """
    reply, prompt = answer(call), last_text(call.messages, "user")
    if COUNT in prompt and reply.text:
        fields = {} if call.response_format == "text" else json.loads(reply.text)
        return replace(reply, text=json.dumps(dict.fromkeys(fields, COUNTED)) if fields else COUNTED)
    offered = {tool["name"]: (tool.get("parameters") or {}).get("properties", {}) for tool in call.tools}
    if any(_has_result(message) for message in call.messages):
        final = next((name for name, properties in offered.items() if "answer" in properties), None)
        if reply.tool_calls and final:
            return replace(reply, tool_calls=(ToolUse(final, {"answer": TOOL_RESULT}),))
        return replace(reply, text=TOOL_RESULT) if reply.text and call.response_format == "text" else reply
    if "weather in Paris?" in prompt and TOOL in offered:
        return replace(reply, text="", tool_calls=(ToolUse(TOOL, {"city": "Paris"}),))
    return reply


def _has_result(message: Mapping[str, Any]) -> bool:
    """Whether a message brings the tool's result back: as a tool's message, or as a user's."""
    return message["role"] in ("tool", "user") and TOOL_RESULT in json.dumps(message.get("content"))


def check(row: str, value: Any, exchanges: Sequence[Exchange]) -> Problems:
    """Return what is wrong with a row's value, given what was sent and answered; empty when nothing is."""
    if not exchanges:
        return {"wire": "no request was sent"}
    return _CHECKS[row](value, exchanges)


def _chat(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    return _texts("chat", value, _said(exchanges))


def _tools(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    called = [n for n, e in enumerate(exchanges) if any(map(_is_tool, e.reply.tool_calls))]
    if not called:
        offered = sorted({tool["name"] for e in exchanges for tool in e.call.tools})
        return {"wire": f"{TOOL} was not called; the tools that were sent: {offered}"}
    if not any(_has_result(message) for e in exchanges[called[0] + 1 :] for message in e.call.messages):
        return {"wire": "the tool's result was not sent"}
    return _texts("tools", value, [TOOL_RESULT])


def _is_tool(use: ToolUse) -> bool:
    return use.name.lower().replace("_", "") == TOOL.replace("_", "")


def _stream(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    if not exchanges[-1].call.stream:
        return {"wire": "the last request asked for no stream"}
    if len(value or ()) < 2:
        return {"stream": f"it came in one piece: {value!r}"}
    if isinstance(value[0], str):
        return _texts("stream", "".join(value), _said(exchanges))
    return _structured(value[-1], exchanges)  # ever more of an object


def _structured(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    objects = list(_objects(exchanges))
    if not objects:
        return {"wire": "no request had a schema, as its response format or as a tool's"}
    if not any(value == found or value in found.values() for found in objects):
        return {"structured": f"{value!r} is none of the objects that were answered: {objects}"}
    return {}


def _objects(exchanges: Sequence[Exchange]) -> Iterator[dict[str, Any]]:
    """Yield the objects that the emulator wrote for a schema."""
    for exchange in exchanges:
        if exchange.call.response_format == "json_schema" and exchange.reply.text:
            yield json.loads(exchange.reply.text)
        for use in exchange.reply.tool_calls:
            if isinstance(use.arguments, Mapping) and not _is_tool(use):
                yield dict(use.arguments)


def _usage(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    *tokens, cost = value or (0, 0, 0.0)
    counted = [_sum(exchanges, "prompt_tokens"), _sum(exchanges, "completion_tokens")]
    billed = sum(map(_cost, exchanges))
    problems = {}
    if tokens != counted:
        problems["tokens"] = f"{tokens} of {counted} tokens over {len(exchanges)} calls"
    if abs(Decimal(cost or 0) - billed) > billed / 10**6:
        problems["cost"] = f"{cost} of {billed} USD over {len(exchanges)} calls"
    return problems


def _sum(exchanges: Sequence[Exchange], name: str) -> int:
    return sum((exchange.reply.usage or {})[name] for exchange in exchanges)


def _cost(exchange: Exchange) -> Decimal:
    price, usage = exchange.call.card.price, exchange.reply.usage or {}
    assert price
    assert price.cached_input is not None
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    fresh: int = usage["prompt_tokens"] - cached
    output: int = usage["completion_tokens"]
    return (fresh * price.input + cached * price.cached_input + output * price.output) / 1_000_000


def _reasoning(value: Any, exchanges: Sequence[Exchange]) -> Problems:
    return _texts("reasoning", value, [exchanges[-1].reply.reasoning])


def _said(exchanges: Sequence[Exchange]) -> list[str]:
    """Return the texts of the last answer: itself, or the strings of the object that it is."""
    call, text = exchanges[-1].call, exchanges[-1].reply.text
    return [text] if call.response_format == "text" else [t for t in json.loads(text).values() if isinstance(t, str)]


def _texts(part: str, value: Any, expected: Sequence[str]) -> Problems:
    assert all(expected)
    if isinstance(value, str) and any(text in value for text in expected):
        return {}
    return {part: f"none of {expected} is in {value!r}"}


_CHECKS = {
    "chat": _chat,
    "tools": _tools,
    "stream": _stream,
    "structured": _structured,
    "usage": _usage,
    "reasoning": _reasoning,
}
