"""Who takes a call, and why: pure functions over a call, a catalog and a state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wandb_inference import (
    Candidate,
    Catalog,
    ChatOptions,
    ChatRequest,
    ConfigurationError,
    Entry,
    Need,
    NoCandidateError,
    Plan,
    Policy,
    review,
)
from wandb_inference.routing import ModelHealth, plan, resolve

CATALOG = Catalog.bundled()
SMALL, LARGE, GLM, SEES = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "zai-org/GLM-5.2", "Qwen/Qwen3.8-27B"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def request(model: str = "auto", content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**options))


def planned(call: ChatRequest, policy: Policy | None = None, **state: Any) -> Plan:
    resolved, policy = resolve(call, policy or Policy())
    return plan(resolved, CATALOG, policy, **state)


def codes(of: Plan, model: str) -> list[str]:
    return [r.code for c in of.candidates if c.model == model for r in c.rejected]


# What is left out

LEFT_OUT: dict[str, tuple[ChatRequest, Policy, dict[str, Any], str, str]] = {
    # name: (call, policy, state, model, code)
    "a picture": (request(content=[IMAGE]), Policy(), {}, SMALL, "input_modality"),
    "a prompt that is certainly too long": (request(content="a " * 140_000), Policy(), {}, SMALL, "context_window"),
    "a prompt that is probably too long": (request(content="x" * 450_000), Policy(), {}, SMALL, "context_window"),
    "an answer that is too long": (request(max_tokens=200_000), Policy(), {}, SMALL, "max_tokens"),
    "reasoning that cannot be switched off": (request(reasoning=False), Policy(), {}, SMALL, "reasoning"),
    "only third parties know it": (request(), Policy(), {}, "zai-org/GLM-5.3", "model_unconfirmed"),
    "denied": (request(), Policy(deny=frozenset({SMALL})), {}, SMALL, "denied"),
    "denied by its alias": (request(), Policy(deny=frozenset({"gpt-oss-20b"})), {}, SMALL, "denied"),
    "output too dear": (request(), Policy(max_output_price=Decimal("0.15")), {}, LARGE, "price"),
    "input too dear": (request(), Policy(max_input_price=Decimal("0.029")), {}, SMALL, "price"),
    "a call too dear": (request(max_tokens=10_000), Policy(max_cost=Decimal("0.001")), {}, SMALL, "max_cost"),
    "beyond the budget": (request(), Policy(), {"budget": Decimal("0.001")}, SMALL, "budget"),
    "paused": (request(), Policy(), {"health": {SMALL: ModelHealth(cooling=5)}}, SMALL, "cooldown"),
    "slow": (
        request(),
        Policy(max_first_token=1),
        {"health": {SMALL: ModelHealth(first_token=2)}},
        SMALL,
        "slow",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out(name: str) -> None:
    call, policy, state, model, code = LEFT_OUT[name]
    made = planned(call, policy, **state)
    assert code in codes(made, model)
    assert model not in [candidate.model for candidate in made.order]
    reason = next(r for c in made.candidates if c.model == model for r in c.rejected if r.code == code)
    assert reason.message
    if name not in ("beyond the budget", "input too dear", "a call too dear"):
        assert made.chosen


def test_every_model_has_its_reason_or_its_place() -> None:
    made = planned(request(content=[IMAGE], tools=[TOOL]), Policy(max_cost=Decimal("0.05")))
    placed = {candidate.model for candidate in made.order}
    assert {c.model for c in made.candidates} == {card.id for card in CATALOG if card.servable}
    assert all(bool(c.rejected) is (c.model not in placed) for c in made.candidates)


def test_unknown_facts_never_block_but_a_ceiling_needs_a_price() -> None:
    call = request("me/mine", tools=[TOOL])
    assert planned(call).chosen == "me/mine"
    bound = planned(call, Policy(max_cost=Decimal(1)))
    assert codes(bound, "me/mine") == ["price_unknown"]
    with pytest.raises(NoCandidateError, match="Give the model a price"):
        bound.check()


# Who goes first


def test_cheapest_is_by_the_cost_of_this_call() -> None:
    # By the sum of its prices, granite (0.05 + 0.10) is cheaper than gpt-oss-20b (0.03 + 0.13): not for a long prompt.
    ids = [SMALL, "ibm-granite/granite-4.2-8b"]
    policy = Policy(models=ids, order="cheapest")
    long, short = request(content="word " * 10_000, max_tokens=10), request(max_tokens=1000)
    assert planned(long, policy).chosen == SMALL
    costs = {c.model: c.cost.expected for c in planned(short, policy).candidates}
    assert planned(short, policy).chosen == min(costs, key=lambda m: (costs[m], m))


def test_one_short_answer_makes_no_dear_model_cheap() -> None:
    health = {GLM: ModelHealth(answer_tokens=10.0, answers=1)}
    assert planned(request("auto:cheapest"), health=health).chosen == SMALL


def test_fastest_is_by_measurement_and_before_that_by_size() -> None:
    made = planned(request("auto:fastest"))
    sizes = [c.card.active_params_b or 10**6 for c in made.order if c.card]
    assert sizes == sorted(sizes)
    measured = {GLM: ModelHealth(first_token=0.1), SMALL: ModelHealth(first_token=0.2)}
    assert [c.model for c in planned(request("auto:fastest"), health=measured).order[:2]] == [GLM, SMALL]


def test_a_model_that_fails_half_the_time_goes_last() -> None:
    made = planned(request("auto:cheapest"), health={SMALL: ModelHealth(error_rate=0.6)})
    assert made.order[-1].model == SMALL


def test_ordered_is_as_listed_and_a_named_model_goes_before_its_fallbacks() -> None:
    models: list[Any] = [GLM, {"model": SMALL, "settings": {"max_tokens": 5}, "max_retries": 0}]
    assert [c.model for c in planned(request(), Policy(models=models)).order] == [GLM, SMALL]
    assert [c.model for c in planned(request(LARGE), Policy(models=models)).order] == [LARGE, GLM, SMALL]


def test_an_order_of_ones_own() -> None:
    def mine(candidates: Sequence[Candidate], need: Need) -> list[str]:
        assert need.tools == 1
        return sorted((c.model for c in candidates), reverse=True)[:2]

    made = planned(request(tools=[TOOL]), Policy(order=mine))
    assert made.policy == "mine"
    assert [c.model for c in made.order] == ["zai-org/GLM-5.3-Flash", "zai-org/GLM-5.2"]


def test_a_function_of_the_call_selects() -> None:
    def by_length(call: ChatRequest) -> Any:
        return "auto:cheapest" if len(call.messages[0]["content"]) < 10 else [GLM, SEES]

    assert planned(request(), Policy(models=by_length)).chosen == SMALL
    assert planned(request(content="long enough by far"), Policy(models=by_length)).chosen == GLM


def test_entries_are_held_with_their_own_settings() -> None:
    models: Any = [{"model": SMALL, "settings": {"max_tokens": 200_000}}, SMALL]
    made = planned(request(), Policy(models=models))
    assert [(c.position, [r.code for r in c.rejected]) for c in made.candidates] == [(0, ["max_tokens"]), (1, [])]


# Names

NAMES: dict[str, tuple[str, str | None]] = {
    "auto": ("auto", "balanced"),
    "auto:cheapest": ("auto", "cheapest"),
    "auto:floor": ("auto", "cheapest"),
    "auto:nitro": ("auto", "fastest"),
    "wandb/openai/gpt-oss-20b": (SMALL, None),
    "wandb/auto:fastest": ("auto", "fastest"),
    "gpt-oss-20b": ("gpt-oss-20b", None),
    "quick": ("auto", "fastest"),
    "mine": (GLM, None),
    "automatic": ("automatic", None),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    resolved, policy = resolve(request(name), Policy(aliases={"quick": "auto:fastest", "mine": GLM}))
    model, order = NAMES[name]
    assert resolved.model == model
    assert order is None or policy.ranking == order


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Policy(order="best"), "order='best'"),  # type: ignore[arg-type]
        (lambda: Policy(escalate=frozenset({"slow"})), "escalate='slow'"),  # type: ignore[arg-type]
        (lambda: Policy(max_cost="cheap"), "'cheap' is no amount"),
        (lambda: Policy(max_cost=-1), "-1 is no amount"),
        (lambda: Policy(models=[]), "no list of models"),
        (lambda: planned(request(), Policy(models=lambda _: [])), "no list of models"),
        (lambda: Policy(models=["auto:cheapest", SMALL]), "stands alone"),
        (lambda: Policy(on_retired="swap"), "on_retired='swap'"),  # type: ignore[arg-type]
        (lambda: planned(request(), Policy(order=lambda *_: SMALL)), "The order returned"),
        (lambda: Policy(models=[5]), "5 is no model"),  # type: ignore[list-item]
        (lambda: Policy(models=[{"model": SMALL, "key": "k"}]), "is no model"),
        (lambda: Policy(models=[Entry(SMALL, {"top": 1})]), "settings of openai/gpt-oss-20b"),
        (lambda: resolve(request("auto:best"), Policy()), "auto:cheapest"),
    ],
)
def test_policies_that_make_no_sense(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


# Cost


def test_fit_lowers_max_tokens_and_says_so() -> None:
    policy = Policy(max_cost=Decimal("0.001"), fit=True)
    made = planned(request(SMALL), policy)
    (only,) = made.order
    assert only.lowered is not None
    assert only.cost.worst is not None
    assert only.cost.worst <= Decimal("0.001") < only.cost.worst + Decimal("0.0000002")  # one token more is too dear
    assert made.to_dict()["candidates"][0]["max_tokens"] == only.lowered
    assert planned(request(SMALL, max_tokens=100), policy).order[0].lowered is None
    with pytest.raises(NoCandidateError):
        planned(request(SMALL), Policy(max_cost=Decimal("0.00007"), fit=True)).check()


# Sticky


def test_a_conversation_stays_with_its_model() -> None:
    first = planned(request("auto:cheapest")).order[0].model
    long = request("auto:cheapest", content="word " * 50_000)
    # DeepSeek-V4-Flash reads its cache at half the price, and so becomes the cheapest for a long known prompt.
    models: Any = [SMALL, "deepseek-ai/DeepSeek-V4-Flash-0731"]
    dear = planned(long, Policy(models=models, order="cheapest"), pinned=(models[1], 50_000))
    assert dear.chosen == SMALL  # 0.03 against 0.07 for what is cached
    gemma = "google/gemma-4-26B-A4B-it"
    fastest = Policy(models=[gemma, LARGE], order="fastest")  # the slower one is the cheaper
    assert planned(request(), fastest).chosen == gemma
    kept = planned(request(), fastest, pinned=(LARGE, 10))
    assert kept.chosen == LARGE
    assert any("conversation" in note for note in kept.notes)
    assert planned(request(), replace(fastest, sticky=False), pinned=(LARGE, 10)).chosen == gemma
    assert planned(request(content=[IMAGE]), fastest, pinned=(LARGE, 10)).chosen == gemma  # the other cannot see
    assert planned(request("auto:cheapest"), pinned=(GLM, 10)).chosen != GLM  # far too dear to be kept
    own = Policy(models=[gemma, LARGE], order=lambda candidates, need: [gemma, LARGE])
    assert planned(request(), own, pinned=(LARGE, 10)).chosen == gemma
    assert first == SMALL


def test_of_models_that_are_all_paused_the_first_to_be_ready_is_asked() -> None:
    models: Any = [GLM, SMALL]
    health = {GLM: ModelHealth(cooling=9), SMALL: ModelHealth(cooling=3)}
    made = planned(request(), Policy(models=models), health=health)
    assert made.chosen == SMALL
    assert any("paused" in note for note in made.notes)


# Properties

CONTENTS = st.one_of(
    st.text(max_size=200),
    st.integers(1, 400_000).map(lambda n: "a " * n),
    st.lists(st.sampled_from([IMAGE, {"type": "text", "text": "x"}, {"type": "input_audio"}]), max_size=3),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 2_000_000),
        "tools": st.just([TOOL]),
        "response_format": st.just({"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
        "reasoning": st.sampled_from([True, False, "low", "high"]),
        "n": st.integers(1, 3),
    },
)
POLICIES = st.builds(
    Policy,
    order=st.sampled_from(["cheapest", "fastest", "balanced"]),
    max_cost=st.none() | st.decimals("0.00001", "5", places=5),
    fit=st.booleans(),
    max_output_price=st.none() | st.decimals("0.1", "5", places=2),
    deny=st.frozensets(st.sampled_from([SMALL, LARGE, GLM]), max_size=2),
)
HEALTH = st.dictionaries(
    st.sampled_from([SMALL, LARGE, GLM, SEES]),
    st.builds(ModelHealth, cooling=st.sampled_from([0.0, 3.0]), first_token=st.none() | st.floats(0.01, 10)),
)


@settings(max_examples=150, deadline=None)
@given(CONTENTS, OPTIONS, POLICIES, HEALTH, st.none() | st.decimals("0.0001", "3", places=4))
def test_a_chosen_model_violates_no_hard_filter(
    content: Any, options: dict[str, Any], policy: Policy, health: dict[str, ModelHealth], budget: Decimal | None
) -> None:
    call = request(content=content, **options)
    made = planned(call, policy, health=health, budget=budget)
    waits = {m for m, h in health.items() if h.cooling}
    for candidate in made.order:
        card = candidate.card
        assert card is not None
        assert card.status == "active"
        assert not [f for f in review(call, card) if f.severity == "error"]
        assert card.id not in policy.deny
        assert policy.max_output_price is None or (card.price and card.price.output <= policy.max_output_price)
        for ceiling in (policy.max_cost, budget):
            assert ceiling is None or (candidate.cost.worst is not None and candidate.cost.worst <= ceiling)
        assert card.id not in waits or len(made.order) == 1
    assert json.loads(json.dumps(made.to_dict())) == made.to_dict()


def test_the_same_bytes_in_any_process() -> None:
    code = (
        "import json; from wandb_inference import *; from wandb_inference.routing import plan, resolve\n"
        "call = ChatRequest('auto', [{'role': 'user', 'content': 'Hello'}], ChatOptions(max_tokens=50))\n"
        "call, policy = resolve(call, Policy(deny=frozenset('abc'), escalate=frozenset({'length', 'empty'})))\n"
        "print(json.dumps(plan(call, Catalog.bundled(), policy).to_dict()))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(seen) == 1
    assert json.loads(seen.pop())["chosen"]
