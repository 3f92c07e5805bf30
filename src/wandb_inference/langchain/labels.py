"""What LangChain says of a run, as labels of the call's record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.runnables.config import RunnableConfig, ensure_config

from wandb_inference.accounting import Labels, labels

ChunkT = TypeVar("ChunkT")
_SESSIONS = ("session_id", "thread_id", "conversation_id")  # thread_id: LangGraph's
_INNER = ("seq:", "map:", "graph:", "langsmith:")  # tags that frameworks set for themselves


def to_labels(run: BaseRunManager | None) -> Labels | None:
    """Return the session, the tags and the id of a run.

    The session is ``session_id``, ``thread_id`` or ``conversation_id`` of its metadata.
    """
    return None if run is None else _labels(run.metadata, run.tags, run.run_id)


def of_config(config: RunnableConfig | None, tags: list[str] | None, metadata: Mapping[str, Any] | None) -> Labels:
    """Return the same of a configuration, and of what the model itself says."""
    whole = ensure_config(config)
    return _labels({**(metadata or {}), **whole["metadata"]}, [*(tags or ()), *whole["tags"]], None)


def _labels(metadata: Mapping[str, Any], tags: Iterable[str], parent: Any) -> Labels:
    session = next((metadata[name] for name in _SESSIONS if metadata.get(name)), None)
    return Labels.of(session, [tag for tag in tags if not tag.startswith(_INNER)], parent=parent)


def labelled(chunks: Iterator[ChunkT], told: Labels) -> Iterator[ChunkT]:
    """Yield the chunks of a stream whose call has these labels; the call is made with the first one."""
    with labels(session=told.session, tags=told.tags):
        first = next(chunks, None)
    if first is not None:
        yield first
        yield from chunks


async def alabelled(chunks: AsyncIterator[ChunkT], told: Labels) -> AsyncGenerator[ChunkT, None]:
    """Yield the chunks of a stream whose call has these labels."""
    async with aclosing(chunks):  # type: ignore[type-var]  # core's are generators
        with labels(session=told.session, tags=told.tags):
            first = await anext(chunks, None)
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk


def tell_tracers(run: BaseRunManager, model: str) -> None:
    """Have tracers name the model that answered: LangSmith and Weave go by a name that is set before the call."""
    for handler in run.handlers:
        traced = getattr(handler, "run_map", {}).get(str(run.run_id))
        if traced is not None and "ls_model_name" in (traced.extra or {}).get("metadata", {}):
            traced.extra["metadata"]["ls_model_name"] = model
