"""What stands beside the text of a message: its metadata, its counts and costs, and its calls."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Choice, Completion, ToolCall, Usage
from wandb_inference.langchain.facts import Facts, to_token_usage, to_usage_metadata
from wandb_inference.langchain.results import read_call, to_result

PRICED = card(price={"input": 4, "output": 10, "cached_input": 1})
USAGE = Usage(input_tokens=100, output_tokens=10, cached_tokens=50, reasoning_tokens=3)
HEADERS = {"x-request-id": "r", "server": "x"}

BEGUN: dict[str, tuple[Facts, str, dict[str, Any]]] = {
    # name: (facts, id of the answer, what is known when it begins, beside provider and model)
    "nothing": (Facts(), "", {}),
    "its id": (Facts(), "c", {"id": "c"}),
    "another model than asked for": (Facts("auto"), "", {"requested_model": "auto"}),
    "the model that was asked for": (Facts("me/m"), "", {}),
    "the id of the request": (Facts(headers=HEADERS), "", {"request_id": "r"}),
    "all headers": (Facts(headers=HEADERS, with_headers=True), "", {"request_id": "r", "headers": HEADERS}),
    "no headers": (Facts(with_headers=True), "", {"headers": {}}),
}


@pytest.mark.parametrize("name", BEGUN)
def test_begun(name: str) -> None:
    facts, id_, beside = BEGUN[name]
    assert facts.at_start(id_, "me/m") == {"model_provider": "wandb", "model_name": "me/m", **beside}


COST = {
    "cost": 0.00035,
    "cost_details": {"currency": "USD", "input": 0.0002, "cached_input": 0.00005, "output": 0.0001},
}
COUNTS = {"token_usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}
EARLIER = {"cost": 0.0005, "cost_details": {**COST["cost_details"], "earlier_attempts": 0.00015}}  # type: ignore[dict-item]
ENDED: dict[str, tuple[Facts, tuple[Any, ...], dict[str, Any]]] = {
    # name: (facts, (fingerprint, usage, route), what is known when it is complete, beside provider and reason)
    "nothing": (Facts(), (None, None, None), {}),
    "an empty fingerprint": (Facts(), ("", None, None), {}),
    "a fingerprint": (Facts(), ("fp", None, None), {"system_fingerprint": "fp"}),
    "counts": (Facts(), (None, USAGE, None), COUNTS),
    "counts of a model without a price": (Facts(card=card()), (None, USAGE, None), COUNTS),
    "counts and cost": (Facts(card=PRICED), (None, USAGE, None), {**COUNTS, **COST}),
    "a price without counts": (Facts(card=PRICED), (None, None, None), {}),
    "a route": (Facts(), (None, None, {"requested": "auto"}), {"route": {"requested": "auto"}}),
    "a route without a cost": (Facts(card=PRICED), (None, USAGE, {}), {"route": {}, **COUNTS, **COST}),
    "a route of one attempt": (
        Facts(card=PRICED),
        (None, USAGE, {"cost_usd": "0.00035"}),
        {"route": {"cost_usd": "0.00035"}, **COUNTS, **COST},
    ),
    "a route of more": (
        Facts(card=PRICED),
        (None, USAGE, {"cost_usd": "0.0005"}),
        {"route": {"cost_usd": "0.0005"}, **COUNTS, **EARLIER},
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_ended(name: str) -> None:
    facts, known, beside = ENDED[name]
    found = facts.at_end("stop", *known)
    assert found == {"model_provider": "wandb", "finish_reason": "stop", **beside}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("usage", "details"),
    [
        (Usage(input_tokens=1, output_tokens=2), {}),
        (Usage(input_tokens=1, output_tokens=2, cached_tokens=0), {"input_token_details": {"cache_read": 0}}),
        (Usage(input_tokens=1, output_tokens=2, reasoning_tokens=2), {"output_token_details": {"reasoning": 2}}),
    ],
)
def test_counts_under_langchains_names(usage: Usage, details: dict[str, Any]) -> None:
    assert to_usage_metadata(usage) == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, **details}
    assert to_token_usage(usage) == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


NO_JSON = "the arguments are not JSON: "
CALLS: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    # name: (arguments as sent, as read, what is wrong with them)
    "an object": ('{"a": "ü"}', {"a": "ü"}, ""),
    "nothing": ("", {}, ""),
    "a line break in a string": ('{"a": "b\nc"}', {"a": "b\nc"}, ""),
    "a list": ("[1]", None, "the arguments are not a JSON object"),
    "null": ("null", None, "the arguments are not a JSON object"),
    "cut": ('{"a', None, NO_JSON),
    "nested without end": ('{"a": ' * 100_000, None, NO_JSON),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    arguments, read, wrong = CALLS[name]
    found = dict(read_call(ToolCall("c", "f", arguments)))
    if read is not None:
        assert found == {"type": "tool_call", "id": "c", "name": "f", "args": read}
        return
    assert str(found.pop("error")).startswith(wrong)
    assert found == {"type": "invalid_tool_call", "id": "c", "name": "f", "args": arguments}


TOKEN = {"token": "a"}
ANSWER = Completion(
    id="c",
    model="me/m",
    system_fingerprint="fp",
    usage=USAGE,
    route={"requested": "auto"},
    choices=(
        Choice(text="Hi", reasoning="Hm", finish_reason="stop", logprobs=(TOKEN,)),
        Choice(
            index=1,
            tool_calls=(ToolCall("1", "f", "{}"), ToolCall("2", "g", "{"), ToolCall("3", "h", "")),
            finish_reason="tool_calls",
        ),
    ),
)


def test_a_whole_answer() -> None:
    result = to_result(ANSWER, Facts("auto", PRICED))
    first, second = result.generations
    begun = {"model_provider": "wandb", "model_name": "me/m", "requested_model": "auto", "id": "c"}
    ended = {"system_fingerprint": "fp", "route": {"requested": "auto"}}
    assert first.message.model_dump(exclude={"type", "id", "name"}) == {
        "content": "Hi",
        "additional_kwargs": {"reasoning_content": "Hm"},
        "response_metadata": {
            **begun,
            **ended,
            **COUNTS,
            **COST,
            "finish_reason": "stop",
            "logprobs": {"content": [TOKEN]},
        },
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": to_usage_metadata(USAGE, COST),
    }
    assert first.generation_info == {"finish_reason": "stop", "logprobs": {"content": [TOKEN]}}
    answer: Any = second.message
    assert answer.content == ""
    assert answer.additional_kwargs == {}
    assert answer.response_metadata == {**begun, **ended, "finish_reason": "tool_calls"}
    assert answer.usage_metadata is None  # or a sum over choices would count it twice
    assert [call["id"] for call in answer.tool_calls] == ["1", "3"]
    assert [call["id"] for call in answer.invalid_tool_calls] == ["2"]
    assert second.generation_info == {"finish_reason": "tool_calls"}
    assert result.llm_output == {"model_name": "me/m", **COUNTS}


def test_an_answer_without_counts() -> None:
    result = to_result(Completion(model="me/m"), Facts())
    assert result.llm_output == {"model_name": "me/m"}
    message: Any = result.generations[0].message
    assert message.usage_metadata is None


def test_what_was_spent_is_exact_before_it_is_a_float() -> None:
    found = Facts(card=PRICED).at_end("stop", None, USAGE, {"cost_usd": "0.00035000000000000001"})
    assert Decimal(str(found["cost"])) == Decimal("0.00035")
    assert found["cost_details"]["earlier_attempts"] == 1e-20
