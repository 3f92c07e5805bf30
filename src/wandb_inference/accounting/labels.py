"""What callers call their calls: a session, tags, and whose part they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Labels:
    """What records and totals are grouped by; none of it is sent."""

    session: str | None = None
    """A conversation, or whatever belongs together."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Names and values; a tag that is only a name has the value ``""``."""
    parent: str | None = None
    """The host's own id of this call, such as LangChain's ``run_id``."""
    trace: str | None = None
    """The host's id of the whole that this call is part of."""

    @classmethod
    def of(
        cls, session: Any = None, tags: Mapping[str, Any] | Iterable[Any] = (), parent: Any = None, trace: Any = None
    ) -> Labels:
        """Return labels as texts; ``tags``: names and values, or names alone.

        >>> Labels.of(7, ["draft", "rag"]).tags
        {'draft': '', 'rag': ''}
        """
        tags = [tags] if isinstance(tags, str) else tags
        named = dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags, "")
        texts = [None if value in (None, "") else str(value) for value in (session, parent, trace)]
        return cls(texts[0], {str(name): str(value) for name, value in named.items()}, texts[1], texts[2])

    def over(self, other: Labels) -> Labels:
        """Return both together; where both say something, this one counts."""
        if other == _NONE:
            return self
        return Labels(
            self.session or other.session,
            {**other.tags, **self.tags},
            self.parent or other.parent,
            self.trace or other.trace,
        )


_NONE = Labels()
_CURRENT: ContextVar[Labels] = ContextVar("wandb_inference_labels", default=_NONE)


def current_labels() -> Labels:
    """Return what the blocks around say."""
    return _CURRENT.get()


@contextmanager
def labels(
    *, session: str | None = None, tags: Mapping[str, Any] | Iterable[str] = (), trace: str | None = None
) -> Iterator[None]:
    """Label every call that is made inside the block, also by other tasks and threads that inherit its context.

    Blocks add to those around them. Threads of one's own inherit nothing (``contextvars.copy_context().run`` does).

    >>> with labels(session="s1", tags={"feature": "rag"}), labels(tags=["draft"]):
    ...     print(current_labels().tags)
    {'feature': 'rag', 'draft': ''}
    """
    token = _CURRENT.set(Labels.of(session, tags, trace=trace).over(_CURRENT.get()))
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator that is closed elsewhere than it was begun
            _CURRENT.reset(token)
