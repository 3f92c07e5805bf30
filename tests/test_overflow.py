"""Whoever says that a prompt is too long, the frameworks that shorten it and try again recognise it by its words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support import ask, raw_server

from wandb_inference import Catalog, ChatRequest, Client, Policy
from wandb_inference._wire import failure
from wandb_inference.errors import (
    ContextLengthError,
    InferenceError,
    NoCandidateError,
    RequestReviewError,
    overflow_message,
)
from wandb_inference.langchain.errors import as_langchain
from wandb_inference.litellm.errors import as_litellm


def _has(*phrases: str) -> Callable[[str], bool]:
    return lambda text: any(phrase in text.lower() for phrase in phrases)


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.search(pattern, text, re.IGNORECASE | re.DOTALL) is not None


def _unless_throttled(*phrases: str) -> Callable[[str], bool]:
    """Some look for a refusal that passes by itself first."""
    throttled = _has("rate_limit_exceeded", "rate limit", "rate-limit", "too many requests", "throttled")
    return lambda text: not throttled(text) and _has(*phrases)(text)


RECOGNISERS: dict[str, Callable[[str], bool]] = {
    # name and version: what it looks for; read on 2026-11-26, in its source or in what public repositories quote of it
    "CrewAI 1.15.30, CONTEXT_LIMIT_ERRORS": _unless_throttled(
        "expected a string with maximum length",
        "maximum context length",
        "context length exceeded",
        "context_length_exceeded",
        "context window full",
        "too many tokens",
        "input is too long",
        "exceeds token limit",
    ),
    "LiteLLM 1.91 to 1.110, ExceptionCheckers": _has(
        "exceed context limit", "this model's maximum context length is", "prompt is too long"
    ),
    "Strands 1.62, classify_openai_error": _unless_throttled(
        "maximum context length", "context_length_exceeded", "context length"
    ),
    "deepagents 0.7.32, _is_context_overflow": _has(
        "context_length_exceeded", "contextwindowexceedederror", "maximum context length", "exceeds the context window"
    ),
    "Letta 0.16, is_context_window_overflow_message": lambda text: "This model's maximum context length is" in text,
    "OpenClaw, isContextOverflowError": _has(
        "context length exceeded", "maximum context length", "prompt is too long", "context overflow"
    ),
    "opencode and pi, OVERFLOW_PATTERNS (vLLM)": _matches(r"maximum context length is \d+ tokens"),
    "big-AGI, the numbers": _matches(r"maximum context length is (\d+) tokens"),
    "our own": lambda text: isinstance(
        failure(model="m", status=400, body={"error": {"message": text}}), ContextLengthError
    ),
}
LOCAL_RECOGNISERS = {  # of what was refused before it was sent: these words are ours, the service has its own
    "langchain-openai 1.7, _handle_openai_bad_request": _has("context_length_exceeded", "prompt is too long"),
    "langchain-anthropic 1.7": _has("prompt is too long"),
    "OpenHands, LONG_PROMPT_PATTERNS": _has("prompt is too long", "please reduce the length of"),
}

SMALL, LARGE = "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3.1"
LONG = "word " * 3000


def narrow() -> Catalog:
    facts = {"name": "m", "family": "f", "status": "active", "checked": "2026-11-26", "source": "test"}
    windows = {SMALL: 2000, LARGE: 2100}
    return Catalog.empty().with_overrides(
        {"model": [{"id": id_, "context_window": window, **facts} for id_, window in windows.items()]}
    )


def refused(model: Any, text: str = LONG, *, policy: Policy | None = None, **options: Any) -> InferenceError:
    settings: dict[str, Any] = {} if policy is None else {"policy": policy}
    with (
        Client(base_url="http://127.0.0.1:9/v1", api_key="k" * 40, catalog=narrow(), **settings) as client,
        pytest.raises(InferenceError) as caught,
    ):
        client.chat(ask(text, model=model, **options))
    return caught.value


def answered(refusal: str, *, stream: bool = False) -> InferenceError:
    """What the service's own refusal becomes."""
    body = (refusal if refusal.startswith("{") else json.dumps({"error": {"message": refusal, "code": 400}})).encode()
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    if stream:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: "
        body += b"\n\n"
    with raw_server(head + body) as url, Client(base_url=url, api_key="k" * 40, max_retries=0) as client:
        request = ChatRequest("me/mine", [{"role": "user", "content": "x"}])
        with pytest.raises(InferenceError) as caught:
            list(client.stream(request)) if stream else client.chat(request)
    return caught.value


