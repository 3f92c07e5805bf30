"""How the models of a service have answered lately: who needs a pause, how fast they begin, how long they speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock

_WEIGHT = 0.2  # of the newest value in a moving average
_FAILURES = 3  # in a row, before a model is left alone
_PAUSE = 30.0  # seconds, where the service names none
_NOT_SERVED_PAUSE = 600.0  # after a 404
_LONGEST_PAUSE = 900.0  # whatever the service asks for: it may be mistaken
_KEPT = 10_000  # conversations whose model is remembered


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """What is known of one model at one moment."""

    cooling: float = 0.0
    """Seconds until it may be asked again; 0: now."""
    half_open: bool = False
    """Whether its pause is over and nothing has succeeded since: one call at a time finds out."""
    first_token: float | None = None
    """Seconds to the first event of a stream, on average; ``None``: not measured."""
    error_rate: float = 0.0
    """From 0 to 1, on average."""
    answer_tokens: float | None = None
    """Tokens of its answers, on average."""
    answers: int = 0
    """That this average is of."""


@dataclass(slots=True)
class _State:
    paused_until: float = 0.0
    probing_until: float = 0.0
    failures: int = 0
    known: ModelHealth = ModelHealth()


class Health:
    """Remembers how calls went; thread-safe, and shared by all clients of a process that talk to the same service.

    Times are seconds of one clock, given with each call.
    """

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        self._lock = Lock()
        self._conversations: dict[str, tuple[str, int]] = {}

    def view(self, now: float) -> Mapping[str, ModelHealth]:
        """Return what is known of every model that was asked."""
        with self._lock:
            return {model: _seen(state, now) for model, state in self._states.items()}

    def probe(self, model: str, now: float, seconds: float = _PAUSE) -> None:
        """Take note that a call is under way; to a model whose pause has just ended, it is the only one for a while."""
        with self._lock:
            state = self._states.get(model)
            if state is not None and state.failures and state.paused_until:
                state.probing_until = now + seconds

    def succeeded(self, model: str, *, first_token: float | None = None, answer_tokens: int | None = None) -> None:
        """Take note of an answer."""
        with self._lock:
            state = self._states.setdefault(model, _State())
            state.failures, state.paused_until, state.probing_until = 0, 0.0, 0.0
            old = state.known
            state.known = replace(
                old,
                first_token=_average(old.first_token, first_token),
                answer_tokens=_average(old.answer_tokens, answer_tokens),
                answers=old.answers + (answer_tokens is not None),
                error_rate=old.error_rate * (1 - _WEIGHT),
            )

    def failed(self, model: str, now: float, *, retry_after: float | None = None, gone: bool = False) -> None:
        """Take note of a failure of the service or the network.

        Args:
            model: that was asked.
            now: seconds.
            retry_after: the pause that the service asked for.
            gone: the service does not know the model (any more).
        """
        with self._lock:
            state = self._states.setdefault(model, _State())
            probed = state.probing_until > 0
            state.failures, state.probing_until = state.failures + 1, 0.0
            state.known = replace(state.known, error_rate=state.known.error_rate * (1 - _WEIGHT) + _WEIGHT)
            pause = retry_after
            if gone:
                pause = _NOT_SERVED_PAUSE
            elif pause is None and (probed or state.failures >= _FAILURES):
                pause = _PAUSE
            if pause:
                pause = min(pause, _LONGEST_PAUSE)
                state.paused_until = max(state.paused_until, now + pause)

    def conversation(self, key: str) -> tuple[str, int] | None:
        """Return the model that a conversation is with, and the tokens of its latest prompt."""
        return self._conversations.get(key)

    def converse(self, key: str, model: str, prompt_tokens: int) -> None:
        """Remember the model that a conversation is with."""
        with self._lock:
            self._conversations.pop(key, None)
            self._conversations[key] = model, prompt_tokens
            if len(self._conversations) > _KEPT:
                del self._conversations[next(iter(self._conversations))]


def _seen(state: _State, now: float) -> ModelHealth:
    cooling = max(state.paused_until - now, state.probing_until - now, 0.0)
    return replace(state.known, cooling=cooling, half_open=bool(state.paused_until) and not cooling)


def _average(old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return new if old is None else old
    return old + _WEIGHT * (new - old)
