"""What a call needs, read off the call."""

from __future__ import annotations

from typing import Any

import pytest

from wandb_inference import ChatOptions, ChatRequest, Need
from wandb_inference.catalog import Measured
from wandb_inference.routing.need import conversation_of

TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
AUDIO = {"type": "input_audio"}


def call(content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest("auto", [{"role": "user", "content": content}], ChatOptions(**options))


def named(name: Any) -> dict[str, Any]:
    return {"type": "function", "function": name}


SIZE = {"prompt_tokens": 5, "prompt_bound": 2048 + 32 + 9}  # of "user" and "Hello"
NEEDS: dict[str, tuple[ChatRequest, dict[str, Any]]] = {
    # name: (call, what it needs beside text, as JSON takes it)
    "text": (call(), {}),
    "pictures and sound": (
        call([AUDIO, IMAGE, IMAGE]),
        {
            "modalities": ["text", "audio", "image"],
            "prompt_tokens": 4 + 2000,
            "prompt_bound": 2048 + 32 + 4 + 3 * 16_384,
        },
    ),
    "a length": (call(max_tokens=50), {"max_tokens": 50}),
    "a length of nothing": (call(max_tokens=0), {}),
    "a length in words": (call(max_tokens="50"), {}),
    "answers": (call(n=2), {"answers": 2}),
    "one answer": (call(n=1), {}),
    "no answer": (call(n=0), {}),
    "reasoning": (call(reasoning=True), {"reasoning": True}),
    "no reasoning": (call(reasoning=False), {"reasoning": False}),
    "no reasoning, in other words": (call(reasoning="none"), {"reasoning": False}),
    "some reasoning": (call(reasoning="low"), {"reasoning": "low"}),
    "a schema": (
        call(response_format={"type": "json_schema"}),
        {"schema": True, "prompt_bound": SIZE["prompt_bound"] + 46},
    ),
    "any JSON": (call(response_format={"type": "json_object"}), {"prompt_bound": SIZE["prompt_bound"] + 46}),
    "a choice of nothing": (call(tool_choice="required"), {}),
}


@pytest.mark.parametrize("name", NEEDS)
def test_need(name: str) -> None:
    request, beside = NEEDS[name]
    assert Need.of(request).to_dict() == {"modalities": ["text"], **SIZE, **beside}


CHOICES: dict[str, tuple[Any, str | None]] = {
    # name: (tool_choice, what is needed)
    "none": (None, None),
    "the model's": ("auto", None),
    "any": ("required", "required"),
    "no call": ("none", "none"),
    "one by name": (named({"name": "f"}), "f"),
    "one without a name": (named(None), "None"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_choice_of_tools(name: str) -> None:
    choice, needed = CHOICES[name]
    need = Need.of(call(tools=[TOOL, TOOL], tool_choice=choice))
    assert (need.tools, need.tool_choice) == (2, needed)
    shown = need.to_dict()
    assert (shown["tools"], shown.get("tool_choice")) == (2, needed)


@pytest.mark.parametrize(("asked", "needed"), [(None, None), (2, 2), (1, 1), (0, None), (-1, None), ("5", None)])
def test_lengths_that_make_no_sense_are_none(asked: Any, needed: int | None) -> None:
    need = Need.of(call(max_tokens=asked, n=asked))
    assert (need.max_tokens, need.answers) == (needed, needed or 1)


def test_what_the_figures_rest_on() -> None:
    request = call([IMAGE])
    need = Need.of(request)
    assert need.assumptions == ("a picture has at most 16,384 tokens",)
    assert need.measured.request is request
    assert Need.of(call()).assumptions == ()


def test_what_is_needed_where_nothing_is_said() -> None:
    need = Need(measured=Measured(call()))
    assert need.to_dict() == {"modalities": ["text"]}
    assert (need.tools, need.answers, need.prompt_tokens, need.prompt_bound, need.schema) == (0, 1, 0, 0, False)
    assert "Measured" not in repr(need)
    assert need == Need(measured=Measured(call("Another")))


SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "Hello"}
REPLY = {"role": "assistant", "content": "Hi"}


def key(*messages: dict[str, Any], model: str = "auto", **options: Any) -> str:
    return conversation_of(ChatRequest(model, messages, ChatOptions(**options)))


def test_a_conversation_stays_the_same_over_its_turns() -> None:
    begun = key(SYSTEM, FIRST)
    assert key(SYSTEM, FIRST, REPLY) == begun
    assert key(SYSTEM, FIRST, REPLY, {"role": "user", "content": "More"}) == begun
    assert key(SYSTEM, {**FIRST, "name": "Ann"}, model="me/m", temperature=0.5, tools=[]) == begun
    assert key({"content": "Be brief.", "role": "system"}, FIRST) == begun


@pytest.mark.parametrize(
    "another",
    [
        key(FIRST),
        key(SYSTEM, {"role": "user", "content": "Bye"}),
        key({**SYSTEM, "content": "Be long."}, FIRST),
        key(SYSTEM, SYSTEM, FIRST),
        key({**SYSTEM, "role": "developer"}, FIRST),
        key(SYSTEM, FIRST, tools=[TOOL]),
        key(SYSTEM, {"role": "user", "content": [IMAGE]}),
    ],
    ids=range(7),
)
def test_another_conversation(another: str) -> None:
    assert another != key(SYSTEM, FIRST)


def test_a_conversation_about_anything() -> None:
    odd = {"role": "user", "content": [b"x", "\ud83d", {1, 2}]}
    assert key(odd) == key(dict(odd))
    assert key() == key({}, {})[:0] + key()
    assert len({key(), key({}), key(odd), key(FIRST)}) == 4


def test_the_order_of_keys_in_a_tool_says_nothing() -> None:
    assert key(FIRST, tools=[{"a": 1, "b": 2}]) == key(FIRST, tools=({"b": 2, "a": 1},))
