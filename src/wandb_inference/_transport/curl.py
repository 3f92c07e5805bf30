"""libcurl, through pycurl, as both fast transports use it: how a request is put to it, and what it says of failures."""

from __future__ import annotations

import re
import select
from collections.abc import Callable
from functools import cache
from typing import Any

import certifi
import pycurl

from wandb_inference._exchange import HttpRequest
from wandb_inference._transport.seam import (
    IDLE_SECONDS,
    broken,
    joined,
    no_connection,
    tls,
    unsendable,
    unusable,
    wrongly_compressed,
)
from wandb_inference.errors import InferenceError
from wandb_inference.settings import certificates

_NO_HEADER = re.compile(r"[^\t\x20-\x7e]")
_ENDLESS = 2**31 - 1  # milliseconds: 24 days; a zero would be libcurl's own default
_UNSENT = {
    pycurl.E_COULDNT_RESOLVE_PROXY,
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_CONNECT,
    65,  # a kept connection was dead, and what was to be sent is read only once; pycurl has no name for it
    97,  # a proxy's handshake; pycurl has no name for it
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CACERT_BADFILE,
}


SOCKET = getattr(pycurl, "ACTIVESOCKET", None) or pycurl.LASTSOCKET  # pycurl 7.45 knows the older name only
"""What asks a handle for the socket of its connection."""
LEFT: list[object] = []
"""What belongs to the parent of a forked process: were it freed here, the parent's TLS sessions would be ended."""


def easy() -> pycurl.Curl:
    """Return a handle with all that is the same for every request."""
    made = pycurl.Curl()
    made = getattr(made, "handle", made)  # of a pytest plugin's proxy (pytest-recording), which libcurl would not take
    for option, value in _options():
        made.setopt(option, value)
    return made


@cache
def _options() -> tuple[tuple[int, Any], ...]:
    tls()  # says what is wrong with them
    file, folder = certificates()
    trusted = [(pycurl.CAINFO, file or certifi.where())] if file or not folder else [(pycurl.CAPATH, folder)]
    return (
        *trusted,
        (pycurl.NOSIGNAL, 1),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.ACCEPT_ENCODING, "gzip, deflate"),
        (pycurl.MAXAGE_CONN, int(IDLE_SECONDS)),
    )


def put(curl: pycurl.Curl, request: HttpRequest, body: Callable[[int], bytes]) -> None:
    """Give curl a request to make, whose content it reads from ``body``.

    Raises:
        ConfigurationError: it cannot be sent.
    """
    if not request.url.startswith(("http://", "https://")) or not request.url.isascii():
        raise unusable(request, "it is no URL of HTTP in ASCII")
    # An empty value takes a header away, a semicolon sends it empty.
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers.items()]
    if any(_NO_HEADER.search(line) for line in lines):
        raise unsendable()
    connect = request.timeouts.connect
    curl.setopt(pycurl.URL, request.url)
    curl.setopt(pycurl.CUSTOMREQUEST, request.method)
    curl.setopt(pycurl.HTTPHEADER, [*lines, "Expect:"])
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, _ENDLESS if connect is None else max(1, int(connect * 1000)))
    if request.method == "POST":
        # Read, not handed over: what cannot be rewound is not sent twice. libcurl would, unasked, when a connection
        # that it kept turns out to be dead; whether to try again is the caller's to say.
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(request.content))
        curl.setopt(pycurl.READFUNCTION, body)
    else:
        curl.setopt(pycurl.HTTPGET, 1)


def hung_up(connection: int) -> bool:
    """Whether the other side has closed the connection of this file, or it is no file any more.

    libcurl looks once a second at most, and hands a request to a dead connection before.
    """
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", 0))  # and POLLHUP, unasked; data may be TLS's own
    return bool(poll.poll(0))


def forget(curl: pycurl.Curl) -> None:
    """Take away from a handle that rests what keeps its last request, and the prompt in it."""
    for option in (pycurl.READFUNCTION, pycurl.WRITEFUNCTION, pycurl.HEADERFUNCTION):
        curl.setopt(option, None)


def failure(request: HttpRequest, code: int, why: str) -> InferenceError:
    """Return what a failure of libcurl's is to the rest of the house."""
    if code == pycurl.E_OPERATION_TIMEDOUT:  # no other time is limited by libcurl
        return no_connection(request)
    if code == pycurl.E_URL_MALFORMAT:
        return unusable(request, why)
    if code == pycurl.E_BAD_CONTENT_ENCODING:
        return wrongly_compressed(request, why)
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:  # libcurl may quote it, with its password
        why = "The proxy that the environment names is not found"
    return broken(request, why or f"libcurl says {code}", sent=code not in _UNSENT)


class Head:
    """The headers of an answer, behind those of proxies and of informational answers; trailers are none."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._whole: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Take a line. Returns nothing, which libcurl would read as what was taken."""
        if line in (b"\r\n", b"\n"):
            self._whole, self._open = self._open or self._whole, []
        elif self._open or line.startswith(b"HTTP/"):
            self._open.append(line)

    def of(self, status: int) -> dict[str, str] | None:
        """Return them by name, once they are whole; ``status``: what libcurl says that of the answer is."""
        if status < 200 or not self._whole or self._whole[0].split()[1] != b"%d" % status:  # noqa: PLR2004 (HTTP)
            return None
        rows = (line.decode("latin-1").partition(":") for line in self._whole[1:])
        return joined((name, value.strip()) for name, _, value in rows if value)
