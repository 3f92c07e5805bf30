"""One request and its retries, as steps that anyone can carry out: a sync driver, an async one, or a test.

``exchange`` decides; it never waits and never sends. Drivers obey: they carry out ``Send`` and ``Wait`` and hand back
what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from wandb_inference._wire import failure
from wandb_inference.errors import ConfigurationError, InferenceError, Reply, StatusError

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds. ``None`` waits for ever."""

    connect: float | None = 10.0
    """For a connection, and for a free place in the connection pool."""
    read: float | None = 600.0
    """For an answer that is not streamed; reasoning models can take minutes."""
    stall: float | None = 120.0
    """Between two events of a stream, the wait for the first one included. Keep-alives do not count as events."""

    @classmethod
    def of(cls, timeout: TimeoutTypes) -> Timeouts:
        """Return these timeouts, or one number for both ways to wait for an answer, or the defaults.

        ``(connect, read)`` and httpx's timeouts have both, too; what httpx says of writing and of its pool is its own.

        Raises:
            ConfigurationError: it is none of these.
        """
        if timeout is None:
            return cls()
        connect: Any = cls().connect
        read: Any = timeout
        if isinstance(timeout, tuple | list):
            connect, read = timeout[:2] if len(timeout) in (2, 4) else ("", "")
        elif not isinstance(timeout, int | float):
            connect, read = getattr(timeout, "connect", ""), getattr(timeout, "read", "")
        stall: Any = timeout.stall if isinstance(timeout, Timeouts) else read
        if not all(map(_is_a_time, (connect, read, stall))):
            raise ConfigurationError(
                f"timeout={timeout!r} is no timeout.", hint="Seconds, (connect, read), Timeouts or an httpx.Timeout."
            )
        return cls(connect=connect, read=read, stall=stall)


def _is_a_time(seconds: Any) -> bool:
    return seconds is None or (isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0)


TimeoutTypes: TypeAlias = "float | tuple[float | None, float | None] | Timeouts | httpx.Timeout | None"
"""Seconds, ``(connect, read)``, ``Timeouts`` or httpx's."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What goes over the wire, for any transport."""

    method: str
    url: str = field(repr=False)  # its query may hold a key, too
    headers: Mapping[str, str] = field(repr=False)  # holds the key
    content: bytes = field(default=b"", repr=False)
    timeouts: Timeouts = Timeouts()
    stream: bool = False
    """Whether the body of a good answer is to be left unread."""

    @property
    def silence(self) -> float | None:
        """Seconds that may pass without a byte of the answer."""
        return self.timeouts.stall if self.stream else self.timeouts.read


class Place(Protocol):
    """A call's place among those that a model takes at a time."""

    def accepted(self) -> None:
        """Tell that the service took the call, which is not over yet."""
        ...

    def rests(self) -> None:
        """Tell that whoever reads the answer does something else."""
        ...

    def resumes(self) -> None:
        """Tell that it is read again."""
        ...

    def release(self, *, refused: bool = False) -> None:
        """Give it back; ``refused``: the service said that there were too many."""
        ...


class Places(Protocol):
    """Hands out places; a driver waits for one, so many seconds at most."""

    def acquire(self, seconds: float | None) -> Place: ...

    async def aacquire(self, seconds: float | None) -> Place: ...


