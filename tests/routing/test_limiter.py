"""Places at a model: fair, cancellable, for threads and tasks, and close to what the service takes."""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from support import STREAMED, WHOLE, Run

from wandb_inference import AsyncClient, CallRecord, ChatRequest, Client, ConfigurationError, QueueTimeoutError
from wandb_inference.emulator import Emulator
from wandb_inference.routing import Limiter, Service, limiter

MODEL = "openai/gpt-oss-20b"
ASK = ChatRequest(MODEL, [{"role": "user", "content": "Hello"}])


def test_threads_are_served_in_the_order_they_came() -> None:
    places, served = Limiter(1), []
    first = places.acquire()

    def wait(number: int) -> None:
        place = places.acquire()
        served.append(number)
        place.release()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(places._waiting) <= number:
            time.sleep(0.001)
    first.release()
    for thread in threads:
        thread.join(60)
    assert served == [0, 1, 2, 3, 4]
    assert places.in_flight == 0


async def test_tasks_are_served_in_the_order_they_came_and_may_be_cancelled() -> None:
    places, served = Limiter(1), []
    first = await places.aacquire()

    async def wait(number: int) -> None:
        place = await places.aacquire()
        served.append(number)
        await asyncio.sleep(0)
        place.release()

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    first.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [0, 2, 3, 4]
    assert places.in_flight == 0


async def test_a_task_that_is_cancelled_while_it_is_served_gives_its_place_back() -> None:
    places = Limiter(1)
    first = await places.aacquire()
    task = asyncio.create_task(places.aacquire())
    await asyncio.sleep(0)
    first.release()  # grants, and wakes the task up at the next turn of the loop ...
    task.cancel()  # ... before which it is cancelled
    await asyncio.gather(task, return_exceptions=True)
    assert places.in_flight == 0


async def test_threads_and_tasks_share_places() -> None:
    places, most, now = Limiter(3), [0], [0]
    lock = threading.Lock()

    def enter(by: int) -> None:
        with lock:
            now[0] += by
            most[0] = max(most[0], now[0])

    def thread() -> None:
        place = places.acquire()
        enter(1)
        time.sleep(0.001)
        enter(-1)
        place.release()

    async def task() -> None:
        place = await places.aacquire()
        enter(1)
        await asyncio.sleep(0.001)
        enter(-1)
        place.release()

    with ThreadPoolExecutor(20) as pool:
        threads = [asyncio.wrap_future(pool.submit(thread)) for _ in range(60)]
        await asyncio.gather(*threads, *(task() for _ in range(60)))
    assert most == [3]
    assert places.in_flight == 0


def test_a_task_of_a_loop_that_is_gone_takes_no_place() -> None:
    places = Limiter(1)
    first = places.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(places.aacquire())
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the point
    loop.close()
    first.release()
    assert places.in_flight == 0
    places.acquire().release()


def test_a_place_is_given_back_once() -> None:
    places = Limiter(5)
    place = places.acquire()
    place.release()
    place.release()
    assert places.in_flight == 0


# Places that nobody uses


def test_a_stream_that_nobody_reads_lends_its_place_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # It is held open while its reader makes another call, or failed and kept its traceback.
    monkeypatch.setattr(limiter, "_IDLE", 0.05)
    places = Limiter(1)
    held = places.acquire()
    held.rests()
    other = places.acquire(60)
    assert places.in_flight == 1
    held.resumes()  # without waiting
    assert places.in_flight == 2
    other.release()
    assert places.in_flight == 1
    held.release()
    assert places.in_flight == 0


def test_a_stream_that_is_read_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_IDLE", 0.01)
    places = Limiter(1)
    held = places.acquire()
    held.rests()
    held.resumes()
    with pytest.raises(QueueTimeoutError, match=r"No place was free within 0\.3 s among the 1 calls"):
        places.acquire(0.3)
    held.rests()
    places.acquire(60).release()
    held.release()
    held.resumes()  # a generator that is closed late
    assert places.in_flight == 0


@pytest.mark.parametrize("closed", [False, True])
def test_a_loop_that_stands_still_keeps_no_places(closed: bool) -> None:
    places = Limiter(2)
    loop = asyncio.new_event_loop()
    kept = [loop.run_until_complete(places.aacquire()) for _ in range(2)]
    if closed:
        loop.close()
    for _ in range(5):
        places.acquire(60).release()
    for place in kept:
        place.release()
    assert places.in_flight == 0
    loop.close()


