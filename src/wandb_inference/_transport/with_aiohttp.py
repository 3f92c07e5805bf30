"""The fast transport for asyncio: aiohttp."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from wandb_inference._exchange import HttpRequest
from wandb_inference._transport.seam import (
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    AsyncOpenStream,
    Body,
    broken,
    closed,
    headless,
    joined,
    no_connection,
    no_proxy,
    proxy,
    silent,
    tls,
    unsendable,
    unusable,
    wrongly_compressed,
)
from wandb_inference.errors import InferenceError, Reply

_SKIPPED = (hdrs.ACCEPT, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)  # what aiohttp would add
_ACCEPTED = {"accept": "*/*", "accept-encoding": "gzip, deflate"}
_LONGEST_HEADER = 65_536  # characters


class AsyncAiohttpTransport:
    """Over aiohttp: one session for each event loop, because connections cannot move between loops."""

    def __init__(self) -> None:
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}
        self._proxies: dict[str, str] = {}
        self._pid = os.getpid()
        self._lock = threading.Lock()
        atexit.register(self._close_all)

    async def send(self, request: HttpRequest) -> Reply | AsyncOpenStream:
        session, via = self._session(), self._proxy(request.url)
        await asyncio.sleep(0)  # the loop hears which kept connections their servers have closed
        with translated(request):
            response = await session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.content or None,
                headers={**_ACCEPTED, **request.headers},
                skip_auto_headers=_SKIPPED,
                allow_redirects=False,
                proxy=via,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=request.timeouts.connect, sock_read=request.silence, ceil_threshold=1e9
                ),
            )
            if request.stream and 200 <= response.status < 300:  # noqa: PLR2004 (HTTP statuses)
                return _AiohttpStream(response, request)
            try:
                content = Body()
                async for piece in _pieces(response, request):
                    content.add(piece)
                return Reply(response.status, _headers(response), content.whole())
            finally:
                response.close()  # to which a response that was read to its end is deaf: its connection is kept

    async def aclose(self) -> None:
        with self._lock:
            session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.close()

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or self._pid != os.getpid():  # a forked child must not share its parent's sockets
            with self._lock:
                if self._pid != os.getpid():
                    self._sessions, self._pid = {}, os.getpid()
                for ended in [other for other in self._sessions if other.is_closed()]:
                    _close(self._sessions.pop(ended))
                session = self._sessions[loop] = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=tls(), ttl_dns_cache=30
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    max_field_size=_LONGEST_HEADER,
                    max_line_size=_LONGEST_HEADER,
                )
        return session

    def _proxy(self, url: str) -> str | None:
        origin = url[: url.find("/", len("https://"))]
        if origin not in self._proxies:
            found = proxy(url)
            if found.startswith("socks"):
                raise no_proxy(origin.partition(":")[0])
            self._proxies[origin] = found
        return self._proxies[origin] or None

    def _close_all(self) -> None:
        """At the interpreter's exit: what is left of ended loops would be complained of."""
        if self._pid == os.getpid():
            for session in self._sessions.values():
                _close(session)


def _close(session: aiohttp.ClientSession) -> None:
    """Close the session of a loop that does not run any more."""
    connector = session.connector
    session.detach()
    with suppress(RuntimeError):  # of the loop, which is closed, and with it whatever it would have to do
        if connector is not None:
            connector._close()  # noqa: SLF001 (what close() does, of which the rest needs the loop)


class _AiohttpStream:
    def __init__(self, response: aiohttp.ClientResponse, request: HttpRequest) -> None:
        self._response, self._request = response, request
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._closed = False
        self.headers: Mapping[str, str] = _headers(response)
        _OPEN.add(response)

    async def pieces(self) -> AsyncIterator[bytes]:
        with translated(self._request):
            async for piece in _pieces(self._response, self._request):
                yield piece
        if self._closed:
            raise closed(self._request)

    async def aclose(self) -> None:
        self._closed = not self._response.content.at_eof()
        _OPEN.discard(self._response)
        self._response.close()

    def abandon(self) -> None:
        _OPEN.discard(self._response)
        if self._pid == os.getpid():
            with suppress(RuntimeError):  # its loop is closed, and with it the connection
                self._loop.call_soon_threadsafe(self._response.close)


# aiohttp complains of what is collected before it was closed, in a cycle of garbage, say. So open answers are garbage
# to nobody; who drops a stream has its answer closed by the loop.
_OPEN: set[aiohttp.ClientResponse] = set()


async def _pieces(response: aiohttp.ClientResponse, request: HttpRequest) -> AsyncIterator[bytes]:
    """Yield the body, what one read brought together.

    The time is taken here: where a body is compressed wrongly while its reader waits, aiohttp's own clock stands
    (3.14; its parser has given up, and tells nobody).
    """
    while True:
        try:
            async with asyncio.timeout(request.silence):
                piece = await response.content.readany()
        except Exception:
            if rest := _left(response.content):  # it arrived before the failure did
                yield rest
            raise
        if not piece:
            return
        yield piece


def _left(content: Any) -> bytes:
    """Return what has arrived and was not read: aiohttp's reader that has failed hands out nothing more (3.14)."""
    pieces: Any = getattr(content, "_buffer", ())  # no public name leads there
    return b"".join(pieces)[getattr(content, "_buffer_offset", 0) :]


@contextmanager
def translated(request: HttpRequest) -> Iterator[None]:
    """Raise aiohttp's exceptions as ours, with the host and the way out in the message."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as e:
        raise broken(request, f"the proxy answered {e.status} {e.message}", sent=False) from None  # it has its password
    except TimeoutError as e:  # aiohttp's are these, too
        raise (no_connection if isinstance(e, aiohttp.ConnectionTimeoutError) else silent)(request) from e
    except (aiohttp.ClientError, ConnectionError) as e:
        raise _as_ours(e, request) from e
    except ValueError:
        raise unsendable() from None  # it quotes the header, which may hold the key: neither shown nor chained


def _as_ours(e: Exception, request: HttpRequest) -> InferenceError:
    why = str(e) or type(e).__name__
    if isinstance(e, aiohttp.InvalidURL):
        return unusable(request, "it is no URL of HTTP")
    if isinstance(e, aiohttp.ServerDisconnectedError):
        return headless(request)
    if isinstance(e.__cause__, aiohttp.http_exceptions.ContentEncodingError):
        return wrongly_compressed(request, e.__cause__.message)
    # ClientConnectorError: names, connections, certificates, proxies
    return broken(request, why, sent=not isinstance(e, aiohttp.ClientConnectorError))


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    pairs: Any = response.raw_headers
    return joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