class Funds(Protocol):
    """Sets aside what a try may cost; a driver waits until it fits, so many seconds at most."""

    def acquire(self, seconds: float | None) -> Any: ...

    async def aacquire(self, seconds: float | None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Acquire:
    """Wait for what this hands out, and hand it back, or the error that it came to."""

    source: Places | Funds
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and hand back a ``Reply`` (read to its end), an open stream or the error that it came to."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait that many seconds."""

    seconds: float


StreamT = TypeVar("StreamT")
"""A transport's own open response: the headers of a good answer are read, its body is not."""

Step: TypeAlias = Acquire | Send | Wait
Outcome: TypeAlias = "Reply | StreamT | InferenceError | Place | None"
Steps: TypeAlias = "Generator[Step, Outcome[StreamT], Reply | StreamT]"


class Progress:
    """Follows an exchange, and may end it by raising. This one only looks on."""

    places: Places | None = None
    """Where each try waits for its place; ``None``: nowhere."""
    funds: Funds | None = None
    """Where each try waits for the money that it may cost; ``None``: nowhere."""

    def reserved(self, reservation: Any) -> None:
        """What a try may cost is set aside."""

    def unsent(self) -> None:
        """A try is not sent after all: there was no place for it, or it was given up."""

    def sent(self) -> None:
        """A try is about to be sent."""

    def failed(self, error: InferenceError) -> None:
        """A try failed; another one may follow."""

    def pauses(self, seconds: float) -> None:
        """So many seconds are waited before the next try."""

    def opened(self, place: Place) -> None:
        """A stream is open, and keeps its place until somebody gives it back."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and after how long."""

    max_retries: int = 2
    """Retries after the first attempt; 0 sends exactly one request."""
    initial: float = 0.5
    """Seconds before the first retry; doubled before each further one."""
    ceiling: float = 8.0
    """The longest pause of our own choice."""
    max_retry_after: float = 60.0
    """The longest pause the service may ask for; when it asks for more, the error is raised at once."""

    def pause(self, retry: int, error: InferenceError, chance: float) -> float | None:
        """Return the seconds to wait before retry number ``retry`` (from 0), or ``None`` to give up.

        Args:
            retry: how many retries were made already.
            error: what the last attempt came to.
            chance: a random number from 0 to 1, so that many clients do not come back at the same moment.
        """
        if retry >= self.max_retries or not error.retryable:
            return None
        asked = error.retry_after if isinstance(error, StatusError) else None
        if asked is not None and asked > self.max_retry_after:
            limit = f"longer than max_retry_after={self.max_retry_after:g}"
            error.hint = f"It asks to wait {asked:g} s, {limit}: come back then."
            return None
        if asked is not None:
            return asked
        return min(self.initial * 2.0**retry, self.ceiling) * (0.5 + chance / 2)


def exchange(
    request: HttpRequest,
    *,
    model: str,
    retry: RetryPolicy,
    clock: Callable[[], float],
    chance: Callable[[], float],
    progress: Progress | None = None,
) -> Steps[StreamT]:
    """Yield the steps of one call and return its answer.

    Tries again while nothing of an answer has been handed out: a stream that has been opened is never retried.

    Args:
        request: what to send.
        model: to be named in errors.
        retry: when to try again.
        clock: Unix seconds, to understand a ``Retry-After`` date.
        chance: random numbers from 0 to 1.
        progress: who follows.

    Raises:
        StatusError: the service answered with an error, and retries did not help.
        TransportError: the network failed, and retries did not help.
    """
    tries, progress = 0, progress or Progress()
    while True:
        outcome: Any = yield from _tried(request, progress)
        error: InferenceError
        if isinstance(outcome, InferenceError):
            error = outcome
        elif isinstance(outcome, Reply) and not 200 <= outcome.status_code < 300:  # noqa: PLR2004 (HTTP statuses)
            error = failure(model=model, status=outcome.status_code, reply=outcome, now=clock())
        elif outcome is None:
            raise TypeError("A driver answers Send with what happened.")
        else:
            return outcome  # type: ignore[no-any-return]  # a place is no answer to Send
        progress.failed(error)
        seconds = retry.pause(tries, error, chance())
        if seconds is None:
            raise error
        progress.pauses(seconds)
        yield Wait(seconds)
        tries += 1


def _tried(request: HttpRequest, progress: Progress) -> Generator[Step, Outcome[StreamT], Outcome[StreamT]]:
    """Send once, with the money set aside, and from a place where there are places."""
    place: Any = None
    outcome: Any = None
    try:
        if progress.funds is not None:
            progress.reserved((yield from _acquired(progress.funds, request)))
        if progress.places is not None:
            place = yield from _acquired(progress.places, request)
    except BaseException:
        progress.unsent()
        raise
    try:
        progress.sent()
        outcome = yield Send(request)
    finally:
        if place is not None and (outcome is None or isinstance(outcome, Reply | InferenceError)):
            place.release(refused=isinstance(outcome, Reply) and outcome.status_code == 429)  # noqa: PLR2004 (as above)
    if place is not None and not isinstance(outcome, Reply | InferenceError):
        place.accepted()
        progress.opened(place)
    return outcome  # type: ignore[no-any-return]


def _acquired(source: Places | Funds, request: HttpRequest) -> Generator[Step, Outcome[StreamT], Any]:
    """Wait for what each try needs. Raises what the wait came to; it is not tried again."""
    acquired = yield Acquire(source, request.silence)
    if isinstance(acquired, InferenceError):
        raise acquired
    return acquired
