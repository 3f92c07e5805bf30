"""What can be counted of the work that a call makes: a lost optimisation fails here, on any machine."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from support import KEY, MODEL, ask, calls_of, kept_server, raw_server, sse, whole

from wandb_inference import ChatRequest, Client
from wandb_inference.client import _BaseClient
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference

BODY = b'{"id":"1","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
encoder: Any = import_module("wandb_inference._wire.encode")  # a function of that name hides it
HEAD = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}


def answer(deltas: int) -> bytes:
    texts = [{"index": 0, "delta": {"content": f"word{n} "}} for n in range(deltas)]
    end: dict[str, Any] = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return sse(*({**HEAD, "choices": [choice]} for choice in texts), end)


class Counter:
    """Counts calls of a function that it stands for."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **kwargs)


def count(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Counter:
    counter = Counter(getattr(owner, name))
    monkeypatch.setattr(owner, name, counter)
    return counter


def streaming(deltas: int, *, coalesce: bool) -> int:
    """The calls of one stream through LangChain."""
    with raw_server(answer(1), answer(deltas)) as url:
        model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, coalesce=coalesce)
        [chunk for chunk in model.stream("warm")]  # noqa: C416 (read, and nothing else)
        return calls_of(lambda: [chunk for chunk in model.stream("Hello")])  # noqa: C416


@pytest.mark.usefixtures("over")
def test_calls_share_a_connection() -> None:
    with kept_server(whole(BODY)) as server:
        models = [ChatWandbInference(model=MODEL, base_url=server.url, api_key=KEY) for _ in range(2)]
        for n in range(10):
            models[n % 2].invoke(f"Hello {n}")
        list(models[0].stream("Hello"))
        assert (len(server.requests), server.connections) == (11, 1)

        async def together() -> None:
            for n in range(5):
                await asyncio.gather(models[0].ainvoke(f"Hello {n}"), models[1].ainvoke("Hello"))

        asyncio.run(together())
        assert (len(server.requests), server.connections) == (21, 3)


def test_json_is_written_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(whole(BODY)) as url, Client(base_url=url, api_key=KEY) as client:
        written = Counter(encoder._JSON.encode)
        monkeypatch.setattr(encoder, "_JSON", SimpleNamespace(encode=written))
        dumped, read = count(monkeypatch, json, "dumps"), count(monkeypatch, json, "loads")
        assert client.chat(ask("Hello")).text == "Hi"
    assert (written.calls, dumped.calls, read.calls) == (1, 0, 1)


def test_an_event_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(answer(500)) as url, Client(base_url=url, api_key=KEY) as client:
        read = count(monkeypatch, json, "loads")
        events = list(client.stream(ask("Hello")))
    assert (read.calls, len(events)) == (501, 502)  # the finish; start, deltas, end


def test_what_does_not_change_is_made_once(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ChatWandbInference(model=MODEL, base_url=emulator.url, api_key=KEY)
    made = count(monkeypatch, _BaseClient, "__init__")
    for _ in range(5):
        model.invoke("Hello")
    assert made.calls == 0


DELTAS = [
    # transport, coalesce, calls at most
    ("httpx", True, 155),
    ("httpx", False, 250),
    ("fast", True, 75),
    ("fast", False, 170),
]


@pytest.mark.parametrize(("transport", "coalesce", "most"), DELTAS)
def test_the_work_for_a_delta(transport: str, coalesce: bool, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_INFERENCE_TRANSPORT", transport)
    few, many, more = (streaming(deltas, coalesce=coalesce) for deltas in (500, 1500, 2500))
    first, second = (many - few) / 1000, (more - many) / 1000
    assert second == pytest.approx(first, rel=0.2)  # flat: no delta pays for those before it
    assert second < most


@pytest.mark.usefixtures("over")
def test_the_memory_for_a_delta() -> None:
    def peak(deltas: int) -> int:
        with raw_server(answer(1), answer(deltas)) as url:
            model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY)
            list(model.stream("warm"))
            tracemalloc.start()
            try:
                for _ in model.stream("Hello"):
                    pass
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    few, many = peak(1000), peak(5000)
    assert (many - few) / 4000 < 600  # what arrived is kept, for the error that a cut stream ends with; bytes


def test_the_work_for_a_call(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_INFERENCE_TRANSPORT", "fast")
    model = ChatWandbInference(model=MODEL, base_url=emulator.url, api_key=KEY)
    model.invoke("Hello")
    work = [calls_of(lambda: model.invoke("Hello")) for _ in range(3)]
    assert min(work) < 1300  # a third of them langchain-core's own, and more of them with its floor


def test_a_chunk_is_validated_by_nobody_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(answer(1), answer(1000)) as url:
        model = ChatWandbInference(model=MODEL, base_url=url, api_key=KEY, coalesce=False)
        list(model.stream("warm"))
        built: list[type] = []
        original = BaseModel.__init__

        def init(self: BaseModel, /, **data: Any) -> None:
            built.append(type(self))
            original(self, **data)

        monkeypatch.setattr(BaseModel, "__init__", init)
        chunks = list(model.stream("Hello"))
    assert len(built) <= 2 * len(chunks) + 20


def test_the_work_for_a_message(emulator: Emulator) -> None:
    with Client(base_url=emulator.url, api_key=KEY) as client:

        def prepared(messages: int) -> int:
            turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(messages)]
            return calls_of(lambda: client.prepare(ChatRequest(MODEL, turns)))

        prepared(10)
        few, many, more = (prepared(messages) for messages in (100, 1100, 2100))
    assert (more - many) / 1000 == pytest.approx((many - few) / 1000, rel=0.1)
    assert (more - many) / 1000 < 60
