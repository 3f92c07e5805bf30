"""Places at a model: fair, cancellable, for threads and tasks, and close to what the service takes."""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from wandb_inference import AsyncClient, ChatRequest, Client, ConfigurationError
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


def test_whoever_waits_for_ever_goes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stream that is held open while its reader makes another call, with one place for both.
    monkeypatch.setattr(limiter, "_STUCK", 0.05)
    places = Limiter(1)
    held = places.acquire()
    nested = places.acquire()
    assert places.in_flight == 1  # the place that is held counts no more
    nested.release()
    held.release()
    assert places.in_flight == 0


def test_places_that_are_lost_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter, "_STUCK", 0.05)
    places = Limiter(2)
    lost = [places.acquire(), places.acquire()]  # with an event loop that stopped, or a process that forked
    for _ in range(20):
        places.acquire().release()
    assert places._round == 1  # only the first of them waited until counting began anew
    assert len(lost) == 2


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


@pytest.mark.parametrize("allowed", [1, 3, 8, 30])
@pytest.mark.parametrize("seed", range(5))
def test_a_swarm_stays_near_what_the_service_takes(allowed: int, seed: int) -> None:
    """Simulated in steps of time, without any: 100 agents, calls of about a second, refusals at once."""
    draw = random.Random(seed)
    places, inside, refused, done, now = Limiter(), 0, 0, 0, 0.0
    ends: list[tuple[float, int, limiter.Place, bool]] = []
    waiting = [places._queue(None) for _ in range(100)]
    number = 0
    while done < 3000:
        granted = [turn for turn in waiting if turn.granted]
        draw.shuffle(granted)  # they arrive in another order than they left
        for turn in granted:
            waiting.remove(turn)
            number += 1
            good = inside < allowed
            inside += good
            refused += not good
            lasts = draw.uniform(0.8, 1.2) if good else 0.01
            heapq.heappush(ends, (now + lasts, number, limiter.Place(places, turn), good))
        now, _, place, good = heapq.heappop(ends)
        inside -= good
        done += good
        place.release(refused=not good)
        waiting.append(places._queue(None))
    assert refused / (done + refused) < 0.05
    assert done / now > 0.85 * allowed  # calls last a second: that many a second are the most


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
