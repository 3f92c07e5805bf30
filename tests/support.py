"""What tests of several rooms use."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from wandb_inference import AsyncClient, ChatOptions, ChatRequest, Client, Completion, StreamEvent, collect
from wandb_inference.settings import TransportName

MODEL = "openai/gpt-oss-20b"
KEY = "emulator-key"
TRANSPORTS: tuple[str, ...] = get_args(TransportName)
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(params=TRANSPORTS)
def over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each transport in its turn, for every client that is given none: ``usefixtures("over")``."""
    name: str = request.param
    monkeypatch.setenv("WANDB_INFERENCE_TRANSPORT", name)
    return name


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


def read_request(connection: socket.socket) -> bytes:
    """Read a whole request: closing a socket with bytes unread would reset the connection. Return its head."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    while len(body) < length:
        body += connection.recv(65536) or b"x" * length
    return head


@contextmanager
def raw_server(*answers: bytes, hold: float = 0.0, closed: threading.Semaphore | None = None) -> Iterator[str]:
    """A server that writes these bytes, one answer a connection, and closes each after ``hold`` seconds."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                read_request(connection)
                connection.sendall(answer)
                stopped.wait(hold)
            if closed is not None:
                closed.release()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        stopped.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@contextmanager
def one_connection(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that reads one request, and leaves the rest of its connection to a function."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                read_request(connection)
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        with suppress(OSError):  # nobody came
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@dataclass
class Kept:
    """A server that keeps its connections, and counts them."""

    url: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    """The head of each."""


@contextmanager
def kept_server(answer: bytes, *, drops_after: int | None = None) -> Iterator[Kept]:
    """A server that answers every request alike, and drops a connection without a word after so many."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Kept(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            answered = 0
            while request := read_request(connection):
                server.requests.append(request)
                if answered == drops_after:
                    return
                connection.sendall(answer)
                answered += 1

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                server.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()


def whole(body: bytes) -> bytes:
    """An answer that is not streamed."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def sse(*events: dict[str, Any], compressed: bool = False) -> bytes:
    """A streamed answer as vLLM sends it: a chunk of HTTP an event, and ``[DONE]``."""
    lines = [b"data: %b\n\n" % json.dumps(event).encode() for event in events] + [b"data: [DONE]\n\n"]
    if compressed:
        packer = zlib.compressobj(wbits=31)
        lines = [packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH) for line in lines]
        lines[-1] += packer.flush()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
    head += b"content-encoding: gzip\r\n" if compressed else b""
    return head + b"\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"


def calls_of(action: Callable[[], object]) -> int:
    """How many functions, Python's and C's, an action calls: its work, whatever the machine's mood."""
    calls = 0

    def profile(_: Any, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def grows_linearly(work: Callable[[int], object]) -> bool:
    """Whether eight times the size takes about eight times the processor's time."""

    def least(size: int) -> float:
        times = []
        for _ in range(3):
            begun = time.process_time()
            work(size)
            times.append(time.process_time() - begun)
        return min(times)

    return any(least(80_000) < 12 * least(10_000) for _ in range(5))


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
