"""The events of one streamed answer, as they arrive."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from itertools import chain

from typing_extensions import Self

from wandb_inference._transport import AsyncOpenStream, OpenStream
from wandb_inference._wire import StreamDecoder, decode, events_of
from wandb_inference.chat import StreamEvent
from wandb_inference.errors import TimedOutError, TransportError


class _Reading:
    """Turns pieces of a body into events; the same for both worlds."""

    def __init__(self, model: str, headers: Mapping[str, str], stall: float | None) -> None:
        self._decoder = StreamDecoder(model)
        self._model, self._headers, self._stall = model, headers, stall
        self._since = time.monotonic()
        # A server that does not stream answers with one JSON body, even when asked for a stream.
        self._whole: list[bytes] | None = [] if "json" in headers.get("content-type", "") else None

    def piece(self, data: bytes) -> list[StreamEvent]:
        if self._whole is not None:
            self._whole.append(data)
            return []
        events = self._decoder.feed(data)
        now = time.monotonic()
        if events:
            self._since = now
        elif self._stall is not None and now - self._since > self._stall and not self._decoder.done:
            raise TimedOutError(
                f"{self._model}: the stream has sent nothing but keep-alives for {self._stall:g} s.",
                hint="Try again, or raise the stall timeout.",
            )
        return events

    def end(self, error: TransportError | None) -> list[StreamEvent]:
        if self._decoder.done:
            return []  # the answer is whole: what happens to the connection afterwards is nobody's concern
        if isinstance(error, TimedOutError):
            self._decoder.interrupt(error)
            return []
        if self._whole is not None and error is None:
            return events_of(decode(b"".join(self._whole), model=self._model, headers=self._headers))
        events = self._decoder.close()
        if self._decoder.error is not None and error is not None:
            self._decoder.error.__cause__ = error
        return events

    def check(self) -> None:
        if self._decoder.error is not None:
            raise self._decoder.error


class ChatStream(Iterator[StreamEvent]):
    """The events of one answer. Read it to its end, or close it; as a context manager it closes itself."""

    def __init__(self, response: OpenStream, model: str, stall: float | None) -> None:
        self.headers = response.headers
        """Response headers, names in lower case."""
        self._response = response
        self._batches = self._read(_Reading(model, response.headers, stall))
        self._events = chain.from_iterable(self._batches)

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def batches(self) -> Iterator[list[StreamEvent]]:
        """Yield the same events, those that arrived in one network read together."""
        return self._batches

    def close(self) -> None:
        """Stop reading and give the connection up."""
        self._batches.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, reading: _Reading) -> Generator[list[StreamEvent], None, None]:
        ended: TransportError | None = None
        try:
            try:
                for piece in self._response.pieces():
                    if events := reading.piece(piece):
                        yield events
                    reading.check()
            except TransportError as e:
                ended = e
            if events := reading.end(ended):
                yield events
            reading.check()
        finally:
            self._response.close()


class AsyncChatStream(AsyncIterator[StreamEvent]):
    """``ChatStream`` for asyncio."""

    def __init__(self, response: AsyncOpenStream, model: str, stall: float | None) -> None:
        self.headers = response.headers
        self._response = response
        self._batches = self._read(_Reading(model, response.headers, stall))
        self._events = self._flat()

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    def batches(self) -> AsyncIterator[list[StreamEvent]]:
        """Yield the same events, those that arrived in one network read together."""
        return self._batches

    async def aclose(self) -> None:
        """Stop reading and give the connection up."""
        await self._batches.aclose()
        await self._response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _flat(self) -> AsyncIterator[StreamEvent]:
        async for batch in self._batches:
            for event in batch:
                yield event

    async def _read(self, reading: _Reading) -> AsyncGenerator[list[StreamEvent], None]:
        ended: TransportError | None = None
        try:
            try:
                async for piece in self._response.pieces():
                    if events := reading.piece(piece):
                        yield events
                    reading.check()
            except TransportError as e:
                ended = e
            if events := reading.end(ended):
                yield events
            reading.check()
        finally:
            await self._response.aclose()
