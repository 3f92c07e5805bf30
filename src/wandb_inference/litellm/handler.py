"""``WandbInferenceLLM``: the host class. Each call is translated, made by the core's client, and translated back."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any

import httpx
import litellm
from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import convert_to_model_response_object
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import ModelResponse, ModelResponseStream

from wandb_inference._exchange import Timeouts
from wandb_inference._streams import AsyncChatStream, ChatStream
from wandb_inference.catalog import Catalog
from wandb_inference.chat import ChatRequest, Completion
from wandb_inference.client import AsyncClient, Client
from wandb_inference.errors import ConfigurationError
from wandb_inference.litellm.answers import Chunks, to_body
from wandb_inference.litellm.calls import Asked, to_asked, without_unsupported
from wandb_inference.litellm.errors import litellm_errors
from wandb_inference.litellm.provider import PROVIDER
from wandb_inference.settings import Settings

_STALL = 120.0  # seconds without an event of a stream; LiteLLM's own default of 600 is for whole answers


class WandbInferenceLLM(CustomLLM):
    """W&B Inference (CoreWeave Serverless Inference) as a LiteLLM provider; ``register()`` makes it known.

    Args:
        catalog: what is known of the models; the bundled one when ``None``.

    Raises:
        litellm.exceptions: from every method, the class for the condition, with the service's status and headers.
    """

    def __init__(self, catalog: Catalog | None = None) -> None:
        super().__init__()
        self.catalog = Catalog.bundled() if catalog is None else catalog

    def completion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the whole answer."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            client = Client(http_client=call.http(httpx.Client, HTTPHandler), **call.settings)
            call.told(client)
            return call.result(client.chat(call.request))

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the whole answer."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            client = AsyncClient(http_client=call.http(httpx.AsyncClient, AsyncHTTPHandler), **call.settings)
            call.told(client)
            return call.result(await client.chat(call.request))

    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponseStream]:  # type: ignore[override]
        """Send the call, and return its chunks: what the service refuses is raised here, where LiteLLM retries."""
        call = self._call(args, kwargs)
        with litellm_errors(call.model):
            client = Client(http_client=call.http(httpx.Client, HTTPHandler), **call.settings)
            call.told(client)
            stream = client.stream(call.request)
        return _chunks(stream, call.model)

    def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponseStream]:  # type: ignore[override]
        """Review the call, and return its chunks; it is sent when they are read (``eager`` sends it before)."""
        call = self._call(args, kwargs)
        return _opened_late(self._aclient(call), call.request)

    def aopen(self, **kwargs: Any) -> Coroutine[Any, Any, tuple[AsyncIterator[ModelResponseStream], dict[str, str]]]:
        """Review the call; return what sends it, and then its chunks and the headers of the response."""
        call = self._call((), kwargs)
        return _open(self._aclient(call), call.request)

    def _aclient(self, call: _Call) -> AsyncClient:
        with litellm_errors(call.model):
            client = AsyncClient(http_client=call.http(httpx.AsyncClient, AsyncHTTPHandler), **call.settings)
            call.told(client)
            return client

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Call:
        if args:
            raise TypeError("LiteLLM names every argument of a handler.")
        with litellm_errors(str(kwargs["model"])):
            return _Call(kwargs, self.catalog)


class _Call:
    """One call of a handler's method: LiteLLM's arguments, read."""

    def __init__(self, kwargs: Mapping[str, Any], catalog: Catalog) -> None:
        self.model = str(kwargs["model"])
        if self.model.partition(":")[0] == "auto":
            raise ConfigurationError(
                f"{PROVIDER}/{self.model} asks for a model to be chosen, which this version cannot do yet.",
                hint="Name a model; `wandb-inference models` lists them.",
            )
        self._kwargs, self._log = kwargs, kwargs.get("logging_obj")
        asked: Asked = to_asked(
            self.model, kwargs["messages"], kwargs.get("optional_params") or {}, kwargs.get("headers")
        )
        self.request: ChatRequest = asked.request
        if (kwargs.get("litellm_params") or {}).get("drop_params") or litellm.drop_params:
            self.request, gone = without_unsupported(asked.request, catalog)
            if gone:
                warnings.warn(f"{self.model} cannot do these, so they are dropped: {', '.join(gone)}.", stacklevel=2)
        timeout = kwargs.get("timeout")
        seconds = float(timeout) if isinstance(timeout, int | float) else None
        self.settings: dict[str, Any] = {
            "settings": Settings.resolve(
                api_key=kwargs.get("api_key"), project=asked.project, base_url=kwargs.get("api_base") or None
            ),
            "catalog": catalog,
            "max_retries": asked.max_retries,
            "timeout": None if seconds is None else Timeouts(read=seconds, stall=min(seconds, _STALL)),
            "headers": asked.headers,
        }

    def http(self, ours: type[Any], theirs: type[Any]) -> Any:
        """Return the httpx client that the caller gave, if it is one for this world."""
        given = self._kwargs.get("client")
        given = given.client if isinstance(given, theirs) else given
        return given if isinstance(given, ours) else None

    def told(self, client: Client | AsyncClient) -> None:
        """Review the call, and tell LiteLLM's loggers what is sent; they see no key."""
        prepared = client.prepare(self.request)
        if self._log is not None:
            shown = {**prepared.headers, "authorization": "***"}
            body = json.loads(prepared.content)
            about = {"api_base": prepared.url, "headers": shown, "complete_input_dict": body}
            self._log.pre_call(input=self.request.messages, api_key="", additional_args=about)

    def result(self, completion: Completion) -> ModelResponse:
        """Return the answer as LiteLLM's class, and tell its loggers."""
        body = to_body(completion)
        if self._log is not None:
            self._log.post_call(original_response=body, api_key="", input=self.request.messages)
        response: ModelResponse = self._kwargs["model_response"]
        hidden = {**response._hidden_params, "custom_llm_provider": PROVIDER}  # noqa: SLF001 (LiteLLM's own way)
        made: Any = convert_to_model_response_object(
            response_object=body,
            model_response_object=response,
            hidden_params=hidden,
            _response_headers=dict(completion.headers),
        )
        return made  # type: ignore[no-any-return]


def _chunks(stream: ChatStream, model: str) -> Iterator[ModelResponseStream]:
    chunks = Chunks()
    with litellm_errors(model), stream:
        for batch in stream.batches():
            yield from chunks.of(batch)


async def _open(client: AsyncClient, request: ChatRequest) -> tuple[AsyncIterator[ModelResponseStream], dict[str, str]]:
    with litellm_errors(request.model):
        stream = await client.stream(request)
    return _achunks(stream, request.model), dict(stream.headers)


async def _opened_late(client: AsyncClient, request: ChatRequest) -> AsyncIterator[ModelResponseStream]:
    chunks, _ = await _open(client, request)
    async for chunk in chunks:
        yield chunk


async def _achunks(stream: AsyncChatStream, model: str) -> AsyncIterator[ModelResponseStream]:
    chunks = Chunks()
    with litellm_errors(model):
        async with stream:
            async for batch in stream.batches():
                for chunk in chunks.of(batch):
                    yield chunk
