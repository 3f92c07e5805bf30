"""The transport over httpx: the default, and the only one that takes a client of the user's own."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from wandb_inference._exchange import HttpRequest
from wandb_inference._transport.seam import (
    IDLE_CONNECTIONS,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    AsyncOpenStream,
    Body,
    OpenStream,
    broken,
    check_coding,
    closed,
    joined,
    no_connection,
    no_place,
    no_proxy,
    proxy,
    silent,
    tls,
    unsendable,
    unusable,
    wrongly_compressed,
)
from wandb_inference.errors import Reply

TransportT = TypeVar("TransportT")


class HttpxTransport:
    """Over httpx; over a client of your own, which stays yours to close, or over a pool made when first needed."""

    def __init__(self, client: httpx.Client | None = None) -> None:
        self._given = client
        self._pool: _Connections[httpx.HTTPTransport] | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def send(self, request: HttpRequest) -> Reply | OpenStream:
        with suppress(IndexError):  # until there are none; other threads take some, too
            while True:
                _ABANDONED.popleft().close()
        with translated(request):
            if self._given is not None:
                response = self._given.send(_built(self._given, request), stream=True)
            else:
                response = self._connections().to(request.url).handle_request(_plain(request))
            try:
                check_coding(response.headers.get("content-encoding", ""), request)
            except BaseException:
                response.close()
                raise
            if request.stream and response.is_success:
                return _HttpxStream(response, request)
            try:
                return Reply(response.status_code, _headers(response), _bounded(response.iter_bytes()))
            finally:
                response.close()

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        for transport in pool.all() if pool is not None else ():
            transport.close()

    def _connections(self) -> _Connections[httpx.HTTPTransport]:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():  # a forked child must not share its parent's sockets
                self._pool, self._pid = _Connections(httpx.HTTPTransport), os.getpid()
            return self._pool


class AsyncHttpxTransport:
    """The same for asyncio: one pool for each event loop, because connections cannot move between loops."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._given = client
        self._pools: dict[asyncio.AbstractEventLoop, _Connections[httpx.AsyncHTTPTransport]] = {}
        self._abandoned: deque[_AsyncHttpxStream] = deque()
        self._lock = threading.Lock()

    async def send(self, request: HttpRequest) -> Reply | AsyncOpenStream:
        for _ in range(len(self._abandoned)):
            with suppress(IndexError):  # other loops take some, too
                stream = self._abandoned.popleft()
                if not await stream.aclose():
                    self._abandoned.append(stream)
        with translated(request):
            if self._given is not None:
                response = await self._given.send(_built(self._given, request), stream=True)
            else:
                response = await self._connections().to(request.url).handle_async_request(_plain(request))
            try:
                check_coding(response.headers.get("content-encoding", ""), request)
            except BaseException:
                await response.aclose()
                raise
            if request.stream and response.is_success:
                return _AsyncHttpxStream(response, request, self._abandoned)
            try:
                content = Body()
                async for piece in response.aiter_bytes():
                    content.add(piece)
                return Reply(response.status_code, _headers(response), content.whole())
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        with self._lock:
            pool = self._pools.pop(asyncio.get_running_loop(), None)
        for transport in pool.all() if pool is not None else ():
            await transport.aclose()

    def _connections(self) -> _Connections[httpx.AsyncHTTPTransport]:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            with self._lock:
                # Loops that have ended cannot close their connections any more; dropping the pool closes the sockets.
                for ended in [other for other in self._pools if other.is_closed()]:
                    del self._pools[ended]
                pool = self._pools[loop] = _Connections(httpx.AsyncHTTPTransport)
        return pool


class _Connections(Generic[TransportT]):
    """Connections of our own, in httpx's transports: one for each proxy that the environment names.

    Its clients look for cookies, redirects and credentials at every call: a third of what a call costs over httpx.
    """

    def __init__(self, make: Callable[..., TransportT]) -> None:
        self._make = make
        self._by_proxy: dict[str, TransportT] = {}
        self._by_origin: dict[str, TransportT] = {}

    def to(self, url: str) -> TransportT:
        origin = url[: url.find("/", len("https://"))]
        found = self._by_origin.get(origin)
        if found is None:
            via = proxy(url)
            if via not in self._by_proxy:
                trusted = tls()
                try:
                    made = self._make(verify=trusted, limits=_LIMITS, proxy=via or None)
                except (ValueError, ImportError):  # which quotes it; or SOCKS without its package
                    raise no_proxy(urlsplit(url).scheme) from None
                self._by_proxy.setdefault(via, made)  # another thread may have been faster
            found = self._by_origin[origin] = self._by_proxy[via]
        return found

    def all(self) -> list[TransportT]:
        return list(self._by_proxy.values())


