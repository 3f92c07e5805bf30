"""Who is measured: how each adapter is made, and how each family is asked. A process imports what it measures."""

# ruff: noqa: PLC0415
from __future__ import annotations

import asyncio
import functools
import json
import operator
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.server import KINDS, MODEL

TEXT = "incomprehensibilities " * 23  # half a kilobyte
TOOL = {"type": "function", "function": {"name": "write", "parameters": {"type": "object"}}}


class Asynchronous:
    """Runs coroutines on an event loop that stays."""

    @functools.cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def many(self, count: int, one: Callable[[], Awaitable[object]]) -> None:
        async def together() -> None:
            await asyncio.gather(*(one() for _ in range(count)))

        self.loop.run_until_complete(together())


class LangChain(Asynchronous):
    """A chat model, and what is done with it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def invoke(self) -> None:
        self.model.invoke("Hello")

    def together(self) -> None:
        self.many(100, lambda: self.model.ainvoke("Hello"))

    def batch(self) -> None:
        self.model.batch(["Hello"] * 256, {"max_concurrency": 32})

    @functools.cached_property
    def conversation(self) -> list[Any]:
        from langchain_core.messages import AIMessage, HumanMessage

        return [(HumanMessage, AIMessage)[n % 2](TEXT) for n in range(2000)]

    def prompt(self) -> None:
        self.model.invoke(self.conversation)

    def few(self) -> None:
        self.model.invoke(self.conversation[:10])

    def many_messages(self) -> None:
        self.model.invoke(self.conversation * 5)

    def stream(self) -> None:
        for _ in self.model.stream("Hello"):
            pass

    async def read(self) -> None:
        async for _ in self.model.astream("Hello"):
            pass

    def astream(self) -> None:
        self.many(1, self.read)

    def streams(self) -> None:
        self.many(200, self.read)

    def sum(self) -> None:
        functools.reduce(operator.add, self.model.bind_tools([TOOL]).stream("Hello"))

    def events(self) -> None:
        assert self.model.stream_events("Hello", version="v3").output

    @functools.cached_property
    def traced_by(self) -> Any:
        """Keeps what LangSmith's tracer would send."""
        from langchain_core.tracers.base import BaseTracer

        class Tracer(BaseTracer):
            def _persist_run(self, run: Any) -> None:
                pass

        return {"callbacks": [Tracer()]}

    def traced(self) -> None:
        self.model.invoke("Hello", self.traced_by)

    def traced_stream(self) -> None:
        for _ in self.model.stream("Hello", self.traced_by):
            pass


class LiteLLM(Asynchronous):
    """A model of LiteLLM's, and what is done with it."""

    def __init__(self, model: str, **options: Any) -> None:
        import litellm

        options = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **options}
        self.ask = functools.partial(litellm.completion, **options)
        self.aask = functools.partial(litellm.acompletion, **options)
        self.add_up = litellm.stream_chunk_builder

    def invoke(self) -> None:
        self.ask()

    def together(self) -> None:
        self.many(100, self.aask)

    def batch(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda _: self.ask(), range(256)))

    def prompt(self) -> None:
        self.ask(messages=[{"role": ("user", "assistant")[n % 2], "content": TEXT} for n in range(2000)])

    def stream(self) -> None:
        for _ in self.ask(stream=True):
            pass

    async def read(self) -> None:
        async for _ in await self.aask(stream=True):
            pass

    def astream(self) -> None:
        self.many(1, self.read)

    def sum(self) -> None:
        self.add_up(list(self.ask(stream=True, tools=[TOOL])))


class Httpx(Asynchronous):
    """The library alone: bytes in, JSON out."""

    def __init__(self, url: str) -> None:
        import httpx

        self.url, self.client, self.aclient = f"{url}/chat/completions", httpx.Client(), httpx.AsyncClient()
        self.body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}

    def invoke(self) -> None:
        self.client.post(self.url, json=self.body).json()

    async def ainvoke(self) -> None:
        (await self.aclient.post(self.url, json=self.body)).json()

    def together(self) -> None:
        self.many(100, self.ainvoke)

    def stream(self) -> None:
        with self.client.stream("POST", self.url, json={**self.body, "stream": True}) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    json.loads(line[6:])


def ours(url: str, **options: Any) -> LangChain:
    from wandb_inference.langchain import ChatWandbInference

    return LangChain(ChatWandbInference(model=MODEL, base_url=url, api_key="k", **options))


def chat_openai(url: str) -> LangChain:
    from langchain_openai import ChatOpenAI

    return LangChain(ChatOpenAI(model=MODEL, base_url=url, api_key="k", stream_usage=True))


def chat_groq(url: str) -> LangChain:
    from langchain_groq import ChatGroq

    return LangChain(ChatGroq(model_name=MODEL, base_url=url.removesuffix("/v1"), api_key="k"))


