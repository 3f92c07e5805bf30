"""Talk to the service: ``Client`` and, for asyncio, ``AsyncClient``.

Everything that decides lives in the layers below; these classes carry requests out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import urlencode
from weakref import WeakKeyDictionary, WeakSet

from pydantic import SecretStr

from wandb_inference._call import AsyncHeld, Call, Core, Held, secret_values, secrets_in
from wandb_inference._exchange import (
    Acquire,
    HttpRequest,
    Outcome,
    RetryPolicy,
    Send,
    Steps,
    Timeouts,
    TimeoutTypes,
    exchange,
)
from wandb_inference._preflight import explain
from wandb_inference._streams import AsyncChatStream, ChatStream, Reading
from wandb_inference._transport import AsyncTransport, Transport, atransport, transport
from wandb_inference._version import __version__
from wandb_inference._wire import decode_models
from wandb_inference.accounting import Budget, CallRecord, Labels
from wandb_inference.accounting.budget import Usd
from wandb_inference.catalog import Catalog, ReviewMode, TokenEstimator
from wandb_inference.chat import ChatRequest, Completion, ServedModel
from wandb_inference.errors import ConfigurationError, InferenceError, Reply
from wandb_inference.routing import Plan, Policy, Service
from wandb_inference.settings import Settings, TransportName

if TYPE_CHECKING:
    import httpx  # noqa: F401 (named in strings)

TransportT = TypeVar("TransportT")
HttpxT = TypeVar("HttpxT")
StreamT = TypeVar("StreamT")
_MODEL_LIST = "the model list"


def drive(
    steps: Steps[StreamT], send: Callable[[HttpRequest], Reply | StreamT], sleep: Callable[[float], Any]
) -> Reply | StreamT:
    """Carry out the steps of an exchange and return its answer."""
    outcome: Outcome[StreamT] = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
        try:
            if isinstance(step, Send):
                outcome = send(step.request)
            elif isinstance(step, Acquire):
                outcome = step.source.acquire(step.seconds)
            else:
                outcome = sleep(step.seconds)
        except InferenceError as e:
            outcome = e
        except BaseException as e:
            steps.throw(e)  # which raises it again, when it has taken note
            raise


async def adrive(
    steps: Steps[StreamT],
    send: Callable[[HttpRequest], Awaitable[Reply | StreamT]],
    sleep: Callable[[float], Awaitable[Any]],
) -> Reply | StreamT:
    """Carry out the steps of an exchange and return its answer.

    Raises:
        ConfigurationError: there is no event loop of asyncio.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "AsyncClient needs an event loop of asyncio, and none runs here.",
            hint="Under trio, call Client in a thread: trio.to_thread.run_sync(client.chat, request).",
        ) from None
    outcome: Outcome[StreamT] = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
        try:
            if isinstance(step, Send):
                outcome = await send(step.request)
            else:
                outcome = await (
                    step.source.aacquire(step.seconds) if isinstance(step, Acquire) else sleep(step.seconds)
                )
        except InferenceError as e:
            outcome = e
        except BaseException as e:
            steps.throw(e)  # which raises it again, when it has taken note
            raise


class _Shared:
    """One transport for all clients that bring none: one connection pool, one TLS context."""

    def __init__(self, name: str) -> None:
        self._name = name
        if name != "httpx":
            _ = self.transport  # now, to say at once what is missing
        self._users: WeakSet[Client] = WeakSet()
        self._lock = Lock()

    @cached_property
    def transport(self) -> Transport:
        """Made, and its library imported, when something is sent."""
        return transport(self._name)

    def use(self, user: Client) -> None:
        with self._lock:
            self._users.add(user)

    def leave(self, user: Client) -> None:
        """Close the pool with its last user."""
        with self._lock:
            self._users.discard(user)
            if not self._users:
                self.transport.close()


