"""One model that is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from wandb_inference._call.core import Core, secrets_in
from wandb_inference._exchange import Funds
from wandb_inference._preflight import explain, preflight
from wandb_inference._schema_tool import SchemaTool
from wandb_inference._wire import encode
from wandb_inference.accounting import Budget, Reservation
from wandb_inference.catalog import Measured, ModelCard
from wandb_inference.chat import ChatRequest
from wandb_inference.errors import InferenceError
from wandb_inference.routing import Candidate


@dataclass(frozen=True, slots=True)
class _Funds:
    """What one try may cost, of one budget."""

    budget: Budget
    worst: Decimal

    def acquire(self, seconds: float | None) -> Reservation:
        return self.budget.acquire(self.worst, seconds)

    async def aacquire(self, seconds: float | None) -> Reservation:
        return await self.budget.aacquire(self.worst, seconds)


class Asking:
    """One model that is asked, what is sent to it, and what that may cost."""

    def __init__(
        self, core: Core, asked: ChatRequest, candidate: Candidate, measured: Measured | None, *, stream: bool
    ) -> None:
        entry = candidate.entry
        options = entry.options(asked.options)
        if candidate.lowered is not None:
            options = replace(options, max_tokens=candidate.lowered)
        same = entry.model == asked.model and options is asked.options
        self.request = asked if same else replace(asked, model=entry.model, options=options)
        self.schema_tool = SchemaTool.of(self.request, core.catalog.get(self.request.model))
        sent = self.schema_tool.request(self.request) if self.schema_tool else self.request
        self.measured = measured if measured is not None and measured.request is sent else Measured(sent)
        self.card: ModelCard | None = preflight(self.measured, core.catalog, core.review)
        self.model = self.card.id if self.card else self.request.model
        content = encode(sent, self.card, stream=stream)
        self.prepared = core.http("POST", "/chat/completions", content, stream=stream, headers=entry.headers)
        self.retry = core.retry if entry.max_retries is None else replace(core.retry, max_retries=entry.max_retries)
        self._core, self.secrets = core, secrets_in(entry.headers)
        self.position, self.sent = candidate.position, False
        self.worst = candidate.cost.worst
        self._reservation: Reservation | None = None
        self.booked: Decimal | None = None

    def funds(self, budget: Budget | None) -> Funds | None:
        """Return what sets aside what a try may cost."""
        return None if budget is None or self.worst is None else _Funds(budget, self.worst)

    def reserved(self, reservation: Reservation) -> None:
        """Keep what is set aside, until the try is settled."""
        self._reservation = reservation

    def opened(self, place: Any) -> None:
        """Tell who waits for money that this is a stream, which may rest."""
        if self._reservation is not None:
            self._reservation.holder = place

    def told(self, error: InferenceError) -> None:
        """Put an error right: it shows no key that was sent, and names the model."""
        self._core.redact(error, *self.secrets)
        explain(error, self.request.model, self._core.catalog)

    def settle(self, cost: Decimal | None) -> None:
        """Book what the current try cost, unless that is done; ``None``: nobody knows."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            reservation.settle(cost)
            self.booked = (self.booked or Decimal(0)) + (reservation.worst if cost is None else cost)