LLAMA = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (3000 tokens) exceeds the available context size (2000 tokens)",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 3000,
            "n_ctx": 2000,
        }
    }
)
VLLM = "This model's maximum context length is 2000 tokens. However, your prompt contains at least 3000 input tokens."
PASSED = "You passed 3000 input tokens and requested 9 output tokens. However, the context length is only 2000 tokens"
DECODER = "The decoder prompt (length 3000) is longer than the maximum model length of 2000."
OPENAI = '{"error": {"message": "no", "code": "context_length_exceeded", "n_ctx": 2000, "n_prompt_tokens": 3000}}'

LOCAL: dict[str, tuple[Callable[[], InferenceError], type[InferenceError]]] = {
    # name: (what makes the error, its class)
    "the review": (partial(refused, SMALL), RequestReviewError),
    "the review, with an answer": (partial(refused, SMALL, max_tokens=100), RequestReviewError),
    "the review, with other findings": (partial(refused, SMALL, temperature=-1.0), RequestReviewError),
    "no candidate": (partial(refused, "auto"), NoCandidateError),
    "no candidate of a list": (partial(refused, [SMALL, LARGE]), NoCandidateError),
    "no candidate in a list of one": (partial(refused, [SMALL]), NoCandidateError),
    "no other candidate": (partial(refused, "auto", policy=Policy(deny=frozenset({LARGE}))), NoCandidateError),
}
REMOTE: dict[str, tuple[Callable[[], InferenceError], type[InferenceError]]] = {
    "vLLM": (partial(answered, VLLM), ContextLengthError),
    "vLLM, streamed": (partial(answered, VLLM, stream=True), ContextLengthError),
    "vLLM, in other words": (partial(answered, PASSED), ContextLengthError),
    "vLLM, of the engine": (partial(answered, DECODER), ContextLengthError),
    "llama-server": (partial(answered, LLAMA), ContextLengthError),
    "llama-server, streamed": (partial(answered, LLAMA, stream=True), ContextLengthError),
    "OpenAI's code": (partial(answered, OPENAI), ContextLengthError),
}
DOORS: dict[str, Callable[[InferenceError], BaseException]] = {
    "core": lambda error: error,
    "LangChain": as_langchain,
    "LiteLLM": lambda error: as_litellm(error, "m"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", LOCAL | REMOTE)
def test_an_overflow_is_recognised_by_its_words(name: str, door: str) -> None:
    make, cls = (LOCAL | REMOTE)[name]
    error = make()
    assert isinstance(error, cls)
    text = str(DOORS[door](error))
    recognisers = RECOGNISERS | (LOCAL_RECOGNISERS if name in LOCAL else {})
    assert [name for name, recognises in recognisers.items() if not recognises(text)] == []
    assert re.search(r"This model's maximum context length is 2[01]00 tokens", text)
    assert "3000" in text


def test_recognisers_are_the_hosts_own() -> None:
    from litellm.litellm_core_utils.exception_mapping_utils import ExceptionCheckers  # noqa: PLC0415 (for this test)

    for limit in (None, 5):
        text = overflow_message(limit, 9)
        assert ExceptionCheckers.is_error_str_context_window_exceeded(text)
        assert not ExceptionCheckers.is_error_str_rate_limit(text)


@pytest.mark.parametrize("limit", [2000, None])
@pytest.mark.parametrize("prompt", [3000, None])
@pytest.mark.parametrize("requested", [100, None])
@pytest.mark.parametrize("how", ["", "at least ", "about "])
def test_we_read_what_we_write(limit: int | None, prompt: int | None, requested: int | None, how: str) -> None:
    text = overflow_message(limit, prompt, requested, how)
    error = failure(model="m", status=400, body={"error": {"message": text}})
    assert isinstance(error, ContextLengthError)
    assert (error.limit, error.prompt_tokens) == (limit, None if limit is None else prompt)
    assert error.message == f"m: {text} (HTTP 400)."


def test_an_answer_that_is_too_long_is_not_said_to_be_an_overflow() -> None:
    error = refused(SMALL, max_tokens=1999)  # a prompt of at least 3000 tokens: its own fault
    assert isinstance(error, RequestReviewError)
    assert error.is_overflow
    error = refused(SMALL, "word " * 5, max_tokens=1999)
    assert isinstance(error, RequestReviewError)
    assert not error.is_overflow
    assert not any(recognises(str(error)) for recognises in (RECOGNISERS | LOCAL_RECOGNISERS).values())
