"""Callers that make many calls: a client, a model or a Router that is kept, as programs keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm.router import Router
from llama_cpp import KEY, MODEL
from llama_cpp_ways import LITELLM_MODEL, OPTIONS, messages

from wandb_inference import AsyncClient, ChatOptions, ChatRequest, Client
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

HELLO = "Hello!"


class Core:
    """``Client``, and ``AsyncClient``."""

    def __init__(self, url: str, *, max_retries: int) -> None:
        where: Any = {"base_url": url, "api_key": KEY, "max_retries": max_retries}
        self._client, self._aclient = Client(**where), AsyncClient(**where)

    @staticmethod
    def _request(prompt: str, options: dict[str, Any]) -> ChatRequest:
        return ChatRequest(MODEL, messages(prompt), ChatOptions(**OPTIONS | options))

    def whole(self, prompt: str = HELLO, **options: Any) -> int:
        """Return the tokens of the prompt, as the answer says."""
        usage = self._client.chat(self._request(prompt, options)).usage
        assert usage
        return usage.input_tokens

    async def awhole(self, prompt: str = HELLO, **options: Any) -> int:
        usage = (await self._aclient.chat(self._request(prompt, options))).usage
        assert usage
        return usage.input_tokens

    def stream(self, prompt: str = HELLO, **options: Any) -> Iterator[Any]:
        """Yield the pieces of an answer."""
        with self._client.stream(self._request(prompt, options)) as stream:
            yield from stream

    async def astream(self, prompt: str = HELLO, **options: Any) -> AsyncIterator[Any]:
        async with await self._aclient.stream(self._request(prompt, options)) as stream:
            async for event in stream:
                yield event


class LangChain:
    """``ChatWandbInference``."""

    def __init__(self, url: str, *, max_retries: int) -> None:
        self._model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, max_retries=max_retries, **OPTIONS)

    def whole(self, prompt: str = HELLO, **options: Any) -> int:
        usage = self._model.invoke(prompt, **options).usage_metadata
        assert usage
        return usage["input_tokens"]

    async def awhole(self, prompt: str = HELLO, **options: Any) -> int:
        usage = (await self._model.ainvoke(prompt, **options)).usage_metadata
        assert usage
        return usage["input_tokens"]

    def stream(self, prompt: str = HELLO, **options: Any) -> Iterator[Any]:
        return self._model.stream(prompt, **options)

    def astream(self, prompt: str = HELLO, **options: Any) -> AsyncIterator[Any]:
        return self._model.astream(prompt, **options)


class LiteLLM:
    """LiteLLM's functions."""

    def __init__(self, url: str, *, max_retries: int) -> None:
        register()
        self._where = {"model": LITELLM_MODEL, "api_base": url, "api_key": KEY, "max_retries": max_retries}
        self._call: Any = litellm.completion
        self._acall: Any = litellm.acompletion

    def _given(self, prompt: str, options: dict[str, Any]) -> dict[str, Any]:
        return self._where | {"messages": messages(prompt)} | OPTIONS | options

    def whole(self, prompt: str = HELLO, **options: Any) -> int:
        return int(self._call(**self._given(prompt, options)).usage.prompt_tokens)

    async def awhole(self, prompt: str = HELLO, **options: Any) -> int:
        return int((await self._acall(**self._given(prompt, options))).usage.prompt_tokens)

    def stream(self, prompt: str = HELLO, **options: Any) -> Iterator[Any]:
        return iter(self._call(**self._given(prompt, options), stream=True))

    async def astream(self, prompt: str = HELLO, **options: Any) -> AsyncIterator[Any]:
        async for chunk in await self._acall(**self._given(prompt, options), stream=True):
            yield chunk


class OfRouter(LiteLLM):
    """A LiteLLM Router."""

    def __init__(self, url: str, *, max_retries: int) -> None:
        super().__init__(url, max_retries=max_retries)
        router = Router(model_list=[{"model_name": "a-name", "litellm_params": self._where}], num_retries=max_retries)
        self._where, self._call, self._acall = {"model": "a-name"}, router.completion, router.acompletion


Caller = Core | LangChain | LiteLLM
CALLERS: tuple[Callable[..., Caller], ...] = (Core, LangChain, LiteLLM, OfRouter)
EVERY_CALLER = pytest.mark.parametrize("make", CALLERS)
