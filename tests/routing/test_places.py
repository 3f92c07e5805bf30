"""How many places there are, call by call: up until the service refuses, a little back, and slowly up again."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from wandb_inference.routing import Limiter, limiter
from wandb_inference.routing.limiter import Place


class Calls:
    """Calls in flight, the oldest first."""

    def __init__(self, places: Limiter) -> None:
        self.places = places
        self.held: list[Place] = []

    def play(self, steps: str) -> list[int]:
        """Return the places after each step.

        ``+``: one more call. ``-``: the oldest ends well. ``!``: the newest is refused. ``?``: the oldest is.
        """
        limits = []
        for step in steps:
            if step == "+":
                self.held.append(self.places.acquire())
            else:
                self.held.pop(-1 if step == "!" else 0).release(refused=step != "-")
            limits.append(self.places.limit)
        assert self.places.in_flight == len(self.held)
        return limits


LIMITS: dict[str, tuple[Limiter, str, list[int]]] = {
    # name: (limiter, steps, places after each)
    "nobody is waiting": (Limiter(first=4), "++--", [4, 4, 4, 4]),
    "all are taken": (Limiter(first=2), "++--", [2, 2, 3, 3]),
    "one more with each answer": (Limiter(first=2), "++-++-++-", [2, 2, 3, 3, 3, 4, 4, 4, 5]),
    "a ceiling": (Limiter(3, first=2), "++-++-+-", [2, 2, 3, 3, 3, 3, 3, 3]),
    "a ceiling below the beginning": (Limiter(1), "+-+-", [1, 1, 1, 1]),
    # Of ten, nine were taken: it goes back to nine tenths of nine.
    "refused": (Limiter(first=10), "++++++++++!", [10] * 10 + [8]),
    "refused where not all were taken": (Limiter(first=10), "+++++!", [10] * 5 + [3]),
    # The nine that are in flight were sent before anybody knew: each that is refused was one too many.
    "a burst": (Limiter(first=10), "++++++++++!!!", [10] * 10 + [8, 7, 6]),
    "never none": (Limiter(first=2), "++!!", [2, 2, 1, 1]),
    "refused alone": (Limiter(first=1), "+!+!", [1, 1, 1, 1]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    places, steps, limits = LIMITS[name]
    assert Calls(places).play(steps) == limits


def test_what_was_sent_before_the_last_two_refusals_says_nothing_new() -> None:
    calls = Calls(Limiter(first=20))
    assert calls.play("+" * 20 + "!" + "-" * 5)[-1] == 17  # of 19: 17.1, and a little up
    assert calls.play("+!")[-1] == 12  # of the 14 beside it
    assert calls.play("?")[-1] == 12  # sent when there were 20
    assert calls.play("--+!")[-1] == 9  # of the 11 beside it


def test_up_again_to_what_was_good_in_one_round() -> None:
    calls = Calls(Limiter(first=10))
    calls.play("+" * 10 + "!--")  # nine were good
    calls.play("+")
    rounds = [calls.play("-+")[-1] for _ in range(9)]
    assert 4 <= rounds.index(9) <= 7  # with the two before, about as many answers as there are places
    assert rounds[-1] == 9
    assert calls.play("-+" * 60)[-1] == 9  # and there it stays for a while


def test_one_more_than_was_good_after_twenty_rounds() -> None:
    calls = Calls(Limiter(first=2))
    calls.play("++!-+")  # one was good
    tried = next(number for number in range(1, 100) if calls.play("-+")[-1] == 2)
    assert 20 <= tried <= 32  # each of them a little less than a twentieth, as the limit grows


def test_a_place_is_good_unless_it_is_said_to_be_refused() -> None:
    places = Limiter(first=1)
    places.acquire().release()
    assert (places.limit, places.in_flight) == (2, 0)


def test_a_call_that_is_interrupted_while_it_waits_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Limiter(first=1)
    held = places.acquire()

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(limiter._Turn, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            places.acquire()
    held.release()
    assert places.in_flight == 0
    places.acquire().release()


def test_places_that_come_free_go_to_all_who_wait() -> None:
    places = Limiter(first=1)
    held = places.acquire()
    threads = [threading.Thread(target=lambda: places.acquire().release()) for _ in range(3)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(places._waiting) <= number:
            time.sleep(0.001)
    held.release()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert places.in_flight == 0


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


async def test_tasks_that_wait_although_nothing_moves_go_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(limiter, "time", clock)
    monkeypatch.setattr(limiter, "_STUCK", 1 / 64)  # of the event loop's time; the limiter's own stands
    places = Limiter(first=2)
    lost = [await places.aacquire(), await places.aacquire()]
    waiting = [asyncio.create_task(places.aacquire()) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert [task.done() for task in waiting] == [False] * 3  # no time has passed
    clock.now += 1 / 128
    await asyncio.sleep(0.1)
    assert [task.done() for task in waiting] == [False] * 3
    clock.now += 1 / 128
    await asyncio.wait_for(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED), 60)
    await asyncio.sleep(0.1)
    went = [task for task in waiting if task.done()]
    assert len(went) == places.in_flight == 2  # the clock stands again: their places count
    for place in (*lost, *(task.result() for task in went)):
        place.release()
    (last,) = set(waiting) - set(went)
    (await last).release()
    assert places.in_flight == 0


async def test_an_answer_shows_that_something_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(limiter, "time", clock)
    monkeypatch.setattr(limiter, "_STUCK", 1 / 64)
    places = Limiter(1)
    first = await places.aacquire()
    clock.now += 5
    first.release()
    second = await places.aacquire()
    waiting = asyncio.create_task(places.aacquire())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    second.release()
    (await waiting).release()
    assert places.in_flight == 0


async def test_a_place_that_a_cancelled_task_had_goes_to_the_next() -> None:
    places = Limiter(1)
    first = await places.aacquire()
    cancelled, next_ = (asyncio.create_task(places.aacquire()) for _ in range(2))
    await asyncio.sleep(0)
    first.release()  # to the first that waits
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    (await asyncio.wait_for(next_, 60)).release()
    assert places.in_flight == 0


def test_a_task_of_a_loop_that_is_gone_gives_nothing_back() -> None:
    places = Limiter(1)
    first = places.acquire()
    loop = asyncio.new_event_loop()
    waiting = places.aacquire()
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the point
    loop.close()
    first.release()
    del task
    waiting.close()
    assert places.in_flight == 0
