"""Budgets hold, whoever spends, in whatever order."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wandb_inference import (
    AsyncClient,
    Budget,
    BudgetExceededError,
    CallRecord,
    Catalog,
    ChatOptions,
    ChatRequest,
    Client,
    ConfigurationError,
    InferenceError,
)
from wandb_inference.accounting import Reservation
from wandb_inference.emulator import Emulator, Fault

MODEL = "openai/gpt-oss-20b"
CENTS = st.integers(1, 40).map(lambda n: Decimal(n) / 100)


class Spending(RuleBasedStateMachine):
    """Any interleaving of reservations and settlements, over a parent, two children and a window."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.parent = Budget(1, clock=lambda: self.now)
        self.budgets = [self.parent, self.parent.child("0.5"), self.parent.child("0.7", window=10)]
        self.open: list[Reservation] = []
        self.spent = [Decimal(0)] * 2  # of those that forget nothing

    @rule(which=st.integers(0, 2), worst=CENTS)
    def reserve(self, which: int, worst: Decimal) -> None:
        left = self.budgets[which].available
        if worst <= left:
            self.open.append(self.budgets[which].reserve(worst))
        else:
            with pytest.raises(BudgetExceededError) as caught:
                self.budgets[which].reserve(worst)
            assert caught.value.needed == worst

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.integers(0, 100))
    def settle(self, data: Any, share: int) -> None:
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        reservation.settle(reservation.worst * share / 100 if share < 90 else None)
        reservation.settle(Decimal(100))  # the second time counts for nothing

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nothing_is_overspent(self) -> None:
        for budget in self.budgets:
            assert budget.reserved >= 0
            assert budget.spent + budget.reserved <= budget.limit
        assert self.parent.reserved == sum((r.worst for r in self.open), Decimal(0))


Spending.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSpending = Spending.TestCase


def ask(text: str = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest(MODEL, [{"role": "user", "content": text}], ChatOptions(**{"max_tokens": 500, **options}))


def test_threads_never_overspend(emulator: Emulator) -> None:
    worst = Decimal("0.00013")  # of one call, about
    budget = Budget(worst * 2)
    asked, refused = [], []
    with Client(base_url=emulator.url, api_key=emulator.api_key, budget=budget) as client:

        def call(number: int) -> None:
            try:
                asked.append(client.chat(ask(f"Number {number}")))
            except BudgetExceededError as e:
                refused.append(e)

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(call, range(200)))
    bills = sum((Decimal(a.route["cost_usd"]) for a in asked if a.route), Decimal(0))
    assert bills == budget.spent <= budget.limit
    assert not budget.reserved
    assert asked
    assert refused
    assert all(e.limit == budget.limit for e in refused)


async def test_tasks_never_overspend_and_a_cancelled_one_is_booked(emulator: Emulator) -> None:
    budget = Budget("0.002")
    agents = [budget.child("0.0007", name=f"agent {n}") for n in range(5)]
    async with AsyncClient(base_url=emulator.url, api_key=emulator.api_key) as client:

        async def agent(own: Budget) -> None:
            with suppress(BudgetExceededError):
                while True:
                    await client.chat(ask(), budget=own)

        await asyncio.gather(*(asyncio.wait_for(agent(own), 60) for own in agents))
        assert budget.spent == sum((own.spent for own in agents), Decimal(0)) <= budget.limit
        emulator.script(Fault("slow_start", seconds=30))
        fresh = Budget(1)
        task = asyncio.create_task(client.chat(ask(), budget=fresh))
        while not fresh.reserved:  # noqa: ASYNC110 (budgets are looked at, not waited for)
            await asyncio.sleep(0.01)
        worst = fresh.reserved
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [fresh.reserved, fresh.spent] == [0, worst]


ENDS: dict[str, tuple[list[Any], bool, Any]] = {
    # name: (script, streamed, what is booked of the worst case: all of it, nothing, or what was billed)
    "a refusal costs nothing": ([Fault(status=400)], False, "nothing"),
    "a busy service costs nothing": ([Fault(status=429)], False, "nothing"),
    "nobody knows what a cut answer costs": ([Fault("cut", after=0)], False, "all"),
    "nor what a broken stream costs": ([Fault("cut")], True, "all"),
    "nor what an error inside one costs": ([Fault("error_event")], True, "all"),
    "nor what an unreadable answer costs": ([Fault("malformed")], False, "all"),
    "an answer costs what it says": ([], False, "billed"),
    "a stream, too": ([], True, "billed"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_is_booked(name: str, emulator: Emulator) -> None:
    script, streamed, booked = ENDS[name]
    budget = Budget(1)
    seen: list[CallRecord] = []
    emulator.script(*script)
    with Client(base_url=emulator.url, api_key=emulator.api_key, max_retries=0, on_record=seen.append) as client:
        plan = client.explain(ask(), budget=budget)
        with suppress(InferenceError):
            if streamed:
                list(client.stream(ask(), budget=budget))
            else:
                client.chat(ask(), budget=budget)
    worst = plan.order[0].cost.worst
    billed = seen[0].cost if seen else None
    assert budget.spent == {"nothing": Decimal(0), "all": worst, "billed": billed}[booked]
    assert not budget.reserved
    if booked == "billed":
        assert billed


@pytest.mark.parametrize("end", ["close", "drop"])
def test_a_stream_that_is_given_up_is_booked_at_its_worst(end: str, emulator: Emulator) -> None:
    budget = Budget(1)
    emulator.script(Fault("stall"))
    with Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        stream = client.stream(ask(), budget=budget)
        next(stream)
        worst = budget.reserved
        assert worst
        if end == "close":
            stream.close()
        else:
            del stream
            gc.collect()
    assert [budget.spent, budget.reserved] == [worst, 0]


def test_windows_forget() -> None:
    now = 0.0
    budget = Budget(1, window=timedelta(hours=1), clock=lambda: now)
    budget.reserve(Decimal(1)).settle()
    assert budget.available == 0
    now = 3599
    assert budget.available == 0
    now = 3600
    assert [budget.available, budget.spent] == [1, 0]


def test_unknown_prices_are_refused(emulator: Emulator) -> None:
    catalog = Catalog.empty()
    with (
        Client(base_url=emulator.url, api_key=emulator.api_key, catalog=catalog, budget=Budget(1)) as client,
        pytest.raises(InferenceError, match="price"),
    ):
        client.chat(ask())
    assert emulator.requests == ()


@pytest.mark.parametrize("limit", ["much", -1, None, float("nan"), True])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="no amount"):
        Budget(limit)


def test_a_window_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="window=0"):
        Budget(1, window=0)


def test_a_destructor_never_waits_for_a_budget() -> None:
    budget = Budget(1)
    held, done = budget.reserve(Decimal("0.5")), threading.Event()

    def settle() -> None:
        with budget._guard:  # a destructor may run here, in this very thread
            held.settle(Decimal("0.1"))
        done.set()

    threading.Thread(target=settle, daemon=True).start()
    assert done.wait(60)
    assert [budget.spent, budget.reserved] == [Decimal("0.1"), 0]
