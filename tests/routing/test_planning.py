"""Who is asked, in which order, and what the plan says of that."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Candidate, Catalog, ChatOptions, ChatRequest, Entry, Need, Plan, Policy
from wandb_inference.routing import ModelHealth, plan

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
CATALOG = Catalog(
    [
        card("me/c", price={"input": 3, "output": 3}, active_params_b=1),
        card("me/a", price={"input": 1, "output": 1}, active_params_b=3, input=("text", "image")),
        card("me/b", price={"input": 2, "output": 2}, active_params_b=2),
        card("me/old", status="retired"),
        card("me/hearsay", status="unconfirmed", price={"input": 0, "output": 0}),
    ],
    version="v",
)


def made(
    model: str = "auto",
    *,
    content: Any = "Hello",
    options: dict[str, Any] | None = None,
    policy: Any = None,
    **state: Any,
) -> Plan:
    request = ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**(options or {})))
    return plan(request, CATALOG, policy or Policy(order="cheapest"), **state)


def order(of: Plan) -> list[str]:
    return [candidate.model for candidate in of.order]


COOL = {"me/a": ModelHealth(cooling=9.0), "me/b": ModelHealth(cooling=5.0), "me/c": ModelHealth(cooling=7.0)}
LISTED: list[Any] = ["me/b", {"model": "me/a", "settings": {"max_tokens": 5}}, "me/b"]
ORDERS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    # name: (what is planned, ids in order, notes)
    "all that are served": ({}, ["me/a", "me/b", "me/c"], []),
    "the one that is named": ({"model": "me/c"}, ["me/c"], []),
    "one that nobody knows": ({"model": "you/x"}, ["you/x"], []),
    "a list": ({"policy": Policy(models=LISTED)}, ["me/b", "me/a", "me/b"], []),
    "those that can": (
        {"content": [IMAGE]},
        ["me/a"],
        ["a picture has at most 16,384 tokens"],
    ),
    "those that were not asked yet": ({"tried": {0, 2}}, ["me/a"], []),
    "places of a list": ({"policy": Policy(models=LISTED), "tried": (0,)}, ["me/a", "me/b"], []),
    "nobody left": ({"model": "me/c", "tried": [0]}, [], []),
    "those that are not paused": ({"health": {"me/a": ModelHealth(cooling=1.0)}}, ["me/b", "me/c"], []),
    "of those that are all paused, the first to be ready": (
        {"health": COOL},
        ["me/b"],
        ["every model that could take the call is paused; the first to be ready is asked"],
    ),
    "of those, by id": (
        {"health": dict.fromkeys(COOL, ModelHealth(cooling=5.0))},
        ["me/a"],
        ["every model that could take the call is paused; the first to be ready is asked"],
    ),
    "of those that are paused and were not asked yet": (
        {"health": COOL, "tried": [2]},
        ["me/c"],
        ["every model that could take the call is paused; the first to be ready is asked"],
    ),
    "a pause is not all there is against them": ({"health": COOL, "policy": Policy(max_cost=Decimal("1e-9"))}, [], []),
    "of those that are paused, one that could": (
        {"health": COOL, "content": [IMAGE]},
        ["me/a"],
        [
            "a picture has at most 16,384 tokens",
            "every model that could take the call is paused; the first to be ready is asked",
        ],
    ),
    "a pause of one that is named": ({"model": "me/a", "health": COOL, "named": True}, ["me/a"], []),
    "a conversation stays": (
        {"policy": Policy(order="fastest"), "pinned": ("me/a", 5)},
        ["me/a", "me/c", "me/b"],
        ["kept with the conversation's model, me/a"],
    ),
    "a conversation is with the first anyway": (
        {"pinned": ("me/a", 5)},
        ["me/a", "me/b", "me/c"],
        ["kept with the conversation's model, me/a"],
    ),
    "a conversation goes elsewhere": ({"pinned": ("me/c", 5)}, ["me/a", "me/b", "me/c"], []),
    "a conversation that need not stay": (
        {"policy": Policy(order="fastest", sticky=False), "pinned": ("me/a", 5)},
        ["me/c", "me/b", "me/a"],
        [],
    ),
    "a list is in order, whatever the conversation": (
        {"policy": Policy(models=["me/c", "me/a"]), "pinned": ("me/a", 5)},
        ["me/c", "me/a"],
        [],
    ),
    "beyond the budget": ({"budget": Decimal("0.01"), "options": {"max_tokens": 3000}}, ["me/a"], []),
    "by what was measured": (
        {"policy": Policy(order="fastest"), "health": {"me/b": ModelHealth(first_token=9.0)}},
        ["me/b", "me/c", "me/a"],
        [],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order(name: str) -> None:
    given, ids, notes = ORDERS[name]
    of = made(**given)
    assert (order(of), list(of.notes)) == (ids, notes)


def test_what_a_plan_states() -> None:
    of = made(options={"max_tokens": 5})
    assert (of.requested, of.policy, of.catalog_version) == ("auto", "cheapest", "v")
    assert [(c.model, c.position) for c in of.candidates] == [("me/a", 1), ("me/b", 2), ("me/c", 0), ("me/hearsay", 3)]
    assert of.need == Need.of(ChatRequest("auto", [{"role": "user", "content": "Hello"}], ChatOptions(max_tokens=5)))
    twice = made(policy=Policy(models=["me/b", "me/a", "me/b"])).candidates
    assert [(c.model, c.position) for c in twice] == [("me/a", 1), ("me/b", 0), ("me/b", 2)]


def test_an_order_of_ones_own_is_named_and_never_overruled() -> None:
    def mine(candidates: Sequence[Candidate], _: Need) -> list[str]:
        return sorted((c.model for c in candidates), reverse=True)

    class Mine:
        def __call__(self, candidates: Sequence[Candidate], _: Need) -> list[str]:
            return mine(candidates, _)

    for own, name in ((mine, "mine"), (Mine(), "function")):
        of = made(policy=Policy(order=own), pinned=("me/a", 5))
        assert (of.policy, order(of), of.notes) == (name, ["me/c", "me/b", "me/a"], ())


def test_answers_are_taken_to_be_as_long_as_those_of_all_models() -> None:
    health = {"me/a": ModelHealth(answer_tokens=100, answers=20), "me/b": ModelHealth(answer_tokens=300, answers=20)}
    costs = {c.model: c.cost.expected for c in made(health=health).candidates}
    # 5 tokens of the prompt; 200 for the answer, which its own average makes 150 or 250
    assert costs["me/a"] == Decimal(155) / 1_000_000
    assert costs["me/b"] == Decimal(255 * 2) / 1_000_000
    assert costs["me/c"] == Decimal(205 * 3) / 1_000_000


def test_tokens_are_counted_as_the_caller_knows_them() -> None:
    asked: list[Any] = []

    def tokens(model: str, estimate: int) -> int:
        asked.append((model, estimate))
        return 1000

    (candidate,) = made("me/a", options={"max_tokens": 1}, tokens=tokens).candidates
    assert asked == [("me/a", 5)]
    assert candidate.cost.expected == Decimal(1001) / 1_000_000


def test_entries_of_a_list_keep_what_is_theirs() -> None:
    of = made(policy=Policy(models=LISTED))
    assert of.order[1].entry == Entry("me/a", {"max_tokens": 5})
    assert of.order[1].cost.max_tokens == 5
