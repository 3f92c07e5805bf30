"""Every recorded exchange of a real vLLM, decoded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import Recorded, recorded

from wandb_inference import (
    AuthenticationError,
    BadRequestError,
    ChatOptions,
    ChatRequest,
    Completion,
    ContextLengthError,
    InferenceError,
    NotFoundError,
    ServerError,
    StatusError,
    collect,
)
from wandb_inference._wire import StreamDecoder, decode, decode_models, encode, failure
from wandb_inference.chat import StreamEnd, StreamStart
from wandb_inference.errors import Reply

ALL = recorded()
NOT_CHAT = {"01_models", "30_completions", "31_responses", "32_embeddings"}
CHAT = [r for r in ALL.values() if r.status == 200 and r.name.rpartition("/")[2] not in NOT_CHAT]
ERRORS = [r for r in ALL.values() if r.status != 200]


def decode_recorded(r: Recorded) -> Completion:
    if not r.is_stream:
        return decode(r.body, model="tiny")
    decoder = StreamDecoder("tiny")
    events = decoder.feed(r.body) + decoder.close()
    if decoder.error is not None:
        raise decoder.error
    assert isinstance(events[0], StreamStart)
    assert isinstance(events[-1], StreamEnd)
    assert sum(isinstance(event, StreamStart | StreamEnd) for event in events) == 2
    return collect(events)


def expected(r: Recorded) -> dict[str, Any]:
    """Read a recording a second way: whole, with nothing but json."""
    if not r.is_stream:
        body = json.loads(r.body)
        message = body["choices"][0]["message"]
        return {
            "text": message.get("content") or "",
            "reasoning": message.get("reasoning") or "",
            "calls": [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()],
            "finish": body["choices"][0]["finish_reason"],
            "usage": body["usage"],
        }
    chunks = [json.loads(line[6:]) for line in r.body.decode().splitlines() if line.startswith("data: {")]
    first = [c for chunk in chunks for c in chunk["choices"] if c["index"] == 0]
    calls: dict[int, list[str]] = {}
    for choice in first:
        for call in choice["delta"].get("tool_calls") or ():
            parts = calls.setdefault(call["index"], ["", ""])
            parts[0] += call["function"].get("name") or ""
            parts[1] += call["function"].get("arguments") or ""
    return {
        "text": "".join(c["delta"].get("content") or "" for c in first),
        "reasoning": "".join(c["delta"].get("reasoning") or "" for c in first),
        "calls": [tuple(parts) for _, parts in sorted(calls.items())],
        "finish": next(c["finish_reason"] for c in first if c["finish_reason"]),
        "usage": next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None),
    }


def test_nothing_is_missing() -> None:
    assert len(ALL) == 95
    assert {r.name for r in CHAT} | {r.name for r in ERRORS} | {f"vllm-0.32/{name}" for name in NOT_CHAT} == set(ALL)


@pytest.mark.parametrize("r", [r for r in CHAT if "killed" not in r.name], ids=lambda r: r.name)
def test_answer(r: Recorded) -> None:
    completion, want = decode_recorded(r), expected(r)
    assert completion.text == want["text"]
    assert completion.reasoning == want["reasoning"]
    assert [(call.name, call.arguments) for call in completion.tool_calls] == want["calls"]
    assert completion.finish_reason == want["finish"]
    assert len({call.id for call in completion.tool_calls}) == len(completion.tool_calls)
    assert all(call.id for call in completion.tool_calls)
    usage, wanted = completion.usage, want["usage"]
    if wanted is None:
        assert usage is None
    else:
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (wanted["prompt_tokens"], wanted["completion_tokens"])
        assert usage.total_tokens == wanted["total_tokens"]
        assert usage.cached_tokens == (wanted.get("prompt_tokens_details") or {}).get("cached_tokens")
        assert usage.reasoning_tokens == (wanted.get("completion_tokens_details") or {}).get("reasoning_tokens")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("02_chat", {"text": "\n\nHello! How can I help you today?", "model": "tiny"}),
        ("12_n2", {"choices": 2}),
        ("12_n2_stream", {"choices": 2}),
        ("06_tool_named", {"finish_reason": "stop"}),
        ("06_tool_named_stream", {"finish_reason": "stop"}),
        ("07_parallel_auto_stream", {"calls": 2}),
        ("07_parallel_false_stream", {"calls": 1}),
        ("11_reasoning_truncated", {"text": "", "finish_reason": "length"}),
        ("11_include_reasoning_false", {"reasoning": ""}),
        ("10_logprobs_stream", {"logprobs": True}),
        ("10_logprobs_tools_stream", {"logprobs": True}),
        ("10_logprobs", {"logprobs": True}),
    ],
)
def test_facts_worth_naming(name: str, facts: dict[str, Any]) -> None:
    completion = decode_recorded(ALL[f"vllm-0.32/{name}"])
    found = {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "model": completion.model,
        "choices": len(completion.choices),
        "calls": len(completion.tool_calls),
        "finish_reason": completion.finish_reason,
        "logprobs": bool(completion.choices[0].logprobs),
    }
    assert {key: found[key] for key in facts} == facts
    if len(completion.choices) > 1:
        assert all(choice.text and choice.finish_reason for choice in completion.choices)


@pytest.mark.parametrize("version", ["0.14.1", "0.32.0"])
def test_an_engine_killed_in_the_middle(version: str) -> None:
    with pytest.raises(ServerError, match="EngineCore encountered an issue") as caught:
        decode_recorded(ALL[f"vllm-faults/engine_killed_midstream_{version}"])
    assert caught.value.status_code == 500
    assert caught.value.retryable
    partial = caught.value.partial
    assert partial is not None
    assert partial.text + partial.reasoning
    assert partial.finish_reason is None


WANTED: dict[str, type[InferenceError]] = {
    "20_err_unknown_model": NotFoundError,
    "20_err_unknown_model_stream": NotFoundError,
    "21_err_context": ContextLengthError,
    "21_err_context_stream": ContextLengthError,
    "24_err_models_wrong_key": AuthenticationError,
    "24_err_no_key": AuthenticationError,
    "24_err_wrong_key": AuthenticationError,
    "24_err_wrong_key_stream": AuthenticationError,
    "25_err_404_path": NotFoundError,
    "25_err_405_method": StatusError,
    "32_embeddings": NotFoundError,
    "engine_dead_request_0.14.1": ServerError,
}


@pytest.mark.parametrize("r", ERRORS, ids=lambda r: r.name)
def test_error(r: Recorded) -> None:
    error = failure(model="tiny", status=r.status, reply=Reply(r.status, r.headers, r.body))
    assert type(error) is WANTED.get(r.name.rpartition("/")[2], BadRequestError)
    assert error.status_code == r.status
    body = json.loads(r.body)
    words = body["error"]["message"] if isinstance(body.get("error"), dict) else body.get("error") or body["detail"]
    assert words in str(error)
    assert "tiny" in str(error)


def test_the_numbers_of_an_overflow() -> None:
    r = ALL["vllm-0.32/21_err_context"]
    error = failure(model="tiny", status=r.status, reply=Reply(r.status, r.headers, r.body))
    assert isinstance(error, ContextLengthError)
    assert (error.limit, error.prompt_tokens, error.param) == (2048, 2049, "input_tokens")


def test_models() -> None:
    (model,) = decode_models(ALL["vllm-0.32/01_models"].body)
    assert (model.id, model.max_model_len) == ("tiny", 2048)


@pytest.mark.parametrize("r", [r for r in CHAT if r.request.startswith(b"{")], ids=lambda r: r.name)
def test_our_encoding_of_the_recorded_request(r: Recorded) -> None:
    # A request a real vLLM answered with 200, rebuilt from our values, is the same request.
    body = json.loads(r.request)
    known = {"temperature", "max_tokens", "stop", "seed", "n", "tools", "tool_choice", "parallel_tool_calls"}
    known |= {"response_format", "logprobs", "top_logprobs"}
    options = {key: value for key, value in body.items() if key in known}
    rest = {k: v for k, v in body.items() if k not in known | {"model", "messages", "stream", "stream_options"}}
    streams = body.get("stream", False)
    asks = bool((body.get("stream_options") or {}).get("include_usage"))
    if body.get("stream_options", {}).get("continuous_usage_stats"):
        rest["stream_options"] = body["stream_options"]
    request = ChatRequest(
        body["model"], body["messages"], ChatOptions(**options, include_usage=asks, extra_body=rest or None)
    )
    assert json.loads(encode(request, stream=streams)) == body
