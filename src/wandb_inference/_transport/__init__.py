"""The seam to the network: send a request, get a reply or an open stream.

httpx is the default behind it, libcurl the fast one, and aiohttp for asyncio; another HTTP library plugs in by
implementing ``Transport`` (and ``AsyncTransport``). None is imported before something is sent.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from wandb_inference._transport.seam import AsyncOpenStream, AsyncTransport, Body, OpenStream, Transport
from wandb_inference.errors import ConfigurationError

__all__ = ["AsyncOpenStream", "AsyncTransport", "Body", "OpenStream", "Transport", "atransport", "transport"]


def transport(name: str = "httpx", client: Any = None) -> Transport:
    """Return the transport of that name: over a client of its library's, or over a pool made when first needed.

    Raises:
        ConfigurationError: ``fast`` without its extra.
    """
    if name == "fast":
        return _fast("with_curl").CurlTransport()  # type: ignore[no-any-return]
    from wandb_inference._transport.with_httpx import HttpxTransport  # noqa: PLC0415 (libraries are imported late)

    return HttpxTransport(client)


def atransport(name: str = "httpx", client: Any = None) -> AsyncTransport:
    """``transport`` for asyncio."""
    if name == "fast":
        return _fast("with_aiohttp").AsyncAiohttpTransport()  # type: ignore[no-any-return]
    from wandb_inference._transport.with_httpx import AsyncHttpxTransport  # noqa: PLC0415

    return AsyncHttpxTransport(client)


def _fast(module: str) -> Any:
    try:
        return import_module(f"{__name__}.{module}")
    except ImportError as e:
        raise ConfigurationError(
            f"The fast transport needs {e.name}.",
            hint="pip install 'wandb-inference[fast]', or leave the default, httpx.",
        ) from e