class _SharedByLoop:
    """The same for asyncio, where each event loop has connections, and users, of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        if name != "httpx":
            _ = self.transport
        self._users: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[AsyncClient]] = WeakKeyDictionary()

    @cached_property
    def transport(self) -> AsyncTransport:
        """As above."""
        return atransport(self._name)

    def use(self, user: AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        users = self._users.get(loop)
        if users is None:
            users = self._users.setdefault(loop, WeakSet())
        users.add(user)

    async def leave(self, user: AsyncClient) -> None:
        """Close the pool of this event loop with its last user."""
        users = self._users.get(asyncio.get_running_loop(), WeakSet())
        users.discard(user)
        if not users:
            await self.transport.aclose()


class _BaseClient(Generic[TransportT, HttpxT]):
    """What both clients share: settings, catalog, and the pure steps before and after the network."""

    _shared: ClassVar[Any]  # by a transport's name, what all clients of this kind share
    _over: ClassVar[Any]  # makes a transport over an httpx client
    _estimator: ClassVar[TokenEstimator] = TokenEstimator()

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        project: str | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        catalog: Catalog | None = None,
        review: ReviewMode = "strict",
        policy: Policy | None = None,
        budget: Budget | Usd | None = None,
        max_concurrency: int | None = None,
        max_retries: int = 2,
        retry: RetryPolicy | None = None,
        timeout: TimeoutTypes = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        http_client: HttpxT | None = None,
        transport: TransportT | TransportName | None = None,
        on_request: Callable[[HttpRequest], object] | None = None,
        on_record: Callable[[CallRecord], object] | None = None,
        entry: str = "native",
    ) -> None:
        name: Any = transport if isinstance(transport, str) else None
        given: Any = None if name else transport
        self.settings = settings or Settings.resolve(
            api_key=api_key, project=project, base_url=base_url, transport=name
        )
        if http_client is not None and transport is not None:
            raise ConfigurationError("Both http_client and transport are given.", hint="Leave one of them out.")
        if max_concurrency is not None and max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency={max_concurrency!r} lets no call out.", hint="1 or more.")
        key, project, base_url = self.settings.api_key.get_secret_value(), self.settings.project, self.settings.base_url
        self._core = Core(
            base_url=base_url,
            secrets=(key, *secrets_in(headers or {}), *secret_values(query or {})),
            query=f"?{urlencode(query)}" if query else "",
            headers={
                "authorization": f"Bearer {key}",
                "content-type": "application/json",
                "user-agent": f"wandb-inference/{__version__}",
                **({"openai-project": project} if project else {}),
                **{name.lower(): value for name, value in (headers or {}).items()},
            },
            catalog=Catalog.bundled() if catalog is None else catalog,
            review=review,
            retry=retry or RetryPolicy(max_retries=max_retries),
            timeouts=Timeouts.of(timeout),
            policy=policy or Policy(),
            budget=Budget.of(budget),
            service=Service.of(base_url, project, key),
            estimator=self._estimator,
            max_concurrency=max_concurrency,
            on_request=on_request,
            on_record=on_record,
            entry=entry,
        )
        self._closed = False
        self._own: TransportT | None = self._over("httpx", http_client) if http_client else given
        self._pool: Any = None if self._own else self._shared(name or self.settings.transport)

    @property
    def _transport(self) -> TransportT:
        return self._own or self._pool.transport

    @property
    def catalog(self) -> Catalog:
        """What is known of the models."""
        return self._core.catalog

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.settings.base_url}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a handle to connections: hosts that copy their models mean the same service

    def prepare(self, request: ChatRequest, *, stream: bool = False) -> HttpRequest:
        """Choose a model, review the call and encode it; nothing is sent.

        Raises:
            UnknownModelError: the model is retired (``review="strict"``).
            RequestReviewError: the call cannot succeed (``review="strict"``).
            NoCandidateError: no model may take it.
        """
        return Call(self._core, request, stream=stream).prepare()

    def explain(self, request: ChatRequest, *, policy: Policy | None = None, budget: Budget | None = None) -> Plan:
        """Return which model would take the call now, what it may cost, and why others would not; nothing is sent."""
        return Call(self._core, request, policy, budget).plan()

    def estimate_tokens(self, request: ChatRequest) -> int:
        """Return about how many tokens the prompt has; nothing is sent.

        The estimate follows what the service counted in earlier prompts to the same model, from any client of this
        process.
        """
        return self._estimator.estimate(request)

    def _reading(self, call: Call, headers: Mapping[str, str]) -> Reading:
        stall = self._core.timeouts.stall
        return Reading(call, headers, stall, call.schema_tool)

    def _send(self, request: HttpRequest) -> Any:
        if self._closed:
            raise ConfigurationError("This client is closed.", hint="Make a new one.")
        if self._pool is not None:
            self._pool.use(self)
        return self._transport.send(request)  # type: ignore[attr-defined]  # of either kind

    def _models_request(self) -> Steps[Any]:
        request = self._core.http("GET", "/models")
        return exchange(request, model=_MODEL_LIST, retry=self._core.retry, clock=time.time, chance=random.random)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise errors without the key, and with what was asked for."""
        try:
            yield
        except InferenceError as e:
            self._core.redact(e)
            explain(e, _MODEL_LIST, self.catalog)
            raise


