"""The bytes that leave for each option, and for each way that models switch their reasoning."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from cards import card

from wandb_inference import ChatOptions, ChatRequest, ModelCard, RequestReviewError
from wandb_inference._wire import encode

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HELD = {"model": "m", "messages": HELLO}


def sent(of: ModelCard | None = None, *, stream: bool = False, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encode(ChatRequest("m", HELLO, ChatOptions(**options)), of, stream=stream))
    return body


BODIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (options, what stands beside model and messages)
    "nothing asked for": ({}, {}),
    "sampling": (
        {"temperature": 0.0, "top_p": 0.5, "seed": 0, "frequency_penalty": 1, "presence_penalty": -1},
        {"temperature": 0.0, "top_p": 0.5, "seed": 0, "frequency_penalty": 1, "presence_penalty": -1},
    ),
    "lengths": ({"max_tokens": 5, "n": 2, "stop": ["a"]}, {"max_tokens": 5, "n": 2, "stop": ["a"]}),
    "tokens": (
        {"logprobs": False, "top_logprobs": 0, "logit_bias": {"7": 1}},
        {"logprobs": False, "top_logprobs": 0, "logit_bias": {"7": 1}},
    ),
    "a format": ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    "tools": ({"tools": (TOOL,)}, {"tools": [TOOL]}),
    "tools, and how": (
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    ),
    "what others call any": ({"tools": [TOOL], "tool_choice": "any"}, {"tools": [TOOL], "tool_choice": "required"}),
    "no tools": ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
    "a choice without tools": ({"tool_choice": "required", "parallel_tool_calls": True}, {}),
    "what is decided before": ({"schema_as_tool": True, "include_usage": False}, {}),
    "more fields": ({"extra_body": {"top_k": 3, "min_p": None}}, {"top_k": 3, "min_p": None}),
    "more fields win": ({"temperature": 1.0, "extra_body": {"temperature": 0, "model": "x"}}, {"temperature": 0}),
    "objects are merged": (
        {"response_format": {"type": "json_schema", "a": 1}, "extra_body": {"response_format": {"a": 2, "b": 3}}},
        {"response_format": {"type": "json_schema", "a": 2, "b": 3}},
    ),
    "an object in place of none": ({"extra_body": {"thinking": {"type": "on"}}}, {"thinking": {"type": "on"}}),
    "no object in place of one": (
        {"response_format": {"type": "json_schema"}, "extra_body": {"response_format": None}},
        {"response_format": None},
    ),
    "an object in place of a list": ({"stop": ["a"], "extra_body": {"stop": {"a": 1}}}, {"stop": {"a": 1}}),
}


@pytest.mark.parametrize("name", BODIES)
def test_body(name: str) -> None:
    options, beside = BODIES[name]
    model = (options.get("extra_body") or {}).get("model", "m")
    assert sent(**options) == {**HELD, "model": model, **beside}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("counts", [True, False])
def test_a_stream_states_its_counts_if_it_is_to(stream: bool, counts: bool) -> None:
    beside: dict[str, Any] = {}
    if stream:
        beside = {"stream": True, "stream_options": {"include_usage": True}} if counts else {"stream": True}
    assert sent(stream=stream, include_usage=counts) == {**HELD, **beside}


def test_options_of_a_stream_add_to_ours() -> None:
    more = {"stream_options": {"continuous_usage_stats": True}}
    assert sent(stream=True, extra_body=more)["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }


def test_an_alias_is_sent_as_the_id_it_stands_for() -> None:
    assert sent(card("me/m"))["model"] == "me/m"


TEMPLATE = "chat_template_kwargs"
SWITCHED: dict[str, tuple[dict[str, Any] | None, Any, dict[str, Any]]] = {
    # name: (what the card says of reasoning; None: no card, reasoning asked for, what is sent)
    "nothing asked for": ({"mode": "switchable", "switch": ("thinking",)}, None, {}),
    "on": ({"mode": "switchable", "switch": ("thinking",)}, True, {TEMPLATE: {"thinking": True}}),
    "off": ({"mode": "switchable", "switch": ("thinking",)}, False, {TEMPLATE: {"thinking": False}}),
    "an effort of none is off": (
        {"mode": "switchable", "switch": ("thinking",)},
        "none",
        {TEMPLATE: {"thinking": False}},
    ),
    "a template with two keys": (
        {"mode": "switchable", "switch": ("thinking", "enable_thinking")},
        True,
        {TEMPLATE: {"thinking": True, "enable_thinking": True}},
    ),
    "no card: as documented": (None, False, {TEMPLATE: {"enable_thinking": False}}),
    "a card that does not know": ({}, True, {TEMPLATE: {"enable_thinking": True}}),
    "a card that does not know, but for the key": ({"switch": ("x",)}, True, {TEMPLATE: {"enable_thinking": True}}),
    "no switch": ({"mode": "always"}, True, {}),
    "an effort": ({"mode": "always", "efforts": ("low", "high")}, "low", {"reasoning_effort": "low"}),
    "an effort without a card": (None, "low", {"reasoning_effort": "low"}),
    "an effort of a model that starts with reasoning": (
        {"mode": "switchable", "default": "on", "switch": ("thinking",)},
        "high",
        {"reasoning_effort": "high"},
    ),
    "an effort switches on what starts without": (
        {"mode": "switchable", "default": "off", "switch": ("thinking",)},
        "high",
        {"reasoning_effort": "high", TEMPLATE: {"thinking": True}},
    ),
    "an effort switches on what decides itself": (
        {"mode": "switchable", "default": "adaptive", "switch": ("thinking",)},
        "high",
        {"reasoning_effort": "high", TEMPLATE: {"thinking": True}},
    ),
    "an effort of a model that always reasons": (
        {"mode": "always", "default": "on", "switch": ("thinking",)},
        "high",
        {"reasoning_effort": "high"},
    ),
    "an effort of a model that may start with reasoning": ({"default": "off"}, "high", {"reasoning_effort": "high"}),
}


@pytest.mark.parametrize("name", SWITCHED)
def test_reasoning_is_switched_as_the_model_wants_it(name: str) -> None:
    says, wanted, expected = SWITCHED[name]
    of = None if says is None else card("me/m", reasoning=says)
    assert sent(of, reasoning=wanted) == {**HELD, "model": "m" if of is None else "me/m", **expected}


def test_other_keys_of_the_template_stay_beside_the_switch() -> None:
    more = {TEMPLATE: {"language": "en"}}
    assert sent(reasoning=False, extra_body=more)[TEMPLATE] == {"enable_thinking": False, "language": "en"}


def test_the_bytes_are_short_and_in_utf_8() -> None:
    request = ChatRequest("m", [{"role": "user", "content": "ü 你"}])
    assert encode(request) == '{"model":"m","messages":[{"role":"user","content":"ü 你"}]}'.encode()


def deep() -> Any:
    value: Any = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


UNSENDABLE: dict[str, tuple[Any, str]] = {
    # name: (a value in the call, what the error names)
    "bytes": (b"a", "bytes"),
    "no number": (math.nan, "JSON"),
    "no finite number": (math.inf, "JSON"),
    "half a character": ("\ud83d", "half of a surrogate pair"),
    "too deep": (deep(), "recursion"),
}


@pytest.mark.parametrize("name", UNSENDABLE)
def test_what_json_cannot_hold_is_refused_by_name(name: str) -> None:
    value, words = UNSENDABLE[name]
    with pytest.raises(RequestReviewError, match=r"^m: the request cannot be written as JSON: ") as caught:
        encode(ChatRequest("m", HELLO, ChatOptions(extra_body={"x": value})))
    assert words in caught.value.message
    assert ("surrogate" in caught.value.message) is (name == "half a character")
    assert (caught.value.model, caught.value.findings) == ("m", ())
