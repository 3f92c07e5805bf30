"""A streamed answer for LangChain, in either form it has: message chunks that add up, and content-block events.

Both are made of the same ``Delta``, neighbours of one read of the stream, with each fact once. Which call a fragment
belongs to, repeated finish chunks and growing token counts are settled below, in the stream decoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json

from wandb_inference.chat import (
    ExtraFields,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from wandb_inference.langchain.facts import Facts, beside_the_text, extra_metadata, to_usage_metadata
from wandb_inference.langchain.provider import PROVIDER
from wandb_inference.langchain.results import read_call

if TYPE_CHECKING:
    from langchain_protocol.protocol import MessagesData


@dataclass(slots=True)
class Delta:
    """What came together: text, or reasoning, or fragments of calls.

    Not two of them at once: who reads ``if reasoning: … else: …`` would lose what comes with it.
    """

    kind: type | None = None
    start: StreamStart | None = None
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[int, ToolCallDelta] = field(default_factory=dict)
    """Fragments by the index of their call."""
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    extra: ExtraFields | None = None
    end: StreamEnd | None = None

    def takes(self, event: StreamEvent) -> bool:
        """Whether the event is of the kind that is here already."""
        return type(event) is self.kind or self.kind is None or isinstance(event, LogprobsDelta | ExtraFields)

    def add(self, event: StreamEvent) -> None:
        """Take one more event."""
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | StreamEnd):
            self.kind = type(event)
        if isinstance(event, TextDelta):
            self.text += event.text
        elif isinstance(event, ReasoningDelta):
            self.reasoning += event.text
        elif isinstance(event, ToolCallDelta):
            before = self.calls.get(event.index)
            self.calls[event.index] = event if before is None else _joined(before, event)
        elif isinstance(event, LogprobsDelta):
            self.logprobs += event.tokens
        elif isinstance(event, RefusalDelta):
            self.refusal += event.text
        elif isinstance(event, ExtraFields):
            self.extra = event
        elif isinstance(event, StreamStart):
            self.start = event
        elif isinstance(event, StreamEnd):
            self.end = event
        else:
            assert_never(event)


def _joined(before: ToolCallDelta, after: ToolCallDelta) -> ToolCallDelta:
    name = (before.name or "") + (after.name or "")
    return ToolCallDelta(before.index, before.arguments + after.arguments, before.id or after.id, name or None)


def _deltas(batch: Iterable[StreamEvent], *, coalesce: bool) -> Iterator[Delta]:
    """Return what to hand out for one read: neighbours of a kind in one delta."""
    delta: Delta | None = None
    for event in batch:
        if getattr(event, "choice", 0):
            continue  # a server that sends more answers than were asked for: they would be added to the first
        if delta is not None and not (coalesce and delta.takes(event)):
            yield delta
            delta = None
        if delta is None:
            delta = Delta()
        delta.add(event)
    if delta is not None:
        yield delta


class _Writer:
    """What both forms know of the stream they write.

    Args:
        facts: makes its metadata.
        coalesce: whether neighbours of one read become one.
    """

    def __init__(self, facts: Facts, *, coalesce: bool = True) -> None:
        self._facts = facts
        self._coalesce = coalesce

    def _metadata_of(self, delta: Delta) -> dict[str, Any]:
        """Return the metadata of one delta: each fact stands in exactly one, or LangChain would add it up."""
        start, end, facts = delta.start, delta.end, self._facts
        metadata: dict[str, Any] = {"model_provider": PROVIDER}
        if (extra := delta.extra) is not None:
            metadata = extra_metadata(extra.answer, extra.choices.get(0, {}), extra.messages.get(0, {})) | metadata
        if start is not None:
            metadata |= facts.at_start(start.id, start.model)
        if end is not None:
            metadata |= facts.at_end(end.finish_reason, end.system_fingerprint, end.usage, end.route)
        return metadata


class Chunks(_Writer):
    """Writes a stream as message chunks."""

    def __init__(self, facts: Facts, *, coalesce: bool = True) -> None:
        super().__init__(facts, coalesce=coalesce)
        self._arguments: dict[int, list[str]] = {}

    def of(self, batch: Iterable[StreamEvent]) -> Iterator[ChatGenerationChunk]:
        """Return the chunks of one network read."""
        for delta in _deltas(batch, coalesce=self._coalesce):
            for index, call in delta.calls.items():
                self._arguments.setdefault(index, []).append(call.arguments)
            if not (delta.start or delta.end or delta.logprobs or delta.refusal or delta.extra) and all(
                map(_is_middle, delta.calls.values())
            ):
                yield plain(delta)
                continue
            if delta.end is not None:
                yield from self._spoilt()
            usage, metadata = delta.end.usage if delta.end else None, self._metadata_of(delta)
            message = AIMessageChunk(
                content=delta.text,
                additional_kwargs=beside_the_text(delta.reasoning, delta.refusal),
                tool_call_chunks=_fragments(delta),
                usage_metadata=to_usage_metadata(usage, metadata) if usage else None,
                response_metadata=metadata,
                chunk_position="last" if delta.end else None,
            )
            info: dict[str, Any] = {"logprobs": {"content": delta.logprobs}} if delta.logprobs else {}
            if delta.end is not None:
                info["finish_reason"] = delta.end.finish_reason
            yield ChatGenerationChunk(message=message, generation_info=info or None)

    def _spoilt(self) -> Iterator[ChatGenerationChunk]:
        """Return a last fragment for each call whose arguments are no JSON.

        Adding chunks up, langchain-core completes what is incomplete: a call that was cut at ``{"path": "/home`` would
        be made, with half a path. A bracket that cannot stand there makes it the invalid call that it is.
        """
        for index, pieces in self._arguments.items():
            ending = _ending("".join(pieces))
            if ending:
                fragment = tool_call_chunk(name=None, args=ending, id=None, index=index)
                facts = {"model_provider": PROVIDER}
                message = AIMessageChunk(content="", tool_call_chunks=[fragment], response_metadata=facts)
                yield ChatGenerationChunk(message=message)


_MESSAGE = AIMessageChunk(
    content="",
    additional_kwargs={},
    tool_call_chunks=[],
    usage_metadata=None,
    response_metadata={"model_provider": PROVIDER},
    chunk_position=None,
)
_CHUNK = ChatGenerationChunk(message=_MESSAGE, generation_info=None)


def plain(delta: Delta) -> ChatGenerationChunk:
    """Return a chunk of text, of reasoning or of the middle of calls, as validation would make it.

    It is a copy of one that was validated, which takes a third of the time. For calls much less: langchain-core tries
    to read their fragments as JSON, once for each character of what cannot be any.
    """
    message, fragments = copy(_MESSAGE), _fragments(delta)
    message.__dict__.update(
        content=delta.text,
        additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
        response_metadata={"model_provider": PROVIDER},
        tool_calls=[],
        invalid_tool_calls=[
            invalid_tool_call(name=part["name"], args=part["args"], id=part["id"], error=None) for part in fragments
        ],
        tool_call_chunks=fragments,
    )
    if fragments:
        message.model_fields_set.update(("tool_calls", "invalid_tool_calls"))
    chunk = copy(_CHUNK)
    chunk.__dict__.update(message=message, text=delta.text)
    return chunk


def _is_middle(call: ToolCallDelta) -> bool:
    """Whether a fragment is no JSON object, nor the beginning of one."""
    begins = call.arguments.lstrip()[:1]
    return begins not in ("", "{")


def _fragments(delta: Delta) -> list[ToolCallChunk]:
    return [
        tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=index)
        for index, call in delta.calls.items()
    ]


def _ending(arguments: str) -> str:
    """Return what keeps arguments that are no object from being completed to one; empty when nothing needs to."""
    if read_call(ToolCall("", "", arguments))["type"] == "tool_call":
        return ""
    for ending in ("", "]", "}", '"]', '"}', '."]', '."}'):
        try:
            completed = parse_partial_json(arguments + ending)
        except (ValueError, RecursionError):
            return ending
        if not isinstance(completed, dict):
            return ending
    return ""


@dataclass(slots=True)
class _Block:
    """A content block that grows."""

    index: int
    start: dict[str, Any]
    pieces: list[str] = field(default_factory=list)

    def finished(self) -> dict[str, Any]:
        whole = "".join(self.pieces)
        kind = self.start["type"]
        if kind == "tool_call_chunk":
            return dict(read_call(ToolCall(self.start["id"] or "", self.start["name"] or "", whole)))
        return {"type": kind, kind: whole}


class Events(_Writer):
    """Writes a stream as content-block events (``stream_events(version="v3")``).

    Text, reasoning and each call are one block each, however their pieces alternate; all finish with the message, as
    they do where langchain-core makes the events from chunks.
    """

    def __init__(self, *args: Any, message_id: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._message_id = message_id
        self._blocks: dict[Any, _Block] = {}
        self._metadata: dict[str, Any] = {}
        self._logprobs: list[Mapping[str, Any]] = []
        self._refusal = ""
        self._end: StreamEnd | None = None

    def of(self, batch: Iterable[StreamEvent]) -> Iterator[MessagesData]:
        """Return the events of one network read."""
        return self._events(batch)  # type: ignore[return-value]  # the protocol's TypedDicts, as plain dicts

    def _events(self, batch: Iterable[StreamEvent]) -> Iterator[dict[str, Any]]:
        for delta in _deltas(batch, coalesce=self._coalesce):
            self._metadata |= self._metadata_of(delta)
            self._logprobs += delta.logprobs
            self._refusal += delta.refusal
            if delta.start is not None:
                about = {"provider": PROVIDER, "model": delta.start.model}
                yield {"event": "message-start", "role": "ai", "id": self._message_id, "metadata": about}
            if delta.reasoning:
                yield from self._grow("reasoning", {"type": "reasoning", "reasoning": ""}, "reasoning", delta.reasoning)
            if delta.text:
                yield from self._grow("text", {"type": "text", "text": ""}, "text", delta.text)
            for index, call in delta.calls.items():
                start = {"type": "tool_call_chunk", "id": call.id, "name": call.name, "args": "", "index": index}
                yield from self._grow(index, start, "args", call.arguments)
                block = self._blocks[index].start
                block["name"] = block["name"] or call.name
            self._end = delta.end or self._end

    def _grow(self, key: Any, start: dict[str, Any], name: str, piece: str) -> Iterator[dict[str, Any]]:
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(len(self._blocks), start)
            yield {"event": "content-block-start", "index": block.index, "content": dict(start)}
        if piece:
            block.pieces.append(piece)
            delta = {"type": "tool-call-delta" if name == "args" else f"{name}-delta", name: piece}
            yield {"event": "content-block-delta", "index": block.index, "delta": delta}

    def finish(self) -> Iterator[MessagesData]:
        """Return the last events, once the stream is closed: whoever has them reads no further."""
        return self._finish()  # type: ignore[return-value]  # as above

    def _finish(self) -> Iterator[dict[str, Any]]:
        for block in self._blocks.values():
            yield {"event": "content-block-finish", "index": block.index, "content": block.finished()}
        if self._logprobs:
            self._metadata["logprobs"] = {"content": self._logprobs}
        finish: dict[str, Any] = {"event": "message-finish", "metadata": self._metadata}
        if self._end is not None and self._end.usage is not None:
            finish["usage"] = to_usage_metadata(self._end.usage, self._metadata)
        reasoning = "".join(self._blocks["reasoning"].pieces) if "reasoning" in self._blocks else ""
        if beside := beside_the_text(reasoning, self._refusal):  # where invoke puts it, too
            finish["additional_kwargs"] = beside
        yield finish
