"""The ways to call a chat model, and values that several tests of the LangChain room use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from wandb_inference.langchain import ChatWandbInference

MODEL, SEES, GEMMA = "openai/gpt-oss-20b", "Qwen/Qwen3.8-27B", "google/gemma-4-31B-it"
Make = Callable[..., ChatWandbInference]
F = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


class Movie(BaseModel):
    """A movie."""

    title: str
    year: int


def add(chunks: list[AIMessageChunk]) -> AIMessage:
    full = chunks[0]
    for chunk in chunks[1:]:
        full = full + chunk
    return full


def invoke(model: Runnable[Any, AIMessage], prompt: Any, /, **kwargs: Any) -> AIMessage:
    return model.invoke(prompt, **kwargs)


def ainvoke(model: Runnable[Any, AIMessage], prompt: Any, /, **kwargs: Any) -> AIMessage:
    return asyncio.run(model.ainvoke(prompt, **kwargs))


def stream(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    return add(list(model.stream(prompt, **kwargs)))


def astream(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    async def run() -> AIMessage:
        return add([chunk async for chunk in model.astream(prompt, **kwargs)])

    return asyncio.run(run())


def events(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    answer: AIMessage = model.stream_events(prompt, version="v3", **kwargs).output
    return answer


def aevents(model: Any, prompt: Any, /, **kwargs: Any) -> AIMessage:
    async def run() -> AIMessage:
        answer: AIMessage = await (await model.astream_events(prompt, version="v3", **kwargs)).output
        return answer

    return asyncio.run(run())


EVERY_WAY = pytest.mark.parametrize("run", [invoke, ainvoke, stream, astream, events, aevents])
BOTH = pytest.mark.parametrize("run", [invoke, ainvoke])
STREAMED = pytest.mark.parametrize("run", [stream, astream, events, aevents])
