"""Who goes first of those that may take a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Candidate, ChatRequest, ConfigurationError, Entry, Need
from wandb_inference.accounting import Estimate
from wandb_inference.routing import ModelHealth
from wandb_inference.routing.order import kept, ordered
from wandb_inference.routing.policy import Order

NEED = Need.of(ChatRequest("auto", [{"role": "user", "content": "Hello"}]))


def able(
    model: str,
    cost: str | None = "1",
    *,
    active: int | None = None,
    total: int | None = None,
    first_token: float | None = None,
    errors: float = 0.0,
    position: int = 0,
    known: bool = True,
) -> Candidate:
    expected = None if cost is None else Decimal(cost)
    facts = card(model, active_params_b=active, total_params_b=total) if known else None
    health = ModelHealth(first_token=first_token, error_rate=errors)
    return Candidate(Entry(model), facts, Estimate(expected, None, None), health=health, position=position)


CASES: dict[str, tuple[Order, list[Candidate], list[str]]] = {
    # name: (order, candidates, ids as they are asked)
    "nobody": ("balanced", [], []),
    "cheapest": ("cheapest", [able("a", "3"), able("b", "1"), able("c", "2")], ["b", "c", "a"]),
    "cheapest: equal costs by id": ("cheapest", [able("b"), able("c"), able("a")], ["a", "b", "c"]),
    "cheapest: one that costs nothing": ("cheapest", [able("a", "0.1"), able("b", "0")], ["b", "a"]),
    "cheapest: unknown costs are not nothing": ("cheapest", [able("a", None), able("b", "9")], ["b", "a"]),
    "cheapest: nothing else counts": (
        "cheapest",
        [able("a", "2", active=1, total=900, first_token=0.1), able("b", "1", active=9, first_token=9)],
        ["b", "a"],
    ),
    "fastest: as measured": ("fastest", [able("a", first_token=0.3), able("b", first_token=0.2)], ["b", "a"]),
    "fastest: a hundredth of a second counts": (
        "fastest",
        [able("a", first_token=0.21), able("b", first_token=0.2)],
        ["b", "a"],
    ),
    "fastest: unmeasured by active parameters": ("fastest", [able("a", active=9), able("b", active=3)], ["b", "a"]),
    "fastest: measured before unmeasured before unknown": (
        "fastest",
        [able("a"), able("b", active=1), able("c", first_token=60), able("d", known=False)],
        ["c", "b", "a", "d"],
    ),
    "fastest: among equals the cheaper": (
        "fastest",
        [able("a", "2", active=3), able("b", "1", active=3), able("c", "0", active=4)],
        ["b", "a", "c"],
    ),
    "balanced: cost and speed weigh the same": (
        "balanced",  # ranks of cost, speed: b 0 + 0, a 1 + 0, c 0 + 2
        [able("a", "2", active=1), able("c", "1", active=9), able("b", "1", active=1), able("x", "2", active=5)],
        ["b", "a", "c", "x"],
    ),
    "balanced: the larger goes first": ("balanced", [able("a", total=20), able("b", total=200)], ["b", "a"]),
    "balanced: of unknown size is small": ("balanced", [able("a"), able("b", total=1)], ["b", "a"]),
    "balanced: an unknown model has no size": ("balanced", [able("a", known=False), able("b", total=1)], ["b", "a"]),
    "balanced: nothing known is no worse than nothing stated": (
        "balanced",
        [able("b"), able("a", known=False)],
        ["a", "b"],
    ),
    "balanced: size makes up for cost": (
        "balanced",  # ranks of cost + size: a 0 + 2, b 1 + 0, c 2 + 1
        [able("a", "1", total=10), able("b", "2", total=90), able("c", "3", total=50)],
        ["b", "a", "c"],
    ),
    "balanced: of one sum, the cheaper": (
        "balanced",
        [able("a", "2", total=90), able("b", "1", total=10)],
        ["b", "a"],
    ),
    "balanced: of one sum and cost, by id": ("balanced", [able("b"), able("a")], ["a", "b"]),
    "ordered": ("ordered", [able("a", "1", position=2), able("b", "9", position=1), able("c", "5")], ["c", "b", "a"]),
    "ordered: failures change nothing": ("ordered", [able("b", position=1), able("a", errors=1.0)], ["a", "b"]),
    "one that fails every second time goes behind": (
        "cheapest",
        [able("a", "1", errors=0.5), able("b", "9")],
        ["b", "a"],
    ),
    "one that fails less often does not": ("cheapest", [able("a", "1", errors=0.49), able("b", "9")], ["a", "b"]),
    "of those that fail, the cheaper": (
        "cheapest",
        [able("a", "2", errors=0.6), able("b", "1", errors=0.9), able("c", "3")],
        ["c", "b", "a"],
    ),
    "fastest: one that fails goes behind": (
        "fastest",
        [able("a", first_token=0.1, errors=0.5), able("b", first_token=9)],
        ["b", "a"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_order(name: str) -> None:
    order, candidates, ids = CASES[name]
    if order != "ordered":  # where each has its own place
        candidates = [replace(candidate, position=place) for place, candidate in enumerate(candidates)]
    assert [c.model for c in ordered(candidates, NEED, order)] == ids
    assert [c.model for c in ordered(candidates[::-1], NEED, order)] == ids


TWICE = [
    replace(able("a", first_token=2), entry=Entry("a", {"max_tokens": 1})),
    able("b", "2", first_token=1.5),
    able("a", "3", first_token=1),
]


@pytest.mark.parametrize(("order", "places"), [("cheapest", [0, 1, 2]), ("fastest", [2, 1, 0])])
def test_a_model_that_is_listed_twice_has_two_places(order: Order, places: list[int]) -> None:
    candidates = [replace(candidate, position=place) for place, candidate in enumerate(TWICE)]
    assert [c.position for c in ordered(candidates, NEED, order)] == places


RETURNED: dict[str, tuple[Sequence[str], list[str]]] = {
    # name: (what the function returns, ids as they are asked)
    "ids": (["b", "a"], ["b", "a"]),
    "some of them": (("b",), ["b"]),
    "none of them": ([], []),
    "one twice": (["b", "a", "b"], ["b", "a"]),
    "ids that are no candidates": (["x", "b"], ["b"]),
    "the name it is listed under": (["alias"], ["c"]),
    "both its names": (["c", "a", "alias"], ["c", "a"]),
}


@pytest.mark.parametrize("name", RETURNED)
def test_a_function_may_order(name: str) -> None:
    returned, ids = RETURNED[name]
    listed = Candidate(Entry("alias"), card("c"), Estimate(None, None, None), position=2)
    given: list[Any] = []

    def order(candidates: Any, need: Need) -> Sequence[str]:
        given.extend((candidates, need))
        return returned

    candidates = [able("a"), able("b", position=1), listed]
    assert [c.model for c in ordered(candidates, NEED, order)] == ids
    assert given == [tuple(candidates), NEED]


@pytest.mark.parametrize("returned", ["a", None, 3, True])
def test_a_function_that_returns_no_list(returned: Any) -> None:
    order: Callable[..., Sequence[str]] = lambda *_: returned  # noqa: E731
    with pytest.raises(ConfigurationError, match=f"returned {returned!r}"):
        ordered([able("a")], NEED, order)


def test_a_function_that_returns_other_things_than_ids() -> None:
    assert ordered([able("a")], NEED, lambda *_: [{}, 3, None]) == []


KEPT: dict[str, tuple[list[Candidate], str, list[str], bool]] = {
    # name: (candidates in their order, the conversation's model, ids as they are asked, whether it stays)
    "first anyway": ([able("a"), able("b")], "a", ["a", "b"], True),
    "as dear": ([able("a", "1"), able("b", "1"), able("c", "0")], "b", ["b", "a", "c"], True),
    "cheaper": ([able("a", "2"), able("b", "3"), able("c", "1")], "c", ["c", "a", "b"], True),
    "dearer": ([able("a", "1"), able("b", "1.01")], "b", ["a", "b"], False),
    "of unknown cost": ([able("a", "1"), able("b", None)], "b", ["a", "b"], False),
    "it may not take the call": ([able("a"), able("b")], "x", ["a", "b"], False),
    "nobody may": ([], "a", [], False),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_conversation_stays_with_its_model_unless_that_is_dearer(name: str) -> None:
    candidates, model, ids, stays = KEPT[name]
    order, stayed = kept(candidates, model)
    assert ([c.model for c in order], stayed) == (ids, stays)
