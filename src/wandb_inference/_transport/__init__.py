"""The seam to the network: send a request, get a reply or an open stream.

httpx is the default behind it, libcurl the fast one; another HTTP library plugs in by implementing ``Transport`` (and
``AsyncTransport``). Neither is imported before something is sent.
"""

from __future__ import annotations

from typing import Any

from wandb_inference._transport.seam import AsyncOpenStream, AsyncTransport, Body, OpenStream, Transport

__all__ = ["AsyncOpenStream", "AsyncTransport", "Body", "OpenStream", "Transport", "atransport", "transport"]


def transport(name: str = "httpx", client: Any = None) -> Transport:
    """Return the transport of that name: over a client of its library's, or over a pool made when first needed.

    Raises:
        ConfigurationError: ``fast`` without its extra.
    """
    if name == "fast":
        from wandb_inference._transport.with_curl import CurlTransport  # noqa: PLC0415 (libraries are imported late)

        return CurlTransport()
    from wandb_inference._transport.with_httpx import HttpxTransport  # noqa: PLC0415

    return HttpxTransport(client)


def atransport(name: str = "httpx", client: Any = None) -> AsyncTransport:
    """``transport`` for asyncio."""
    if name == "fast":
        from wandb_inference._transport.with_curl_async import AsyncCurlTransport  # noqa: PLC0415

        return AsyncCurlTransport()
    from wandb_inference._transport.with_httpx import AsyncHttpxTransport  # noqa: PLC0415

    return AsyncHttpxTransport(client)
