"""The emulator held against what a real vLLM 0.32 answered to the same requests: statuses, shapes, order; not text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support import Recorded, recorded

from wandb_inference.catalog import Catalog
from wandb_inference.emulator import Emulator

OTHER_PATHS = {"01_models", "24_err_models_wrong_key", "25_err_404_path", "25_err_405_method"}
NOT_OFFERED = {"30_completions", "31_responses", "32_embeddings"}  # by the service
CASES = [
    r
    for r in recorded().values()
    if r.name.startswith("vllm-0.32/") and r.name.partition("/")[2] not in OTHER_PATHS | NOT_OFFERED
]
# The gateway in front of the service answers these itself, in words of its own (its error pages, read 2026-11-20).
THE_GATEWAYS = {
    "20_err_unknown_model",
    "20_err_unknown_model_stream",
    "24_err_no_key",
    "24_err_wrong_key",
    "24_err_wrong_key_stream",
}
TINY = {
    "id": "tiny",
    "name": "tiny",
    "family": "tiny",
    "status": "active",
    "checked": "2026-11-21",
    "source": "the recordings",
    "context_window": 2048,
    "reasoning": {"mode": "switchable", "default": "on", "switch": ["enable_thinking"]},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    emulator = Emulator(catalog=Catalog.empty().with_overrides({"model": [TINY]}), api_key="test-key")
    with emulator as base_url:
        yield base_url


def send(url: str, r: Recorded) -> httpx.Response:
    name = r.name.partition("/")[2]
    key = {"24_err_no_key": None, "24_err_wrong_key": "wrong", "24_err_wrong_key_stream": "wrong"}.get(name, "test-key")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = r.request
    if b" chars]" in body:  # the recorder shortened the long prompt
        request = {"model": "tiny", "messages": [{"role": "user", "content": "Hello! " * 3000}]}
        body = json.dumps({**request, "stream": name.endswith("stream")}).encode()
    return httpx.post(f"{url}/chat/completions", content=body, headers=headers)


def chunks(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Return the kinds of chunks in their order, each once in a row."""
    found: list[str] = []
    for event in events:
        for choice in event["choices"] or [None]:
            delta = choice["delta"] if choice else {}
            kind = "usage" if choice is None else "finish" if choice["finish_reason"] else ""
            kind = kind or next(
                (key for key in ("role", "reasoning", "tool_calls", "content") if delta.get(key) is not None), "empty"
            )
            if kind not in found[-1:]:
                found.append(kind)
    return found


@pytest.mark.parametrize("r", CASES, ids=lambda r: r.name.partition("/")[2])
def test_status_and_shape(r: Recorded, url: str) -> None:
    response = send(url, r)
    assert response.status_code == r.status, response.text
    assert response.headers["content-type"] == r.headers["content-type"]
    if r.status != 200:
        if r.name.partition("/")[2] not in THE_GATEWAYS:
            error, theirs = response.json()["error"], json.loads(r.body)["error"]
            assert set(error) == set(theirs)
            assert (error["type"], error["code"]) == (theirs["type"], theirs["code"])
        return
    if r.is_stream:
        ours, real = chunks(response.text), chunks(r.body.decode())
        assert response.text.rstrip().endswith("data: [DONE]") == r.body.rstrip().endswith(b"data: [DONE]")
        assert {k for c in ours for k in c} <= {k for c in real for k in c}
        assert {k for c in ours for x in c["choices"] for k in x} <= {k for c in real for x in c["choices"] for k in x}
        assert [c.get("usage") is None for c in ours[-1:]] == [c.get("usage") is None for c in real[-1:]]
        return
    body, theirs = response.json(), json.loads(r.body)
    assert set(body) <= set(theirs)
    assert set(body["usage"]) == set(theirs["usage"])
    assert len(body["choices"]) == len(theirs["choices"])
    assert set(body["choices"][0]) <= set(theirs["choices"][0])
    assert set(body["choices"][0]["message"]) - {"tool_calls"} <= set(theirs["choices"][0]["message"])


ORDERS = {
    "03_stream_usage": ["role", "reasoning", "content", "finish", "usage"],
    "03_stream_no_usage": ["role", "content", "finish"],
    "03_stream_nothink_usage": ["role", "content", "finish", "usage"],
    "05_tool_required_nothink_stream": ["role", "tool_calls", "finish", "usage"],
    "06_tool_auto_nothink_stream": ["role", "tool_calls", "finish", "usage"],
    "08_json_schema_stream": ["role", "reasoning", "content", "finish", "usage"],
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_a_stream(name: str, url: str) -> None:
    r = recorded()[f"vllm-0.32/{name}"]
    real = [kind for kind in kinds(chunks(r.body.decode())) if kind != "empty"]
    ours = kinds(chunks(send(url, r).text))
    assert ours == ORDERS[name]
    # A real finish comes with the last piece of text or arguments; that is the one difference.
    assert [k for k in dict.fromkeys(real) if k != "finish"] == [k for k in ORDERS[name] if k != "finish"]


SAME = [
    # (recording, where to look)
    ("04_tool_required_nothink", lambda c: (c["finish_reason"], c["message"]["content"])),
    ("06_tool_auto", lambda c: (c["finish_reason"], c["message"]["content"])),
    ("06_tool_named", lambda c: (c["finish_reason"], c["message"]["content"])),
    ("12_length", lambda c: c["finish_reason"]),
    ("11_reasoning_truncated", lambda c: (c["finish_reason"], c["message"]["content"])),
    ("11_reasoning_effort_none", lambda c: c["message"]["reasoning"]),
    ("02_chat_nothink", lambda c: (c["finish_reason"], c["message"]["reasoning"])),
    ("07_parallel_false", lambda c: len(c["message"]["tool_calls"])),
    ("11_include_reasoning_false", lambda c: c["message"]["reasoning"]),
]


@pytest.mark.parametrize(("name", "look"), SAME, ids=[name for name, _ in SAME])
def test_the_same_in_both(name: str, look: Any, url: str) -> None:
    r = recorded()[f"vllm-0.32/{name}"]
    assert look(send(url, r).json()["choices"][0]) == look(json.loads(r.body)["choices"][0])
