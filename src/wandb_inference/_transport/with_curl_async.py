"""The fast transport for asyncio: libcurl, driven by the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from io import BytesIO

import pycurl

from wandb_inference._exchange import HttpRequest
from wandb_inference._transport import curl as libcurl
from wandb_inference._transport.seam import (
    IDLE_CONNECTIONS,
    MAX_CONNECTIONS,
    AsyncOpenStream,
    AsyncTransport,
    Body,
    closed,
    headless,
    proxy,
    silent,
)
from wandb_inference.errors import InferenceError, Reply

_HELD_BYTES = 1 << 20
"""Of a stream that nobody reads, before the server has to wait."""
_CLEARS = 1.1
"""Seconds: libcurl clears dead connections away once a second, when it looks for one to use again."""


class AsyncCurlTransport:
    """Over libcurl: one set of connections for each event loop, because they cannot move between loops."""

    def __init__(self) -> None:
        self._loops: dict[asyncio.AbstractEventLoop, _Connections] = {}
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @cached_property
    def _instead(self) -> AsyncTransport:
        from wandb_inference._transport.with_httpx import AsyncHttpxTransport  # noqa: PLC0415 (rarely needed)

        return AsyncHttpxTransport()

    async def send(self, request: HttpRequest) -> Reply | AsyncOpenStream:
        if sys.platform == "win32" and isinstance(asyncio.get_running_loop(), asyncio.ProactorEventLoop):
            return await self._instead.send(request)  # that loop watches no files
        answer = self._connections().start(request)
        try:
            await answer.begun()
            if request.stream and 200 <= answer.status < 300:  # noqa: PLR2004 (HTTP)
                return answer
            body = Body()
            async for piece in answer.pieces():
                body.add(piece)
            return Reply(answer.status, answer.headers, body.whole())
        except BaseException:
            answer.close()
            raise

    async def aclose(self) -> None:
        with self._lock:
            connections = self._loops.pop(asyncio.get_running_loop(), None)
        if connections is not None:
            connections.close()

    def _connections(self) -> _Connections:
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            libcurl.LEFT.append(self._loops)
            self._loops, self._pid, self._lock = {}, os.getpid(), threading.Lock()
        found = self._loops.get(loop)
        if found is None:
            with self._lock:
                for ended in [other for other in self._loops if other.is_closed()]:
                    self._loops.pop(ended).close()
                found = self._loops[loop] = _Connections(loop)
        return found


class _Connections:
    """The connections of one event loop, and what is under way on them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.multi = loop, pycurl.CurlMulti()
        self._answers: dict[pycurl.Curl, _Answer] = {}
        self._idle: list[pycurl.Curl] = []
        self.begun: list[_Answer] = []
        """Those with a whole block of headers; libcurl takes no questions while it works."""
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._proxies: dict[str, str] = {}
        self._resting: set[int] = set()
        """Sockets of connections that wait for their next request."""
        self._dead: dict[int, float] = {}
        """Those that the other side has closed, and when that was seen; of ``loop.time``."""
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._wake)
        self.multi.setopt(pycurl.M_MAXCONNECTS, IDLE_CONNECTIONS)
        self.multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, MAX_CONNECTIONS)

    def start(self, request: HttpRequest) -> _Answer:
        """Send a request. Raises ``ConfigurationError``."""
        easy = self._idle.pop() if self._idle else libcurl.easy()
        host = request.url.split("/", 3)[2]
        if host not in self._proxies:
            self._proxies[host] = proxy(request.url)
        answer = _Answer(self, easy, request)
        try:
            libcurl.put(easy, request, answer.reads)
            easy.setopt(pycurl.PROXY, self._proxies[host])
            easy.setopt(pycurl.FRESH_CONNECT, self._may_be_dead())  # rather than one of those that may be
        except BaseException:
            self._idle.append(easy)
            raise
        easy.setopt(pycurl.WRITEFUNCTION, answer.arrives)
        easy.setopt(pycurl.HEADERFUNCTION, answer.head)
        self._answers[easy] = answer
        self.multi.add_handle(easy)
        return answer

    def leave(self, answer: _Answer) -> None:
        """Take a request off, which ends its connection if there was more to come."""
        easy = answer.easy
        if self._answers.get(easy) is not answer:  # it has left before, and others use the handle
            return
        del self._answers[easy]
        fd = easy.getinfo(libcurl.SOCKET)
        self.multi.remove_handle(easy)
        if fd >= 0:
            self._resting.add(fd)
        libcurl.forget(easy)
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(easy)

    def close(self) -> None:
        for answer in list(self._answers.values()):
            answer.fails(closed(answer.request))
        if self._timer is not None:
            self._timer.cancel()
        self.multi.close()

    def _may_be_dead(self) -> bool:
        """Whether libcurl might hand a request to a connection that the other side has closed."""
        now, (dead, gone) = self.loop.time(), libcurl.hung_up(self._resting)
        self._resting -= dead | gone
        self._dead = {fd: seen for fd, seen in self._dead.items() if now - seen < _CLEARS} | dict.fromkeys(dead, now)
        return bool(self._dead)

    def _watch(self, what: int, fd: int, *_: object) -> None:
        self._resting.discard(fd)
        if self.loop.is_closed():
            return
        self.loop.remove_reader(fd)
        self.loop.remove_writer(fd)
        if what in (pycurl.POLL_IN, pycurl.POLL_INOUT):
            self.loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
            self.loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)

    def _wake(self, milliseconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if milliseconds >= 0 and not self.loop.is_closed():
            act = partial(self._act, pycurl.SOCKET_TIMEOUT, 0)
            self._timer = self.loop.call_later(milliseconds / 1000, act) if milliseconds else self.loop.call_soon(act)

    def _act(self, fd: int, mask: int) -> None:
        self.multi.socket_action(fd, mask)
        while self.begun:
            self.begun.pop().begins()
        _, good, bad = self.multi.info_read()
        for easy in good:
            self._answers[easy].ends()
        for easy, code, why in bad:
            answer = self._answers[easy]
            answer.fails(libcurl.failure(answer.request, code, why))


class _Answer:
    """One exchange, from its beginning; an open stream, once it has begun."""

    headers: Mapping[str, str]

    def __init__(self, connections: _Connections, easy: pycurl.Curl, request: HttpRequest) -> None:
        self._connections, self.easy, self.request, self._pid = connections, easy, request, os.getpid()
        self._head, self._body = libcurl.Head(), BytesIO(request.content)
        self._arrived: list[bytes] = []
        self._size = 0
        self._paused = self._ended = False
        self._error: InferenceError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._heard = connections.loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self.status, self.headers = 0, {}

    # Called by libcurl

    def reads(self, size: int) -> bytes:
        self._heard = self._connections.loop.time()  # silence begins behind what is sent
        return self._body.read(size)

    def head(self, line: bytes) -> None:
        self._head.add(line)
        if not self.status and line in (b"\r\n", b"\n"):
            self._connections.begun.append(self)

    def begins(self) -> None:
        status = self.easy.getinfo(pycurl.RESPONSE_CODE)
        headers = self._head.of(status)
        if headers is not None:
            self.status, self.headers = status, headers
            self._wake()

    def arrives(self, piece: bytes) -> int | None:
        if self._size > _HELD_BYTES:
            self._paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self._arrived.append(piece)
        self._size += len(piece)
        self._wake()
        return None

    def ends(self) -> None:
        self._ended = True
        self._leave()

    def fails(self, error: InferenceError) -> None:
        self._error = self._error or error
        self._leave()

    # Called by who wants the answer

    async def begun(self) -> None:
        """Wait for the headers. Raises ``TransportError``."""
        while not self.status:
            if self._ended:
                raise headless(self.request)
            await self._wait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, all that is there at a time."""
        try:
            while self._arrived or not self._ended:
                if not self._arrived:
                    await self._wait()
                    continue
                piece = b"".join(self._arrived)
                self._arrived.clear()
                self._size = 0
                yield piece
                if self._paused and not self._ended and self._error is None:
                    self._paused = False
                    self.easy.pause(pycurl.PAUSE_CONT)
        finally:
            self.close()

    async def _wait(self) -> None:
        """Wait until something happens."""
        if self._error is not None:
            raise self._error
        loop, silence = self._connections.loop, self.request.silence
        self._heard, self._waiter = loop.time(), loop.create_future()
        if self._alarm is None and silence is not None:
            self._alarm = loop.call_later(silence, self._listen, silence)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _listen(self, silence: float) -> None:
        """Fail if nothing was heard for so long; look again later otherwise: one alarm serves a whole answer."""
        loop, self._alarm = self._connections.loop, None
        left = self._heard + silence - loop.time()
        if self._waiter is not None and left <= 0 and self.easy.getinfo(pycurl.PRETRANSFER_TIME):
            self.fails(silent(self.request))
        else:  # heard, or read by nobody, or still connecting, which has a limit of its own
            self._alarm = loop.call_later(left if left > 0 else silence, self._listen, silence)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and not self._connections.loop.is_closed():
            self._waiter.set_result(None)

    def _leave(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._connections.leave(self)
        self._wake()

    def close(self) -> None:
        if not self._ended and self._pid == os.getpid():
            self.fails(closed(self.request))

    async def aclose(self) -> object:
        if asyncio.get_running_loop() is self._connections.loop:
            self.close()
        else:
            self.abandon()
        return None

    def abandon(self) -> None:
        loop = self._connections.loop
        if self._pid == os.getpid() and not self._ended and not loop.is_closed():
            with suppress(RuntimeError):  # it is closed now
                loop.call_soon_threadsafe(self.close)
