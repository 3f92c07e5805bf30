"""What every transport does alike at the edge of the network: proxies, certificates, forks, connections that die."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import socket
import ssl
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import trustme
from support import (
    EVERY_WAY,
    KEY,
    WHOLE,
    Run,
    ask,
    chat_sync,
    kept_server,
    one_connection,
    raw_server,
    read_request,
    sse,
    stream_sync,
    whole,
)

from wandb_inference import (
    AsyncClient,
    Client,
    ConfigurationError,
    ConnectionFailedError,
    InferenceError,
    Settings,
    StreamEnd,
    StreamInterruptedError,
)
from wandb_inference._transport import atransport, transport
from wandb_inference.emulator import Emulator

pytestmark = pytest.mark.usefixtures("over")

BODY = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
STOP = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}


# Connections


@pytest.mark.parametrize("run", [Client, AsyncClient])
def test_a_request_is_sent_once_even_on_a_kept_connection_that_is_dead(run: type) -> None:
    async def twice(client: AsyncClient) -> None:
        await client.chat(ask("first"))
        with pytest.raises(ConnectionFailedError):
            await client.chat(ask("second"))

    with kept_server(whole(BODY), drops_after=1) as server:
        client = run(base_url=server.url, api_key=KEY, max_retries=0)
        if isinstance(client, AsyncClient):
            asyncio.run(twice(client))
        else:
            client.chat(ask("first"))
            with pytest.raises(ConnectionFailedError):
                client.chat(ask("second"))
        assert len(server.requests) == 2


@pytest.mark.parametrize("run", WHOLE)
def test_nothing_leaves_that_was_not_asked_for(run: Run) -> None:
    with kept_server(whole(BODY)) as server:
        run(ask("x"), base_url=server.url, api_key=KEY, headers={"X-Empty": ""})
    names = [line.split(b":")[0].lower().decode() for line in server.requests[0].split(b"\r\n")[1:]]
    about = {"authorization", "content-type", "content-length", "user-agent", "x-empty"}
    assert sorted(names) == sorted({"host", "accept", "accept-encoding"} | about)


def test_a_model_list_after_a_call_is_asked_for_in_its_own_way() -> None:
    with kept_server(whole(b'{"data":[]}')) as server, Client(base_url=server.url, api_key=KEY) as client:
        with suppress(Exception):
            client.chat(ask("x"))
        client.models()
        with suppress(Exception):
            client.chat(ask("x"))
    assert [head.split()[0] for head in server.requests] == [b"POST", b"GET", b"POST"]


@pytest.mark.parametrize("run", WHOLE)
@pytest.mark.parametrize("value", ["a\r\nb: c", "ü", "a\0"])
def test_a_header_that_http_forbids(value: str, run: Run) -> None:
    with kept_server(whole(BODY)) as server, pytest.raises(ConfigurationError, match=r"[Hh]eader") as caught:
        run(ask("x"), base_url=server.url, api_key=KEY, headers={"X-Mine": value}, max_retries=0)
    assert server.requests == []
    assert value not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("run", WHOLE)
def test_headers_of_an_answer_behind_an_informational_one(run: Run) -> None:
    answer = whole(BODY).replace(b"\r\n\r\n", b"\r\nX-Part: a\r\nx-part: b: c\r\n\r\n")
    with raw_server(b"HTTP/1.1 103 Early Hints\r\nx-hint: 1\r\n\r\n" + answer) as url:
        headers = run(ask("x"), base_url=url, api_key=KEY).headers
    assert headers["x-part"] == "a, b: c"
    assert "x-hint" not in headers


@pytest.mark.parametrize("run", WHOLE)
def test_trailers_are_no_headers(run: Run) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n"
    with raw_server(head + b"%x\r\n%b\r\n0\r\nx-t: late\r\n\r\n" % (len(BODY), BODY)) as url:
        completion = run(ask("x"), base_url=url, api_key=KEY, max_retries=0)
    assert completion.text == "Hi"
    assert "x-t" not in completion.headers


@pytest.mark.parametrize("run", WHOLE)
def test_headers_that_come_in_two_packets_behind_an_informational_answer(run: Run) -> None:
    first, _, rest = whole(BODY).partition(b"content-length")

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nx-hint: 1\r\n\r\n" + first)
        time.sleep(0.2)
        connection.sendall(b"content-length" + rest)

    with one_connection(serve) as url:
        headers = run(ask("x"), base_url=url, api_key=KEY, max_retries=0).headers
    assert (headers["content-type"], headers["content-length"]) == ("application/json", str(len(BODY)))


def test_a_paused_stream_that_is_closed_says_so() -> None:
    def serve(connection: socket.socket) -> None:
        connection.settimeout(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for _ in range(100):
            connection.sendall(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' * 1000)

    async def run(url: str) -> None:
        client = AsyncClient(base_url=url, api_key=KEY)
        stream = await client.stream(ask("x"))
        await anext(stream)
        await asyncio.sleep(0.5)
        await client._transport.aclose()
        with pytest.raises(StreamInterruptedError):
            async for _ in stream:
                pass

    with one_connection(serve) as url:
        asyncio.run(run(url))


def test_what_arrived_before_a_connection_broke_is_handed_out() -> None:
    piece = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            time.sleep(0.1)
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def run(url: str) -> None:
        client = AsyncClient(base_url=url, api_key=KEY, timeout=10)
        stream = await client.stream(ask("x"))
        await anext(stream)
        await asyncio.sleep(1)  # the rest arrives, and the end of the connection, while nobody reads
        with pytest.raises(StreamInterruptedError) as caught:
            async for _ in stream:
                pass
        assert caught.value.partial is not None
        assert caught.value.partial.text == "aaa"

    with one_connection(serve) as url:
        asyncio.run(run(url))


def test_closing_closes_what_rests() -> None:
    closed = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(whole(BODY))
        if connection.recv(1) == b"":
            closed.set()

    with one_connection(serve) as url:
        name = Settings.resolve(api_key=KEY).transport
        over = transport(name)
        client = Client(base_url=url, api_key=KEY, transport=over)
        client.chat(ask("x"))
        over.close()
        assert closed.wait(5)


def test_a_cancelled_call_ends_its_connection() -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        if connection.recv(1) == b"":
            ended.set()

    async def run(url: str) -> None:
        async with AsyncClient(base_url=url, api_key=KEY) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.chat(ask("x")), 0.2)
            assert await asyncio.to_thread(ended.wait, 5)

    with one_connection(serve) as url:
        asyncio.run(run(url))


def test_a_server_waits_for_a_reader_that_does_not_read() -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        connection.settimeout(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while sent < 100_000_000:
            sent += connection.send(b": " + b"x" * 65_000 + b"\n\n")

    async def run(url: str) -> None:
        client = AsyncClient(base_url=url, api_key=KEY)
        stream = await client.stream(ask("x"))
        await asyncio.sleep(1.5)  # the event loop runs, and could read all the while
        await stream.aclose()

    with one_connection(serve) as url:
        asyncio.run(run(url))
    assert sent < 20_000_000  # what fits into the buffers of both sides


# Certificates and proxies


@contextmanager
def tls_server(authority: trustme.CA, name: str, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                    read_request(wrapped)
                    answer(wrapped)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.join()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[trustme.CA]:
    """An authority that the environment names, as companies do."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    caches: list[Any] = [import_module("wandb_inference._transport.seam").tls]
    caches += [import_module("wandb_inference._transport.curl")._options]
    for cached in caches:
        cached.cache_clear()
    yield authority
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_certificates_that_cannot_be_read(kind: type, over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    said = r"certificates of SSL_CERT_FILE=/nowhere\.pem cannot be read: No such file"
    with pytest.raises(ConfigurationError, match=said):
        asked(of_its_own(kind, over, base_url="https://127.0.0.1:9/v1"))


@pytest.mark.parametrize("run", EVERY_WAY)
def test_a_body_that_is_compressed_twice(run: Run, over: str) -> None:
    body = gzip.compress(gzip.compress(BODY))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url:
        if over == "fast" and run in (chat_sync, stream_sync):  # libcurl hands it over in pieces of some kilobytes
            assert run(ask("x"), base_url=url, api_key=KEY, max_retries=0).text == "Hi"
        else:
            with pytest.raises(InferenceError):
                run(ask("x"), base_url=url, api_key=KEY, max_retries=0)


def of_its_own(kind: type, over: str, **settings: Any) -> Any:
    """A client whose pool has read the environment as it is now."""
    made: Any = transport(over) if kind is Client else atransport(over)
    return kind(api_key=KEY, transport=made, max_retries=0, timeout=10, **settings)


def asked(client: Any) -> str:
    if isinstance(client, Client):
        return client.chat(ask("x")).text
    text: str = asyncio.run(client.chat(ask("x"))).text
    return text


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_certificates_from_the_environment(kind: type, over: str, trusted: trustme.CA) -> None:
    with tls_server(trusted, "127.0.0.1", lambda connection: connection.sendall(whole(BODY))) as port:
        assert asked(of_its_own(kind, over, base_url=f"https://127.0.0.1:{port}/v1")) == "Hi"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_certificate_that_nobody_trusts(name: str, kind: type, over: str) -> None:
    with tls_server(trustme.CA(), name, lambda connection: connection.sendall(whole(BODY))) as port:
        client = of_its_own(kind, over, base_url=f"https://127.0.0.1:{port}/v1")
        with pytest.raises(ConnectionFailedError, match=f"Cannot connect to 127.0.0.1:{port}") as caught:
            asked(client)
        assert not caught.value.sent


@contextmanager
def tunnel(port: int) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that connects whoever asks to one port of ours."""
    listening, heads = socket.create_server(("127.0.0.1", 0)), []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection, socket.create_connection(("127.0.0.1", port)) as far:
                heads.append(read_request(connection))
                connection.sendall(b"HTTP/1.1 200 Connection established\r\nx-proxy: 1\r\n\r\n")
                back = threading.Thread(target=pump, args=(far, connection))
                back.start()
                pump(connection, far)
                back.join()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield f"http://somebody:secret@127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        listening.close()
        serving.join()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_tunnel_through_a_proxy(kind: type, over: str, trusted: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: ssl.SSLSocket) -> None:
        connection.sendall(whole(BODY).replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n"))

    with tls_server(trusted, "far.invalid", answer) as port, tunnel(port) as (url, heads):
        monkeypatch.setenv("HTTPS_PROXY", url)
        assert asked(of_its_own(kind, over, base_url="https://far.invalid/v1")) == "Hi"
    assert heads[0].startswith(b"CONNECT far.invalid:443 ")
    assert b"Proxy-Authorization: Basic c29tZWJvZHk6c2VjcmV0" in heads[0]
    assert KEY.encode() not in heads[0]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_proxy_from_the_environment(kind: type, over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(whole(BODY)) as url:
        monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
        assert asked(of_its_own(kind, over, base_url="http://far.invalid/v1")) == "Hi"
    with raw_server(whole(BODY)) as url:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert asked(of_its_own(kind, over, base_url=url)) == "Hi"


BAD_PROXIES = [
    "http://user:SECRET/PW@proxy:1",
    "htp://user:SECRETPW@proxy:1",
    "http://user:SECRET PW@proxy:1",
    "socks://proxy:1",
]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", BAD_PROXIES)
def test_a_proxy_that_is_none(url: str, kind: type, over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(ConfigurationError, match="proxy that the environment names") as caught:
        asked(of_its_own(kind, over, base_url="http://far.invalid/v1"))
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_proxy_without_a_scheme_is_one(kind: type, over: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(whole(BODY)) as url:
        monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1").removeprefix("http://"))
        assert asked(of_its_own(kind, over, base_url="http://far.invalid/v1")) == "Hi"


def test_a_stream_that_was_read_is_remembered_by_nobody() -> None:
    with raw_server(whole(BODY)) as url, Client(base_url=url, api_key=KEY) as client:
        stream = client.stream(ask("x"))
        for event in stream:
            if isinstance(event, StreamEnd):
                break
        del stream
    gc.collect()
    httpx_s = import_module("wandb_inference._transport.with_httpx")
    assert not [stream for stream in httpx_s._OPEN if stream._request.url.startswith(url)]


# Processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_child_that_ends_leaves_its_parents_stream_alone(kind: type, over: str, trusted: trustme.CA) -> None:
    """What a child frees must not end the parent's TLS session, which both hold."""
    forked = threading.Event()
    head, _, rest = sse(STOP).partition(b"data: [DONE]")

    def answer(connection: ssl.SSLSocket) -> None:
        connection.sendall(head)
        assert forked.wait(10)
        connection.sendall(b"data: [DONE]" + rest)

    def fork(drop: Callable[[], None]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which is the point
            child = os.fork()
        if child == 0:
            try:
                drop()
                gc.collect()
                time.sleep(0.1)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        forked.set()

    async def run(client: AsyncClient) -> str:
        stream = await client.stream(ask("x"))
        events: list[Any] = [await anext(stream), await anext(stream)]
        fork(stream._response.abandon)
        events += [event async for event in stream]
        return "".join(getattr(event, "text", "") for event in events)

    with tls_server(trusted, "127.0.0.1", answer) as port:
        client = of_its_own(kind, over, base_url=f"https://127.0.0.1:{port}/v1")
        if isinstance(client, AsyncClient):
            assert asyncio.run(run(client)) == "Hi"
        else:
            stream = client.stream(ask("x"))
            events: list[Any] = [next(stream), next(stream)]
            fork(lambda: (stream._response.abandon(), client._transport.close())[0])
            assert "".join(getattr(event, "text", "") for event in [*events, *stream]) == "Hi"


# Choice


def test_a_transport_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="transport 'faster' does not exist"):
        Client(api_key=KEY, transport="faster")  # type: ignore[arg-type]
    monkeypatch.setenv("WANDB_INFERENCE_TRANSPORT", "faster")
    with pytest.raises(ConfigurationError, match="WANDB_INFERENCE_TRANSPORT 'faster' does not exist"):
        AsyncClient(api_key=KEY)


def test_the_fast_one_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycurl", None)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for name in ("curl", "with_curl", "with_aiohttp"):
        monkeypatch.delitem(sys.modules, f"wandb_inference._transport.{name}", raising=False)
    with pytest.raises(ConfigurationError, match=r"needs pycurl.*wandb-inference\[fast\]"):
        transport("fast")
    with pytest.raises(ConfigurationError, match=r"needs aiohttp.*wandb-inference\[fast\]"):
        atransport("fast")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_kept_connection_that_the_server_closed_is_not_used(kind: type[Client | AsyncClient]) -> None:
    closed, calls = threading.Semaphore(0), 6

    async def run(url: str) -> None:
        client: Any = kind(base_url=url, api_key=KEY, max_retries=0, timeout=60)
        for _ in range(calls):
            answer = client.chat(ask("x"))
            assert (await answer if kind is AsyncClient else answer).text == "Hi"
            assert await asyncio.to_thread(closed.acquire, timeout=60)

    with raw_server(*[whole(BODY)] * calls, closed=closed) as url:
        asyncio.run(run(url))


@pytest.mark.parametrize("run", EVERY_WAY)
def test_an_answer_that_ends_before_its_headers_do_is_a_broken_connection(run: Run) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n") as url, pytest.raises(ConnectionFailedError):
        run(ask("x"), base_url=url, api_key=KEY, max_retries=0, timeout=600)


def test_a_stream_that_is_left_takes_no_other_call_along(emulator: Emulator) -> None:
    async def run() -> None:
        async with AsyncClient(base_url=emulator.url, api_key=KEY, timeout=60) as client, asyncio.timeout(120):
            for _ in range(20):
                async with await client.stream(ask("word " * 50)) as stream:
                    async for _ in stream:
                        break
                assert (await client.chat(ask("x"))).text == "You said: x"

    asyncio.run(run())
