"""LiteLLM's built-in ``wandb/`` provider and ours, row by row, against the same emulator.

What the built-in one does is recorded (``pytest --junit-xml``) and not asserted: it may be mended any day.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import litellm
import pytest
from litellm import exceptions as theirs
from support import raw_server

from wandb_inference import Catalog
from wandb_inference.emulator import Emulator, Fault

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM itself warns of much
ID = "openai/gpt-oss-20b"
ACTIVE = [card for card in Catalog.bundled() if card.status == "active"]


class Provider:
    """One of the two, in front of the emulator."""

    def __init__(self, name: str, emulator: Emulator) -> None:
        self.name, self.emulator = name, emulator

    def call(self, model: str = ID, text: Any = "Hello", **given: Any) -> Any:
        where = {"api_base": self.emulator.url, "api_key": self.emulator.api_key, "max_retries": 0}
        messages = [{"role": "user", "content": text}]
        return litellm.completion(model=f"{self.name}/{model}", messages=messages, **{**where, **given})

    def error(self, *args: Any, **given: Any) -> str:
        try:
            self.call(*args, **given)
        except Exception as e:  # noqa: BLE001 (whatever it is, it is the row's answer)
            return type(e).__name__
        return "none"


def project_header(p: Provider) -> Any:
    p.call(project="team/project")
    return p.emulator.requests[-1].headers.get("openai-project")


def key_that_leaves(p: Provider) -> Any:
    error = p.error(api_key=None)  # only OPENAI_API_KEY is set
    sent = [seen.headers.get("authorization") for seen in p.emulator.requests]
    return error, sent


def streaming_cost(p: Provider) -> Any:
    chunks = list(p.call(stream=True))
    answer = litellm.stream_chunk_builder(chunks)
    return answer.usage.total_tokens, litellm.completion_cost(answer, model=f"{p.name}/{ID}") > 0  # type: ignore[union-attr]


def flags(p: Provider) -> Any:
    def right(card: Any) -> bool:
        name = f"{p.name}/{card.id}"
        found = (
            litellm.supports_function_calling(name),
            litellm.supports_vision(name),
            litellm.supports_response_schema(name),
        )
        return found == (bool(card.tools), card.accepts("image"), bool(card.structured_output))

    return sum(map(right, ACTIVE))


def image_to_a_text_model(p: Provider) -> Any:
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    return p.error(text=image), len(p.emulator.requests)


def newer_words_for_an_overflow(p: Provider) -> Any:
    words = "You passed 140 input tokens and requested 9 output tokens. However, the model's context length is only 100"
    body = json.dumps({"error": {"message": f"{words} tokens.", "type": "BadRequestError", "code": 400}}).encode()
    head = b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\nconnection: close\r\n"
    with raw_server(*[head + b"content-length: %d\r\n\r\n%b" % (len(body), body)] * 3) as url:
        return p.error(api_base=url)


def quota(p: Provider) -> Any:
    p.emulator.script(Fault(status=402))
    return p.error()


def unknown_id(p: Provider) -> Any:
    return p.error("openai/gpt-oss-20")


def reasons_of_n_streamed_answers(p: Provider) -> Any:
    chunks = list(p.call(n=2, stream=True))
    return {choice.index: choice.finish_reason for c in chunks for choice in c.choices if choice.finish_reason}


def a_stream_that_is_refused(p: Provider) -> Any:
    p.emulator.script(Fault(status=402))

    async def run() -> str:
        where = {"api_base": p.emulator.url, "api_key": p.emulator.api_key, "max_retries": 0}
        messages = [{"role": "user", "content": "x"}]
        try:
            await litellm.acompletion(model=f"{p.name}/{ID}", messages=messages, stream=True, **where)
        except Exception as e:  # noqa: BLE001 (as above)
            return type(e).__name__
        return "only while reading"

    return asyncio.run(run())


PAYMENT = getattr(theirs, "PaymentRequiredError", theirs.APIError).__name__  # LiteLLM 1.91 has none of its own
ROWS: list[tuple[Callable[[Provider], Any], Any]] = [
    # (what is looked at, what ours does)
    (project_header, "team/project"),
    (key_that_leaves, ("AuthenticationError", [])),
    (streaming_cost, (23, True)),
    (flags, len(ACTIVE)),
    (image_to_a_text_model, ("BadRequestError", 0)),
    (newer_words_for_an_overflow, "ContextWindowExceededError"),
    (quota, PAYMENT),
    (unknown_id, "NotFoundError"),
    (reasons_of_n_streamed_answers, {0: "stop", 1: "stop"}),
    (a_stream_that_is_refused, PAYMENT),
]


@pytest.mark.parametrize(("look", "ours"), ROWS, ids=lambda row: getattr(row, "__name__", ""))
def test_row(
    look: Callable[[Provider], Any], ours: Any, emulator: Emulator, record_property: Callable[[str, object], None]
) -> None:
    found = {}
    for name in ("wandb", "wandb_inference"):
        emulator.reset()
        try:
            found[name] = look(Provider(name, emulator))
        except theirs.APIError as e:
            found[name] = type(e).__name__
    record_property("built-in", str(found["wandb"]))
    assert found["wandb_inference"] == ours
