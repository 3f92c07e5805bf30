"""Models that are chosen, ceilings and budgets through LangChain's own methods."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage

from wandb_inference import (
    Budget,
    BudgetExceededError,
    CallRecord,
    Catalog,
    ConfigurationError,
    NoCandidateError,
    Policy,
)
from wandb_inference.emulator import Emulator, Fault, Reply
from wandb_inference.langchain import ChatWandbInference

SMALL, LARGE, GLM = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "zai-org/GLM-5.2"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return city


def make(emulator: Emulator, model: Any = "auto:cheapest", **given: Any) -> ChatWandbInference:
    return ChatWandbInference(model=model, base_url=emulator.url, api_key=emulator.api_key, max_retries=0, **given)


def whole(model: Any, prompt: Any) -> AIMessage:
    return model.invoke(prompt)  # type: ignore[no-any-return]


def awhole(model: Any, prompt: Any) -> AIMessage:
    message: AIMessage = asyncio.run(model.ainvoke(prompt))
    return message


def streamed(model: Any, prompt: Any) -> AIMessage:
    chunks = list(model.stream(prompt))
    return sum(chunks[1:], chunks[0])  # type: ignore[no-any-return]


def astreamed(model: Any, prompt: Any) -> AIMessage:
    async def run() -> Any:
        chunks = [chunk async for chunk in model.astream(prompt)]
        return sum(chunks[1:], chunks[0])

    message: AIMessage = asyncio.run(run())
    return message


EVERY_WAY = pytest.mark.parametrize("run", [whole, awhole, streamed, astreamed])
CASES: dict[str, tuple[Any, dict[str, Any], Callable[[Any], bool]]] = {
    "anything": ("Hello", {}, lambda card: True),
    "a picture": ([HumanMessage([IMAGE])], {}, lambda card: card.accepts("image")),
    "300,000 words": ("word " * 300_000, {"max_tokens": 9}, lambda card: card.context_window > 300_000),
    "a ceiling": ("Hello", {"max_tokens": 100, "max_cost": "0.0001"}, lambda card: card.price.output < 1),
}


@EVERY_WAY
@pytest.mark.parametrize("name", CASES)
def test_auto(name: str, run: Any, emulator: Emulator) -> None:
    prompt, given, may = CASES[name]
    answer = run(make(emulator, **given), prompt)
    card = Catalog.bundled().card(emulator.requests[-1].json()["model"])
    assert may(card)
    metadata = answer.response_metadata
    assert (metadata["model_name"], metadata["requested_model"]) == (card.id, "auto:cheapest")
    assert metadata["route"]["plan"]["chosen"] == card.id
    assert [attempt["outcome"] for attempt in metadata["route"]["attempts"]] == ["ok"]
    assert metadata["cost"] == pytest.approx(float(metadata["route"]["cost_usd"]))
    assert json.loads(json.dumps(metadata)) == metadata


@EVERY_WAY
def test_a_tool_call(run: Any, emulator: Emulator) -> None:
    answer = run(make(emulator).bind_tools([get_weather]), "What is the weather in Oslo?")
    assert [call["name"] for call in answer.tool_calls] == ["get_weather"]
    assert answer.response_metadata["route"]["plan"]["need"]["tools"] == 1


def test_an_image_turn_goes_elsewhere_and_the_conversation_comes_back(emulator: Emulator) -> None:
    model = make(emulator, [LARGE, "Qwen/Qwen3.8-27B"], policy=Policy(order="balanced"))
    talk: list[Any] = [HumanMessage("Hello")]
    first = model.invoke(talk).response_metadata["model_name"]
    model.invoke([*talk, HumanMessage([IMAGE])])
    model.invoke([*talk, HumanMessage("And now?")])
    assert [seen.json()["model"] for seen in emulator.requests] == [first, "Qwen/Qwen3.8-27B", first]


# What may stand for a model

MODELS: dict[str, tuple[Any, str]] = {
    "a list": ([LARGE, SMALL], LARGE),
    "entries": ([{"model": GLM, "settings": {"temperature": 0.5}}], GLM),
    "a function": (lambda request: SMALL if len(request.messages) == 1 else "auto", SMALL),
    "an alias": ("gpt-oss-120b", LARGE),
    "as other routers write it": ("wandb/openai/gpt-oss-20b", SMALL),
}


@EVERY_WAY
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, run: Any, emulator: Emulator) -> None:
    given, expected = MODELS[name]
    answer = run(make(emulator, given), "Hello")
    assert emulator.requests[-1].json()["model"] == expected
    assert answer.response_metadata["cost"] > 0


@EVERY_WAY
def test_fallback(run: Any, emulator: Emulator) -> None:
    emulator.script(Fault(status=503))
    answer = run(make(emulator, [SMALL, GLM]), "Hello")
    assert [a["model"] for a in answer.response_metadata["route"]["attempts"]] == [SMALL, GLM]
    emulator.script(Fault(status=400))
    with pytest.raises(core.ModelInvalidRequestError):
        run(make(emulator, [SMALL, GLM]), "Hello")


def test_escalation(emulator: Emulator) -> None:
    emulator.script(Reply("", ""), Reply("better", ""))
    policy = Policy(models=[SMALL, GLM], escalate=frozenset({"empty"}))
    answer = make(emulator, "auto", policy=policy).invoke("Hello")
    assert answer.text == "better"
    assert answer.response_metadata["model_name"] == GLM


# Ceilings and budgets


@EVERY_WAY
def test_refusals_are_langchains_errors_too(run: Any, emulator: Emulator) -> None:
    with pytest.raises(NoCandidateError) as dear:
        run(make(emulator, max_cost="0.0000001"), "Hello")
    assert isinstance(dear.value, core.ModelInvalidRequestError)
    with pytest.raises(core.ContextOverflowError):
        run(make(emulator), "word " * 2_000_000)
    with pytest.raises(BudgetExceededError) as spent:
        run(make(emulator, SMALL, budget=Budget("0.000001")), "Hello")
    assert isinstance(spent.value, core.ModelError)
    assert not spent.value.is_retryable
    assert emulator.requests == ()


@EVERY_WAY
def test_a_call_may_bring_its_own_terms(run: Any, emulator: Emulator) -> None:
    model, budget = make(emulator, SMALL, max_tokens=100), Budget(1)
    with pytest.raises(NoCandidateError, match="max_cost"):
        run(model.bind(max_cost=1e-9), "Hello")
    run(model.bind(budget=budget), "Hello")
    assert budget.spent > 0
    run(model.bind(policy=Policy(models=[GLM], order="ordered"), model="auto"), "Hello")
    assert emulator.requests[-1].json()["model"] == GLM


def test_copies_share_their_budget(emulator: Emulator) -> None:
    budget = Budget(1)
    model = make(emulator, SMALL, budget=budget, max_tokens=100)
    for copied in (model.model_copy(), model.model_copy(deep=True), model.bind(temperature=0)):
        before = budget.spent
        copied.invoke("Hello")
        assert budget.spent > before
    assert "budget" not in model.model_dump()
    assert "policy" not in repr(pickle.loads(pickle.dumps(make(emulator, SMALL))).model_dump())  # noqa: S301 (our own)


def test_structured_output_and_agents_find_their_budget(emulator: Emulator) -> None:
    budget = Budget("0.01")
    model = make(emulator, budget=budget, max_tokens=200)
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    assert model.with_structured_output(schema).invoke("Oslo")
    assert budget.spent > 0


def test_a_cache_knows_which_models_might_have_answered(emulator: Emulator) -> None:
    cache = InMemoryCache()
    answers = [make(emulator, [model], cache=cache).invoke("Hello") for model in (SMALL, LARGE, SMALL)]
    assert [answer.response_metadata["model_name"] for answer in answers] == [SMALL, LARGE, SMALL]
    assert len(emulator.requests) == 2


def test_serialised_models_keep_their_ceiling_and_widen_nothing(emulator: Emulator) -> None:
    assert json.loads(dumps(make(emulator, SMALL, max_cost="0.10")))["kwargs"]["max_cost"] == "0.10"
    assert SMALL in json.loads(dumps(make(emulator, [SMALL])))["kwargs"]["policy"]  # as text, which no model takes
    with pytest.raises(ValueError, match="instance of Policy"):
        make(emulator, SMALL, policy=str(Policy()))


def test_what_was_spent_on_answers_that_were_not_enough_is_in_the_cost(emulator: Emulator) -> None:
    emulator.script(Reply("", ""), Reply("better", ""))
    answer = make(emulator, "auto", policy=Policy(models=[SMALL, GLM], escalate=frozenset({"empty"}))).invoke("Hello")
    metadata = answer.response_metadata
    assert metadata["cost"] == pytest.approx(float(metadata["route"]["cost_usd"]))
    assert metadata["cost_details"]["earlier_attempts"] > 0


def test_the_laxer_of_two_ceilings_does_not_win(emulator: Emulator) -> None:
    with pytest.raises(NoCandidateError):
        make(emulator, SMALL, policy=Policy(max_cost=Decimal("0.000001")), max_cost=1).invoke("Hello")


def test_records_and_the_profile_of_a_model_that_is_chosen(emulator: Emulator) -> None:
    records: list[CallRecord] = []
    model = make(emulator, on_record=records.append)
    model.invoke("Hello")
    assert len(records) == 1
    assert model.profile
    assert model.profile["max_input_tokens"] == max(c.context_window or 0 for c in Catalog.bundled() if c.servable)
    bound = model.bind(model=[GLM])
    assert bound.invoke("Hello").response_metadata["model_name"] == GLM


def test_explain_sends_nothing(emulator: Emulator) -> None:
    plan = make(emulator).explain([HumanMessage([IMAGE])], tools=[get_weather], max_cost=Decimal("0.1"))
    assert plan.chosen
    assert plan.need.tools == 1
    assert all(Catalog.bundled().card(c.model).accepts("image") for c in plan.order)
    assert emulator.requests == ()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"model": [5]}, "is no model"),
        ({"model": [SMALL], "max_cost": "cheap"}, "max_cost"),
        ({"model": "auto:best"}, "auto:cheapest"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], problem: str, emulator: Emulator) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=problem):
        make(emulator, **given).invoke("Hello")
