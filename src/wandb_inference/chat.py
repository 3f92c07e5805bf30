"""The values of one call: what is asked, what is answered, and the events an answer streams in.

Everything here is a plain immutable value. Messages stay in the OpenAI wire shape (``{"role": …, "content": …}``),
because both hosts and the service speak it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import Any, TypeAlias, assert_never, cast

Message: TypeAlias = Mapping[str, Any]
"""One chat message in OpenAI wire shape."""

Reasoning: TypeAlias = bool | str
"""``True`` / ``False`` switches thinking on or off; a string names an effort level such as ``"low"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How a model shall answer. What stays ``None`` is absent on the wire, so the service's own default holds."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Ceiling for the answer in tokens, its reasoning included."""
    stop: Sequence[str] | None = None
    seed: int | None = None
    n: int | None = None
    """Number of answers to generate."""
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    """Function tools in OpenAI shape. An empty list is the same as none: vLLM answers ``tools: []`` with 400."""
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = None
    schema_as_tool: bool | None = None
    """Send a JSON schema that stands beside tools as one more tool; ``None``: if the model's card says so."""
    reasoning: Reasoning | None = None
    """On, off or an effort level; the catalog knows how each model is told."""
    include_usage: bool = True
    """Ask a stream for its token counts; without them a streamed call has no price."""
    extra_body: Mapping[str, Any] | None = None
    """Further fields of the request body, sent as they are; they win over the named options."""

    @classmethod
    def from_fields(cls, fields_: Mapping[str, Any]) -> ChatOptions:
        """Return the options that these fields of a body mean; those that name none go into ``extra_body``.

        >>> ChatOptions.from_fields({"max_completion_tokens": 5, "stop": "x", "top_k": 3}).extra_body
        {'top_k': 3}
        """
        given = {_FIELD_NAMES.get(name, name): value for name, value in fields_.items() if value is not None}
        if isinstance(given.get("stop"), str):
            given["stop"] = [given["stop"]]
        options = {name: given.pop(name) for name in OPTION_FIELDS & set(given)}
        return cls(**options, extra_body=given or None)

    @property
    def wants_reasoning(self) -> Reasoning | None:
        """``reasoning``, with the effort ``"none"`` read as what it means."""
        return False if self.reasoning == "none" else self.reasoning


_FIELD_NAMES = {"max_completion_tokens": "max_tokens", "reasoning_effort": "reasoning"}
OPTION_FIELDS = frozenset(option.name for option in fields(ChatOptions)) - {"include_usage", "extra_body"}
"""Options that a body names as we do."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call: a model id (or alias), the conversation and the options."""

    model: str
    messages: Sequence[Message]
    options: ChatOptions = field(default_factory=ChatOptions)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> ChatRequest:
        """Return the call that a body of ``/chat/completions`` means; fields that name no option go into extra_body.

        Raises:
            ValueError: it names no model, or has no list of messages.

        >>> ChatRequest.from_body({"model": "m", "messages": [], "max_completion_tokens": 5}).options.max_tokens
        5
        """
        model, messages = body.get("model"), body.get("messages")
        if not isinstance(model, str):
            raise ValueError("model is no string")  # noqa: TRY004 (JSON's types)
        if not isinstance(messages, list | tuple):
            raise ValueError("messages is no list")  # noqa: TRY004 (as above)
        own = ("model", "messages", "stream", "stream_options")
        return cls(model, messages, ChatOptions.from_fields({k: v for k, v in body.items() if k not in own}))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called. ``arguments`` is the JSON text as sent; it may not parse."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one call, in inclusive buckets.

    ``cached_tokens`` is a part of ``input_tokens``, ``reasoning_tokens`` a part of ``output_tokens``.
    ``None`` in a part means that the service did not say.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the ``n`` answers."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    """``stop``, ``length``, ``tool_calls``, …; ``None`` only in the partial answer of a broken stream."""
    logprobs: tuple[Mapping[str, Any], ...] = ()
    """One entry a token, as the service sent it; empty when none were asked for."""
    refusal: str = ""
    """Why the model does not answer, where the service says it apart from the text."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the choice that have no name here, such as vLLM's ``stop_reason`` and ``token_ids``. Of an answer that
    is empty because reasoning spent its tokens, ``incomplete_details`` with the counts, as the responses API has it."""
    message_extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its message that have no name here."""


class EmptyAnswerWarning(UserWarning):
    """Nothing is left of an answer, because its reasoning spent the tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer."""

    id: str = ""
    model: str = ""
    """The id the service says it served."""
    created: int | None = None
    """Unix seconds, as the service says."""
    system_fingerprint: str | None = None
    choices: tuple[Choice, ...] = (Choice(),)
    usage: Usage | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the answer that have no name here, such as vLLM's ``prompt_logprobs`` and ``kv_transfer_params``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Response headers, names in lower case."""
    raw: Mapping[str, Any] | None = field(default=None, repr=False)
    """The decoded body; ``None`` for a streamed answer."""
    route: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Which model was asked for and which were asked, with times and costs, and the plan if there was one."""

    @property
    def text(self) -> str:
        """The text of the first answer."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        """The reasoning of the first answer; empty when there was none."""
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the first answer."""
        return self.choices[0].tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended."""
        return self.choices[0].finish_reason


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server says it serves."""

    id: str
    max_model_len: int | None = None
    """Its context window in tokens; vLLM says it, W&B Inference does not."""


