"""What LangChain says of a run, as the labels of a record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks.manager import CallbackManagerForLLMRun

from wandb_inference import Labels
from wandb_inference.accounting import current_labels
from wandb_inference.langchain.labels import alabelled, labelled, of_config, to_labels

RUN = UUID(int=7)


def run(tags: list[str], metadata: dict[str, Any]) -> CallbackManagerForLLMRun:
    return CallbackManagerForLLMRun(
        run_id=RUN, handlers=[], inheritable_handlers=[], tags=tags, inheritable_tags=[], metadata=metadata
    )


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
    assert to_labels(run(tags, metadata)) == Labels(labels.session, labels.tags, str(RUN))
    assert of_config({"tags": tags, "metadata": metadata}, None, None) == labels
    assert of_config(None, tags, metadata) == labels


def test_no_run() -> None:
    assert to_labels(None) is None


def test_a_configuration_counts_for_more_than_the_model() -> None:
    found = of_config({"tags": ["b"], "metadata": {"session_id": "own"}}, ["a"], {"session_id": "model"})
    assert found == Labels("own", {"a": "", "b": ""})


TOLD = Labels("s", {"draft": ""})


def test_the_call_of_a_stream_is_labelled_and_nothing_else_is() -> None:
    seen: list[Labels] = []

    def chunks() -> Iterator[int]:
        for number in range(3):
            seen.append(current_labels())
            yield number

    assert list(labelled(chunks(), TOLD)) == [0, 1, 2]
    assert seen == [TOLD, Labels(), Labels()]
    assert list(labelled(iter(()), TOLD)) == []
    assert current_labels() == Labels()


async def test_the_same_of_tasks() -> None:
    seen: list[Labels] = []
    closed: list[bool] = []

    async def chunks(most: int) -> AsyncIterator[int]:
        try:
            for number in range(most):
                seen.append(current_labels())
                yield number
        finally:
            closed.append(True)

    assert [chunk async for chunk in alabelled(chunks(3), TOLD)] == [0, 1, 2]
    assert seen == [TOLD, Labels(), Labels()]
    assert [chunk async for chunk in alabelled(chunks(0), TOLD)] == []
    given_up = alabelled(chunks(3), TOLD)
    await anext(given_up)
    await given_up.aclose()
    assert closed == [True] * 3
    assert current_labels() == Labels()
