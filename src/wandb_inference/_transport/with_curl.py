"""The fast transport: libcurl, driven from the thread that calls."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pycurl

from wandb_inference._exchange import HttpRequest
from wandb_inference._transport import curl as libcurl
from wandb_inference._transport.seam import IDLE_CONNECTIONS, Body, OpenStream, closed, headless, proxy, silent
from wandb_inference.errors import InferenceError, Reply


class CurlTransport:
    """Over libcurl. Connections that rest wait in a stack for each host, whoever takes one has it alone."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, deque[_Line]] = defaultdict(deque)
        self._pid = os.getpid()

    def send(self, request: HttpRequest) -> Reply | OpenStream:
        parts = urlsplit(request.url)
        idle = self._stack(f"{parts.scheme}://{parts.netloc}")
        line = _alive(idle) or _Line(proxy(request.url))
        answer = _Answer(line, request, idle)
        try:
            answer.begin()
            if request.stream and 200 <= answer.status < 300:  # noqa: PLR2004 (HTTP)
                return answer
            body = Body()
            for piece in answer.pieces():
                body.add(piece)
            return Reply(answer.status, answer.headers, body.whole())
        except BaseException:
            answer.close()
            raise

    def close(self) -> None:
        if self._pid == os.getpid():
            for idle in list(self._idle.values()):
                with suppress(IndexError):  # until there are none; other threads take some, too
                    while True:
                        idle.pop().close()

    def _stack(self, host: str) -> deque[_Line]:
        if self._pid != os.getpid():  # a forked child must not share its parent's sockets
            libcurl.LEFT.append(self._idle)
            self._idle, self._pid = defaultdict(deque), os.getpid()
        return self._idle[host]


def _alive(idle: deque[_Line]) -> _Line | None:
    """Take a connection that rests, and that the other side has not closed meanwhile."""
    with suppress(IndexError):
        while True:
            line = idle.pop()
            if not line.is_dead():
                return line
            line.close()
    return None


class _Line:
    """A connection, when it has one, with all that libcurl needs to use it; for one answer at a time."""

    def __init__(self, proxy: str) -> None:
        self.easy, self.multi = libcurl.easy(), pycurl.CurlMulti()
        self.watched: dict[int, int] = {}
        """What libcurl waits for, by file: ``CSELECT_IN`` and ``CSELECT_OUT``."""
        self.due: float | None = None
        """When libcurl wants to be called, whatever the network does; of ``time.monotonic``."""
        self._kept = -1
        """The socket of the connection that waits for its next request."""
        self.easy.setopt(pycurl.PROXY, proxy)
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._wake)
        self.multi.setopt(pycurl.M_MAXCONNECTS, 1)

    def _watch(self, what: int, fd: int, *_: object) -> None:
        if what in (pycurl.POLL_IN, pycurl.POLL_OUT, pycurl.POLL_INOUT):
            self.watched[fd] = what  # the same numbers
        else:
            self.watched.pop(fd, None)

    def _wake(self, milliseconds: int) -> None:
        self.due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def take(self, request: HttpRequest, arrived: Callable[[bytes], None], head: Callable[[bytes], object]) -> None:
        libcurl.put(self.easy, request, BytesIO(request.content).read)
        self.easy.setopt(pycurl.WRITEFUNCTION, arrived)
        self.easy.setopt(pycurl.HEADERFUNCTION, head)
        self.multi.add_handle(self.easy)

    def wait(self, until: float | None) -> list[tuple[int, int]]:
        """Return what the network has; nothing, when it is time for something else."""
        ends = [end for end in (self.due, until) if end is not None]
        seconds = min(ends) - time.monotonic() if ends else None
        if seconds is not None and seconds <= 0:
            return []
        return _ready(self.watched, seconds)

    def work(self, ready: list[tuple[int, int]]) -> tuple[list[Any], list[Any]]:
        """Let libcurl do what there is to do; return the requests that came to a good end, and to a bad one."""
        for fd, what in ready:
            self.multi.socket_action(fd, what)
        if not ready and self.due is not None and self.due <= time.monotonic():
            self.due = None
            self.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        _, good, bad = self.multi.info_read()
        return good, bad

    def is_dead(self) -> bool:
        """Whether the other side has closed the connection that is kept."""
        return self._kept >= 0 and libcurl.hung_up(self._kept)

    def interrupt(self) -> None:
        """End the connection where it is; who waits for it wakes up."""
        for fd in list(self.watched):
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def leave(self, idle: deque[_Line]) -> None:
        """Take the request off, which ends the connection if there was more to come; and wait for the next one."""
        self._kept = self.easy.getinfo(libcurl.SOCKET)
        with suppress(pycurl.error):  # it never got on
            self.multi.remove_handle(self.easy)
        libcurl.forget(self.easy)
        if len(idle) < IDLE_CONNECTIONS:
            idle.append(self)
        else:
            self.close()

    def close(self) -> None:
        self.multi.close()
        self.easy.close()


