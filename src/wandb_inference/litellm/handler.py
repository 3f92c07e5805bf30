"""``WandbInferenceLLM``: the host class. Each call is translated, made by the core's client, and translated back."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import litellm
from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import convert_to_model_response_object
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import ModelResponse, ModelResponseStream

from wandb_inference._exchange import HttpRequest, Timeouts
from wandb_inference._streams import AsyncChatStream, ChatStream
from wandb_inference.catalog import Catalog
from wandb_inference.chat import ChatRequest, Completion
from wandb_inference.client import AsyncClient, Client
from wandb_inference.errors import ConfigurationError
from wandb_inference.litellm.answers import Chunks, to_body
from wandb_inference.litellm.calls import Asked, to_asked, to_labels, without_old, without_unsupported
from wandb_inference.litellm.errors import litellm_errors
from wandb_inference.litellm.provider import PROVIDER
from wandb_inference.settings import Settings

_STALL = 120.0  # seconds without an event of a stream; LiteLLM's own default of 600 is for whole answers


class WandbInferenceLLM(CustomLLM):
    """W&B Inference (CoreWeave Serverless Inference) as a LiteLLM provider; ``register()`` makes it known.

    Args:
        catalog: what is known of the models; the bundled one when ``None``.
        coalesce: deltas of a kind that one network read brought leave as one chunk; ``False``: one chunk each.

    Raises:
        litellm.exceptions: from every method, the class for the condition, with the service's status and headers.
    """

    def __init__(self, catalog: Catalog | None = None, *, coalesce: bool = True) -> None:
        super().__init__()
        self.catalog, self.coalesce = Catalog.bundled() if catalog is None else catalog, coalesce

    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the whole answer."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            return call.result(call.client().chat(call.request, labels=call.labels))

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the whole answer."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            return call.result(await call.aclient().chat(call.request, labels=call.labels))

    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponseStream]:  # type: ignore[override]
        """Send the call, and return its chunks: what the service refuses is raised here, where LiteLLM retries."""
        chunks: Iterator[ModelResponseStream] = _open(self._call(args, kwargs)).chunks
        return chunks

    def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponseStream]:  # type: ignore[override]
        """Review the call, and return its chunks; it is sent when they are read (``shims`` has it sent before)."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            call.aclient().prepare(call.request)
        return _opened_late(call)

    def embedding(self, *_: Any, **kwargs: Any) -> Any:
        """Refuse, for good: the service serves chat models only.

        Raises:
            litellm.exceptions.BadRequestError: always.
        """
        raise not_served("embeddings", kwargs.get("model"))

    async def aembedding(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as ``embedding`` does."""
        self.embedding(*args, **kwargs)

    def image_generation(self, *_: Any, **kwargs: Any) -> Any:
        """Refuse, as ``embedding`` does."""
        raise not_served("image generation", kwargs.get("model"))

    async def aimage_generation(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as ``embedding`` does."""
        self.image_generation(*args, **kwargs)

    def image_edit(self, *_: Any, **kwargs: Any) -> Any:
        """Refuse, as ``embedding`` does."""
        raise not_served("image editing", kwargs.get("model"))

    async def aimage_edit(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as ``embedding`` does."""
        self.image_edit(*args, **kwargs)

    def open(self, **kwargs: Any) -> Opened:
        """Send the call; return its chunks as soon as the service has accepted it."""
        return _open(self._call((), kwargs))

    async def aopen(self, **kwargs: Any) -> Opened:
        """Send the call; return its chunks as soon as the service has accepted it."""
        return await _aopen(self._call((), kwargs))

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Call:
        if args:
            raise TypeError("LiteLLM names every argument of a handler.")
        with litellm_errors(str(kwargs["model"])):
            return _Call(kwargs, self.catalog, coalesce=self.coalesce)


def not_served(what: str, model: Any) -> Exception:
    """Return the error for something that the service does not do."""
    words = f"W&B Inference serves no {what}; use a chat model, or another provider."
    return litellm.exceptions.BadRequestError(words, model, PROVIDER)


class _Call:
    """One call of a handler's method: LiteLLM's arguments, read."""

    def __init__(self, kwargs: Mapping[str, Any], catalog: Catalog, *, coalesce: bool) -> None:
        self.model, self.catalog, self.coalesce = str(kwargs["model"]), catalog, coalesce
        self._kwargs, self._log = kwargs, kwargs.get("logging_obj")
        litellm_params: Mapping[str, Any] = kwargs.get("litellm_params") or {}
        params: Mapping[str, Any] = kwargs.get("optional_params") or {}
        gone: tuple[str, ...] = ()
        drop = bool(litellm_params.get("drop_params") or litellm.drop_params)
        if drop:
            params, gone = without_old(params)
        asked: Asked = to_asked(self.model, kwargs["messages"], params, kwargs.get("headers"), catalog.get(self.model))
        self.request: ChatRequest = asked.request
        if drop:
            self.request, unable = without_unsupported(asked.request, catalog)
            if gone := (*gone, *unable):
                warnings.warn(f"{self.model} cannot do these, so they are dropped: {', '.join(gone)}.", stacklevel=2)
        self.merge = bool(litellm_params.get("merge_reasoning_content_in_choices"))
        self.created = int(time.time())
        timeout = kwargs.get("timeout")
        seconds = float(timeout) if isinstance(timeout, int | float) else None
        self.settings: dict[str, Any] = {
            "settings": Settings.resolve(
                api_key=kwargs.get("api_key"), project=asked.project, base_url=kwargs.get("api_base") or None
            ),
            "catalog": catalog,
            "review": asked.review,
            "policy": asked.policy,
            "budget": asked.budget,
            "max_retries": asked.max_retries,
            "timeout": None if seconds is None else Timeouts(read=seconds, stall=min(seconds, _STALL)),
            "headers": asked.headers,
            "entry": "litellm",
        }
        self.labels = to_labels(litellm_params)

    def client(self) -> Client:
        """Return the core's client for this call."""
        return Client(http_client=self._http(httpx.Client, HTTPHandler), on_request=self._sent, **self.settings)

    def aclient(self) -> AsyncClient:
        """Return the core's client for this call, and for asyncio."""
        http = self._http(httpx.AsyncClient, AsyncHTTPHandler)
        return AsyncClient(http_client=http, on_request=self._sent, **self.settings)

    def _http(self, ours: type[Any], theirs: type[Any]) -> Any:
        """Return the httpx client that the caller gave, if it is one for this world."""
        given = self._kwargs.get("client")
        given = given.client if isinstance(given, theirs) else given
        if given is not None and not isinstance(given, ours):
            raise ConfigurationError(
                f"client= is a {type(given).__name__}, which cannot make this call.",
                hint=f"It takes an httpx.{ours.__name__} or LiteLLM's {theirs.__name__}.",
            )
        return given

    def _sent(self, prepared: HttpRequest) -> None:
        """Tell LiteLLM's loggers what is sent; they see no key."""
        if self._log is not None:
            own = ("content-type", "user-agent", "accept", "openai-project")  # others may be somebody's keys
            shown = {name: value if name in own else "***" for name, value in prepared.headers.items()}
            body = json.loads(prepared.content)
            about = {"api_base": prepared.url, "headers": shown, "complete_input_dict": body}
            self._log.pre_call(input=self.request.messages, api_key="", additional_args=about)

    def chunks(self, model: str) -> Chunks:
        """Return what writes the chunks of a stream of that model."""
        return Chunks(self.catalog.get(model), coalesce=self.coalesce, merge=self.merge, created=self.created)

    def result(self, completion: Completion) -> ModelResponse:
        """Return the answer as LiteLLM's class, and tell its loggers."""
        body = to_body(completion, self.catalog.get(completion.model))
        if self._log is not None:
            self._log.post_call(original_response=body, api_key="", input=self.request.messages)
        response: ModelResponse = self._kwargs["model_response"]
        response.model = f"{PROVIDER}/"  # which LiteLLM puts before the answer's, to price it from a cache, too
        hidden = {**response._hidden_params, "custom_llm_provider": PROVIDER, "route": completion.route}  # noqa: SLF001 (LiteLLM's own way)
        made: Any = convert_to_model_response_object(
            response_object=body,
            model_response_object=response,
            hidden_params=hidden,
            _response_headers=dict(completion.headers),
        )
        return made  # type: ignore[no-any-return]


class Opened(NamedTuple):
    """A stream that the service has accepted."""

    chunks: Any
    """An iterator of ``ModelResponseStream``, of the kind that was asked for."""
    headers: dict[str, str]
    model: str
    """The model that answers; not always the one that was asked for."""
    created: int
    """Of every chunk, in seconds since 1970."""


def _open(call: _Call) -> Opened:
    with litellm_errors(call.model):
        stream = call.client().stream(call.request, labels=call.labels)
    return Opened(_chunks(stream, call), dict(stream.headers), stream.model, call.created)


def _chunks(stream: ChatStream, call: _Call) -> Iterator[ModelResponseStream]:
    chunks = call.chunks(stream.model)
    with litellm_errors(call.model), stream:
        for batch in stream.batches():
            yield from chunks.of(batch)


async def _aopen(call: _Call) -> Opened:
    with litellm_errors(call.model):
        stream = await call.aclient().stream(call.request, labels=call.labels)
    return Opened(_achunks(stream, call), dict(stream.headers), stream.model, call.created)


async def _achunks(stream: AsyncChatStream, call: _Call) -> AsyncIterator[ModelResponseStream]:
    chunks = call.chunks(stream.model)
    with litellm_errors(call.model):
        async with stream:
            async for batch in stream.batches():
                for chunk in chunks.of(batch):
                    yield chunk


async def _opened_late(call: _Call) -> AsyncIterator[ModelResponseStream]:
    async for chunk in (await _aopen(call)).chunks:
        yield chunk