async def test_waiting_ends_in_time() -> None:
    places = Limiter(1)
    held = places.acquire()
    with pytest.raises(QueueTimeoutError, match=r"within 0\.01 s"):
        await places.aacquire(0.01)
    with pytest.raises(QueueTimeoutError, match=r"within 0\.01 s"):
        places.acquire(0.01)
    held.release()
    assert places.acquire(1e12)
    assert not places._waiting


@pytest.mark.parametrize("run", WHOLE + STREAMED)
def test_a_call_waits_no_longer_than_its_timeout(run: Run, emulator: Emulator) -> None:
    places = Service.of(emulator.url, None, emulator.api_key).places(MODEL, 1)
    held, told = places.acquire(), list[CallRecord]()
    with pytest.raises(QueueTimeoutError, match=r"No place was free within 0\.1 s"):
        run(ASK, base_url=emulator.url, api_key=emulator.api_key, max_concurrency=1, timeout=0.1, on_record=told.append)
    held.release()
    assert emulator.requests == ()
    assert [record.tries for record in told] == [0]
    assert Service.of(emulator.url, None, emulator.api_key).health.view(time.monotonic()) == {}


def test_two_watches_at_a_time_have_one_clock() -> None:
    before = threading.active_count()
    crowd = [Limiter(1) for _ in range(20)]
    held = [places.acquire() for places in crowd]
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(places.acquire) for places in crowd]
        time.sleep(0.1)
        clocks = [thread.name for thread in threading.enumerate() if thread.name == "wandb-inference-places"]
        for place in held:
            place.release()
        for each in waiting:
            each.result(60).release()
    assert clocks == ["wandb-inference-places"]
    for _ in range(600):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.mark.parametrize("most", [0, -1])
def test_a_ceiling_that_lets_nobody_in(most: int) -> None:
    with pytest.raises(ConfigurationError, match="lets no call out"):
        Client(base_url="http://127.0.0.1:9/v1", api_key="k", max_concurrency=most)


def test_a_destructor_never_waits_for_a_place() -> None:
    places, done = Limiter(5), threading.Event()
    place = places.acquire()

    def collect() -> None:
        with places._guard:  # a destructor may run here, in this very thread
            place.release()
        done.set()

    threading.Thread(target=collect, daemon=True).start()
    assert done.wait(60)
    assert places.in_flight == 0


# A service of which only its refusals tell, in steps of time, without any


class Simulated:
    """Agents that call one after another; calls of about a second, refusals after a round trip.

    Args:
        agents: how many.
        allowed: calls that the service takes at a time, by the seconds since the beginning.
        streamed: whether a call is known to be accepted when its headers come, or only when nobody refused it.
    """

    TRIP = 0.02

    def __init__(
        self, agents: int, allowed: Callable[[float], int], *, streamed: bool, seed: int, swing: float
    ) -> None:
        self.places, self.allowed, self.streamed = Limiter(), allowed, streamed
        self.draw, self.swing = random.Random(seed), swing
        self.now, self.number, self.inside = 0.0, 0, 0
        self.done: list[float] = []
        self.refused: list[float] = []
        self.begun: list[float] = []
        self.events: list[tuple[float, int, Callable[[], object]]] = []
        self.waiting = [self.places._queue(None) for _ in range(agents)]

    def later(self, seconds: float, event: Callable[[], object]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now + seconds, self.number, event))

    def run(self, until: float) -> None:
        self.later(limiter._TICK, self.tick)
        self.send()
        while self.events and self.now < until:
            self.now, _, event = heapq.heappop(self.events)
            event()
            self.send()

    def tick(self) -> None:
        self.places.look()
        self.later(limiter._TICK, self.tick)

    def send(self) -> None:
        granted = [turn for turn in self.waiting if turn.granted]
        self.draw.shuffle(granted)  # they arrive in another order than they left
        for turn in granted:
            self.waiting.remove(turn)
            self.later(self.draw.uniform(0.5, 1) * self.TRIP, partial(self.arrive, limiter.Place(self.places, turn)))

    def arrive(self, place: limiter.Place) -> None:
        if self.inside >= self.allowed(self.now):
            self.refused.append(self.now)
            self.later(self.TRIP / 2, partial(self.leave, place, refused=True))
            return
        self.inside += 1
        self.begun.append(self.now)
        if self.streamed:
            self.later(self.TRIP / 2, place.accepted)
        self.later(self.draw.uniform(1 - self.swing, 1 + self.swing), partial(self.end, place))

    def end(self, place: limiter.Place) -> None:
        self.inside -= 1
        self.done.append(self.now)
        self.later(self.TRIP / 2, partial(self.leave, place, refused=False))

    def leave(self, place: limiter.Place, *, refused: bool) -> None:
        place.release(refused=refused)
        self.waiting.append(self.places._queue(None))


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Simulated]:
    def made(agents: int, allowed: Callable[[float], int], *, streamed: bool, seed: int, swing: float) -> Simulated:
        found = Simulated.__new__(Simulated)
        found.now = 0.0
        monkeypatch.setattr(limiter, "time", SimpleNamespace(monotonic=lambda: found.now))
        monkeypatch.setattr(limiter, "_clock", Mock())
        found.__init__(agents, allowed, streamed=streamed, seed=seed, swing=swing)  # type: ignore[misc]  # with a clock
        return found

    return made


