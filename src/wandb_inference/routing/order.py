"""Who of those that may take a call goes first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from wandb_inference.errors import ConfigurationError
from wandb_inference.routing.need import Need
from wandb_inference.routing.plan import Candidate
from wandb_inference.routing.policy import Order

_UNHEALTHY = 0.5  # error rate from which a model goes behind the others


def ordered(able: Sequence[Candidate], need: Need, order: Order) -> list[Candidate]:
    """Return those that may take the call, the first one first; the same ones in the same order, always."""
    if callable(order):
        names = order(tuple(able), need)
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise ConfigurationError(
                f"The order returned {names!r}.", hint="It returns a list of ids, the first one first."
            )
        found = {c.position: c for name in list(names) for c in able if name in (c.model, c.entry.model)}
        return list(found.values())
    if order == "ordered":
        return sorted(able, key=lambda c: c.position)
    costs, speeds = _ranks(able, _cost), _ranks(able, _speed)
    sizes = _ranks(able, lambda c: -(c.card.total_params_b or 0) if c.card else 0)
    ranked = {"cheapest": (costs,), "fastest": (speeds, costs)}.get(order)

    def key(candidate: Candidate) -> tuple[Any, ...]:
        at = candidate.position
        ranks = [rank[at] for rank in ranked] if ranked else [costs[at] + speeds[at] + sizes[at]]
        return (candidate.health.error_rate >= _UNHEALTHY, *ranks, costs[at], candidate.model)

    return sorted(able, key=key)


def _ranks(able: Sequence[Candidate], key: Callable[[Candidate], Any]) -> dict[int, int]:
    """Return each candidate's place, by its position: a model may be listed twice. Equal ones share it."""
    places = {value: place for place, value in enumerate(sorted({key(candidate) for candidate in able}))}
    return {candidate.position: places[key(candidate)] for candidate in able}


def _cost(candidate: Candidate) -> tuple[bool, Decimal]:
    expected = candidate.cost.expected
    return expected is None, expected or Decimal(0)


def _speed(candidate: Candidate) -> tuple[int, Decimal]:
    """Measured models first, by seconds to their first token; then by active parameters; then those of unknown size."""
    if candidate.health.first_token is not None:
        return 0, Decimal(str(candidate.health.first_token))
    active = candidate.card.active_params_b if candidate.card else None
    return (2, Decimal(0)) if active is None else (1, active)


def kept(able: list[Candidate], model: str) -> tuple[list[Candidate], bool]:
    """Return the order with the conversation's model first, unless even what it has cached leaves it dearer."""
    mine = next((candidate for candidate in able if candidate.model == model), None)
    if mine is None or mine is able[0] or _cost(mine) > _cost(able[0]):
        return able, mine is not None and mine is able[0]
    return [mine, *(candidate for candidate in able if candidate is not mine)], True
