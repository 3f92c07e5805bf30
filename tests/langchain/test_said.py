"""What the service says beside the text reaches the core and LangChain, whole and streamed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_support import EVERY_WAY
from said import SAID, Said
from support import KEY, MODEL, ask, chat_async, chat_sync, raw_server, sse, stream_async, stream_sync, whole

from wandb_inference import EmptyAnswerWarning
from wandb_inference.langchain import ChatWandbInference


@pytest.fixture(params=SAID)
def said(request: pytest.FixtureRequest) -> Iterator[Said]:
    """What is said; a warning comes with it exactly when nothing is left of the answer."""
    one = SAID[request.param]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EmptyAnswerWarning)
        yield one
    told = [str(warning.message) for warning in caught if warning.category is EmptyAnswerWarning]
    assert told == ([] if one.details is None else [SPENT])


SPENT = (
    f"{MODEL}: the answer is empty, because reasoning took all of max_tokens=50. Raise max_tokens, or lower reasoning."
)


@pytest.mark.parametrize("run", [chat_sync, chat_async, stream_sync, stream_async])
def test_the_core(run: Any, said: Said) -> None:
    with raw_server(said.stream() if run in (stream_sync, stream_async) else said.whole()) as url:
        answer = run(ask("x", max_tokens=50), base_url=url, api_key=KEY)
    choice = answer.choices[0]
    assert (answer.text, choice.refusal, answer.finish_reason) == (said.text, said.refusal, said.reason)
    assert {**answer.extra, **choice.message_extra, **choice.extra} == said.fields


@EVERY_WAY
def test_langchain(run: Any, said: Said) -> None:
    streamed = run.__name__ not in ("invoke", "ainvoke")
    with raw_server(said.stream() if streamed else said.whole()) as url:
        model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, max_retries=0, max_tokens=50)
        message: AIMessage = run(model, "x")
    assert (message.text, message.additional_kwargs.get("refusal", "")) == (said.text, said.refusal)
    assert message.response_metadata["finish_reason"] == said.reason
    ours = {
        "output_version",
        "route",
        "model_provider",
        "model_name",
        "id",
        "finish_reason",
        "token_usage",
        "cost",
        "cost_details",
    }
    assert {name: value for name, value in message.response_metadata.items() if name not in ours} == said.fields


@EVERY_WAY
def test_of_more_answers_than_were_asked_for_the_first_counts(run: Any) -> None:
    two = [
        {"index": index, "delta": {"content": text}, "finish_reason": reason}
        for text, reason in (("Hel", None), ("lo", "stop"))
        for index in (1, 0)
    ]
    chunks = [{"id": "c", "model": MODEL, "choices": [choice]} for choice in two]
    body = b'{"id":"c","choices":[' + b",".join(
        b'{"index":%d,"message":{"content":"Hello"},"finish_reason":"stop"}' % index for index in (0, 1)
    )
    streamed = run.__name__ not in ("invoke", "ainvoke")
    with raw_server(sse(*chunks) if streamed else whole(body + b"]}")) as url:
        message: AIMessage = run(ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, max_retries=0), "x")
    assert message.text == "Hello"
    assert message.response_metadata["finish_reason"] == "stop"
