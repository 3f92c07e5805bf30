"""What a process has learnt of one service: shared by all clients that talk to it with the same key and project."""

from __future__ import annotations

import hashlib
import os
from threading import Lock

from wandb_inference.routing import limiter
from wandb_inference.routing.health import Health
from wandb_inference.routing.limiter import Limiter


class Service:
    """How its models answered, and how many calls each of them takes at a time."""

    def __init__(self) -> None:
        self.health = Health()
        self._places: dict[tuple[str, int | None], Limiter] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, base_url: str, project: str | None, key: str) -> Service:
        """Return what is known of this service; its limits are those of a project and a user."""
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        with _LOCK:
            found = _KNOWN.get((base_url, project, digest))
            if found is None:
                found = _KNOWN[base_url, project, digest] = cls()
        return found

    def places(self, model: str, ceiling: int | None = None) -> Limiter:
        """Return where calls to this model queue up; ``ceiling``: places at most."""
        found = self._places.get((model, ceiling))
        if found is None:
            with self._lock:
                found = self._places.setdefault((model, ceiling), Limiter(ceiling))
        return found


def _forked() -> None:
    """Forget, in a new process, the calls that its parent has in flight."""
    limiter.forked()
    for service in _KNOWN.values():
        service._places.clear()  # noqa: SLF001 (its own)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_KNOWN: dict[tuple[str, str | None, bytes], Service] = {}
_LOCK = Lock()
