"""What tests of several rooms use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wandb_inference import AsyncClient, ChatOptions, ChatRequest, Client, Completion, StreamEvent, collect

MODEL = "openai/gpt-oss-20b"
GOLDEN = Path(__file__).parent / "golden"


def ask(text: str, *, model: str = MODEL, **options: Any) -> ChatRequest:
    """A one-message request."""
    return ChatRequest(model, [{"role": "user", "content": text}], ChatOptions(**options))


@dataclass(frozen=True)
class Recorded:
    """One recorded exchange."""

    name: str
    request: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


@cache
def recorded() -> dict[str, Recorded]:
    """Every golden exchange by folder and name."""
    found = {}
    for path in sorted(GOLDEN.glob("*/*.txt")):
        if path.stem == "SUMMARY":
            continue
        head, _, rest = path.read_bytes().replace(b"\r\n", b"\n").partition(b"HTTP/1.1 ")
        status_line, _, rest = rest.partition(b"\n")
        headers, _, body = rest.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in headers.decode().lower().splitlines())
        name = f"{path.parent.name}/{path.stem}"
        found[name] = Recorded(name, head.partition(b"\n")[2].strip(), int(status_line[:3]), fields, body)
    return found


Run = Callable[..., Completion]


def chat_sync(request: ChatRequest, **settings: Any) -> Completion:
    with Client(**settings) as client:
        return client.chat(request)


def chat_async(request: ChatRequest, **settings: Any) -> Completion:
    async def run() -> Completion:
        async with AsyncClient(**settings) as client:
            return await client.chat(request)

    return asyncio.run(run())


def stream_sync(request: ChatRequest, **settings: Any) -> Completion:
    with Client(**settings) as client, client.stream(request) as stream:
        return collect(stream)


def stream_async(request: ChatRequest, **settings: Any) -> Completion:
    async def run() -> Completion:
        events: list[StreamEvent] = []
        async with AsyncClient(**settings) as client, await client.stream(request) as stream:
            events += [event async for event in stream]
        return collect(events)

    return asyncio.run(run())


WHOLE: tuple[Run, ...] = (chat_sync, chat_async)
STREAMED: tuple[Run, ...] = (stream_sync, stream_async)
EVERY_WAY = WHOLE + STREAMED
"""The four ways to make a call; each case runs through all that apply."""
