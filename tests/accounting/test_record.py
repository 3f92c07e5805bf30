"""Every call has a record, whatever its end."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import KEY, MODEL, ask, raw_server, sse

from wandb_inference import (
    AsyncClient,
    Budget,
    CallRecord,
    ChatOptions,
    ChatRequest,
    Client,
    InferenceError,
    Labels,
    Policy,
    StreamInterruptedError,
    labels,
    price,
)
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import COLUMNS, CONTENT
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse

GLM = "zai-org/GLM-5.2"


@pytest.fixture
def seen() -> Iterator[list[CallRecord]]:
    records: list[CallRecord] = []
    observer = Listener(records.append)
    OBSERVERS.add(observer)
    yield records
    OBSERVERS.remove(observer)


class Listener:
    def __init__(self, hear: Callable[[CallRecord], object]) -> None:
        self.hear = hear

    def begin(self) -> int:
        return 7

    def end(self, record: CallRecord, secrets: tuple[str, ...], begun: Any, *, in_destructor: bool) -> None:
        assert (secrets, begun) == ((KEY,), 7)
        self.hear(record)


def chat(client: Client, request: ChatRequest) -> None:
    client.chat(request)


def stream(client: Client, request: ChatRequest) -> None:
    with client.stream(request) as events:
        for _ in events:
            pass


def closed(client: Client, request: ChatRequest) -> None:
    with client.stream(request) as events:
        for _ in range(3):
            next(events)


def abandoned(client: Client, request: ChatRequest) -> None:
    events = client.stream(request)
    for _ in range(3):
        next(events)
    del events
    gc.collect()


def interrupted(client: Client, request: ChatRequest) -> None:
    """As Ctrl-C while the answer is awaited."""

    def send(_: Any) -> Any:
        raise KeyboardInterrupt

    client._send = send  # type: ignore[method-assign, assignment]
    with suppress(KeyboardInterrupt):
        client.chat(request)


LONG = Fault("stall", after=4)
ENDS: dict[str, tuple[Callable[[Client, ChatRequest], None], tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    # name: (how, script, options, columns)
    "answered": (chat, (Reply("Hi"),), {}, {"status": "ok", "content": "Hi", "n_attempts": 1, "http_status": 200}),
    "streamed": (stream, (Reply("Hi"),), {}, {"status": "ok", "content": "Hi", "stream": True}),
    "called": (
        chat,
        (Reply(tool_calls=(ToolUse("f", {"a": 1}),)),),
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"status": "ok", "finish_reason": "tool_calls", "tool_names": ["f"]},
    ),
    "refused before": (
        chat,
        (),
        {"max_tokens": 10**9},
        {"status": "error", "error_type": "RequestReviewError", "n_attempts": 0, "http_status": None, "content": None},
    ),
    "refused": (
        chat,
        (Fault(status=400),),
        {},
        {"status": "error", "error_type": "BadRequestError", "http_status": 400, "retryable": False, "cost_usd": None},
    ),
    "tried again": (
        chat,
        (Fault(status=503), Fault(status=503), Reply("Hi")),
        {},
        {"status": "ok", "n_attempts": 3, "content": "Hi"},
    ),
    "failed after all tries": (
        chat,
        (Fault(status=503),) * 3,
        {},
        {"status": "error", "n_attempts": 3, "error_type": "OverloadedError", "retryable": True},
    ),
    "refused a stream": (stream, (Fault(status=401),), {}, {"status": "error", "http_status": 401, "stream": True}),
    "cut": (
        stream,
        (Fault("cut", after=3),),
        {},
        {"status": "partial", "error_type": "StreamInterruptedError", "finish_reason": None, "cost_usd": None},
    ),
    "closed": (closed, (LONG,), {}, {"status": "cancelled", "error_type": None, "cost_usd": None}),
    "abandoned": (abandoned, (LONG,), {}, {"status": "cancelled", "error_type": None}),
    "interrupted": (interrupted, (), {}, {"status": "cancelled", "error_type": None, "content": None}),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end(end: str, emulator: Emulator, seen: list[CallRecord]) -> None:
    way, script, options, columns = ENDS[end]
    emulator.script(*script)
    with Client(base_url=emulator.url, api_key=KEY) as client, suppress(InferenceError):
        way(client, ask("Say it.", **options))
    (record,) = seen
    row = record.to_dict()
    assert {name: row[name] for name in columns} == columns
    assert row["messages"] == [{"role": "user", "content": "Say it."}]
    assert row["model_requested"] == MODEL
    assert json.loads(json.dumps(row)) == row
    assert row["latency_s"] > 0
    if end in ("cut", "closed", "abandoned"):
        assert row["content"] or row["reasoning"]  # what had arrived


def test_async_ends(emulator: Emulator, seen: list[CallRecord]) -> None:
    emulator.script(Reply("Hi"), Fault(status=400), LONG, Fault("stall", after=0))

    async def run() -> None:
        async with AsyncClient(base_url=emulator.url, api_key=KEY) as client:
            await client.chat(ask("1"))
            with suppress(InferenceError):
                await client.chat(ask("2"))
            async with await client.stream(ask("3")) as events:
                await anext(events)
            task = asyncio.create_task(client.chat(ask("4")))
            while len(emulator.requests) < 4:  # noqa: ASYNC110 (the emulator lives in another thread)
                await asyncio.sleep(0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert [record.status for record in seen] == ["ok", "error", "cancelled", "cancelled"]
    assert [attempt.outcome for record in seen for attempt in record.attempts] == [
        *("ok", "BadRequestError", "closed", "cancelled")
    ]


FORMAT = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


def test_on_record_hears_of_cancelled_calls_and_of_bugs(emulator: Emulator) -> None:
    records: list[CallRecord] = []

    async def run() -> None:
        emulator.script(Fault("stall", after=0))
        async with AsyncClient(base_url=emulator.url, api_key=KEY, on_record=records.append) as client:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.chat(ask("1")), 0.5)

    asyncio.run(run())

    def send(_: Any) -> Any:
        raise TypeError("a bug of a transport")

    with Client(base_url=emulator.url, api_key=KEY, on_record=records.append) as client:
        client._send = send  # type: ignore[method-assign, assignment]
        with pytest.raises(TypeError, match="a bug"):
            client.chat(ask("2"))
    assert [(r.status, r.failure.type if r.failure else None) for r in records] == [
        ("cancelled", None),
        ("error", "TypeError"),
    ]


def test_a_coroutine_that_is_dropped_waits_for_no_lock(emulator: Emulator, seen: list[CallRecord]) -> None:
    told: list[CallRecord] = []
    client = AsyncClient(base_url=emulator.url, api_key=KEY, budget=Budget("1"), on_record=told.append)

    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            while True:
                yield

    async def send(_: Any) -> None:
        await Forever()

    client._send = send  # type: ignore[method-assign, assignment]

    async def run() -> None:
        coroutine = client.chat(ask("Hello"))
        coroutine.send(None)
        with client._core.budget._guard:  # type: ignore[union-attr]
            del coroutine  # as the garbage collector may, at any moment
            gc.collect()

    asyncio.run(run())
    assert [record.status for record in seen] == ["cancelled"]
    while not told:  # by a thread, a moment later
        time.sleep(0.01)
    assert told == seen


def test_the_row(emulator: Emulator, seen: list[CallRecord]) -> None:
    emulator.script(Reply("Bonjour", reasoning="hm"))
    request = ChatRequest(
        MODEL,
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        ChatOptions(
            temperature=0.5,
            stop=["x"],
            response_format=FORMAT,
        ),
    )
    with Client(base_url=emulator.url, api_key=KEY) as client, labels(session="s1", tags={"feature": "rag"}):
        answer = client.chat(request, budget=Budget("1"))
    row = seen[0].to_dict()
    assert list(row) == list(COLUMNS)
    for name, kind in COLUMNS.items():
        assert row[name] is None or type(row[name]) is kind or (kind is float and type(row[name]) is int), name
    assert answer.usage is not None
    cost = price(answer.usage, client.catalog.card(MODEL).price)
    assert cost is not None
    assert Decimal(str(row["cost_usd"])) == cost.total
    assert Decimal(str(row["budget_remaining_usd"])) == 1 - cost.total
    assert (row["prompt_tokens"], row["completion_tokens"]) == (answer.usage.input_tokens, answer.usage.output_tokens)
    assert (row["session_id"], row["tags"], row["entry"]) == ("s1", {"feature": "rag"}, "native")
    assert row["params"] == {"temperature": 0.5, "stop": ["x"]}
    assert (row["schema_name"], row["response_format_kind"]) == ("s", "json_schema")
    assert (row["content"], row["reasoning"], row["prompt_chars"]) == ("Bonjour", "hm", 5)
    assert row["request_id"] == answer.headers["x-request-id"]
    assert row["base_url_host"] == urlsplit(emulator.url).netloc
    assert row["cost_worst_case_usd"] > row["cost_usd"]
    assert KEY not in json.dumps(row)
    assert "Hello" not in repr(seen[0])
    assert "Bonjour" not in repr(seen[0])


def test_without_content_nothing_said_is_left(emulator: Emulator, seen: list[CallRecord]) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look_up", "description": "SAID", "parameters": {"type": "object"}},
    }
    emulator.script(
        Reply("SAID", reasoning="SAID", tool_calls=(ToolUse("look_up", {"x": "SAID"}),)),
        Fault(status=400, message="SAID"),
    )
    with Client(base_url=emulator.url, api_key=KEY) as client:
        for _ in range(2):
            with suppress(InferenceError):
                client.chat(ask("SAID", tools=[tool], stop=["SAID"], extra_body={"guided_regex": "SAID", "top_k": 3}))
    assert len(seen) == 2
    for record in seen:
        row = record.to_dict(content=False)
        assert "SAID" not in json.dumps(row)
        assert all(row[name] is None for name in CONTENT)
        assert (row["tool_names"], row["params"], row["prompt_chars"]) == (["look_up"], {"top_k": 3}, 4)


def test_what_was_said_stays_what_was_sent(emulator: Emulator, seen: list[CallRecord]) -> None:
    messages = [{"role": "user", "content": "first"}]
    with Client(base_url=emulator.url, api_key=KEY) as client:
        client.chat(ChatRequest(MODEL, messages))
        messages[0]["content"] = "changed"
        messages.append({"role": "user", "content": "second"})
    assert seen[0].to_dict()["messages"] == [{"role": "user", "content": "first"}]


def test_tokens_and_cost_are_those_of_all_attempts(emulator: Emulator, seen: list[CallRecord]) -> None:
    emulator.script(Reply(""), Reply("Enough"))
    policy = Policy(models=[MODEL, GLM], escalate=frozenset({"empty"}))
    with Client(base_url=emulator.url, api_key=KEY) as client:
        client.chat(ask("Hello", model="auto"), policy=policy)
    (record,) = seen
    row = record.to_dict()
    costs = [attempt.cost.total for attempt in record.attempts if attempt.cost]
    assert len(costs) == 2
    assert Decimal(str(row["cost_usd"])) == sum(costs)
    assert row["prompt_tokens"] == sum(a.usage.input_tokens for a in record.attempts if a.usage)
    assert (row["model_requested"], row["model_sent"], row["n_attempts"]) == ("auto", GLM, 2)
    assert row["route_candidates"] == {MODEL: [], GLM: []}


def test_times_add_up(emulator: Emulator, seen: list[CallRecord]) -> None:
    emulator.script(Fault(status=429, retry_after=0.2), Reply("Hi"))
    with Client(base_url=emulator.url, api_key=KEY) as client, client.stream(ask("Hello")) as events:
        list(events)
    row = seen[0].to_dict()
    assert row["retry_wait_s"] == 0.2
    assert row["retry_wait_s"] < row["ttft_s"] <= row["latency_s"]
    assert row["attempts"][0]["seconds"] < row["latency_s"] - 0.2
    assert row["tokens_per_s"] > 0


def test_a_stream_that_came_whole_is_recorded_whole(seen: list[CallRecord]) -> None:
    body = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"content":"Whole"},"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url, Client(base_url=url, api_key=KEY) as client:
        stream(client, ask("Hello"))
    assert seen[0].to_dict()["content"] == "Whole"


def test_an_observer_that_raises_ends_no_call(emulator: Emulator) -> None:
    def fail(_: CallRecord) -> None:
        raise RuntimeError("broken")

    broken = Listener(fail)
    OBSERVERS.add(broken)
    try:
        with Client(base_url=emulator.url, api_key=KEY) as client, pytest.warns(RuntimeWarning, match="broken"):
            assert client.chat(ask("Hello")).text == "You said: Hello"
    finally:
        OBSERVERS.remove(broken)


def test_a_stream_that_breaks_hands_its_error_and_its_record_the_same(seen: list[CallRecord]) -> None:
    chunk = {"id": "1", "model": MODEL, "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    answer = sse(chunk).replace(b"data: [DONE]\n\n", b"data: [D")  # cut
    with raw_server(answer) as url, Client(base_url=url, api_key=KEY) as client:
        events = client.stream(ask("Hi"))
        with pytest.raises(StreamInterruptedError) as caught:
            list(events)
    assert seen[0].status == "partial"
    assert seen[0].completion is not None
    assert seen[0].completion.text == "Hel"
    assert caught.value.route == seen[0].route


SHAPES: dict[str, Any] = {
    "no messages": None,
    "a text": "Hello",
    "no objects": ["Hello"],
    "a call that is none": [{"role": "assistant", "tool_calls": "f"}],
    "bytes": [{"role": "user", "content": b"Hello"}],
    "other keys": [{"role": "user", "content": [{1: 2, (3,): 4}]}],
    "half a character": [{"role": "user", "content": "\ud800"}],
}


@pytest.mark.parametrize("name", SHAPES)
def test_calls_of_no_shape_are_recorded_too(name: str, emulator: Emulator, seen: list[CallRecord]) -> None:
    with Client(base_url=emulator.url, api_key=KEY) as client, pytest.raises((InferenceError, TypeError, ValueError)):
        client.chat(ChatRequest(MODEL, SHAPES[name]))
    (record,) = seen
    assert (record.status, record.attempts) == ("error", ())
    row = record.to_dict()
    json.dumps(row)
    assert (row["model_requested"], row["n_attempts"]) == (MODEL, 0)
    assert not emulator.requests


def test_labels_of_blocks_and_of_calls_go_together(emulator: Emulator, seen: list[CallRecord]) -> None:
    with Client(base_url=emulator.url, api_key=KEY) as client, labels(session="a", tags=["x"]), labels(tags={"y": 1}):
        client.chat(ask("Hello"), labels=Labels.of("b", ["z"]))
        client.chat(ask("Hello"))
    assert [(r.labels.session, dict(r.labels.tags)) for r in seen] == [
        ("b", {"x": "", "y": "1", "z": ""}),
        ("a", {"x": "", "y": "1"}),
    ]
