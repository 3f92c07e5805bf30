"""A schema beside tools, sent as one more tool: for models whose server calls no tools beside a response format.

vLLM enforces a ``response_format`` from the first token on, so no tool is ever called (vllm#39929), unless a tool is
strict and the model's tool parser has a structural tag to compose the two grammars from. For models without one, the
final answer is a tool among the others, the model must call one of them, and the caller gets that answer as text. What
such a model writes beside its calls is thinking aloud, and becomes reasoning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wandb_inference.catalog import ModelCard
from wandb_inference.chat import (
    ChatRequest,
    Choice,
    Completion,
    ReasoningDelta,
    StreamEnd,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)


class SchemaTool:
    """The tool that stands for the schema of one call, and the way back from its arguments to text."""

    def __init__(self, schema: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> None:
        taken = {(tool.get("function") or {}).get("name") for tool in others}
        self.name = str(schema.get("name") or "answer")
        while self.name in taken:
            self.name += "_"
        about = f"{schema.get('description') or ''} Gives the final answer; no other tool is called with it.".strip()
        parameters = schema.get("schema") or {}
        function = {"name": self.name, "description": about, "parameters": parameters, "strict": True}
        self._tools = [*others, {"type": "function", "function": function}]
        self._answers: dict[int, list[int]] = {}  # by choice: the indexes of the calls that are answers
        self._calling: set[int] = set()  # choices that call real tools
        self._aside: dict[int, list[str]] = {}
        self._named: set[tuple[int, int]] = set()
        self._nameless: dict[tuple[int, int], list[StreamEvent]] = {}

    @classmethod
    def of(cls, request: ChatRequest, card: ModelCard | None) -> SchemaTool | None:
        """Return the tool if this call needs one, by its own word or by its model's card."""
        options = request.options
        wanted = card is not None and card.schema_as_tool if options.schema_as_tool is None else options.schema_as_tool
        format_ = options.response_format or {}
        if not wanted or not options.tools or format_.get("type") != "json_schema":
            return None
        if options.tool_choice not in (None, "auto"):
            return None  # a call that must, or must not, call a tool is no case of either
        return cls(format_.get("json_schema") or {}, options.tools)

    def request(self, request: ChatRequest) -> ChatRequest:
        """Return the request as it is sent."""
        options = replace(request.options, tools=self._tools, tool_choice="required", response_format=None)
        return replace(request, options=options)

    def completion(self, completion: Completion) -> Completion:
        """Return the answer with the tool's arguments as its text."""
        return replace(completion, choices=tuple(map(self._choice, completion.choices)))

    def _choice(self, choice: Choice) -> Choice:
        if not choice.tool_calls:
            return choice  # a server that calls nothing although it must
        answers = [call.arguments for call in choice.tool_calls if call.name == self.name]
        calls = tuple(call for call in choice.tool_calls if call.name != self.name)
        return replace(
            choice,
            text=answers[0] if answers else "",  # the first, of a model that answers more than once
            reasoning=choice.reasoning + choice.text,
            tool_calls=calls,
            finish_reason=self._reason(choice.finish_reason, bool(answers), bool(calls)),
        )

    def events(self, batch: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Return the same events, with the tool's arguments as text."""
        return [restored for event in batch for restored in self._event(event)]

    def _event(self, event: StreamEvent) -> Iterable[StreamEvent]:
        if isinstance(event, TextDelta):
            self._aside.setdefault(event.choice, []).append(event.text)
            return [ReasoningDelta(event.text, event.choice)]
        if isinstance(event, ToolCallDelta):
            return self._fragment(event)
        if isinstance(event, StreamEnd):
            reasons = {
                choice: self._reason(reason, bool(self._answers.get(choice)), choice in self._calling)
                for choice, reason in event.finish_reasons.items()
            }
            left = [fragment for fragments in self._nameless.values() for fragment in fragments]
            for choice, texts in self._aside.items():
                if not (self._answers.get(choice) or choice in self._calling):
                    left.append(TextDelta("".join(texts), choice))  # nothing was called: that was the answer
            return [*left, replace(event, finish_reasons=reasons)]
        return [event]

    def _fragment(self, event: ToolCallDelta) -> Iterable[StreamEvent]:
        ours, call = self._answers.setdefault(event.choice, []), (event.choice, event.index)
        if event.name == self.name:
            ours.append(event.index)
            self._nameless.pop(call, None)
        if event.index in ours:
            told = event.arguments and event.index == ours[0]
            return [TextDelta(event.arguments, event.choice)] if told else []
        if event.name is None and call not in self._named:  # an id first, the name in a later fragment
            self._nameless.setdefault(call, []).append(event)
            return []
        self._named.add(call)
        self._calling.add(event.choice)
        return [*self._nameless.pop(call, ()), event]

    @staticmethod
    def _reason(reason: Any, answered: bool, calling: bool) -> Any:
        return "stop" if reason == "tool_calls" and answered and not calling else reason
