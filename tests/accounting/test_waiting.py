"""Money that is only reserved is waited for: in order, in time, by threads and tasks, and never in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from support import EVERY_WAY, MODEL, Run

from wandb_inference import AsyncClient, Budget, BudgetExceededError, ChatOptions, ChatRequest, Client
from wandb_inference.accounting import budget as module
from wandb_inference.emulator import Emulator

D = Decimal
IDLE = SimpleNamespace(is_idle=True)
BUSY = SimpleNamespace(is_idle=False)


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_threads_are_served_in_the_order_they_came() -> None:
    budget, served = Budget(1), []
    held = budget.reserve(D("0.9"))

    def wait(number: int) -> None:
        reservation = budget.acquire(D("0.5") if number == 0 else D("0.4"))
        served.append(number)
        reservation.settle(D(0))

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        wait_for(lambda: len(budget._family.waiting) > number)  # noqa: B023 (at once)
    held.settle(D("0.5"))
    for thread in threads:
        thread.join(60)
    assert served == [0, 1, 2, 3, 4]
    assert [budget.spent, budget.reserved] == [D("0.5"), 0]


async def test_tasks_are_served_in_the_order_they_came_and_may_be_cancelled() -> None:
    budget, served = Budget(1), []
    held = budget.reserve(D(1))

    async def wait(number: int) -> None:
        reservation = await budget.aacquire(D("0.6"))
        served.append(number)
        await asyncio.sleep(0)
        reservation.settle(D(0))

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    held.settle(D("0.1"))
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert served == [0, 2, 3]
    assert [budget.spent, budget.reserved] == [D("0.1"), 0]


async def test_a_task_that_is_cancelled_while_it_is_served_gives_the_money_back() -> None:
    budget = Budget(1)
    held = budget.reserve(D(1))
    task = asyncio.create_task(budget.aacquire(D("0.5")))
    await asyncio.sleep(0)
    held.settle(D(0))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert budget.reserved == 0


def test_a_task_of_a_loop_that_is_gone_takes_no_money() -> None:
    budget = Budget(1)
    held = budget.reserve(D(1))
    loop = asyncio.new_event_loop()
    task = loop.create_task(budget.aacquire(D("0.5")))
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the point
    loop.close()
    held.settle(D(0))
    assert [budget.reserved, len(budget._family.waiting)] == [0, 0]


def test_what_can_never_fit_is_refused_at_once() -> None:
    budget = Budget(1)
    budget.reserve(D("0.3")).settle()
    held = budget.reserve(D("0.5"))
    with pytest.raises(BudgetExceededError) as caught:
        budget.acquire(D("0.8"), 60)
    assert caught.value.waited is None
    assert "waited" not in str(caught.value)
    assert "come again" not in str(caught.value)
    held.settle()


def test_it_is_refused_when_those_in_flight_cost_too_much() -> None:
    budget = Budget(1)
    held = budget.reserve(D("0.9"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.acquire, D("0.5"), 60)
        wait_for(lambda: budget._family.waiting)
        held.settle(D("0.8"))
        error = waiting.exception(60)
    assert isinstance(error, BudgetExceededError)
    assert error.waited
    assert error.spent == D("0.8")
    assert budget.reserved == 0


async def test_waiting_ends_in_time() -> None:
    budget = Budget(1, name="b")
    held = budget.reserve(D("0.9"))
    said = r"has 0\.1 of 1 left \(0 spent, 0\.9 reserved by calls in flight\)\. It waited 0\.0\d+ s for them"
    with pytest.raises(BudgetExceededError, match=said) as caught:
        budget.acquire(D("0.5"), 0.01)
    assert "come again when calls in flight have ended" in str(caught.value)
    with pytest.raises(BudgetExceededError, match=said):
        await budget.aacquire(D("0.5"), 0.01)
    held.settle(D(0))
    assert not budget._family.waiting
    assert budget.available == 1


def test_a_child_that_waits_for_its_own_money_keeps_nobody_else_waiting() -> None:
    family = Budget(1)
    small, other = family.child("0.2"), family.child("0.5")
    held = small.reserve(D("0.2"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(small.acquire, D("0.1"), 60)
        wait_for(lambda: family._family.waiting)
        other.acquire(D("0.5"), 0).settle(D(0))
        held.settle(D(0))
        waiting.result(60).settle(D(0))


def test_who_waits_for_the_family_s_money_is_not_passed_by() -> None:
    family = Budget(1)
    one, two = family.child(1), family.child(1)
    held = family.reserve(D("0.5"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(one.acquire, D("0.8"), 60)
        wait_for(lambda: family._family.waiting)
        with pytest.raises(BudgetExceededError):
            two.acquire(D("0.1"), 0.05)  # it would fit, but then the other would wait for ever
        held.settle(D(0))
        waiting.result(60).settle(D(0))


@pytest.mark.parametrize(("holders", "waits"), [([IDLE], False), ([IDLE, BUSY], True), ([IDLE, None], True)])
def test_streams_that_rest_are_not_waited_for(
    holders: list[object], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.01)
    budget = Budget(1)
    for holder in holders:
        budget.reserve(D("0.4")).holder = holder  # type: ignore[assignment]  # as much as is asked
    with pytest.raises(BudgetExceededError) as caught:
        budget.acquire(D("0.7"), 0.2 if waits else 60)
    assert (caught.value.waited or 0) >= 0.2 or not waits


def test_a_clock_that_fails_loses_nothing() -> None:
    def clock() -> float:
        raise OSError

    budget = Budget(1, window=10, clock=clock)
    budget.reserve(D("0.5")).settle(D("0.2"))
    assert budget.spent == D("0.2")


# Calls

LONG = ChatRequest("zai-org/GLM-5.2", [{"role": "user", "content": "Question?"}], ChatOptions(max_tokens=500))


async def test_a_batch_under_a_budget_is_answered_whole() -> None:
    with Emulator(token_delay=0.002) as url:
        budget = Budget("0.01")  # the worst case of four, and the cost of a hundred and seventy
        async with AsyncClient(base_url=url, api_key="emulator-key", max_concurrency=16, budget=budget) as client:
            answers = await asyncio.gather(*(client.chat(LONG) for _ in range(100)))
    assert len(answers) == 100
    assert budget.spent == sum(D((answer.route or {})["cost_usd"]) for answer in answers) <= budget.limit
    assert budget.reserved == 0


SHORT = ChatRequest(MODEL, [{"role": "user", "content": "Hello"}], ChatOptions(max_tokens=100))


def worst_of(emulator: Emulator) -> Decimal:
    with Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        worst = client.explain(SHORT).order[0].cost.worst
    assert worst is not None
    return worst


@pytest.mark.parametrize("run", EVERY_WAY)
def test_a_call_waits_no_longer_than_its_timeout(run: Run, emulator: Emulator) -> None:
    budget = Budget(worst_of(emulator))
    held = budget.reserve(budget.limit)
    with pytest.raises(BudgetExceededError) as caught:
        run(SHORT, base_url=emulator.url, api_key=emulator.api_key, budget=budget, timeout=0.1)
    assert caught.value.waited
    assert emulator.requests == ()
    held.settle(D(0))
    assert [budget.spent, budget.reserved] == [0, 0]


@pytest.mark.parametrize("run", EVERY_WAY)
def test_what_waits_for_a_place_in_vain_costs_nothing(run: Run, emulator: Emulator) -> None:
    budget = Budget(1)
    told: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.api_key, "max_concurrency": 1}
    with Client(**told) as client:
        places = client._core.service.places(MODEL, 1)
        held = places.acquire()
        with pytest.raises(Exception, match="No place was free"):
            run(SHORT, **told, budget=budget, timeout=0.1)
        held.release()
    assert [budget.spent, budget.reserved] == [0, 0]


def test_a_stream_whose_reader_makes_another_call_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.1)
    with (emulator := Emulator(token_delay=0.05)) as url:
        budget = Budget(worst_of(emulator) * D("1.5"))
        with Client(base_url=url, api_key=emulator.api_key, budget=budget) as client, client.stream(SHORT) as stream:
            next(stream)
            with pytest.raises(BudgetExceededError):
                client.chat(SHORT)
            list(stream)
            assert client.chat(SHORT).text
