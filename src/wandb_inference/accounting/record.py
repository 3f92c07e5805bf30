"""What happened in one call, whatever its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from wandb_inference.accounting.price import Cost, in_usd
from wandb_inference.chat import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One model that was asked, with all its retries."""

    model: str
    outcome: str
    """``ok``; the class of an error, such as ``RateLimitedError``; or why the answer was not enough: ``length``,
    ``schema``, ``refusal``, ``empty``."""
    seconds: float
    """From sending to the whole answer, or to the failure; waits for a place are not counted."""
    first_event_seconds: float | None = None
    """From sending to the first event of a stream."""
    usage: Usage | None = None
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
        if self.cost is not None:
            shown["cost_usd"] = in_usd(self.cost.total)
        if self.booked is not None:
            shown["booked_usd"] = in_usd(self.booked)
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call: what was asked for, the attempts that were made, what they cost together."""

    requested: str
    """The model, or the routing request, that was asked for."""
    attempts: tuple[Attempt, ...]
    plan: Mapping[str, Any] | None = field(default=None, repr=False)
    """``Plan.to_dict()``; without need and candidates for a call that went to the model it names."""
    need: Mapping[str, Any] | None = field(default=None, repr=False)
    """``Need.to_dict()``, where no plan holds it; ``None`` as well where nobody asked for records."""

    @property
    def cost(self) -> Decimal | None:
        """USD of all attempts whose cost is known; ``None`` when none is."""
        known = [attempt.cost.total for attempt in self.attempts if attempt.cost is not None]
        return sum(known, Decimal(0)) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        cost = self.cost
        return {
            "requested": self.requested,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            **({"cost_usd": in_usd(cost)} if cost is not None else {}),
            **({"plan": dict(self.plan)} if self.plan is not None else {}),
            **({"need": dict(self.need)} if self.need is not None else {}),
        }