class _HttpxStream:
    def __init__(self, response: httpx.Response, request: HttpRequest) -> None:
        self._response, self._request = response, request
        self._pid = os.getpid()
        self._bytes = response.iter_bytes()
        self.headers: Mapping[str, str] = _headers(response)
        _OPEN.add(self)

    def pieces(self) -> Iterator[bytes]:
        read = _OneRead(self._response)
        with translated(self._request):
            try:
                for piece in self._bytes:
                    if whole := read.add(piece):
                        yield whole
            except httpx.HTTPError:
                if rest := read.take():  # it arrived before the failure did
                    yield rest
                raise
        if rest := read.take():
            yield rest

    def close(self) -> None:
        self._shut_down()
        self._response.close()
        _OPEN.discard(self)

    def abandon(self) -> None:
        if not self._response.is_closed and self._pid == os.getpid():
            self._shut_down()
            _ABANDONED.append(self)
        else:
            _OPEN.discard(self)

    def _shut_down(self) -> None:
        """End the connection where it is: the server stops, and so does a thread that waits for the next piece."""
        own = self._pid == os.getpid() and self._response.http_version != "HTTP/2"  # shared with nobody
        if own and not self._response.is_closed:
            stream = self._response.extensions.get("network_stream")
            with suppress(AttributeError, OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


# httpcore closes its generators with the pool's lock held, which is not reentrant: collected as garbage in the middle
# of another request, they would wait for themselves. So open streams are garbage to nobody; what is abandoned is
# closed by the next request.
_OPEN: set[_HttpxStream] = set()
_ABANDONED: deque[_HttpxStream] = deque()


class _AsyncHttpxStream:
    def __init__(self, response: httpx.Response, request: HttpRequest, abandoned: deque[_AsyncHttpxStream]) -> None:
        self._response, self._request, self._abandoned = response, request, abandoned
        self._loop = asyncio.get_running_loop()
        self.headers: Mapping[str, str] = _headers(response)

    async def pieces(self) -> AsyncIterator[bytes]:
        read = _OneRead(self._response)
        with translated(self._request):
            try:
                async for piece in self._response.aiter_bytes():
                    if whole := read.add(piece):
                        yield whole
            except httpx.HTTPError:
                if rest := read.take():
                    yield rest
                raise
        if rest := read.take():
            yield rest

    async def aclose(self) -> bool:
        """Close it, unless it belongs to another event loop that still runs."""
        if self._loop is asyncio.get_running_loop():
            await self._response.aclose()
            return True
        return self._loop.is_closed()  # the connections of an ended loop have ended with it

    def abandon(self) -> None:
        if not self._response.is_closed:
            self._abandoned.append(self)


class _OneRead:
    """Joins what one read of the socket brought: vLLM sends an HTTP chunk an event, and httpx hands them out singly.

    Nothing waits: a piece is held back only while the next one is in memory already. httpcore keeps that memory in its
    h11 connection, which no public name leads to; where the way is another one, every HTTP chunk stays a piece. So it
    does in a compressed body, where a chunk may decode to nothing.
    """

    _WAY = ("_httpcore_stream", "_stream", "_connection", "_h11_state", "_receive_buffer")  # httpx 0.28, httpcore 1.0
    _NEXT = re.compile(rb"(?:\r\n)?0*[1-9a-fA-F][^\r\n]*\r\n(?s:.)")  # a chunk's header, and some of the chunk

    def __init__(self, response: httpx.Response) -> None:
        part: Any = getattr(response.stream, "_stream", response.stream)  # a client's is one more around
        for name in self._WAY:
            part = getattr(part, name, None)
        readable = isinstance(getattr(part, "_data", None), bytearray)  # h11 0.16; its public name for it copies it
        self._buffer = part if readable and "content-encoding" not in response.headers else None
        self._held = bytearray()

    def add(self, piece: bytes) -> bytes:
        """Take a piece; return all of its read, or nothing while more of the read is to come."""
        self._held += piece
        if self._buffer is not None and self._NEXT.match(self._buffer._data):  # noqa: SLF001 (said above)
            return b""
        return self.take()

    def take(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


@contextmanager
def translated(request: HttpRequest) -> Iterator[None]:
    """Raise httpx's exceptions as ours, with the host and the way out in the message."""
    try:
        yield
    except httpx.ConnectTimeout as e:
        raise no_connection(request) from e
    except httpx.PoolTimeout as e:
        raise no_place(request) from e
    except httpx.TimeoutException as e:
        raise silent(request) from e
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as e:
        raise unusable(request, str(e)) from e
    except httpx.DecodingError as e:
        raise wrongly_compressed(request, str(e)) from e
    except (httpx.LocalProtocolError, UnicodeEncodeError):
        raise unsendable() from None  # both quote the header, which may hold the key: neither shown nor chained
    except httpx.StreamError as e:
        raise closed(request) from e
    except httpx.RequestError as e:
        raise broken(request, str(e) or type(e).__name__, sent=not isinstance(e, httpx.ConnectError)) from e


_LIMITS = httpx.Limits(
    max_connections=MAX_CONNECTIONS, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
)


def _bounded(pieces: Iterator[bytes]) -> bytes:
    body = Body()
    for piece in pieces:
        body.add(piece)
    return body.whole()


def _built(client: httpx.Client | httpx.AsyncClient, request: HttpRequest) -> httpx.Request:
    """Return the request as a client sends it: with its own headers, too."""
    timeout = httpx.Timeout(request.silence, connect=request.timeouts.connect, pool=request.timeouts.connect)
    return client.build_request(
        request.method, request.url, headers=dict(request.headers), content=request.content or None, timeout=timeout
    )


def _plain(request: HttpRequest) -> httpx.Request:
    """Return the request as a transport sends it: as it is."""
    url = _url(request.url)
    headers = [(b"host", url.netloc), (b"accept", b"*/*"), (b"accept-encoding", b"gzip, deflate")]
    headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers.items()]
    if request.content:
        headers.append((b"content-length", b"%d" % len(request.content)))
    connect, silence = request.timeouts.connect, request.silence
    timeout = {"connect": connect, "pool": connect, "read": silence, "write": silence}
    stream = httpx.ByteStream(request.content)
    return httpx.Request(request.method, url, headers=headers, stream=stream, extensions={"timeout": timeout})


_url = lru_cache(1000)(httpx.URL)


def _headers(response: httpx.Response) -> dict[str, str]:
    return joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