KINDS = pytest.mark.parametrize(("streamed", "swing"), [(True, 0.2), (False, 0.2), (True, 0.9), (False, 0.9)])
Simulate = Callable[..., Simulated]


@KINDS
@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 8, 30])
@pytest.mark.parametrize("seed", range(3))
def test_a_swarm_stays_near_what_the_service_takes(
    allowed: int, seed: int, streamed: bool, swing: float, simulated: Simulate
) -> None:
    crowd = simulated(100, lambda _: allowed, streamed=streamed, seed=seed, swing=swing)
    crowd.run(3000 / allowed)
    assert len(crowd.refused) / (len(crowd.done) + len(crowd.refused)) < 0.05
    assert len(crowd.done) / crowd.now > 0.85 * allowed  # calls last a second: that many a second are the most


@KINDS
@pytest.mark.parametrize("seed", range(3))
def test_a_limit_that_moves_is_found_again(seed: int, streamed: bool, swing: float, simulated: Simulate) -> None:
    crowd = simulated(100, lambda now: 64 if 50 <= now < 100 else 8, streamed=streamed, seed=seed, swing=swing)
    crowd.run(200)

    def rate(begin: float, end: float) -> float:
        return sum(begin <= time < end for time in crowd.done) / (end - begin)

    assert rate(60, 100) > 0.85 * 64  # ten answers' time after it moved up
    assert rate(110, 200) > 0.85 * 8
    refused = [time for time in crowd.refused if 60 <= time < 100 or time >= 110]
    assert len(refused) < 0.05 * (len(refused) + rate(60, 100) * 40 + rate(110, 200) * 90)


@KINDS
@pytest.mark.parametrize("agents", [64, 200, 1000])
def test_a_service_without_a_limit_makes_nobody_wait(
    agents: int, streamed: bool, swing: float, simulated: Simulate
) -> None:
    crowd = simulated(agents, lambda _: 10**6, streamed=streamed, seed=1, swing=swing)
    crowd.run(1.0)
    assert len(crowd.begun) >= agents
    last = sorted(crowd.begun)[agents - 1]
    assert last < (0.2 if streamed else 0.9)  # six round trips, or six moments, before all are under way


def test_clients_of_a_process_share_the_places_of_a_service() -> None:
    emulator = Emulator(max_in_flight=4, token_delay=0.002)
    with emulator as url:
        clients = [Client(base_url=url, api_key=emulator.api_key, max_retries=20) for _ in range(4)]
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda n: clients[n % 4].chat(ASK).text, range(200)))
        places = Service.of(url, None, emulator.api_key).places(MODEL)
    assert answers == ["You said: Hello"] * 200
    assert places.in_flight == 0
    assert places.limit < limiter.FIRST


async def test_a_stream_keeps_its_place_until_its_end(emulator: Emulator) -> None:
    async with AsyncClient(base_url=emulator.url, api_key=emulator.api_key, max_concurrency=1) as client:
        places = Service.of(emulator.url, None, emulator.api_key).places(MODEL, 1)
        stream = await client.stream(ASK)
        assert places.in_flight == 1
        async for _ in stream:
            pass
        assert places.in_flight == 0
        given_up = await client.stream(ASK)
        await anext(given_up)
        await given_up.aclose()
        assert places.in_flight == 0


@pytest.mark.parametrize("end", ["read", "close", "drop"])
def test_every_end_of_a_stream_gives_its_place_back(end: str, emulator: Emulator) -> None:
    with Client(base_url=emulator.url, api_key=emulator.api_key) as client:
        places = Service.of(emulator.url, None, emulator.api_key).places(MODEL)
        stream = client.stream(ASK)
        next(stream)
        assert places.in_flight == 1
        if end == "read":
            list(stream)
        elif end == "close":
            stream.close()
        else:
            del stream
        assert places.in_flight == 0
