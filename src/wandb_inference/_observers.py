"""Who is told of every call of this process, whichever door it came through."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from threading import Lock
from typing import Any, Protocol

from wandb_inference.accounting import CallRecord


class Observer(Protocol):
    """Who is told. It must not wait for anything: destructors tell it, too."""

    def begin(self) -> Any:
        """A call begins, in this very context; return what its end is to be told with."""
        ...

    def end(self, record: CallRecord, secrets: tuple[str, ...], begun: Any, *, in_destructor: bool) -> None:
        """A call has ended.

        Args:
            record: of it.
            secrets: the keys that were sent.
            begun: what ``begin`` returned; ``None`` for a call that had begun before.
            in_destructor: whether the garbage collector tells.
        """
        ...


class Observers:
    """Those who are told. Telling takes no lock."""

    def __init__(self) -> None:
        self._lock, self._all = Lock(), ()  # type: tuple[Lock, tuple[Observer, ...]]

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, observer: Observer) -> None:
        """Tell this one, too."""
        with self._lock:
            self._all = (*self._all, observer)

    def remove(self, observer: Observer) -> None:
        """Tell this one no more."""
        with self._lock:
            self._all = tuple(each for each in self._all if each != observer)

    def exchange(self, old: Observer, new: Observer) -> None:
        """Put one in another's place, in a process that was forked a moment ago.

        It has one thread, but may have a lock that a thread of its parent held.
        """
        self._lock = Lock()
        self._all = tuple(new if each == old else each for each in self._all)

    def begin(self) -> Mapping[int, Any]:
        """Tell all of them that a call begins; return what they want to be told with at its end."""
        return {id(observer): observer.begin() for observer in self._all}

    def end(
        self, record: CallRecord, secrets: tuple[str, ...], begun: Mapping[int, Any], *, in_destructor: bool = False
    ) -> None:
        """Tell all of them; what one of them raises ends no call."""
        for observer in self._all:
            try:
                observer.end(record, secrets, begun.get(id(observer)), in_destructor=in_destructor)
            except Exception as e:  # noqa: BLE001 (an answer that was paid for is not lost for its record)
                warnings.warn(f"A record was not taken: {type(e).__name__}: {e}", RuntimeWarning, stacklevel=2)


OBSERVERS = Observers()
"""Of this process."""
