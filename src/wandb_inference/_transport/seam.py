"""What a transport is to the rest of the house, and what each of them says when the network fails."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import cache
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from wandb_inference._exchange import HttpRequest
from wandb_inference.errors import (
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    Reply,
    TimedOutError,
)
from wandb_inference.settings import certificates

MAX_CONNECTIONS = 1000
IDLE_CONNECTIONS = 100
IDLE_SECONDS = 30.0
MAX_BODY_BYTES = 256 * 1024 * 1024
"""Of an answer that is read whole; log probabilities of a long one take tens of megabytes."""


class OpenStream(Protocol):
    """A good answer whose body is still on its way."""

    headers: Mapping[str, str]
    """Names in lower case."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises ``TransportError``."""
        ...

    def close(self) -> None:
        """Give the connection back, or drop it if the body was not read to its end."""
        ...

    def abandon(self) -> None:
        """Drop it without waiting for anything: a destructor may run while the pool's own lock is held."""
        ...


class Transport(Protocol):
    """Sends requests. One transport serves any number of clients and threads."""

    def send(self, request: HttpRequest) -> Reply | OpenStream:
        """Return the reply, or the open stream if ``request.stream`` and the status is 2xx.

        Raises:
            TransportError: nothing came back.
        """
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...


class AsyncOpenStream(Protocol):
    """``OpenStream`` for asyncio."""

    headers: Mapping[str, str]

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises ``TransportError``."""
        ...

    async def aclose(self) -> object:
        """Give the connection back, or drop it."""
        ...

    def abandon(self) -> None:
        """Have it closed by the next request of the same event loop."""
        ...


class AsyncTransport(Protocol):
    """``Transport`` for asyncio. One transport serves any number of event loops."""

    async def send(self, request: HttpRequest) -> Reply | AsyncOpenStream:
        """Return the reply, or the open stream if ``request.stream`` and the status is 2xx."""
        ...

    async def aclose(self) -> None:
        """Close the idle connections of the running event loop."""
        ...


@cache
def tls() -> ssl.SSLContext:
    """Return whom to trust: as ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` say, else certifi's authorities.

    It takes tens of milliseconds: it is made once a process, and only when something is sent.

    Raises:
        ConfigurationError: the file or the folder cannot be read.
    """
    file, folder = certificates()
    try:
        return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)
    except OSError as e:
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise ConfigurationError(
            f"The certificates of {name}={file or folder} cannot be read: {e.strerror or e}.",
            hint=f"Name a file of certificates in PEM, or unset {name}.",
        ) from None


class Body:
    """The pieces of a body that is read whole, up to a bound."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_BODY_BYTES:
            raise MalformedResponseError(
                f"The answer has more than {MAX_BODY_BYTES:,} bytes.",
                hint="That is no chat answer: check that base_url names an OpenAI-compatible service.",
            )
        self._pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


def proxy(url: str) -> str:
    """Return the proxy that the environment names for a URL, as httpx reads it; empty when none.

    Raises:
        ConfigurationError: it is none; the message does not show it, since it may hold a password.
    """
    parts, known = urlsplit(url), getproxies()
    found = known.get(parts.scheme) or known.get("all") or ""
    if not found or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    found = found if "://" in found else f"http://{found}"
    try:
        named = urlsplit(found)
        usable = named.scheme in _PROXIES and named.hostname and named.port != 0 and not set(found) & set(" \t\r\n")
    except ValueError:
        usable = False
    if not usable:
        raise no_proxy(parts.scheme)
    return found


_PROXIES = ("http", "https", "socks5", "socks5h")


def no_proxy(scheme: str) -> ConfigurationError:
    return ConfigurationError(
        f"The proxy that the environment names for {scheme} is not usable.",
        hint="It has the form http://host:port or http://user:password@host:port, other characters percent-encoded.",
    )


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header values by name, in lower case; those of one name with commas between."""
    found: dict[str, str] = {}
    for name, value in headers:
        low = name.lower()
        found[low] = f"{found[low]}, {value}" if low in found else value
    return found


# What went wrong, for any library


def no_connection(request: HttpRequest) -> TimedOutError:
    return _unsent(request, "connection", "Check base_url and the network, or raise the connect timeout.")


def no_place(request: HttpRequest) -> TimedOutError:
    return _unsent(request, "free connection", "Fewer calls at a time, or an http_client with larger limits.")


def _unsent(request: HttpRequest, what: str, hint: str) -> TimedOutError:
    error = TimedOutError(f"No {what} to {_host(request)}{_within(request.timeouts.connect)}.", hint=hint)
    error.sent = False
    return error


def silent(request: HttpRequest) -> TimedOutError:
    which, way_out = ("stall", "") if request.stream else ("read", "; streaming shows progress")
    return TimedOutError(
        f"{_host(request)} sent nothing{_within(request.silence)}.",
        hint=f"Try again, or raise the {which} timeout{way_out}.",
    )


def unusable(request: HttpRequest, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The base URL of {_host(request)} is not usable: {why.rstrip('.')}.", hint="It begins with https://."
    )


def unsendable() -> ConfigurationError:
    return ConfigurationError(
        "A header cannot be sent: it holds a line end or another character that HTTP forbids.",
        hint="Check the key, the project and your own headers.",
    )


def wrongly_compressed(request: HttpRequest, why: str) -> MalformedResponseError:
    return MalformedResponseError(
        f"The answer of {_host(request)} is compressed wrongly: {why.rstrip('.')}.",
        hint="Check the proxies between you and it.",
    )


def check_coding(header: str, request: HttpRequest) -> None:
    """Refuse a body that is compressed more than once: two kilobytes may become gigabytes in one step.

    Raises:
        MalformedResponseError: it is.
    """
    if "," in header:
        raise wrongly_compressed(request, "more than once")


def closed(request: HttpRequest) -> ConnectionFailedError:
    return ConnectionFailedError(f"The stream from {_host(request)} was closed before it was read.")


def broken(request: HttpRequest, why: str, *, sent: bool) -> ConnectionFailedError:
    what = f"The connection to {_host(request)} broke" if sent else f"Cannot connect to {_host(request)}"
    error = ConnectionFailedError(f"{what}: {why.rstrip('.')}.", hint="Check base_url and the network, then try again.")
    error.sent = sent
    return error


def headless(request: HttpRequest) -> ConnectionFailedError:
    """Return the error for an answer that ended before its headers did."""
    return broken(request, "it ended before the headers of the answer did", sent=True)


def _host(request: HttpRequest) -> str:
    return urlsplit(request.url).netloc


def _within(seconds: float | None) -> str:
    return "" if seconds is None else f" within {seconds:g} s"
