"""A budget's books, step by step: what is reserved, spent and left, and who is refused."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from wandb_inference import Budget, BudgetExceededError, ConfigurationError
from wandb_inference.accounting import to_usd


def books(budget: Budget) -> tuple[float, float, float]:
    return float(budget.reserved), float(budget.spent), float(budget.available)


STEPS: dict[str, tuple[list[str | None], tuple[float, float, float]]] = {
    # name: (what each of the calls that reserve 0.3 of 1 cost, None: it is in flight yet, (reserved, spent, left))
    "nobody": ([], (0, 0, 1)),
    "one in flight": ([None], (0.3, 0, 0.7)),
    "three in flight": ([None, None, None], (0.9, 0, 0.1)),
    "one that cost less": (["0.1"], (0, 0.1, 0.9)),
    "one that cost nothing": (["0"], (0, 0, 1)),
    "one that cost more than it might": (["0.4"], (0, 0.4, 0.6)),
    "one that nobody knows of is booked at its worst": (["?"], (0, 0.3, 0.7)),
    "some of each": ([None, "0.1", "?"], (0.3, 0.4, 0.3)),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str) -> None:
    costs, expected = STEPS[name]
    budget = Budget(1)
    for cost in costs:
        reservation = budget.reserve(Decimal("0.3"))
        assert reservation.worst == Decimal("0.3")
        if cost is not None:
            reservation.settle(None if cost == "?" else Decimal(cost))
            reservation.settle(Decimal(9))  # only the first time counts
    assert books(budget) == expected


def test_to_the_last_cent_and_no_further() -> None:
    budget = Budget("0.3", name="team")
    budget.reserve(Decimal("0.1")).settle()
    budget.reserve(Decimal("0.2"))
    with pytest.raises(BudgetExceededError) as caught:
        budget.reserve(Decimal("0.0000001"))
    error = caught.value
    assert (error.limit, error.spent, error.reserved, error.needed) == (
        Decimal("0.3"),
        Decimal("0.1"),
        Decimal("0.2"),
        Decimal("0.0000001"),
    )
    assert "the budget 'team' has 0 of 0.3 left" in error.message
    assert books(budget) == (0.2, 0.1, 0)
    budget.reserve(Decimal(0))


def test_a_child_spends_from_every_budget_above() -> None:
    top = Budget(1, name="top")
    middle = top.child("0.5", name="middle")
    low = middle.child(9)
    low.reserve(Decimal("0.2")).settle(Decimal("0.1"))
    low.reserve(Decimal("0.3"))
    assert [books(each) for each in (top, middle, low)] == [(0.3, 0.1, 0.6), (0.3, 0.1, 0.1), (0.3, 0.1, 0.1)]
    with pytest.raises(BudgetExceededError, match="'middle'"):
        low.reserve(Decimal("0.2"))
    assert books(top) == (0.3, 0.1, 0.6)  # nothing was set aside anywhere
    top.reserve(Decimal("0.55"))
    with pytest.raises(BudgetExceededError, match="'top'"):
        low.reserve(Decimal("0.06"))
    assert books(low) == (0.3, 0.1, 0.05)


@pytest.mark.parametrize("window", [10, 10.0, timedelta(seconds=10)])
def test_a_window_forgets_what_was_spent_and_not_what_is_in_flight(window: Any) -> None:
    now = 0.0
    budget = Budget(1, window=window, clock=lambda: now)
    child = budget.child(1, window=5)
    child.reserve(Decimal("0.1")).settle()
    now = 4
    child.reserve(Decimal("0.2")).settle()
    budget.reserve(Decimal("0.3"))
    assert (books(budget), books(child)) == ((0.3, 0.3, 0.4), (0, 0.3, 0.4))
    now = 5
    assert (books(budget), books(child)) == ((0.3, 0.3, 0.4), (0, 0.2, 0.4))
    now = 9.99
    assert (books(budget), books(child)) == ((0.3, 0.3, 0.4), (0, 0, 0.4))
    now = 10
    assert books(budget) == (0.3, 0.2, 0.5)
    now = 14
    assert books(budget) == (0.3, 0, 0.7)


def test_a_budget_without_a_window_remembers() -> None:
    now = 0.0
    budget = Budget(1, clock=lambda: now)
    budget.reserve(Decimal("0.1")).settle()
    now = 1e9
    assert books(budget) == (0, 0.1, 0.9)


def test_a_window_of_half_a_second() -> None:
    now = 0.0
    budget = Budget(1, window=0.5, clock=lambda: now)
    budget.reserve(Decimal("0.1")).settle()
    now = 0.5
    assert books(budget) == (0, 0, 1)


@pytest.mark.parametrize("window", [0, -1, "10", timedelta(0)])
def test_a_window_of_no_time(window: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        Budget(1, window=window)
    with pytest.raises(ConfigurationError, match="is no time"):
        Budget(1).child(1, window=window)


def test_a_budget_as_people_read_it() -> None:
    budget = Budget("2.50")
    budget.reserve(Decimal("0.10"))
    budget.reserve(Decimal("0.20")).settle()
    assert repr(budget) == "<Budget 0.2 of 2.5 USD spent, 0.1 reserved>"
    assert repr(budget.child(1, name="agent")) == "<Budget 'agent': 0 of 1 USD spent, 0 reserved>"
    assert (budget.name, budget.child(1).name) == ("", "")


def test_copies_spend_the_same_money_and_other_processes_get_none() -> None:
    budget = Budget(1)
    assert copy.deepcopy(budget) is budget
    with pytest.raises(TypeError, match="of one process"):
        pickle.dumps(budget)


@pytest.mark.parametrize(
    ("amount", "usd"), [(0, "0"), (1, "1"), (0.1, "0.1"), ("0.05", "0.05"), (Decimal("1E-7"), "0.0000001")]
)
def test_amounts(amount: Any, usd: str) -> None:
    assert to_usd(amount, "a test") == Decimal(usd)


@pytest.mark.parametrize("amount", ["much", "", -0.01, "-1", "nan", "inf", float("inf"), True, False, None, [1]])
def test_no_amounts(amount: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no amount for a test") as caught:
        to_usd(amount, "a test")
    assert caught.value.hint == "USD, such as 0.05 or '0.05'."
