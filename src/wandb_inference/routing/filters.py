"""What speaks against a model for a call, and what the call may cost there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from wandb_inference.accounting import USUAL_ANSWER, Estimate, affordable_max_tokens, estimate, in_usd
from wandb_inference.catalog import Catalog, ModelCard, findings
from wandb_inference.chat import ChatRequest
from wandb_inference.routing.health import ModelHealth
from wandb_inference.routing.need import Need
from wandb_inference.routing.plan import Candidate, Rejection
from wandb_inference.routing.policy import AUTO, Entry, Policy, served

_ENOUGH = 20  # answers of a model that weigh as much as those of all others


@dataclass(frozen=True, slots=True)
class Held:
    """All that a decision depends on; each model is held against it."""

    request: ChatRequest
    need: Need
    catalog: Catalog
    policy: Policy
    health: Mapping[str, ModelHealth]
    budget: Decimal | None
    pinned: tuple[str, int] | None
    tokens: Callable[[str, int], int] | None
    named: bool
    usual_answer: float
    """Tokens of an answer, of all models together."""

    def against(self, entry: Entry, position: int) -> Candidate:
        """Return a model, held against the call."""
        policy, need = self.policy, self.need
        entry, card = served(entry, self.catalog, policy)
        if entry.settings:
            own = replace(self.request, options=entry.options(self.request.options))
            need = Need.of(own)
        model = card.id if card else entry.model
        seen = self.health.get(model, ModelHealth())
        cost, lowered = self._cost(card, model, need, seen)
        rejected = (
            *_by_policy(model, card, policy, chosen=self.request.model == AUTO and not policy.listed),
            *(() if self.named else _by_review(need, card)),
            *_by_cost(cost, policy, self.budget),
            *(() if self.named else _by_health(seen, policy)),
        )
        return Candidate(entry, card, cost, rejected, lowered, seen, position)

    def _cost(self, card: ModelCard | None, model: str, need: Need, seen: ModelHealth) -> tuple[Estimate, int | None]:
        """Return what the model costs, and ``max_tokens`` if it had to be lowered for that."""
        facts: dict[str, Any] = {"prompt_bound": need.prompt_bound, "answers": need.answers}
        prompt = need.prompt_tokens if self.tokens is None else self.tokens(model, need.prompt_tokens)
        told = {"prompt_tokens": prompt, **facts}
        told["usual_answer"] = _usual_answer(seen, self.usual_answer)
        if self.pinned is not None and self.pinned[0] == model:
            told["cached_tokens"] = self.pinned[1]
        cost, ceiling = estimate(card, max_tokens=need.max_tokens, **told), self.policy.max_cost
        if not self.policy.fit or ceiling is None or card is None or cost.worst is None or cost.worst <= ceiling:
            return cost, None
        affordable = affordable_max_tokens(card, **facts, max_cost=ceiling)
        if affordable is None or affordable < min(self.policy.min_output, cost.max_tokens or self.policy.min_output):
            return cost, None
        return estimate(card, max_tokens=affordable, **told), affordable


def usual_answer(health: Mapping[str, ModelHealth]) -> float:
    """Return how long answers are, of all models that were asked together."""
    averages = [seen.answer_tokens for seen in health.values() if seen.answer_tokens is not None]
    return sum(averages) / len(averages) if averages else USUAL_ANSWER


def _usual_answer(seen: ModelHealth, common: float) -> float:
    """Return how long a model's answers are: as long as all models', until enough of its own are known.

    Compared by one short answer alone, a dear model would be cheaper than those that were never asked.
    """
    own = min(seen.answers, _ENOUGH)
    return common if seen.answer_tokens is None else (seen.answer_tokens * own + common * _ENOUGH) / (own + _ENOUGH)


def _by_policy(model: str, card: ModelCard | None, policy: Policy, *, chosen: bool) -> Iterator[Rejection]:
    """Yield what the policy has against a model; ``chosen``: nobody named it."""
    if model in policy.deny or (card is not None and set(card.aliases) & policy.deny):
        yield Rejection("denied", "the policy denies it")
    if card is None:
        return
    if chosen and card.status == "unconfirmed":
        yield Rejection("model_unconfirmed", "only third parties list it; name it to use it")
    if chosen and card.status == "deprecated":
        yield Rejection("model_deprecated", "it will be retired; name it to use it", None, card.retired_on)
    ceilings = (("input", policy.max_input_price), ("output", policy.max_output_price))
    for kind, ceiling in ceilings:
        if ceiling is None:
            continue
        actual = getattr(card.price, kind) if card.price else None
        if actual is None:
            yield Rejection("price_unknown", f"its {kind} price is not known", ceiling)
        elif actual > ceiling:
            yield Rejection("price", f"a million {kind} tokens cost {actual} USD", ceiling, actual)


def _by_review(need: Need, card: ModelCard | None) -> Iterator[Rejection]:
    """Yield what the review objects to; here it is enough to doubt that a prompt fits, as there are other models."""
    for finding in findings(need.measured, card) if card else ():
        if finding.severity == "error" or finding.code == "context_window":
            instead = (
                f"; use {card.replacement}" if card and finding.code == "model_retired" and card.replacement else ""
            )
            yield Rejection(finding.code, finding.message + instead, finding.limit, finding.actual)


def _by_cost(cost: Estimate, policy: Policy, budget: Decimal | None) -> Iterator[Rejection]:
    for code, limit in (("max_cost", policy.max_cost), ("budget", budget)):
        if limit is None:
            continue
        if cost.worst is None:
            yield Rejection("price_unknown", "what it may cost is not known: its price, or the longest answer", limit)
            return
        if cost.worst > limit:
            worst = in_usd(cost.worst)
            yield Rejection(code, f"it may cost {worst} USD, {code} is {in_usd(limit)}", limit, worst)


def _by_health(seen: ModelHealth, policy: Policy) -> Iterator[Rejection]:
    if seen.cooling:
        yield Rejection("cooldown", f"it is left alone for {seen.cooling:.0f} s", None, round(seen.cooling, 1))
    ceiling, actual = policy.max_first_token, seen.first_token
    if ceiling is not None and actual is not None and actual > ceiling:
        yield Rejection("slow", f"its first token takes {actual:.1f} s", ceiling, round(actual, 3))