if hasattr(select, "poll"):

    def _ready(watched: dict[int, int], seconds: float | None) -> list[tuple[int, int]]:
        """Wait until one of the files is ready; return what for. No time: for ever."""
        poll = select.poll()
        for fd, what in watched.items():
            poll.register(fd, _POLLED[what])
        found = poll.poll(None if seconds is None else seconds * 1000)
        return [(fd, _WORK.get(event, pycurl.CSELECT_IN)) for fd, event in found]  # what is broken is read, to say so

    _POLLED = {
        pycurl.POLL_IN: select.POLLIN,
        pycurl.POLL_OUT: select.POLLOUT,
        pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
    }
    _WORK = {
        select.POLLOUT: pycurl.CSELECT_OUT,
        select.POLLIN | select.POLLOUT: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
    }
else:

    def _ready(watched: dict[int, int], seconds: float | None) -> list[tuple[int, int]]:
        """The same on Windows, which does not poll."""
        read = [fd for fd, what in watched.items() if what & pycurl.CSELECT_IN]
        write = [fd for fd, what in watched.items() if what & pycurl.CSELECT_OUT]
        found, able, broken = select.select(read, write, watched, seconds)
        return [(fd, pycurl.CSELECT_IN) for fd in {*found, *broken}] + [(fd, pycurl.CSELECT_OUT) for fd in able]


class _Answer:
    """One exchange on a line, from its beginning; an open stream, once it has begun."""

    headers: Mapping[str, str]

    def __init__(self, line: _Line, request: HttpRequest, idle: deque[_Line]) -> None:
        self._line: _Line | None = line
        self._request, self._idle, self._pid = request, idle, os.getpid()
        self._head = libcurl.Head()
        self._arrived: list[bytes] = []
        self._error: InferenceError | None = None
        self._heard = time.monotonic()
        self.status, self.headers = 0, {}
        # Another thread may close the line while this one waits for it, but not while libcurl works.
        self._guard = threading.RLock()
        self._inside = self._waiting = self._closed = False

    def begin(self) -> None:
        """Send the request, and wait for the headers of the answer. Raises ``TransportError``."""
        line = self._line
        assert line is not None  # noqa: S101 (nobody else knows of it yet)
        line.take(self._request, self._arrived.append, self._head.add)
        while not self.status:
            if self._line is None:
                raise headless(self._request)
            self._step()
            if self._error is not None and not self.status:
                raise self._error

    def _step(self) -> None:
        """Wait once for the network. Raises ``TransportError``."""
        with self._guard:
            line = self._line
            if line is None or self._closed:
                raise closed(self._request)
            self._inside = self._waiting = True
        silence = self._request.silence
        try:
            ready = line.wait(None if silence is None else self._heard + silence)
            with self._guard:
                self._waiting = False
            good, bad = line.work(ready)
            self._took(line, ready, good, bad)
        finally:
            with self._guard:
                self._inside = self._waiting = False

    def _took(self, line: _Line, ready: list[Any], good: list[Any], bad: list[Any]) -> None:
        """Take note of what a step came to."""
        if not self.status:
            status = line.easy.getinfo(pycurl.RESPONSE_CODE)
            headers = self._head.of(status)
            if headers is not None:
                self.status, self.headers = status, headers
        for _, code, why in bad:
            self._error = libcurl.failure(self._request, code, why)  # raised behind what came with it
        now, silence = time.monotonic(), self._request.silence
        if good or bad:
            self._leave()
        elif ready:
            self._heard = now
        elif silence is not None and now - self._heard >= silence:
            if line.easy.getinfo(pycurl.PRETRANSFER_TIME):
                raise silent(self._request)
            self._heard = now  # still connecting, which has a limit of its own

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives, all that is there at a time."""
        self._heard = time.monotonic()
        try:
            while True:
                if self._arrived:
                    yield self._taken()
                    self._heard = time.monotonic()  # the consumer's own time is no silence
                elif self._error is not None:
                    raise self._error
                elif self._line is None and not self._closed:
                    return
                else:
                    self._step()
        finally:
            self.close()

    def _taken(self) -> bytes:
        piece = b"".join(self._arrived)
        self._arrived.clear()
        return piece

    def close(self) -> None:
        if self._pid != os.getpid():
            libcurl.LEFT.append(self._line)
            return
        with self._guard:
            self._closed = self._closed or self._line is not None
            if not self._inside:
                self._leave()
            elif self._waiting and self._line is not None:
                self._line.interrupt()  # and the thread that is inside leaves

    def abandon(self) -> None:
        self.close()  # which waits for nothing

    def _leave(self) -> None:
        with self._guard:
            line, self._line = self._line, None
        if line is not None:
            line.leave(self._idle)
