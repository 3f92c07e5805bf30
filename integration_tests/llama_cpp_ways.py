"""Every way to ask the llama-server: through the core and both doors, sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import langchain_support
import litellm
import pytest
from langchain_core.messages import AIMessage
from litellm.router import Router
from litellm.types.utils import ModelResponse
from llama_cpp import KEY, MODEL
from support import EVERY_WAY as EVERY_CORE_WAY

from wandb_inference import ChatOptions, ChatRequest
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

LITELLM_MODEL = f"wandb_inference/{MODEL}"
OPTIONS: dict[str, Any] = {"temperature": 0, "max_tokens": 200}
"""Of every call that names none: the same prompt has the same answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came, in words that belong to no door."""

    text: str
    reasoning: str
    calls: list[tuple[str, Any]]
    """Names and arguments."""
    call_ids: list[str]
    finish_reason: str | None
    tokens: tuple[int, int]
    """Of prompt and answer, as the server counted them."""
    logprobs: list[Any]


Ask = Callable[..., Answer]
"""``ask(url, prompt, *, key, max_retries, **options)``; options have the core's names."""


@dataclass(frozen=True)
class Way:
    """One way to ask."""

    door: str
    """``core``, ``langchain``, ``sdk`` (LiteLLM's) or ``router``."""
    name: str
    ask: Ask

    def __str__(self) -> str:
        return f"{self.door}-{self.name}"

    @property
    def streamed(self) -> bool:
        return "stream" in self.name or "events" in self.name


def messages(prompt: str | list[Any]) -> list[Any]:
    """Return the messages of a prompt."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def through_core(run: Any) -> Ask:
    def ask(url: str, prompt: Any, *, key: str = KEY, max_retries: int = 2, **options: Any) -> Answer:
        request = ChatRequest(MODEL, messages(prompt), ChatOptions(**OPTIONS | options))
        completion = run(request, base_url=url, api_key=key, max_retries=max_retries)
        usage = completion.usage
        return Answer(
            text=completion.text,
            reasoning=completion.reasoning,
            calls=[(call.name, json.loads(call.arguments)) for call in completion.tool_calls],
            call_ids=[call.id for call in completion.tool_calls],
            finish_reason=completion.finish_reason,
            tokens=(usage.input_tokens, usage.output_tokens),
            logprobs=list(completion.choices[0].logprobs),
        )

    return ask


def through_langchain(run: Any) -> Ask:
    def ask(url: str, prompt: Any, *, key: str = KEY, max_retries: int = 2, **options: Any) -> Answer:
        model = ChatWandbInference(model=MODEL, base_url=url, api_key=key, max_retries=max_retries)
        message: AIMessage = run(model, messages(prompt), **OPTIONS | options)
        usage, metadata = message.usage_metadata, message.response_metadata
        assert usage
        assert message.invalid_tool_calls == []
        thoughts = [block for block in message.content_blocks if block["type"] == "reasoning"]
        return Answer(
            text=message.text,
            reasoning="".join(block["reasoning"] for block in thoughts),
            calls=[(call["name"], call["args"]) for call in message.tool_calls],
            call_ids=[call["id"] or "" for call in message.tool_calls],
            finish_reason=metadata["finish_reason"],
            tokens=(usage["input_tokens"], usage["output_tokens"]),
            logprobs=metadata.get("logprobs", {}).get("content", []),
        )

    return ask


def through_litellm(run: Any, functions: Callable[[dict[str, Any]], Functions]) -> Ask:
    def ask(url: str, prompt: Any, *, key: str = KEY, max_retries: int = 2, **options: Any) -> Answer:
        register()
        if "reasoning" in options:
            options["reasoning_effort"] = "default" if options.pop("reasoning") else "disable"  # LiteLLM's own words
        where = {"model": LITELLM_MODEL, "api_base": url, "api_key": key, "max_retries": max_retries}
        read: list[Any] = run(functions(where), messages=messages(prompt), **OPTIONS | options)
        answer: Any = read[0] if isinstance(read[0], ModelResponse) else litellm.stream_chunk_builder(read)
        (choice,) = answer.choices
        calls = choice.message.tool_calls or []
        return Answer(
            text=choice.message.content or "",
            reasoning=getattr(choice.message, "reasoning_content", None) or "",
            calls=[(call.function.name, json.loads(call.function.arguments)) for call in calls],
            call_ids=[call.id for call in calls],
            finish_reason=choice.finish_reason,
            tokens=(answer.usage.prompt_tokens, answer.usage.completion_tokens),
            logprobs=list(_logprobs(read)),
        )

    return ask


def _logprobs(answers: Iterable[Any]) -> Iterable[Any]:
    for answer in answers:
        for choice in answer.choices:
            found = getattr(choice, "logprobs", None)
            content = (found["content"] if isinstance(found, dict) else found.content) if found else []
            yield from (token if isinstance(token, dict) else token.model_dump() for token in content)


class Functions(NamedTuple):
    """LiteLLM's two, or a Router's, and the arguments that say where they go."""

    call: Any
    acall: Any
    where: dict[str, Any]


def sdk(where: dict[str, Any]) -> Functions:
    return Functions(litellm.completion, litellm.acompletion, where)


def router(where: dict[str, Any]) -> Functions:
    models = [{"model_name": "a-name", "litellm_params": where}]
    of = Router(model_list=models, num_retries=where["max_retries"])
    return Functions(of.completion, of.acompletion, {"model": "a-name"})


def completion(functions: Functions, **given: Any) -> list[Any]:
    return [functions.call(**functions.where, **given)]


def acompletion(functions: Functions, **given: Any) -> list[Any]:
    return [asyncio.run(functions.acall(**functions.where, **given))]


def stream(functions: Functions, **given: Any) -> list[Any]:
    return list(functions.call(**functions.where, **given, stream=True))


def astream(functions: Functions, **given: Any) -> list[Any]:
    async def run() -> list[Any]:
        return [chunk async for chunk in await functions.acall(**functions.where, **given, stream=True)]

    return asyncio.run(run())


def _ways() -> Iterable[Way]:
    for run in EVERY_CORE_WAY:
        yield Way("core", run.__name__, through_core(run))
    for name in ("invoke", "ainvoke", "stream", "astream", "events", "aevents"):
        yield Way("langchain", name, through_langchain(getattr(langchain_support, name)))
    for functions in (sdk, router):
        for call in (completion, acompletion, stream, astream):
            yield Way(functions.__name__, call.__name__, through_litellm(call, functions))


WAYS = tuple(_ways())
EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=str)
WHOLE = pytest.mark.parametrize("way", [way for way in WAYS if not way.streamed], ids=str)
STREAMED = pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=str)
