"""Talk to the service: ``Client`` and, for asyncio, ``AsyncClient``.

Everything that decides lives in the layers below; these classes carry requests out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic import SecretStr
from typing_extensions import Self

from wandb_inference._exchange import HttpRequest, RetryPolicy, Send, Steps, Timeouts, exchange
from wandb_inference._preflight import explained, preflight
from wandb_inference._streams import AsyncChatStream, ChatStream
from wandb_inference._transport import (
    AsyncHttpxTransport,
    AsyncTransport,
    HttpxTransport,
    Transport,
)
from wandb_inference._version import __version__
from wandb_inference._wire import decode, decode_models, encode
from wandb_inference.catalog import Catalog, ReviewMode
from wandb_inference.chat import ChatRequest, Completion, ServedModel
from wandb_inference.errors import InferenceError, Reply, TransportError
from wandb_inference.settings import Settings

TransportT = TypeVar("TransportT")
HttpxT = TypeVar("HttpxT")
StreamT = TypeVar("StreamT")


def drive(
    steps: Steps[StreamT], send: Callable[[HttpRequest], Reply | StreamT], sleep: Callable[[float], Any]
) -> Reply | StreamT:
    """Carry out the steps of an exchange and return its answer."""
    outcome: Reply | StreamT | TransportError | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
        try:
            outcome = send(step.request) if isinstance(step, Send) else sleep(step.seconds)
        except TransportError as e:
            outcome = e


async def adrive(
    steps: Steps[StreamT],
    send: Callable[[HttpRequest], Awaitable[Reply | StreamT]],
    sleep: Callable[[float], Awaitable[Any]],
) -> Reply | StreamT:
    """Carry out the steps of an exchange and return its answer."""
    outcome: Reply | StreamT | TransportError | None = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
        try:
            outcome = await (send(step.request) if isinstance(step, Send) else sleep(step.seconds))
        except TransportError as e:
            outcome = e


class _Shared(Generic[TransportT]):
    """One transport for all clients that bring none: one connection pool, one TLS context."""

    def __init__(self, transport: TransportT) -> None:
        self._transport, self._users, self._lock = transport, 0, Lock()

    def join(self) -> TransportT:
        with self._lock:
            self._users += 1
        return self._transport

    def leave(self) -> bool:
        """Return whether that was the last user, so that the pool can be closed."""
        with self._lock:
            self._users -= 1
            return self._users == 0


class _BaseClient(Generic[TransportT, HttpxT]):
    """What both clients share: settings, catalog, and the pure steps before and after the network."""

    _pool: ClassVar[Any]  # the _Shared transport of all clients of this kind
    _over: ClassVar[Any]  # makes a transport over an httpx client

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        project: str | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        catalog: Catalog | None = None,
        review: ReviewMode = "strict",
        max_retries: int = 2,
        retry: RetryPolicy | None = None,
        timeout: float | Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        http_client: HttpxT | None = None,
        transport: TransportT | None = None,
    ) -> None:
        self.settings = settings or Settings.resolve(api_key=api_key, project=project, base_url=base_url)
        self.catalog = Catalog.bundled() if catalog is None else catalog
        self.review: ReviewMode = review
        self.retry = retry or RetryPolicy(max_retries=max_retries)
        self.timeouts = Timeouts.of(timeout)
        self._query = f"?{urlencode(query)}" if query else ""
        self._key = self.settings.api_key.get_secret_value()
        self._headers = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "user-agent": f"wandb-inference/{__version__}",
            **({"openai-project": self.settings.project} if self.settings.project else {}),
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        self._shares = transport is None and http_client is None
        self._transport: TransportT = transport or (self._over(http_client) if http_client else self._pool.join())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.settings.base_url}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a handle to connections: hosts that copy their models mean the same service

    def prepare(self, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
        """Review the call and encode it; nothing is sent.

        Raises:
            UnknownModelError: the model is retired (``review="strict"``).
            RequestReviewError: the call cannot succeed (``review="strict"``).
        """
        card = preflight(request, self.catalog, self.review)
        return self._http("POST", "/chat/completions", encode(request, card, stream=stream), stream=stream)

    def _http(self, method: str, path: str, content: bytes = b"", *, stream: bool = False) -> HttpRequest:
        url = f"{self.settings.base_url}{path}{self._query}"
        headers = {**self._headers, "accept": "text/event-stream"} if stream else self._headers
        return HttpRequest(method, url, headers, content, self.timeouts, stream)

    def _steps(self, request: HttpRequest, model: str) -> Steps[StreamT]:
        return exchange(request, model=model, retry=self.retry, clock=time.time, chance=random.random, secret=self._key)


class Client(_BaseClient[Transport, httpx.Client]):
    """Talk to W&B Inference, or to any OpenAI-compatible service.

    Args:
        api_key: W&B API key; see ``Settings.resolve`` for where else it is looked for.
        project: ``team/project`` to account the calls to.
        base_url: another service than W&B Inference.
        settings: all three at once, already resolved.
        catalog: what is known of the models; ``Catalog.empty()`` for a service with models of its own.
        review: ``strict`` refuses what the catalog says cannot succeed, ``warn`` only warns, ``off`` is silent.
        max_retries: retries after the first attempt, for connection failures, 408, 429 and 5xx.
        retry: pauses and ceilings in detail, instead of ``max_retries``.
        timeout: seconds without an answer, or without the next event of a stream; or ``Timeouts`` in detail.
        headers: sent with every request.
        query: added to every URL.
        http_client: an httpx client of your own (proxies, certificates, limits); it stays yours to close.
        transport: another HTTP library altogether.

    Raises:
        ConfigurationError: no key, or one of the settings is malformed.

    >>> from wandb_inference.emulator import Emulator
    >>> with Emulator() as url, Client(base_url=url, api_key="emulator-key") as client:
    ...     client.chat(ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "Hello"}])).text
    'You said: Hello'
    """

    _pool = _Shared(HttpxTransport())
    _over = HttpxTransport

    def chat(self, request: ChatRequest) -> Completion:
        """Return the whole answer.

        Raises:
            UnknownModelError, RequestReviewError: the call cannot succeed; nothing was sent.
            StatusError: the service refused, after the retries.
            TransportError: the network failed, after the retries.
            MalformedResponseError: the body was no chat completion.
        """
        reply = self._drive(self.prepare(request), request.model)
        return decode(reply.content, model=request.model, headers=reply.headers)

    def stream(self, request: ChatRequest) -> ChatStream:
        """Send the call at once and return the answer's events as they arrive.

        Raises:
            UnknownModelError, RequestReviewError, StatusError, TransportError: as in ``chat``, from this method; while
                the events are read, ``StreamInterruptedError`` and the errors that a service reports inside a stream,
                with what had arrived in ``partial``.
        """
        response = self._drive(self.prepare(request, stream=True), request.model)
        return ChatStream(response, request.model, self.timeouts.stall)

    def models(self) -> tuple[ServedModel, ...]:
        """Return what the service says it serves, by id; the service's own order is random.

        Raises:
            StatusError, TransportError, MalformedResponseError: as in ``chat``.
        """
        reply = self._drive(self._http("GET", "/models"), "the model list")
        return decode_models(reply.content)

    def close(self) -> None:
        """Close idle connections, unless other clients share them or the httpx client is yours."""
        shared, self._shares = self._shares, False
        if shared and self._pool.leave():
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drive(self, request: HttpRequest, model: str) -> Any:
        try:
            return drive(self._steps(request, model), self._transport.send, time.sleep)
        except InferenceError as e:
            explained(e, model, self.catalog)
            raise


class AsyncClient(_BaseClient[AsyncTransport, httpx.AsyncClient]):
    """``Client`` for asyncio: the same arguments, an ``httpx.AsyncClient``, and as many event loops as you like."""

    _pool = _Shared(AsyncHttpxTransport())
    _over = AsyncHttpxTransport

    async def chat(self, request: ChatRequest) -> Completion:
        """Return the whole answer. Raises: as ``Client.chat``."""
        reply = await self._drive(self.prepare(request), request.model)
        return decode(reply.content, model=request.model, headers=reply.headers)

    async def stream(self, request: ChatRequest) -> AsyncChatStream:
        """Send the call at once and return the answer's events as they arrive. Raises: as ``Client.stream``."""
        response = await self._drive(self.prepare(request, stream=True), request.model)
        return AsyncChatStream(response, request.model, self.timeouts.stall)

    async def models(self) -> tuple[ServedModel, ...]:
        """Return what the service says it serves, by id. Raises: as ``Client.models``."""
        reply = await self._drive(self._http("GET", "/models"), "the model list")
        return decode_models(reply.content)

    async def aclose(self) -> None:
        """Close the idle connections of this event loop, unless other clients share them."""
        shared, self._shares = self._shares, False
        if shared and self._pool.leave():
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _drive(self, request: HttpRequest, model: str) -> Any:
        try:
            return await adrive(self._steps(request, model), self._transport.send, asyncio.sleep)
        except InferenceError as e:
            explained(e, model, self.catalog)
            raise