class Client(_BaseClient[Transport, "httpx.Client"]):
    """Talk to W&B Inference, or to any OpenAI-compatible service.

    Args:
        api_key: W&B API key; see ``Settings.resolve`` for where else it is looked for.
        project: ``team/project`` to account the calls to.
        base_url: another service than W&B Inference.
        settings: all three at once, already resolved.
        catalog: what is known of the models; ``Catalog.empty()`` for a service with models of its own.
        policy: which models may take a call, who goes first, what happens when one fails.
        budget: what calls may cost together, as a ``Budget``, which many clients may share, or in USD.
        max_concurrency: calls in flight for a model at most; below it, the clients of a process feel for what the
            service takes.
        review: ``strict`` refuses what the catalog says cannot succeed, ``warn`` only warns, ``off`` is silent.
        max_retries: retries after the first attempt, for connection failures, 408, 429 and 5xx.
        retry: pauses and ceilings in detail, instead of ``max_retries``.
        timeout: seconds without an answer, or without the next event of a stream; ``(connect, read)``, an
            ``httpx.Timeout``, or ``Timeouts`` in detail.
        headers: sent with every request.
        query: added to every URL.
        http_client: an httpx client of your own (proxies, certificates, limits); it stays yours to close.
        transport: the HTTP library: ``httpx``, ``fast`` (needs the extra ``[fast]``), or one of your own.
        on_request: called with each chat call, reviewed and encoded, before its first attempt; its headers hold a key.
        on_record: called with what each call came to, whatever its end; an open stream's, at its end. Of streams that
            are dropped without being closed a thread tells a moment later: the garbage collector must not wait.
        entry: the door that calls come through, for their records.

    Raises:
        ConfigurationError: no key, or one of the settings is malformed.

    >>> from wandb_inference.emulator import Emulator
    >>> with Emulator() as url, Client(base_url=url, api_key="emulator-key") as client:
    ...     client.chat(ChatRequest("openai/gpt-oss-20b", [{"role": "user", "content": "Hello"}])).text
    'You said: Hello'
    """

    _shared = staticmethod(cache(_Shared))
    _over = staticmethod(transport)

    def chat(
        self,
        request: ChatRequest,
        *,
        policy: Policy | None = None,
        budget: Budget | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """Return the whole answer.

        Args:
            request: the call; its model may be ``auto`` and the like.
            policy: instead of the client's.
            budget: instead of the client's.
            labels: session and tags for its record, over those of ``labels`` blocks around.

        Raises:
            UnknownModelError, RequestReviewError: the call cannot succeed; nothing was sent.
            NoCandidateError, BudgetExceededError: no model may take it, or it may cost too much; nothing was sent.
            StatusError: the service refused, after the retries.
            TransportError: the network failed, after the retries.
            MalformedResponseError: the body was no chat completion.
        """
        return self._drive(Call(self._core, request, policy, budget, labels=labels).steps())  # type: ignore[no-any-return]

    def stream(
        self,
        request: ChatRequest,
        *,
        policy: Policy | None = None,
        budget: Budget | None = None,
        labels: Labels | None = None,
    ) -> ChatStream:
        """Send the call at once and return the answer's events as they arrive.

        Raises:
            UnknownModelError, RequestReviewError, NoCandidateError, BudgetExceededError, StatusError, TransportError:
                as in ``chat``, from this method; while the events are read, ``StreamInterruptedError`` and the errors
                that a service reports inside a stream, with what had arrived in ``partial``.
        """
        call = Call(self._core, request, policy, budget, labels=labels, stream=True)
        response = Held(self._drive(call.steps()), call, self)
        return ChatStream(response, self._reading(call, response.headers))

    def models(self) -> tuple[ServedModel, ...]:
        """Return what the service says it serves, by id; the service's own order is random.

        Raises:
            StatusError, TransportError, MalformedResponseError: as in ``chat``.
        """
        with self._told():
            return decode_models(self._drive(self._models_request()).content)

    def close_idle(self) -> None:
        """Close idle connections, unless other clients share them or the httpx client is yours."""
        if self._pool is not None:
            self._pool.leave(self)

    def close(self) -> None:
        """Close idle connections, and take no more calls."""
        self._closed = True
        self.close_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drive(self, steps: Steps[Any]) -> Any:
        return drive(steps, self._send, time.sleep)


class AsyncClient(_BaseClient[AsyncTransport, "httpx.AsyncClient"]):
    """``Client`` for asyncio: the same arguments, an ``httpx.AsyncClient``, and as many event loops as you like."""

    _shared = staticmethod(cache(_SharedByLoop))
    _over = staticmethod(atransport)

    async def chat(
        self,
        request: ChatRequest,
        *,
        policy: Policy | None = None,
        budget: Budget | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """Return the whole answer. Raises: as ``Client.chat``."""
        call = Call(self._core, request, policy, budget, labels=labels)
        return await self._drive(call.steps())  # type: ignore[no-any-return]

    async def stream(
        self,
        request: ChatRequest,
        *,
        policy: Policy | None = None,
        budget: Budget | None = None,
        labels: Labels | None = None,
    ) -> AsyncChatStream:
        """Send the call at once and return the answer's events as they arrive. Raises: as ``Client.stream``."""
        call = Call(self._core, request, policy, budget, labels=labels, stream=True)
        response = AsyncHeld(await self._drive(call.steps()), call, self)
        return AsyncChatStream(response, self._reading(call, response.headers))

    async def models(self) -> tuple[ServedModel, ...]:
        """Return what the service says it serves, by id. Raises: as ``Client.models``."""
        with self._told():
            return decode_models((await self._drive(self._models_request())).content)

    async def aclose_idle(self) -> None:
        """Close the idle connections of this event loop, unless other clients share them."""
        if self._pool is not None:
            await self._pool.leave(self)

    async def aclose(self) -> None:
        """Close the idle connections of this event loop, and take no more calls."""
        self._closed = True
        await self.aclose_idle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _drive(self, steps: Steps[Any]) -> Any:
        return await adrive(steps, self._send, asyncio.sleep)
