"""The content decides what a body is; its label (``content-type``) only where there is nothing to see."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import EVERY_WAY, KEY, STREAMED, WHOLE, Run, ask, one_connection, raw_server

from wandb_inference import AsyncClient, Client, TextDelta, Timeouts
from wandb_inference.errors import (
    InferenceError,
    MalformedResponseError,
    RateLimitedError,
    StreamInterruptedError,
    TimedOutError,
)

pytestmark = pytest.mark.usefixtures("over")

LABELS: dict[str, bytes] = {
    "JSON": b"content-type: application/json\r\n",
    "JSON in capitals": b"Content-Type: Application/JSON; charset=utf-8\r\n",
    "SSE": b"content-type: text/event-stream\r\n",
    "plain text": b"content-type: text/plain\r\n",
    "HTML": b"content-type: text/html\r\n",
    "bytes": b"content-type: application/octet-stream\r\n",
    "lines of JSON": b"content-type: application/x-ndjson\r\n",
    "empty": b"content-type:\r\n",
    "none": b"",
}


def data(*events: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % (e if isinstance(e, bytes) else json.dumps(e).encode()) for e in events)


def delta(text: str = "", finish: str | None = None) -> dict[str, Any]:
    return {"id": "c-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


STREAM = data(delta("Hel"), delta("lo"), delta(finish="stop"), b"[DONE]")
WHOLE_BODY = json.dumps({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}).encode()
ERROR = b'{"error": {"message": "slow down", "code": 429}}'
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"

CONTENTS: dict[str, tuple[bytes, str | type[InferenceError]]] = {
    # name: (body, the text of the answer, or the class of the error)
    "a stream": (STREAM, "Hello"),
    "a stream behind a BOM": (b"\xef\xbb\xbf" + STREAM, "Hello"),
    "a stream behind keep-alives": (b": keep-alive\n\n: {\r\n\r\n:\n\n" + STREAM, "Hello"),
    "a stream behind blanks": (b"\n\r\n  \n" + STREAM, "Hello"),
    "a stream behind all of them": (b"\xef\xbb\xbf\n: still here\n\n\r\n" + STREAM, "Hello"),
    "a stream of named events": (STREAM.replace(b"data:", b"event: message\ndata:"), "Hello"),
    "a stream that begins with an id": (b"id: 1\n" + STREAM, "Hello"),
    "a stream that begins with retry": (b"retry: 10\n\n" + STREAM, "Hello"),
    "a whole answer": (WHOLE_BODY, "Hello"),
    "a whole answer behind a BOM": (b"\xef\xbb\xbf" + WHOLE_BODY, "Hello"),
    "a whole answer behind blanks": (b" \r\n\n" + WHOLE_BODY, "Hello"),
    "a whole answer behind keep-alives": (b": keep-alive\n\n" + WHOLE_BODY, "Hello"),
    "an error": (ERROR, RateLimitedError),
    "an error behind blanks": (b"\n\n" + ERROR, RateLimitedError),
    "an error in a stream": (data(ERROR), RateLimitedError),
    "an error after a chunk": (data(delta("Hel"), ERROR), RateLimitedError),
    "vLLM's older error": (b'{"object": "error", "message": "slow down", "code": 429}', RateLimitedError),
    "vLLM's older error in a stream": (data({"object": "error", "message": "slow", "code": 429}), RateLimitedError),
    "a page": (PAGE, MalformedResponseError),
    "a page behind blanks": (b"\n\n " + PAGE, MalformedResponseError),
    "text": (b"upstream is away", MalformedResponseError),
    "a list": (b"[1]", MalformedResponseError),
    "a string": (b'"no"', MalformedResponseError),
    "a stream that is cut": (data(delta("Hel")), StreamInterruptedError),
}


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize("name", CONTENTS)
def test_the_label_does_not_matter(name: str, run: Run) -> None:
    body, wanted = CONTENTS[name]
    heads = [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n%bcontent-length: %d\r\n\r\n" % (label, len(body))
        for label in LABELS.values()
    ]
    with raw_server(*(head + body for head in heads)) as url:
        for label in LABELS:
            try:
                found: Any = run(ask("x"), base_url=url, api_key=KEY, max_retries=0).text
            except InferenceError as e:
                found = type(e)
            assert (label, found) == (label, wanted)


EMPTY: dict[str, tuple[bytes, type[InferenceError]]] = {
    # name: (label, what an empty body is to a call that asked for a stream)
    "JSON": (LABELS["JSON"], MalformedResponseError),
    "HTML": (LABELS["HTML"], MalformedResponseError),
    "SSE": (LABELS["SSE"], StreamInterruptedError),
    "none": (b"", StreamInterruptedError),
}


@pytest.mark.parametrize("body", [b"", b" \n", b": keep-alive\n\n", b"\xef\xbb"])
@pytest.mark.parametrize("name", EMPTY)
def test_the_label_decides_where_there_is_nothing_to_see(name: str, body: bytes) -> None:
    label, cls = EMPTY[name]
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n%bcontent-length: %d\r\n\r\n" % (label, len(body))
    for run in (*STREAMED, *WHOLE):
        wanted = cls if run in STREAMED else MalformedResponseError
        with raw_server(head + body) as url, pytest.raises(wanted, match="empty"):
            run(ask("x"), base_url=url, api_key=KEY, max_retries=0)


def first_text_sync(url: str, seen: Callable[[], object]) -> str:
    with Client(base_url=url, api_key=KEY, timeout=60) as client, client.stream(ask("x")) as stream:
        texts = []
        for event in stream:
            if isinstance(event, TextDelta):
                texts.append(event.text)
                seen()
    return "".join(texts)


def first_text_async(url: str, seen: Callable[[], object]) -> str:
    async def run() -> str:
        texts = []
        async with (
            AsyncClient(base_url=url, api_key=KEY, timeout=60) as client,
            await client.stream(ask("x")) as stream,
        ):
            async for event in stream:
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                    seen()
        return "".join(texts)

    return asyncio.run(run())


@pytest.mark.parametrize("read", [first_text_sync, first_text_async])
@pytest.mark.parametrize("label", LABELS)
def test_each_chunk_is_handed_out_when_it_comes(label: str, read: Callable[..., str]) -> None:
    """The server sends the next chunk only when the one before it was read."""
    seen = threading.Semaphore(0)
    waited: list[bool] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + LABELS[label] + b"\r\n: hello\n\n\n")
        for text in "abc":
            connection.sendall(data(delta(text)))
            waited.append(seen.acquire(timeout=60))
        connection.sendall(data(delta(finish="stop"), b"[DONE]"))

    with one_connection(serve) as url:
        assert read(url, seen.release) == "abc"
    assert waited == [True] * 3


@pytest.mark.parametrize("run", STREAMED)
def test_keep_alives_that_nothing_follows_are_a_stall(run: Run) -> None:
    stopped = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n")
        while not stopped.wait(0.05):
            connection.sendall(b": still here\n\n")

    with one_connection(serve) as url:
        with pytest.raises(TimedOutError, match="nothing but keep-alives"):
            run(ask("x"), base_url=url, api_key=KEY, timeout=Timeouts(stall=1.0), max_retries=0)
        stopped.set()


@pytest.mark.parametrize("run", WHOLE)
def test_a_stream_that_nobody_asked_for_is_read_with_all_that_is_in_it(run: Run) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    chunks = [
        {"id": "c-1", "model": "served", "choices": [{"index": 0, "delta": {"reasoning": "hm", "tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ]
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-request-id: r\r\n\r\n"
    with raw_server(head + data(*chunks)) as url:
        completion = run(ask("x"), base_url=url, api_key=KEY)
    assert (completion.id, completion.model, completion.reasoning) == ("c-1", "served", "hm")
    assert [(call.id, call.name, call.arguments) for call in completion.tool_calls] == [("c", "f", "{}")]
    assert completion.usage is not None
    assert (completion.usage.total_tokens, completion.headers["x-request-id"]) == (5, "r")
    assert (completion.finish_reason, completion.route is not None) == ("tool_calls", True)
