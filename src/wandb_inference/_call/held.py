"""Open streams, from their call's point of view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from wandb_inference._call.call import Call


class Held:
    """An open stream that tells its call when it is given up.

    ``client`` is kept: with the last client, shared connections are closed, also those of streams.
    """

    def __init__(self, response: Any, call: Call, client: object) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._response, self._call, self._client = response, call, client

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives."""
        return self._response.pieces()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close it."""
        try:
            self._response.close()
        finally:
            self._call.closed(by_reader=True)

    def abandon(self) -> None:
        """Drop it, without waiting for anything."""
        self._response.abandon()
        self._call.closed(by_reader=False)


class AsyncHeld(Held):
    """``Held`` for asyncio."""

    def pieces(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """Yield the body as it arrives."""
        return self._response.pieces()  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Close it."""
        try:
            await self._response.aclose()
        finally:
            self._call.closed(by_reader=True)
