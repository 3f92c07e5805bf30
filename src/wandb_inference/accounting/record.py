"""What happened in one call, whatever its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import uuid4

from wandb_inference.accounting.labels import Labels
from wandb_inference.accounting.price import Cost, in_usd
from wandb_inference.accounting.rows import to_row
from wandb_inference.chat import ChatRequest, Completion, Usage
from wandb_inference.errors import InferenceError, StatusError

Status = Literal["ok", "error", "partial", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One model that was asked, with all its retries."""

    model: str
    outcome: str
    """``ok``; the class of an error, such as ``RateLimitedError``; ``closed`` or ``cancelled`` by the caller; or why
    the answer was not enough: ``length``, ``schema``, ``refusal``, ``empty``."""
    seconds: float
    """From sending to the whole answer, or to the failure; waits for a place are not counted."""
    first_event_seconds: float | None = None
    """From sending to the first event of a stream."""
    usage: Usage | None = None
    usage_is_estimate: bool = False
    """Whether these are tokens of what had arrived, about: a stream that was cut did not say."""
    cost: Cost | None = None
    booked: Decimal | None = None
    """USD that a budget was charged; ``None`` without a budget."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; what is not known is absent."""
        shown: dict[str, Any] = {"model": self.model, "outcome": self.outcome, "seconds": round(self.seconds, 6)}
        if self.first_event_seconds is not None:
            shown["first_event_seconds"] = round(self.first_event_seconds, 6)
        if self.usage is not None:
            names = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
            counts = {name: getattr(self.usage, name) for name in names}
            shown["usage"] = {name: count for name, count in counts.items() if count is not None}
            if self.usage_is_estimate:
                shown["usage_is_estimate"] = True
        if self.cost is not None:
            shown["cost_usd"] = in_usd(self.cost.total)
        if self.booked is not None:
            shown["booked_usd"] = in_usd(self.booked)
        return shown


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no whole answer. Not the exception itself, which would keep every frame it went through."""

    type: str
    """Name of the exception's class."""
    message: str = field(repr=False)  # may repeat what was asked
    retryable: bool = False
    status_code: int | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return what records keep of an error."""
        return cls(
            type(error).__name__,
            str(error),
            retryable=isinstance(error, InferenceError) and error.retryable,
            status_code=error.status_code if isinstance(error, StatusError) else None,
            request_id=error.request_id if isinstance(error, StatusError) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call: what was asked for, the attempts that were made, what they cost together, what was answered.

    Made for every call, whatever its end. ``repr`` shows nothing that was said.
    """

    requested: str
    """The model, or the routing request, that was asked for."""
    attempts: tuple[Attempt, ...]
    """The last one is the one that the outcome tells of; empty when nothing was sent."""
    plan: Mapping[str, Any] | None = field(default=None, repr=False)
    """``Plan.to_dict()``; without need and candidates for a call that went to the model it names."""
    need: Mapping[str, Any] | None = field(default=None, repr=False)
    """``Need.to_dict()``, where no plan holds it; ``None`` as well where ``on_record`` is not set."""

    status: Status = "ok"
    """``error``: no answer; ``partial``: its stream failed on the way; ``cancelled``: the caller gave it up."""
    failure: Failure | None = None
    request: ChatRequest | None = field(default=None, repr=False)
    """What was asked; its messages are a tuple of their own."""
    body: bytes | None = field(default=None, repr=False)
    """What was sent last; ``None`` when nothing could be."""
    completion: Completion | None = field(default=None, repr=False)
    """The answer, or as much of it as had arrived; ``None`` when nothing had."""
    stream: bool = False
    labels: Labels = field(default_factory=Labels)
    entry: str = "native"
    """``langchain`` or ``litellm`` when the call came through that door."""
    call_id: str = field(default_factory=lambda: uuid4().hex)
    started: float = 0.0
    """Unix seconds."""
    seconds: float = 0.0
    """From the start of the call to its end, waits and retries included."""
    first_event_seconds: float | None = None
    """From the start of the call to the first event of a stream."""
    tries: int = 0
    """Requests that were sent, retries included."""
    queued: float = 0.0
    """Seconds spent waiting for a place."""
    paused: float = 0.0
    """Seconds spent waiting before retries."""
    worst_case: Decimal | None = None
    """USD that the last attempt might have cost; ``None`` where no plan asked."""
    budget_left: Decimal | None = None
    """USD left of the budget afterwards; ``None`` without a budget."""
    base_url: str = ""
    catalog_version: str = ""
    """Of the catalog whose prices are used."""

    @property
    def cost(self) -> Decimal | None:
        """USD of all attempts whose cost is known; ``None`` when none is."""
        known = [attempt.cost.total for attempt in self.attempts if attempt.cost is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def route(self) -> dict[str, Any]:
        """The model that was asked for, the attempts and the plan, as JSON takes it: ``Completion.route``."""
        cost = self.cost
        return {
            "requested": self.requested,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            **({"cost_usd": in_usd(cost)} if cost is not None else {}),
            **({"plan": dict(self.plan)} if self.plan is not None else {}),
            **({"need": dict(self.need)} if self.need is not None else {}),
        }

    def to_dict(self, *, content: bool = True) -> dict[str, Any]:
        """Return it as JSON takes it, with the columns of ``wandb_inference.accounting.rows``.

        Args:
            content: with what was said; ``False`` leaves names, counts and sizes.
        """
        return to_row(self, content=content)
