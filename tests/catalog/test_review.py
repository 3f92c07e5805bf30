"""What a card objects to, and what it lets pass."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from wandb_inference import Catalog, ChatOptions, ChatRequest, ModelCard, review
from wandb_inference.catalog import estimate_tokens

CATALOG = Catalog.bundled()
TEXT_MODEL, SEES = "openai/gpt-oss-20b", "Qwen/Qwen3.8-27B"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def request(model: str = TEXT_MODEL, content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**options))


def tool_image(model: str) -> ChatRequest:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return ChatRequest(
        model,
        [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": [IMAGE]},
        ],
    )


def without(model: str, **facts: Any) -> ModelCard:
    return CATALOG.card(model).model_copy(update=facts)


CASES: dict[str, tuple[ChatRequest, str, str, str]] = {
    # name: (request, code, field, severity)
    "image to a text model": (request(content=[IMAGE]), "input_modality", "messages[0].content[0]", "error"),
    "image in a tool result": (tool_image(TEXT_MODEL), "input_modality", "messages[2].content[0]", "error"),
    "audio": (request(SEES, [{"type": "input_audio"}]), "input_modality", "messages[0].content[0]", "error"),
    "video": (request(SEES, [{"type": "video_url"}]), "input_modality", "messages[0].content[0]", "error"),
    "file": (request(SEES, [{"type": "file"}]), "input_modality", "messages[0].content[0]", "error"),
    "max_tokens beyond the window": (request(max_tokens=200_000), "max_tokens", "max_tokens", "error"),
    "max_tokens of zero": (request(max_tokens=0), "max_tokens", "max_tokens", "error"),
    "prompt certainly beyond the window": (request(content="a " * 140_000), "context_window", "messages", "error"),
    "prompt probably beyond the window": (
        request(content="abcdefgh" * 60_000),
        "context_window",
        "messages",
        "warning",
    ),
    "a prompt too long for its answer": (
        request(content="a " * 100_000, max_tokens=40_000),
        "context_window",
        "messages",
        "error",
    ),
    "an answer too long for its prompt": (
        request(content="a " * 200, max_tokens=131_000),
        "max_tokens",
        "max_tokens",
        "error",
    ),
    "retired": (request("Qwen/Qwen3.6-27B"), "model_retired", "model", "error"),
    "reasoning of a model that has none": (
        request("meta-llama/Llama-3.1-8B-Instruct", reasoning=True),
        "reasoning",
        "reasoning",
        "error",
    ),
    "reasoning that has no off switch": (request(reasoning=False), "reasoning", "reasoning", "error"),
    "an effort it does not tell apart": (request(reasoning="max"), "reasoning_effort", "reasoning", "warning"),
    "the effort none is off": (request(reasoning="none"), "reasoning", "reasoning", "error"),
    "temperature": (request(temperature=-0.1), "temperature", "temperature", "error"),
    "top_p": (request(top_p=0), "top_p", "top_p", "error"),
    "frequency_penalty": (request(frequency_penalty=3), "frequency_penalty", "frequency_penalty", "error"),
    "presence_penalty": (request(presence_penalty=-3), "presence_penalty", "presence_penalty", "error"),
    "n": (request(n=0), "n", "n", "error"),
    "top_logprobs alone": (request(top_logprobs=2), "top_logprobs", "top_logprobs", "error"),
    "a number as text": (request(temperature="0.5"), "temperature", "temperature", "error"),
    "a limit as text": (request(max_tokens="10"), "max_tokens", "max_tokens", "error"),
    "half an answer": (request(n=1.5), "n", "n", "error"),
    "a stop that is none": (request(stop=5), "stop", "stop", "error"),
    "a tool where there are none": (request(tool_choice="required"), "tool_choice", "tool_choice", "error"),
    "a tool that is not there": (
        request(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
        "tool_choice",
        "tool_choice",
        "error",
    ),
    "a choice that is none": (request(tools=[TOOL], tool_choice="f"), "tool_choice", "tool_choice", "error"),
    "five stop strings": (request(stop=list("abcde")), "stop", "stop", "warning"),
}


@pytest.mark.parametrize("name", CASES)
def test_finding(name: str) -> None:
    call, code, field, severity = CASES[name]
    (finding,) = review(call, CATALOG.card(call.model), CATALOG)
    assert (finding.code, finding.field, finding.severity) == (code, field, severity)
    assert finding.message
    others = [CATALOG.card(id_) for id_ in finding.alternatives]
    assert all(not any(f.severity == "error" for f in review(call, other)) for other in others)
    assert call.model not in finding.alternatives


@pytest.mark.parametrize(
    ("facts", "options", "code"),
    [
        ({"tools": False}, {"tools": [TOOL]}, "tools"),
        ({"structured_output": False}, {"response_format": {"type": "json_schema"}}, "structured_output"),
        ({"output_limit": 4096}, {"max_tokens": 5000}, "max_tokens"),
        ({"status": "deprecated"}, {}, "model_deprecated"),
    ],
)
def test_finding_on_a_changed_card(facts: dict[str, Any], options: dict[str, Any], code: str) -> None:
    call = request(**options)
    assert [f.code for f in review(call, without(TEXT_MODEL, **facts))] == [code]
    assert review(call, CATALOG.card(TEXT_MODEL)) == ()


def test_alternatives_take_this_very_call() -> None:
    (finding,) = review(request(content=[IMAGE]), CATALOG.card(TEXT_MODEL), CATALOG)
    assert set(finding.alternatives) == {c.id for c in CATALOG if c.status == "active" and c.accepts("image")}
    image_and_off = request(content=[IMAGE], reasoning=False)
    findings = review(image_and_off, CATALOG.card(TEXT_MODEL), CATALOG)
    assert {f.code for f in findings} == {"input_modality", "reasoning"}
    assert "moonshotai/Kimi-K2.6" not in findings[0].alternatives  # it sees, but always reasons
    assert SEES in findings[0].alternatives


def test_messages_name_field_limit_and_actual_value() -> None:
    (finding,) = review(request(max_tokens=200_000), CATALOG.card(TEXT_MODEL))
    assert "200,000" in finding.message
    assert "131,072" in finding.message
    assert (finding.limit, finding.actual) == (131_072, 200_000)


def test_an_unknown_fact_finds_nothing() -> None:
    unknown: dict[str, Any] = {
        "context_window": None,
        "tools": None,
        "structured_output": None,
        "price": None,
        "reasoning": {},
    }
    card = ModelCard.model_validate({**CATALOG.card(SEES).model_dump(), **unknown})
    call = request(
        content="a " * 500_000, max_tokens=10**9, tools=[TOOL], response_format={"type": "json_schema"}, reasoning="x"
    )
    assert review(call, card) == ()


ACTIVE = [c for c in CATALOG if c.status == "active"]
NEEDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    # name: (what the call asks for, the code of its finding, whether a card allows it)
    "a picture": ({"content": [IMAGE]}, "input_modality", lambda c: c.accepts("image")),
    "audio": ({"content": [{"type": "input_audio"}]}, "input_modality", lambda c: c.accepts("audio")),
    "reasoning": ({"reasoning": True}, "reasoning", lambda c: c.reasoning.mode != "none"),
    "no reasoning": ({"reasoning": False}, "reasoning", lambda c: c.reasoning.mode != "always"),
    "a long answer": (
        {"max_tokens": 300_000},
        "max_tokens",
        lambda c: min(c.output_limit or 10**9, c.context_window or 10**9) >= 300_000,
    ),
    "a long prompt": (
        {"content": "a " * 200_000},
        "context_window",
        lambda c: (c.context_window or 10**9) >= 200_000,
    ),
}


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("card", ACTIVE, ids=lambda c: c.id)
def test_each_violation_of_a_card_is_found_with_the_models_that_allow_it(name: str, card: ModelCard) -> None:
    asked, code, allows = NEEDS[name]
    errors = [f for f in review(request(card.id, **asked), card, CATALOG) if f.severity == "error"]
    if allows(card):
        assert errors == []
    else:
        assert [f.code for f in errors] == [code]
        assert set(errors[0].alternatives) == {c.id for c in ACTIVE if allows(c)}


@pytest.mark.parametrize("card", [c for c in CATALOG if c.status == "active"], ids=lambda c: c.id)
def test_a_call_within_its_card_passes(card: ModelCard) -> None:
    content: list[Any] = [{"type": "text", "text": "Hello"}] + ([IMAGE] if card.accepts("image") else [])
    reasoning = [None, *((True,) if card.reasoning.mode != "none" else ()), *(card.reasoning.efforts or ())]
    reasoning += [False] if card.reasoning.mode != "always" else []
    for wanted, tools in itertools.product(reasoning, (None, [TOOL])):
        call = request(card.id, content, max_tokens=1000, temperature=0.7, reasoning=wanted, tools=tools)
        assert review(call, card, CATALOG) == ()


def test_the_estimate_counts_every_part() -> None:
    plain = estimate_tokens(request(content="x" * 3200))
    assert 950 < plain < 1050
    assert estimate_tokens(request(content=[{"type": "text", "text": "x" * 3200}])) == plain
    assert estimate_tokens(request(content="x" * 3200, tools=[TOOL])) > plain
    assert estimate_tokens(request(content=[{"type": "text", "text": "x" * 3200}, IMAGE])) > plain + 500