@dataclass(frozen=True, slots=True)
class StreamStart:
    """The answer begins; exactly one, always first."""

    id: str
    model: str
    created: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the answer's reasoning."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of why the model does not answer."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the tool call at ``index``. ``id`` and ``name`` come once each, mostly with its first piece."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class LogprobsDelta:
    """Log probabilities of the tokens that came with (or between) the other deltas."""

    tokens: tuple[Mapping[str, Any], ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ExtraFields:
    """What the whole stream brought in fields that have no name here; at most one, shortly before the end.

    Lists that came in pieces are one list; of other values the last one counts.
    """

    answer: Mapping[str, Any] = field(default_factory=dict)
    """As ``Completion.extra``."""
    choices: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """As ``Choice.extra``, by choice."""
    messages: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """As ``Choice.message_extra``, by choice."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The answer is complete; exactly one, always last."""

    finish_reasons: Mapping[int, str]
    """Why each answer ended, by choice."""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    route: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """As ``Completion.route``."""

    @property
    def finish_reason(self) -> str | None:
        """Why the first answer ended."""
        return self.finish_reasons.get(0)


StreamEvent: TypeAlias = (
    StreamStart | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | LogprobsDelta | ExtraFields | StreamEnd
)


def joined(events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
    """Yield the same events, with neighbours that say more of the same thing as one."""
    for (kind, choice, index), group in groupby(events, _thing):
        if kind is TextDelta or kind is ReasoningDelta or kind is RefusalDelta:
            yield kind("".join(event.text for event in group), choice)  # type: ignore[union-attr]  # of one kind
        elif kind is ToolCallDelta and index is not None:
            pieces = cast("list[ToolCallDelta]", list(group))
            id_ = next((piece.id for piece in pieces if piece.id), None)
            name = "".join(piece.name or "" for piece in pieces) or None
            yield ToolCallDelta(index, "".join(piece.arguments for piece in pieces), id_, name, choice)
        else:
            yield from group


def _thing(event: StreamEvent) -> tuple[type[StreamEvent], int, int | None]:
    return type(event), getattr(event, "choice", 0), getattr(event, "index", None)


class Collector:
    """Puts the events of one stream together again: the same answer, streamed or not."""

    __slots__ = ("_calls", "_end", "_extra", "_logprobs", "_start", "_texts")

    def __init__(self) -> None:
        self._start = StreamStart("", "")
        self._end = StreamEnd({})
        self._texts: dict[type, dict[int, list[str]]] = {TextDelta: {}, ReasoningDelta: {}, RefusalDelta: {}}
        self._extra = ExtraFields()
        self._calls: dict[int, dict[int, tuple[list[str], list[str], list[str]]]] = {}  # ids, names, arguments
        self._logprobs: dict[int, list[Mapping[str, Any]]] = {}

    def add(self, event: StreamEvent) -> None:
        """Take the next event of the stream."""
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
            self._texts[type(event)].setdefault(event.choice, []).append(event.text)
        elif isinstance(event, ToolCallDelta):
            calls = self._calls.setdefault(event.choice, {})
            parts = calls.setdefault(event.index, ([], [], []))
            for part, piece in zip(parts, (event.id, event.name, event.arguments), strict=True):
                if piece:
                    part.append(piece)
        elif isinstance(event, LogprobsDelta):
            self._logprobs.setdefault(event.choice, []).extend(event.tokens)
        elif isinstance(event, ExtraFields):
            self._extra = event
        elif isinstance(event, StreamStart):
            self._start = event
        elif isinstance(event, StreamEnd):
            self._end = event
        else:
            assert_never(event)

    def completion(self) -> Completion:
        """Return the answer so far; before the end its choices have no finish reason."""
        text, reasoning, refusal = self._texts.values()
        indexes = sorted({0}.union(text, reasoning, refusal, self._calls, self._end.finish_reasons))
        return Completion(
            id=self._start.id,
            model=self._start.model,
            created=self._start.created,
            system_fingerprint=self._end.system_fingerprint,
            usage=self._end.usage,
            extra=self._extra.answer,
            route=self._end.route,
            choices=tuple(
                Choice(
                    index=index,
                    text="".join(text.get(index, ())),
                    reasoning="".join(reasoning.get(index, ())),
                    tool_calls=tuple(
                        ToolCall(*("".join(part) for part in parts))
                        for _, parts in sorted(self._calls.get(index, {}).items())
                    ),
                    finish_reason=self._end.finish_reasons.get(index),
                    logprobs=tuple(self._logprobs.get(index, ())),
                    refusal="".join(refusal.get(index, ())),
                    extra=self._extra.choices.get(index, {}),
                    message_extra=self._extra.messages.get(index, {}),
                )
                for index in indexes
            ),
        )


def collect(events: Iterable[StreamEvent]) -> Completion:
    """Return the whole answer that these events tell.

    >>> collect([StreamStart("1", "m"), TextDelta("Hel"), TextDelta("lo"), StreamEnd({0: "stop"})]).text
    'Hello'
    """
    collector = Collector()
    for event in events:
        collector.add(event)
    return collector.completion()