def chat_litellm(url: str) -> LangChain:
    from langchain_litellm import ChatLiteLLM

    return LangChain(ChatLiteLLM(model=f"wandb/{MODEL}", api_base=url, api_key="k"))


def answered(url: str) -> list[dict[str, Any]]:
    """The deltas that the server would answer with."""
    kind, _, size = url.split("/")[3].partition("-")
    return KINDS[kind](int(size)) if size else []


def floor(url: str) -> LangChain:
    """A chat model that has its answers already: what langchain-core itself costs."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.tool import tool_call_chunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    def called(call: dict[str, Any]) -> Any:
        function = call["function"]
        return tool_call_chunk(
            name=function.get("name"), args=function["arguments"], id=call.get("id"), index=call["index"]
        )

    def chunk(delta: dict[str, Any]) -> ChatGenerationChunk:
        calls = [called(call) for call in delta.get("tool_calls", ())]
        more = {"reasoning_content": delta["reasoning"]} if "reasoning" in delta else {}
        text = delta.get("content", "")
        return ChatGenerationChunk(message=AIMessageChunk(content=text, tool_call_chunks=calls, additional_kwargs=more))

    chunks = [chunk(delta) for delta in answered(url)]

    class Floor(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "floor"

        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Hello from the benchmark."))])

        async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
            return self._generate()

        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield from chunks

        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            for one in chunks:
                yield one

    return LangChain(Floor())


def litellms_own(url: str) -> LiteLLM:
    return LiteLLM(f"wandb/{MODEL}", api_base=url, api_key="k")


def ours_in_litellm(url: str) -> LiteLLM:
    from wandb_inference.litellm import register

    register()
    return LiteLLM(f"wandb_inference/{MODEL}", api_base=url, api_key="k")


def litellms_floor(url: str) -> LiteLLM:
    """A provider that has its answers already: what LiteLLM itself costs."""
    import litellm
    from litellm.llms.custom_llm import CustomLLM

    nothing: Any = {"tool_use": None, "is_finished": False, "finish_reason": "", "index": 0, "usage": None}
    chunks = [{**nothing, "text": delta.get("content", "")} for delta in answered(url)]
    chunks += [{**nothing, "text": "", "is_finished": True, "finish_reason": "stop"}]
    done: Any = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}

    class Floor(CustomLLM):
        def completion(self, *_: Any, **__: Any) -> Any:
            return litellm.ModelResponse(model=MODEL, choices=[done])

        async def acompletion(self, *_: Any, **__: Any) -> Any:
            return self.completion()

        def streaming(self, *_: Any, **__: Any) -> Any:
            return iter(chunks)

        async def astreaming(self, *_: Any, **__: Any) -> Any:
            for chunk in chunks:
                yield chunk

    litellm.custom_provider_map = [{"provider": "floor", "custom_handler": Floor()}]
    return LiteLLM("floor/model")


def fast(make: Callable[..., Any], **options: Any) -> Callable[[str], Any]:
    def made(url: str) -> Any:
        os.environ["WANDB_INFERENCE_TRANSPORT"] = "fast"
        return make(url, **options)

    return made


class Adapter(NamedTuple):
    """Who is measured."""

    family: type[Asynchronous]
    module: str
    """What its users import."""
    make: Callable[[str], Any]
    """Return it, at a base URL."""


RIVALS: dict[type[Asynchronous], str] = {LangChain: "ChatOpenAI", LiteLLM: "litellm wandb/", Httpx: "ChatOpenAI"}
ADAPTERS = {
    "ours": Adapter(LangChain, "wandb_inference.langchain", ours),
    "ours, fast": Adapter(LangChain, "wandb_inference.langchain", fast(ours)),
    "ours, single": Adapter(LangChain, "wandb_inference.langchain", functools.partial(ours, coalesce=False)),
    "ours, fast, single": Adapter(LangChain, "wandb_inference.langchain", fast(ours, coalesce=False)),
    "ChatOpenAI": Adapter(LangChain, "langchain_openai", chat_openai),
    "ChatGroq": Adapter(LangChain, "langchain_groq", chat_groq),
    "ChatLiteLLM": Adapter(LangChain, "langchain_litellm", chat_litellm),
    "floor": Adapter(LangChain, "langchain_core.language_models", floor),
    "litellm ours": Adapter(LiteLLM, "wandb_inference.litellm", ours_in_litellm),
    "litellm ours, fast": Adapter(LiteLLM, "wandb_inference.litellm", fast(ours_in_litellm)),
    "litellm wandb/": Adapter(LiteLLM, "litellm", litellms_own),
    "litellm floor": Adapter(LiteLLM, "litellm", litellms_floor),
    "httpx": Adapter(Httpx, "httpx", Httpx),
}
