"""What LangChain says of a run, as the labels of a record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackManager, BaseRunManager, CallbackManager
from langchain_support import EVERY_WAY, Make

from wandb_inference import CallRecord, Labels
from wandb_inference.langchain.labels import awithin, begin, begun, to_labels, within

RUN = UUID(int=7)


def a_run(tags: list[str], metadata: dict[str, Any]) -> BaseRunManager:
    return BaseRunManager(run_id=RUN, handlers=[], inheritable_handlers=[], tags=tags, metadata=metadata)


RUNS: dict[str, tuple[list[str], dict[str, Any], Labels]] = {
    # name: (tags, metadata, labels beside the run's id)
    "nothing": ([], {}, Labels()),
    "a session": ([], {"session_id": "s", "thread_id": "t", "conversation_id": "c"}, Labels("s")),
    "LangGraph's thread": ([], {"session_id": None, "thread_id": 5, "conversation_id": "c"}, Labels("5")),
    "a conversation": ([], {"conversation_id": "c"}, Labels("c")),
    "tags": (["draft", "rag"], {}, Labels(tags={"draft": "", "rag": ""})),
    "tags of frameworks": (
        ["seq:step:1", "map:key:a", "graph:step:1", "langsmith:hidden", "sequel"],
        {},
        Labels(tags={"sequel": ""}),
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_run(name: str) -> None:
    tags, metadata, labels = RUNS[name]
    expected = Labels(labels.session, labels.tags, str(RUN))
    assert to_labels(a_run(tags, metadata)) == expected
    for manager in (CallbackManager, AsyncCallbackManager):
        for told, own in (((tags, metadata), (None, None)), (([], {}), (tags, metadata))):
            config, run = begin(manager, {"tags": told[0], "metadata": told[1], "run_id": RUN}, (None, *own))
            assert to_labels(run) == expected
            assert config["run_id"] == RUN


def test_no_run() -> None:
    assert to_labels(None) is None


@EVERY_WAY
def test_every_way_tells_the_same(run: Any, make: Make) -> None:
    told: list[CallRecord] = []
    model = make(tags=["a"], metadata={"session_id": "model"}, on_record=told.append)
    config = {"tags": ["b"], "metadata": {"thread_id": "t"}, "run_id": RUN}
    run(model, "Hello", config=config)
    (record,) = told
    assert record.labels == Labels("model", {"a": "", "b": ""}, str(RUN))


SOME = a_run([], {})


def test_the_call_of_a_stream_is_of_its_run_and_nothing_else_is() -> None:
    seen: list[BaseRunManager | None] = []

    def chunks() -> Iterator[int]:
        for number in range(3):
            seen.append(begun())
            yield number

    assert list(within(SOME, chunks())) == [0, 1, 2]
    assert seen == [SOME, None, None]
    assert list(within(SOME, iter(()))) == []
    assert begun() is None


async def test_the_same_of_tasks() -> None:
    seen: list[BaseRunManager | None] = []
    closed: list[bool] = []

    async def chunks(most: int) -> AsyncIterator[int]:
        try:
            for number in range(most):
                seen.append(begun())
                yield number
        finally:
            closed.append(True)

    assert [chunk async for chunk in awithin(SOME, chunks(3))] == [0, 1, 2]
    assert seen == [SOME, None, None]
    assert [chunk async for chunk in awithin(SOME, chunks(0))] == []
    given_up = awithin(SOME, chunks(3))
    await anext(given_up)
    await given_up.aclose()
    assert closed == [True] * 3
    assert begun() is None
