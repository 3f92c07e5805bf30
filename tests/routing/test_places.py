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
        ``^``: the newest is accepted, and goes on. ``*``: so are all that nobody has refused for a while.
        """
        limits = []
        for step in steps:
            if step == "+":
                self.held.append(self.places.acquire())
            elif step == "^":
                self.held[-1].accepted()
            elif step == "*":
                for place in self.held:
                    self.places._accept(place._turn)
            else:
                self.held.pop(-1 if step == "!" else 0).release(refused=step != "-")
            limits.append(self.places.limit)
        assert self.places.in_flight == len(self.held)
        return limits


LIMITS: dict[str, tuple[Limiter, str, list[int]]] = {
    # name: (limiter, steps, places after each)
    "nobody is waiting": (Limiter(first=4), "++--", [4, 4, 4, 4]),
    "all are taken": (Limiter(first=2), "++--", [2, 2, 2, 2]),
    "twice as many as were answered together": (Limiter(first=2), "++-+-+++-", [2, 2, 2, 2, 4, 4, 4, 4, 4]),
    "a ceiling": (Limiter(3, first=2), "++-+-++-", [2, 2, 2, 2, 3, 3, 3, 3]),
    "a ceiling below the beginning": (Limiter(1), "+-+-", [1, 1, 1, 1]),
    # Of ten, nine were taken: it goes back to nine tenths of nine.
    "refused": (Limiter(first=10), "++++++++++!", [10] * 10 + [8]),
    "refused where not all were taken": (Limiter(first=10), "+++++!", [10] * 5 + [3]),
    # The nine that are in flight were sent before anybody knew: each that is refused was one too many.
    "a burst": (Limiter(first=10), "++++++++++!!!", [10] * 10 + [8, 7, 6]),
    "never none": (Limiter(first=2), "++!!", [2, 2, 1, 1]),
    "refused alone": (Limiter(first=1), "+!+!", [1, 1, 1, 1]),
    "twice as many as were accepted": (Limiter(first=2), "++^", [2, 2, 4]),
    "accepted once": (Limiter(first=2), "++^^--", [2, 2, 4, 4, 4, 4]),
    "accepted alone": (Limiter(first=2), "+^", [2, 2]),
    "twice as many in each round": (Limiter(first=2), "++*++*++++*", [2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 16]),
    "accepted up to a ceiling": (Limiter(3, first=2), "++*", [2, 2, 3]),
    "no more is known of those within what was good": (Limiter(first=4), "++++!^*", [4, 4, 4, 4, 2, 2, 2]),
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


def test_one_more_than_was_good_after_forty_answers() -> None:
    calls = Calls(Limiter(first=2))
    calls.play("++!-+")  # one was good
    tried = next(number for number in range(1, 100) if calls.play("-+")[-1] == 2)
    assert tried == 40


def test_more_than_was_good_is_felt_for_faster_and_faster() -> None:
    calls = Calls(Limiter(first=2))
    calls.play("++!-+")  # one was good
    while calls.play("-+")[-1] < 2:
        pass
    assert calls.play("+^")[-1] == 2  # a call that just ended may have made room for it
    assert calls.play("*")[-1] == 3  # nobody refused it: one more than that
    assert calls.play("+*")[-1] == 5
    assert calls.play("++*")[-1] == 9
    assert calls.play("!")[-1] == 3  # of the four beside it


def test_what_was_sent_before_a_refusal_says_nothing_of_what_is_good() -> None:
    calls = Calls(Limiter(first=4))
    calls.play("++++!")
    calls.play("-" * 3 + "+" * 2)
    before = calls.places.limit
    assert calls.play("*")[-1] == before


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
