"""Who takes a call: every candidate, what it may cost there, and why it was passed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wandb_inference.accounting import Estimate, in_usd
from wandb_inference.catalog import ModelCard
from wandb_inference.errors import NoCandidateError
from wandb_inference.routing.health import ModelHealth
from wandb_inference.routing.need import Need
from wandb_inference.routing.policy import Entry

_NAMED = 3  # models in a message, of each reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a model does not take a call."""

    code: str
    """``input_modality``, ``tools``, ``structured_output``, ``reasoning``, ``context_window``, ``max_tokens`` and the
    other codes of the review; ``model_unconfirmed``, ``denied``, ``price``, ``price_unknown``, ``max_cost``,
    ``budget``, ``cooldown``, ``slow``."""
    message: str
    limit: Any = None
    actual: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        values = {"limit": self.limit, "actual": self.actual}
        told = {name: value if isinstance(value, int | bool) else str(value) for name, value in values.items()}
        return {"code": self.code, "message": self.message} | {k: v for k, v in told.items() if values[k] is not None}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model, held against a call."""

    entry: Entry
    card: ModelCard | None = field(repr=False)
    cost: Estimate
    rejected: tuple[Rejection, ...] = ()
    lowered: int | None = None
    """``max_tokens`` as lowered to hold ``max_cost``; ``None``: as asked."""
    health: ModelHealth = field(default_factory=ModelHealth)
    position: int = 0
    """In the list of the policy, or of the catalog."""

    @property
    def model(self) -> str:
        """Its id."""
        return self.card.id if self.card else self.entry.model

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; what is not known is absent."""
        cost = {"expected_usd": self.cost.expected, "worst_usd": self.cost.worst}
        shown: dict[str, Any] = {"model": self.model, "ok": not self.rejected}
        shown |= {name: in_usd(value) for name, value in cost.items() if value is not None}
        if self.lowered is not None:
            shown["max_tokens"] = self.lowered
        if self.rejected:
            shown["rejected"] = [rejection.to_dict() for rejection in self.rejected]
        if self.health.first_token is not None:
            shown["first_token_seconds"] = round(self.health.first_token, 3)
        if self.health.error_rate:
            shown["error_rate"] = round(self.health.error_rate, 3)
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The candidates of one call, and the order to ask them in."""

    requested: str
    order: tuple[Candidate, ...]
    """Those that may take the call, the first one first."""
    candidates: tuple[Candidate, ...]
    """All of them, by id."""
    need: Need
    policy: str
    """The name of the order."""
    catalog_version: str = ""
    notes: tuple[str, ...] = ()
    """What the plan rests on, and what it did beside choosing."""

    @property
    def chosen(self) -> str | None:
        """The id of the first candidate; ``None`` when there is none."""
        return self.order[0].model if self.order else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it: the same call, catalog and state give the same bytes in any process."""
        return {
            "requested": self.requested,
            "policy": self.policy,
            "chosen": self.chosen,
            "order": [candidate.model for candidate in self.order],
            "need": self.need.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "catalog_version": self.catalog_version,
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def check(self) -> None:
        """Raise if nobody may take the call.

        Raises:
            NoCandidateError: with the reasons against every model in ``plan``.
        """
        if self.order:
            return
        reasons: dict[str, list[str]] = {}
        for candidate in sorted(self.candidates, key=lambda c: (c.cost.worst is None, c.cost.worst or 0, c.model)):
            for rejection in candidate.rejected[:1]:
                reasons.setdefault(rejection.code, []).append(candidate.model)
        if len(reasons) > 1:
            reasons.pop("model_unconfirmed", None)
        told = [f"{code} ({', '.join([*models[:_NAMED], '…'][: len(models)])})" for code, models in reasons.items()]
        if len(self.candidates) == 1 and self.candidates[0].rejected:
            only = self.candidates[0]
            message = f"{only.model} may not take this call: {'; '.join(r.message for r in only.rejected)}."
        else:
            message = f"No model may take this call ({self.requested}): {'; '.join(told) or 'there are no candidates'}."
            worst = [c.cost.worst for c in self.candidates if {r.code for r in c.rejected} <= {"max_cost", "budget"}]
            if least := min((cost for cost in worst if cost is not None), default=None):
                message += f" The least that it may cost is {in_usd(least)} USD."
            message += self._overflow()
        raise NoCandidateError(message, plan=self, hint=_hint(set(reasons)))

    def _overflow(self) -> str:
        """Return how far the prompt is from the largest window that it could go to, if only it were shorter."""
        windows = [c.rejected[0] for c in self.candidates if [r.code for r in c.rejected] == ["context_window"]]
        widest = max(windows, key=lambda rejection: rejection.limit or 0, default=None)
        return "" if widest is None else f" Even for the largest window {widest.message}."


_HINTS = {
    "max_cost": "Raise max_cost, or set a lower max_tokens, as Policy(fit=True) does.",
    "budget": "Set a lower max_tokens, or raise the budget.",
    "price_unknown": "Give the model a price with Catalog.with_overrides, or call without max_cost and budget.",
    "cooldown": "Try again when the pause is over.",
    "context_window": "Shorten the conversation.",
}


def _hint(codes: set[str]) -> str:
    hints = [hint for code, hint in _HINTS.items() if code in codes]
    return " ".join(hints) or "`wandb-inference route explain` shows the reasons against every model."
