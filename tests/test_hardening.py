"""What a review found, each as a case that failed before."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import socket
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from support import EVERY_WAY, KEY, MODEL, STREAMED, WHOLE, Run, ask, one_connection, raw_server
from test_client import DELTA, HEAD

import wandb_inference as w
from wandb_inference import (
    AsyncClient,
    BadRequestError,
    Client,
    ConfigurationError,
    InferenceError,
    MalformedResponseError,
    NotFoundError,
    RateLimitedError,
    Settings,
    StreamInterruptedError,
    TextDelta,
    TimedOutError,
    Timeouts,
)
from wandb_inference._exchange import HttpRequest
from wandb_inference._transport.with_httpx import translated
from wandb_inference._wire import StreamDecoder, decode, failure
from wandb_inference.emulator import Emulator, Fault
from wandb_inference.errors import Reply

pytestmark = pytest.mark.usefixtures("over")

SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system to count open files in")
def test_ended_event_loops_keep_no_sockets(emulator: Emulator) -> None:
    client = AsyncClient(base_url=emulator.url, api_key=KEY)

    def sockets() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    asyncio.run(client.chat(ask("x")))
    before = sockets()
    for _ in range(20):
        asyncio.run(client.chat(ask("x")))
    assert sockets() < before + 20  # a leak is one socket a loop at least, and its end in the emulator another


ERRORS: list[InferenceError] = [
    ConfigurationError("m", hint="h"),
    RateLimitedError("m", status_code=429, retry_after=2.0, response=Reply(429, {"a": "b"}, b"c")),
    w.UnknownModelError("m", model="x", suggestions=["y"], replacement="z"),
    w.RequestReviewError("m", model="x", findings=w.review(ask("x", n=0), w.Catalog.bundled().card(MODEL))),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, copy.copy])  # noqa: S301
def test_errors_can_be_copied_and_pickled(error: InferenceError, copied: Any) -> None:
    error.partial = w.Completion(id="1")
    again = copied(error)
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def _fail() -> None:
    raise RateLimitedError("busy", status_code=429, retry_after=2.0)


def test_errors_come_back_from_worker_processes() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(RateLimitedError, match="busy") as caught:
        pool.submit(_fail).result(30)
    assert caught.value.retry_after == 2.0


def test_the_consumers_own_time_is_no_stall() -> None:
    event = DELTA.replace(b'"}', b'"},"finish_reason":null')
    stop = DELTA.replace(b'"}', b'"},"finish_reason":"stop"')
    with raw_server(HEAD + event + b": ping\n\n" + event + b": ping\n\n" + stop) as url:
        client = Client(base_url=url, api_key=KEY, timeout=Timeouts(stall=0.5))
        texts = []
        with client, client.stream(ask("x")) as stream:
            for event_ in stream:
                time.sleep(0.6)
                texts += [event_.text] if isinstance(event_, TextDelta) else []
    assert texts == ["a", "a", "a"]


@pytest.mark.parametrize("blank", [b"data:\n\n", b"data: \n\n", b"data:\ndata:\n\n"])
def test_an_event_without_data_is_none(blank: bytes) -> None:
    decoder = StreamDecoder("m")
    decoder.feed(blank + DELTA + blank)
    assert decoder.error is None


ODD = [
    {"choices": [{"message": "hi"}]},
    {"choices": [{"message": {"tool_calls": ["a"]}}]},
    {"choices": [{"message": {"content": "x"}, "logprobs": ["a"]}]},
    {"choices": [{"message": {}}], "usage": {"prompt_tokens": 1, "prompt_tokens_details": [1]}},
    {"choices": [{"message": {}}], "created": float("inf")},
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_a_body_of_odd_shape_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponseError, match="unknown shape"):
        decode(json.dumps(body).encode(), model="m")
    chunk = json.loads(json.dumps(body).replace('"message"', '"delta"'))
    decoder = StreamDecoder("m")
    decoder.feed(f"data: {json.dumps(chunk)}\n\n".encode())
    assert isinstance(decoder.error, MalformedResponseError)


def test_nesting_without_end_is_malformed() -> None:
    deep = b'{"choices":' + b"[" * 200_000
    with pytest.raises(MalformedResponseError):
        decode(deep, model="m")
    assert isinstance(failure(model="m", status=400, reply=Reply(400, {}, deep)), BadRequestError)


@pytest.mark.parametrize("detail", [[{"loc": 5}], [{"msg": "x"}], ["a"], [None], {"a": 1}, 5])
def test_any_detail_is_readable(detail: Any) -> None:
    assert isinstance(failure(model="m", status=422, body={"detail": detail}), BadRequestError)


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("insufficient_quota", w.QuotaExceededError),
        ("not_found", NotFoundError),
        ("forbidden", w.AccessDeniedError),
        ("context_length_exceeded", w.ContextLengthError),
        ("overloaded", w.OverloadedError),
    ],
)
def test_codes_of_errors_inside_a_stream(code: str, cls: type[InferenceError]) -> None:
    assert type(failure(model="m", body={"error": {"message": "no", "code": code}})) is cls


def test_a_wrong_path_is_about_the_base_url() -> None:
    error = failure(model="m", status=404, reply=Reply(404, {}, b'{"detail":"Not Found"}'))
    assert isinstance(error, NotFoundError)
    assert "base_url" in str(error)


def test_a_name_that_comes_late_is_kept() -> None:
    lines = [
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": ""}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]
    decoder = StreamDecoder("m")
    events = decoder.feed("".join(f"data: {json.dumps(line)}\n\n" for line in lines).encode()) + decoder.close()
    assert w.collect(events).tool_calls == (w.ToolCall("c", "f", "{}"),)


def test_closing_from_another_thread_wakes_the_reader(emulator: Emulator) -> None:
    emulator.script(Fault("stall", after=4))
    with Client(base_url=emulator.url, api_key=KEY, timeout=30) as client:
        stream = client.stream(ask("x"))
        ended: list[BaseException] = []

        def read() -> None:
            try:
                list(stream)
            except InferenceError as e:
                ended.append(e)

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        stream.close()
        reader.join(60)
    assert not reader.is_alive()
    assert isinstance(ended[0], StreamInterruptedError)


def test_closing_from_another_task(emulator: Emulator) -> None:
    emulator.script(Fault("stall", after=4))

    async def run() -> None:
        async with AsyncClient(base_url=emulator.url, api_key=KEY, timeout=30) as client:
            stream = await client.stream(ask("x"))

            async def read() -> None:
                with suppress(InferenceError):
                    async for _ in stream:
                        pass

            reader = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            await stream.aclose()
            await asyncio.wait_for(reader, 60)

    asyncio.run(run())


def test_a_stream_that_is_dropped_unread_gives_its_connection_back(emulator: Emulator) -> None:
    with httpx.Client(limits=httpx.Limits(max_connections=2)) as http:
        client = Client(base_url=emulator.url, api_key=KEY, http_client=http, timeout=Timeouts(connect=30))
        for _ in range(4):
            client.stream(ask("x"))
            gc.collect()
        assert client.chat(ask("y")).text == "You said: y"


JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ECHOES = {
    "status": b'HTTP/1.1 401 No\r\nx-echo: %b\r\ncontent-length: %d\r\n\r\n{"error":"wrong key %b"}',
    "error in a 200": JSON_HEAD + b'content-length: %d\r\n\r\n{"error":"wrong key %b"}',
    "excerpt": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n<p>wrong key %b</p>",
    "error in a stream": HEAD + DELTA + b'data: {"error":"wrong key %b"}\n\n',
}


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize("name", ECHOES)
def test_a_key_that_the_server_repeats_is_blotted_out(name: str, run: Run) -> None:
    key = SECRET.encode()
    body = ECHOES[name].rpartition(b"\r\n\r\n")[2] % key
    values = {"status": (key, len(body), key), "error in a stream": (key,)}.get(name, (len(body), key))
    with raw_server(ECHOES[name] % values) as url, pytest.raises(InferenceError) as caught:
        run(ask("x"), base_url=url, api_key=SECRET, max_retries=0)
    error: Any = caught.value
    assert SECRET not in f"{error} {error!r} {vars(error)} {getattr(error, 'response', '')}"
    if name != "error in a stream" or run in STREAMED:
        assert "wrong key ***" in str(error)


def test_a_key_with_a_line_end_never_gets_as_far_as_a_header() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(SecretStr(f"{SECRET}\n"))
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_a_closed_client_says_so(emulator: Emulator) -> None:
    client = Client(base_url=emulator.url, api_key=KEY)
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.chat(ask("x"))


def test_one_client_leaving_does_not_cut_anothers_stream(emulator: Emulator) -> None:
    first, second = (Client(base_url=emulator.url, api_key=KEY) for _ in range(2))
    with first.stream(ask("x " * 200)) as stream:
        next(stream)
        second.chat(ask("y"))
        second.close()
        assert len(list(stream)) > 100
    first.close()


def test_an_endless_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wandb_inference._transport.seam.MAX_BODY_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    for run in EVERY_WAY:
        with (
            raw_server(head + b"{" * 5000) as url,
            pytest.raises(MalformedResponseError, match="more than 1,000 bytes"),
        ):
            run(ask("x"), base_url=url, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("raised", [httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ReadTimeout])
def test_timeouts_without_a_number(raised: type[httpx.TimeoutException]) -> None:
    request = HttpRequest("GET", "http://x/v1", {}, timeouts=Timeouts(None, None, None))
    with pytest.raises(TimedOutError), translated(request):
        raise raised("late")


@pytest.mark.parametrize("raised", [httpx.TooManyRedirects("round and round"), httpx.StreamClosed()])
def test_any_failure_of_a_request_is_ours(raised: Exception) -> None:
    with pytest.raises(w.ConnectionFailedError), translated(HttpRequest("GET", "http://x/v1", {})):
        raise raised


@pytest.mark.parametrize("run", STREAMED)
def test_html_instead_of_a_stream_is_malformed(run: Run) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>Sign in</html>"
    with raw_server(head) as url, pytest.raises(MalformedResponseError, match="Sign in"):
        run(ask("x"), base_url=url, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("run", STREAMED)
def test_silence_behind_a_finish_reason_is_an_end(run: Run) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n")
    event = DELTA.replace(b'"}', b'"},"finish_reason":"stop"')
    with raw_server(head + b"%x\r\n%b\r\n" % (len(event), event), hold=60) as url:
        assert run(ask("x"), base_url=url, api_key=KEY, timeout=Timeouts(stall=1.0)).text == "a"


@pytest.mark.parametrize("run", WHOLE + STREAMED)
def test_network_errors_name_the_model(run: Run) -> None:
    with pytest.raises(w.ConnectionFailedError, match=f"^{MODEL}: Cannot connect to 127.0.0.1:9"):
        run(ask("x"), base_url="http://127.0.0.1:9/v1", api_key=KEY, max_retries=0)


def test_a_stream_dropped_while_the_pool_is_locked_does_not_wait_for_the_lock(emulator: Emulator) -> None:
    # A destructor runs where it likes, also inside the pool, which holds a lock that its close would take again.
    with httpx.Client() as http:
        client = Client(base_url=emulator.url, api_key=KEY, http_client=http)
        lock = http._transport._pool._optional_thread_lock  # type: ignore[attr-defined]
        stream = client.stream(ask("x"))

        def drop() -> None:
            nonlocal stream
            with lock:
                del stream

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert client.chat(ask("y")).text == "You said: y"


def test_a_stream_that_is_dropped_tells_the_server_at_once() -> None:
    told = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + DELTA)
        connection.settimeout(5)
        if connection.recv(1) == b"":
            told.set()

    with one_connection(serve) as url:
        client = Client(base_url=url, api_key=KEY)
        gc.disable()  # a stream that is read waits for no garbage collector
        try:
            stream = client.stream(ask("x"))
            next(stream)
            del stream
            assert told.wait(60)
        finally:
            gc.enable()


def test_a_stream_keeps_the_connections_of_its_client(emulator: Emulator) -> None:
    stream = Client(base_url=emulator.url, api_key=KEY).stream(ask("x " * 100))
    gc.collect()
    with Client(base_url=emulator.url, api_key=KEY) as other:
        other.models()
    assert len(list(stream)) > 50


def test_dropped_async_streams_give_their_connections_back(emulator: Emulator) -> None:
    async def run() -> str:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=2)) as http:
            client = AsyncClient(base_url=emulator.url, api_key=KEY, http_client=http, timeout=Timeouts(connect=30))
            for _ in range(4):
                await client.stream(ask("x"))
                gc.collect()
            return (await client.chat(ask("y"))).text

    assert asyncio.run(run()) == "You said: y"


def test_a_client_closed_during_a_pause_sends_no_more(emulator: Emulator) -> None:
    emulator.script(Fault(status=429, retry_after=1))
    client = Client(base_url=emulator.url, api_key=KEY)

    def close() -> None:
        while not emulator.requests:
            time.sleep(0.005)
        client.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(ConfigurationError, match="closed"):
        client.chat(ask("x"))
    closer.join()
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("http", [b"HTTP/1.0", b"HTTP/1.1"])
def test_closing_wakes_the_reader_of_either_version(http: bytes) -> None:
    with raw_server(HEAD.replace(b"HTTP/1.1", http) + DELTA, hold=20) as url:
        stream = Client(base_url=url, api_key=KEY, timeout=30).stream(ask("x"))

        def read() -> None:
            with suppress(InferenceError):
                list(stream)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        time.sleep(0.2)
        stream.close()
        reader.join(60)
        assert not reader.is_alive()


def test_an_excerpt_that_ends_inside_the_key() -> None:
    body = b"x" * 175 + SECRET.encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url, pytest.raises(MalformedResponseError) as caught:
        Client(base_url=url, api_key=SECRET, max_retries=0).chat(ask("x"))
    assert SECRET[:8] not in str(caught.value)


def test_an_index_that_is_no_number_is_malformed() -> None:
    chunk = {"index": "0", "delta": {"content": "x"}}
    decoder = StreamDecoder("m")
    decoder.feed(f"data: {json.dumps({'choices': [chunk]})}\n\n".encode())
    decoder.close()
    assert isinstance(decoder.error, MalformedResponseError)


@pytest.mark.parametrize("messages", [["hi"], "hi", [{"role": "user", "content": "x"}, 5]])
def test_messages_that_are_none(messages: Any, client: Client) -> None:
    with pytest.raises(w.RequestReviewError, match="no list of messages"):
        client.chat(w.ChatRequest(MODEL, messages))


WINDOW = "This model's maximum context length is 2048 tokens. However, you requested "
OVERFLOWS = [
    # (the rest of the message, is it the prompt's fault?)
    ("100 output tokens and your prompt contains at least 1949 input tokens", True),
    ("1500 output tokens and your prompt contains at least 549 input tokens", True),
    ("100 output tokens and your prompt contains 1000000 characters", True),
    ("2048 output tokens and your prompt contains at least 1 input tokens", False),
    ("5010 tokens (10 in the messages, 5000 in the completion).", False),
    ("2100 tokens (2000 in the messages, 100 in the completion).", True),
]


@pytest.mark.parametrize(("message", "prompts_fault"), OVERFLOWS)
def test_whose_fault_an_overflow_is(message: str, prompts_fault: bool) -> None:
    error = failure(model="m", status=400, body={"error": {"message": WINDOW + message}})
    assert isinstance(error, w.ContextLengthError) is prompts_fault
    assert isinstance(error, BadRequestError)
