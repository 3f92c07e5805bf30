"""What LangChain says of a run, as labels of the call's record."""

from __future__ import annotations

from langchain_core.callbacks.manager import BaseRunManager

from wandb_inference.accounting import Labels

_SESSIONS = ("session_id", "thread_id", "conversation_id")  # thread_id: LangGraph's
_INNER = ("seq:", "map:", "graph:", "langsmith:")  # tags that frameworks set for themselves


def to_labels(run: BaseRunManager | None) -> Labels | None:
    """Return the session, the tags and the id of a run.

    The session is ``session_id``, ``thread_id`` or ``conversation_id`` of its metadata.
    """
    if run is None:
        return None
    session = next((run.metadata[name] for name in _SESSIONS if run.metadata.get(name)), None)
    tags = [tag for tag in run.tags if not tag.startswith(_INNER)]
    return Labels.of(session, tags, parent=run.run_id)
