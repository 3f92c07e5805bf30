"""A streamed answer, from bytes as they arrive to the events of ``wandb_inference.chat``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from operator import index as as_index
from typing import Any

from wandb_inference._wire.decode import (
    ANSWER_FIELDS,
    CHOICE_FIELDS,
    MESSAGE_FIELDS,
    UNREADABLE,
    arguments_of,
    call_id,
    created_of,
    extra_of,
    is_error,
    logprobs_of,
    malformed,
    reason_of,
    reasoning_of,
    text_of,
    usage_of,
    with_incomplete_details,
)
from wandb_inference._wire.failure import failure
from wandb_inference._wire.sse import MAX_EVENT_BYTES, SSEDecoder
from wandb_inference.chat import (
    Collector,
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
)
from wandb_inference.errors import InferenceError, StreamInterruptedError


class StreamDecoder:
    """Push decoder: ``feed`` bytes, take events; ``close`` when the bytes end.

    All state of a stream lives here, so one client serves any number of streams. A failure does not hide what came
    before it in the same read: ``feed`` returns those events and leaves the exception in ``error``.
    """

    __slots__ = (
        "_calls",
        "_choice_extra",
        "_collector",
        "_end",
        "_extra",
        "_fingerprint",
        "_id",
        "_message_extra",
        "_model",
        "_reasons",
        "_sse",
        "_usage",
        "error",
    )

    def __init__(self, model: str, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._model = model
        self._sse = SSEDecoder(max_event_bytes)
        self._collector = Collector()
        self._id: str | None = None  # of the answer, once it has begun
        self._calls: dict[int, _CallIndex] = {}
        self._reasons: dict[int, str] = {}
        self._usage: Usage | None = None
        self._fingerprint: str | None = None
        self._extra: dict[int, dict[str, Any]] = {}  # of the answer, under 0
        self._choice_extra: dict[int, dict[str, Any]] = {}
        self._message_extra: dict[int, dict[str, Any]] = {}
        self._end = False
        self.error: InferenceError | None = None
        """Why the stream failed, with ``partial`` filled in; ``None`` while all is well."""

    @property
    def done(self) -> bool:
        """Whether the last event was handed out or the stream failed; what follows is not read."""
        return self._end or self.error is not None

    def feed(self, piece: bytes) -> list[StreamEvent]:
        """Return the events that these bytes complete; check ``error`` afterwards."""
        if self.done:
            return []
        try:
            return self._events(self._sse.feed(piece))
        except InferenceError as e:
            return self._fail(self._placed(e), [])

    def close(self) -> list[StreamEvent]:
        """Return the last events, now that the bytes have ended; check ``error`` afterwards."""
        if self.done:
            return []
        events = self._events(self._sse.close(), at_end=True)
        return events if self.done else self._finish(events)

    def take(self, events: list[StreamEvent]) -> None:
        """Take the events of an answer that came whole."""
        for event in events:
            self._id = event.id if isinstance(event, StreamStart) else self._id
            self._collector.add(event)

    def so_far(self) -> Completion | None:
        """Return what has arrived; ``None`` when nothing has."""
        return None if self._id is None else self._collector.completion()

    def interrupt(self, error: InferenceError) -> None:
        """Record that something outside the stream ended it; ``error`` gets its ``partial``."""
        self._fail(error, [])

    def _events(self, datas: list[bytes], *, at_end: bool = False) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for data in datas:
            data = data.strip()  # noqa: PLW2901 (white space around JSON means nothing)
            if not data:
                continue  # an event without data is none
            if data == b"[DONE]":
                return self._finish(events)
            try:
                chunk = json.loads(data.decode())
            except (ValueError, RecursionError):
                if at_end:  # cut in the middle of an event: an end, not nonsense
                    return self._finish(events)
                return self._broken("holds an event that is no JSON", data, events)
            if not isinstance(chunk, dict):
                return self._broken("holds an event that is no object", data, events)
            if is_error(chunk):
                return self._fail(failure(model=self._model, body=chunk), events)
            try:
                self._read(chunk, events)
            except UNREADABLE:
                return self._broken("holds an event of unknown shape", data, events)
        return events

    def _read(self, chunk: dict[str, Any], events: list[StreamEvent]) -> None:
        if self._id is None:
            self._id = str(chunk.get("id") or "")
            self._emit(StreamStart(self._id, str(chunk.get("model") or self._model), created_of(chunk)), events)
        # Counts may come on every chunk, growing: the last ones are the true ones.
        self._usage = usage_of(chunk) or self._usage
        self._fingerprint = chunk.get("system_fingerprint") or self._fingerprint
        for choice in chunk.get("choices") or ():
            index = as_index(choice.get("index") or 0)
            delta = choice.get("delta") or {}
            reasoning = reasoning_of(delta)
            if reasoning:
                self._emit(ReasoningDelta(reasoning, index), events)
            text = text_of(delta.get("content"))
            if text:
                self._emit(TextDelta(text, index), events)
            refusal = delta.get("refusal")
            if refusal:
                self._emit(RefusalDelta(text_of(refusal), index), events)
            calls = delta.get("tool_calls")
            if calls:
                state = self._calls.setdefault(index, _CallIndex(self._id))
                for call in calls:
                    event = state.read(call, index)
                    if event is not None:
                        self._emit(event, events)
            tokens = logprobs_of(choice)
            if tokens:
                self._emit(LogprobsDelta(tokens, index), events)
            # Some servers repeat the chunk that finishes: the first reason counts. An empty one is none.
            self._reasons[index] = self._reasons.get(index) or reason_of(choice) or ""
            self._keep(choice, CHOICE_FIELDS, self._choice_extra, index)
            self._keep(delta, MESSAGE_FIELDS, self._message_extra, index)
        self._keep(chunk, ANSWER_FIELDS, self._extra, 0)

    @staticmethod
    def _keep(body: Mapping[str, Any], known: AbstractSet[str], kept: dict[int, dict[str, Any]], index: int) -> None:
        """Keep the fields of a chunk that have no name here: lists come in pieces, of other values the last counts."""
        if not known >= body.keys():
            before = kept.setdefault(index, {})
            for name, value in extra_of(body, known).items():
                if isinstance(before.get(name), list) and isinstance(value, list):
                    before[name] += value
                else:
                    before[name] = value

    def _emit(self, event: StreamEvent, events: list[StreamEvent]) -> None:
        self._collector.add(event)
        events.append(event)

    def _finish(self, events: list[StreamEvent]) -> list[StreamEvent]:
        if not self._reasons or not all(self._reasons.values()):
            return self._fail(self._interrupted(), events)
        self._end = True
        if extra := self._extra_fields():
            self._emit(extra, events)
        self._emit(StreamEnd(self._reasons, self._usage, self._fingerprint), events)
        return events

    def _extra_fields(self) -> ExtraFields | None:
        choices: dict[int, Mapping[str, Any]] = dict(self._choice_extra)
        if self._reasons.get(0) == "length":
            first = replace(self._collector.completion().choices[0], finish_reason="length", extra=choices.get(0, {}))
            choices[0] = with_incomplete_details(first, self._usage).extra
        found = ExtraFields(self._extra.get(0, {}), _filled(choices), _filled(self._message_extra))
        return None if found == ExtraFields() else found

    def _interrupted(self) -> StreamInterruptedError:
        what = "ended before the answer did" if self._id is not None else "was empty"
        return StreamInterruptedError(
            f"{self._model}: the stream {what}: no finish reason was sent.",
            hint="The text so far is in .partial; send the request again for a whole answer.",
        )

    def _broken(self, what: str, data: bytes, events: list[StreamEvent]) -> list[StreamEvent]:
        return self._fail(self._placed(malformed(self._model, what, data)), events)

    def _placed(self, error: InferenceError) -> InferenceError:
        """Return the error with another hint where good chunks came before: base_url is right then."""
        if self._reasons:
            error.hint = (
                "It was good until then: the server or a proxy cut or mixed the stream. "
                "The text so far is in .partial; send the request again for a whole answer."
            )
        return error

    def _fail(self, error: InferenceError, events: list[StreamEvent]) -> list[StreamEvent]:
        error.partial = self.so_far() or error.partial
        self.error = error
        return events


def _filled(by_choice: Mapping[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {choice: fields for choice, fields in by_choice.items() if fields}


class _CallIndex:
    """Gives every fragment of a tool call its call, also from servers that leave out the index or repeat the name."""

    __slots__ = ("_answer_id", "_last", "_named", "_of_id", "_of_index")

    def __init__(self, answer_id: str) -> None:
        self._answer_id = answer_id
        self._last = -1
        self._of_id: dict[str, int] = {}
        self._of_index: dict[int, int] = {}
        self._named: set[int] = set()

    def read(self, call: dict[str, Any], choice: int) -> ToolCallDelta | None:
        function = call.get("function") or {}
        arguments = arguments_of(function.get("arguments"))
        id_, index, name = call.get("id"), call.get("index"), function.get("name")
        name = name and str(name)
        known = self._of_id.get(id_) if id_ else None
        # A new id with a name is a new call, even under an index already seen; without a name it is an old vLLM
        # that draws a fresh id for every fragment.
        if known is None and isinstance(index, int) and not (id_ and name):
            known = self._of_index.get(index)
        if known is None and not isinstance(index, int) and not name and self._last >= 0:
            known = self._last  # a bare fragment belongs to the call before it
        if known is not None:
            self._last = known
            late = None if known in self._named else name  # an id first, the name in a later fragment
            if late:
                self._named.add(known)
            return ToolCallDelta(known, arguments, name=late, choice=choice) if arguments or late else None
        known = self._last = len(self._of_id)
        if name:
            self._named.add(known)
        if isinstance(index, int):
            self._of_index[index] = known
        id_ = str(id_ or call_id(self._answer_id, known))
        self._of_id[id_] = known
        return ToolCallDelta(known, arguments, id_, name or None, choice)
