"""What the service says beside the text reaches LiteLLM where its own providers put it, whole and streamed."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from said import SAID
from support import KEY, MODEL, raw_server

OURS, BUILT_IN = f"wandb_inference/{MODEL}", f"hosted_vllm/{MODEL}"


def complete(model: str, url: str, *, stream: bool, later: bool) -> Any:
    """Return the answer; of a stream, all of its chunks."""
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "api_base": url, "api_key": KEY}
    given |= {"model": model, "max_tokens": 50, "max_retries": 0, "stream": stream}

    async def run() -> Any:
        answer: Any = await litellm.acompletion(**given)
        return [chunk async for chunk in answer] if stream else answer

    if later:
        return asyncio.run(run())
    answer: Any = litellm.completion(**given)
    return list(answer) if stream else answer


def said_whole(answer: Any) -> dict[str, Any]:
    """Return what an answer says beside its text."""
    choice, ours = answer.choices[0], {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}
    message = choice.message
    return {
        "text": message.content or "",
        "reason": choice.finish_reason,
        "refusal": getattr(message, "refusal", None) or "",
        "message": getattr(message, "provider_specific_fields", None) or {},
        "choice": choice.provider_specific_fields or {},
        "answer": {k: v for k, v in answer.model_dump(exclude_none=True).items() if k not in ours},
    }


WORDS = [name for name, one in SAID.items() if isinstance(one.finish, str)]  # others fail in LiteLLM's own providers


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LiteLLM 1.91 logs to an ended loop
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", WORDS)
def test_whole_as_the_built_in_provider_has_it(name: str, later: bool) -> None:
    said = SAID[name]
    with raw_server(said.whole(), said.whole()) as url:
        ours = said_whole(complete(OURS, url, stream=False, later=later))
        theirs = said_whole(complete(BUILT_IN, url, stream=False, later=False))
    assert ours.pop("choice").pop("incomplete_details", None) == said.details
    expected = {name: value for name, value in said.choice.items() if value is not None}
    assert theirs.pop("choice") in (said.choice, expected)
    reasoning = {"reasoning", "reasoning_content"}
    for told in (ours, theirs):
        told["message"] = {k: v for k, v in told["message"].items() if k not in reasoning and v is not None}
    assert ours == theirs


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", SAID)
def test_streamed(name: str, later: bool) -> None:
    said = SAID[name]
    with raw_server(said.stream()) as url:
        chunks = complete(OURS, url, stream=True, later=later)
    told: dict[str, Any] = {}
    refusal = ""
    for chunk in chunks:
        told |= getattr(chunk, "provider_specific_fields", None) or {}
        for choice in chunk.choices:
            beside = dict(choice.delta.provider_specific_fields or {}) if choice.delta else {}
            refusal += beside.pop("refusal", "")
            told |= beside
            told |= {k: v for k, v in (choice.model_extra or {}).items() if v is not None}
    assert refusal == said.refusal
    assert {name: told.get(name) for name in said.fields} == said.fields
    built: Any = litellm.stream_chunk_builder(chunks)
    assert (built.choices[0].message.content or "") == said.text
