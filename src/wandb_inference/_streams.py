"""The events of one streamed answer, as they arrive."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Protocol, Self

from wandb_inference._schema_tool import SchemaTool
from wandb_inference._transport import AsyncOpenStream, Body, OpenStream
from wandb_inference._wire import Opening, StreamDecoder, decode, events_of, is_stream, is_whole, malformed
from wandb_inference.chat import Completion, StreamEnd, StreamEvent
from wandb_inference.errors import (
    InferenceError,
    MalformedResponseError,
    StreamInterruptedError,
    TimedOutError,
    TransportError,
)


class Watch(Protocol):
    """Who wants to know how a stream goes on."""

    @property
    def model(self) -> str: ...

    def reads(self, so_far: Callable[[], Completion | None]) -> None:
        """Learn how to ask what has arrived."""
        ...

    def began(self) -> None: ...

    def rests(self) -> None:
        """Hear that the reader has events, and may take its time."""
        ...

    def resumes(self) -> None:
        """Hear that the reader is back."""
        ...

    def ended(self, end: StreamEnd) -> StreamEnd: ...

    def broke(self, error: InferenceError) -> None:
        """Hear of a failure, and put the error right: it shows no key, and names the model."""
        ...


class Reading:
    """Turns pieces of a body into events; the same for both worlds.

    Args:
        watch: told of the first event and of the end, which it may add to; its model is named in messages.
        headers: of the response.
        stall: seconds to wait for the next event.
        schema_tool: turns a call of its tool back into text.
    """

    def __init__(
        self,
        watch: Watch,
        headers: Mapping[str, str],
        stall: float | None,
        schema_tool: SchemaTool | None,
    ) -> None:
        self._decoder = StreamDecoder(watch.model)
        watch.reads(partial(_so_far, self._decoder, headers))
        self.model, self._headers, self._stall = watch.model, headers, stall
        self._watch, self._schema_tool, self._begun = watch, schema_tool, False
        self._opening: Opening | None = Opening()  # until the first byte that tells a stream from a whole answer
        self._first = b""
        self._whole: Body | None = None  # of a server that does not stream, even when asked to
        self._since = time.monotonic()

    def wait(self) -> None:
        """Begin to wait for the next event; time that passes elsewhere, in the consumer, is no stall."""
        self._since = time.monotonic()
        self._watch.resumes()

    def piece(self, data: bytes) -> list[StreamEvent]:
        if self._opening is not None and (data := self._opening.feed(data)):
            self._opening, self._first = None, data[:200]
            self._whole = Body() if is_whole(data) else None
        if self._whole is not None:
            self._whole.add(data)
            return []
        events = self._decoder.feed(data)
        waited = time.monotonic() - self._since
        if not events and self._stall is not None and waited > self._stall and not self._decoder.done:
            raise TimedOutError(
                f"{self.model}: the stream has sent nothing but keep-alives for {self._stall:g} s.",
                hint="Try again, or raise the stall timeout.",
            )
        return self._told(events)

    def end(self, error: InferenceError | None) -> list[StreamEvent]:
        if self._decoder.done:
            return []  # the answer is whole: what happens to the connection afterwards is nobody's concern
        kind = self._headers.get("content-type", "").lower()
        if self._opening is not None and ("json" in kind or "html" in kind):
            self._whole = Body()  # nothing came: only the label says of what
        if self._whole is not None and error is None:
            try:
                events = events_of(decode(self._whole.whole(), model=self.model, headers=self._headers))
            except InferenceError as e:
                self._decoder.interrupt(e)  # for check() to raise, like every other failure
                return []
            self._decoder.take(events)
            return self._told(events)
        events = self._decoder.close()  # whole after all, if only the [DONE] was still to come
        if self._decoder.error is not None and isinstance(error, TimedOutError | MalformedResponseError):
            self._decoder.interrupt(error)
        elif self._decoder.error is not None and error is not None:
            self._decoder.error.__cause__ = error
        elif isinstance(self._decoder.error, StreamInterruptedError) and self._is_text:
            self._decoder.interrupt(malformed(self.model, "is not JSON", self._first))
        return self._told(events)

    @property
    def _is_text(self) -> bool:
        """Whether nothing arrived but text, which was read as a stream because fields may have any name."""
        return bool(self._first) and not is_stream(self._first) and self._decoder.so_far() is None

    def _told(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """Return the events as the caller expects them, and tell who watches."""
        if not events:
            return events
        if not self._begun:
            self._begun = True
            self._watch.began()
        if self._schema_tool is not None:
            events = self._schema_tool.events(events)
        if events and isinstance(events[-1], StreamEnd):
            events[-1] = self._watch.ended(events[-1])
        if events:
            self._watch.rests()
        return events

    def check(self) -> None:
        if self._decoder.error is not None:
            self._watch.broke(self._decoder.error)
            raise self._decoder.error


def _so_far(decoder: StreamDecoder, headers: Mapping[str, str]) -> Completion | None:
    arrived = decoder.so_far()
    return None if arrived is None else replace(arrived, headers=headers)


class ChatStream(Iterator[StreamEvent]):
    """The events of one answer. Read it to its end, or close it; as a context manager it closes itself."""

    def __init__(self, response: OpenStream, reading: Reading) -> None:
        self.headers = response.headers
        """Response headers, names in lower case."""
        self.model = reading.model
        """The model that was asked."""
        self._response = response
        # Not a method: a generator that knows its stream would wait for the garbage collector to be closed.
        self._batches = _read(response, reading)
        self._events = chain.from_iterable(self._batches)

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def batches(self) -> Iterator[list[StreamEvent]]:
        """Yield the same events, those that the transport handed over together in one list."""
        return self._batches

    def close(self) -> None:
        """Stop reading and give the connection up; also from another thread than the one that reads."""
        self._response.close()
        with suppress(ValueError):  # the other thread is inside the generator, and finds the response closed
            self._batches.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # of a stream that was never made
            self._response.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is GeneratorExit:  # which may come from the garbage collector, at any moment
            self._response.abandon()
        else:
            self.close()


class AsyncChatStream(AsyncIterator[StreamEvent]):
    """``ChatStream`` for asyncio."""

    def __init__(self, response: AsyncOpenStream, reading: Reading) -> None:
        self.headers = response.headers
        self.model = reading.model
        self._response = response
        self._batches = _aread(response, reading)
        self._events = _flat(self._batches)

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    def batches(self) -> AsyncIterator[list[StreamEvent]]:
        """Yield the same events, those that the transport handed over together in one list."""
        return self._batches

    async def aclose(self) -> None:
        """Stop reading and give the connection up; also from another task than the one that reads."""
        await self._response.aclose()
        with suppress(RuntimeError):  # the other task is inside the generator, and finds the response closed
            await self._batches.aclose()

    def __del__(self) -> None:
        with suppress(AttributeError):  # of a stream that was never made
            self._response.abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _read(response: OpenStream, reading: Reading) -> Generator[list[StreamEvent], None, None]:
    ended: InferenceError | None = None
    reading.wait()
    try:
        try:
            for piece in response.pieces():
                if events := reading.piece(piece):
                    yield events
                    reading.wait()
                reading.check()
        except (TransportError, MalformedResponseError) as e:
            ended = e
        if events := reading.end(ended):
            yield events
        reading.check()
    except GeneratorExit:
        response.abandon()
        raise
    except BaseException:
        response.close()
        raise
    response.close()


async def _aread(response: AsyncOpenStream, reading: Reading) -> AsyncGenerator[list[StreamEvent], None]:
    ended: InferenceError | None = None
    reading.wait()
    try:
        try:
            async for piece in response.pieces():
                if events := reading.piece(piece):
                    yield events
                    reading.wait()
                reading.check()
        except (TransportError, MalformedResponseError) as e:
            ended = e
        if events := reading.end(ended):
            yield events
        reading.check()
    finally:
        await response.aclose()


async def _flat(batches: AsyncIterator[list[StreamEvent]]) -> AsyncIterator[StreamEvent]:
    async for batch in batches:
        for event in batch:
            yield event
