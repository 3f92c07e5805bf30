"""A schema beside tools, sent as one more tool: for models whose server calls no tools beside a response format.

vLLM enforces a ``response_format`` from the first token on, so no tool is ever called (vllm#39929), unless a tool is
strict and the model's tool parser has a structural tag to compose the two grammars from. For models without one, the
final answer is a tool among the others, the model must call one of them, and the caller gets that answer as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wandb_inference.catalog import ModelCard
from wandb_inference.chat import ChatRequest, Choice, Completion, StreamEnd, StreamEvent, TextDelta, ToolCallDelta


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
        answers = [call.arguments for call in choice.tool_calls if call.name == self.name]
        if not answers:
            return choice
        calls = tuple(call for call in choice.tool_calls if call.name != self.name)
        text = choice.text + answers[0]  # the first, of a model that answers more than once
        return replace(
            choice, text=text, tool_calls=calls, finish_reason=self._reason(choice.finish_reason, bool(calls))
        )

    def events(self, batch: Iterable[StreamEvent]) -> list[StreamEvent]:
        """Return the same events, with the tool's arguments as text."""
        return [restored for event in batch for restored in self._event(event)]

    def _event(self, event: StreamEvent) -> Iterable[StreamEvent]:
        if isinstance(event, ToolCallDelta):
            ours = self._answers.setdefault(event.choice, [])
            if event.name == self.name:
                ours.append(event.index)
            if event.index in ours:
                told = event.arguments and event.index == ours[0]
                return [TextDelta(event.arguments, event.choice)] if told else []
            self._calling.add(event.choice)
        elif isinstance(event, StreamEnd):
            reasons = {
                choice: self._reason(reason, choice in self._calling) if self._answers.get(choice) else reason
                for choice, reason in event.finish_reasons.items()
            }
            return [replace(event, finish_reasons=reasons)]
        return [event]

    @staticmethod
    def _reason(reason: Any, calling: bool) -> Any:
        return "stop" if reason == "tool_calls" and not calling else reason
