"""What LangChain says of a run, as labels of the call's record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackManager, BaseRunManager, CallbackManager, Callbacks
from langchain_core.runnables.config import RunnableConfig, ensure_config
from langchain_core.utils.uuid import uuid7

from wandb_inference.accounting import Labels

ChunkT = TypeVar("ChunkT")
_SESSIONS = ("session_id", "thread_id", "conversation_id")  # thread_id: LangGraph's
_INNER = ("seq:", "map:", "graph:", "langsmith:")  # tags that frameworks set for themselves


def to_labels(run: BaseRunManager | None) -> Labels | None:
    """Return the session, the tags and the id of a run.

    The session is ``session_id``, ``thread_id`` or ``conversation_id`` of its metadata.
    """
    if run is None:
        return None
    session = next((run.metadata[name] for name in _SESSIONS if run.metadata.get(name)), None)
    return Labels.of(session, [tag for tag in run.tags if not tag.startswith(_INNER)], parent=run.run_id)


_BEGUN: ContextVar[BaseRunManager | None] = ContextVar("wandb_inference_langchain_run", default=None)


def begun() -> BaseRunManager | None:
    """Return the run of the plain stream that begins: langchain-core hands its call none."""
    return _BEGUN.get()


def begin(
    manager: type[CallbackManager | AsyncCallbackManager],
    config: RunnableConfig | None,
    of_model: tuple[Callbacks, list[str] | None, dict[str, Any] | None],
) -> tuple[RunnableConfig, BaseRunManager]:
    """Return the configuration of a plain stream with its run decided, and that run.

    Args:
        manager: the one that langchain-core takes for this stream.
        config: as the caller gave it.
        of_model: the model's own callbacks, tags and metadata.
    """
    whole = ensure_config(config)
    callbacks, tags, metadata = of_model
    managed = manager.configure(
        whole.get("callbacks"),
        callbacks,
        inheritable_tags=whole["tags"],
        local_tags=tags,
        inheritable_metadata=whole["metadata"],
        local_metadata=metadata,
    )
    run_id = whole.get("run_id") or uuid7()
    handlers = managed.handlers
    run = BaseRunManager(
        run_id=run_id, handlers=handlers, inheritable_handlers=[], tags=managed.tags, metadata=managed.metadata
    )
    return {**whole, "callbacks": managed, "run_id": run_id}, run


@contextmanager
def _beginning(run: BaseRunManager) -> Iterator[None]:
    token = _BEGUN.set(run)
    try:
        yield
    finally:
        with suppress(ValueError):  # collected elsewhere than it was begun
            _BEGUN.reset(token)


def within(run: BaseRunManager, chunks: Iterator[ChunkT]) -> Iterator[ChunkT]:
    """Yield the chunks of a stream whose call is part of this run; the call is made with the first one."""
    with _beginning(run):
        first = next(chunks, None)
    if first is not None:
        yield first
        yield from chunks


async def awithin(run: BaseRunManager, chunks: AsyncIterator[ChunkT]) -> AsyncGenerator[ChunkT, None]:
    """Yield the chunks of a stream whose call is part of this run."""
    async with aclosing(chunks):  # type: ignore[type-var]  # core's are generators
        with _beginning(run):
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
