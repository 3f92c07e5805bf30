"""Who takes a call: every candidate, what it may cost there, and why it was passed over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from wandb_inference.accounting import USUAL_ANSWER, Estimate, affordable_max_tokens, estimate, in_usd
from wandb_inference.catalog import Catalog, ModelCard, findings
from wandb_inference.chat import ChatRequest
from wandb_inference.errors import ConfigurationError, NoCandidateError
from wandb_inference.routing.health import ModelHealth
from wandb_inference.routing.need import Need
from wandb_inference.routing.policy import AUTO, Entry, Order, Policy

_NAMED = 3  # models in a message, of each reason
_ENOUGH = 20  # answers of a model that weigh as much as those of all others
_UNHEALTHY = 0.5  # error rate from which a model goes behind the others


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
        raise NoCandidateError(message, plan=self, hint=_hint(set(reasons)))


_HINTS = {
    "max_cost": "Raise max_cost, or set a lower max_tokens, as Policy(fit=True) does.",
    "budget": "Set a lower max_tokens, or raise the budget.",
    "price_unknown": "Give the model a price with Catalog.with_overrides, or call without max_cost and budget.",
    "cooldown": "Try again when the pause is over.",
}


def _hint(codes: set[str]) -> str:
    hints = [hint for code, hint in _HINTS.items() if code in codes]
    return " ".join(hints) or "`wandb-inference route explain` shows the reasons against every model."


def plan(
    request: ChatRequest,
    catalog: Catalog,
    policy: Policy,
    health: Mapping[str, ModelHealth] | None = None,
    budget: Decimal | None = None,
    *,
    pinned: tuple[str, int] | None = None,
    tokens: Callable[[str, int], int] | None = None,
    named: bool = False,
    tried: Collection[int] = (),
) -> Plan:
    """Return who takes the call. Nothing is sent, and nothing but the arguments is looked at.

    Args:
        request: the call, as ``resolve`` returned it.
        catalog: what is known of the models.
        policy: who may take it, and who goes first.
        health: how the models have answered lately.
        budget: USD that the call may cost at worst.
        pinned: the model that this conversation is with, and the tokens of its latest prompt.
        tokens: for a model and the tokens that a prompt has by its bytes, those that it has there (about).
        tried: places of candidates that are asked no more.
        named: whether the call names its model: that is asked also in a pause, and reviewed when it is prepared.
    """
    need = Need.of(request)
    call = _Call(request, need, catalog, policy, health or {}, budget, pinned, tokens, named)
    held = [call.held(entry, position) for position, entry in enumerate(_entries(request, catalog, policy))]
    able = [candidate for candidate in held if not candidate.rejected and candidate.position not in tried]
    notes = list(need.assumptions)
    if not able:
        # Better a model that was busy a moment ago than none.
        waiting = [c for c in held if {r.code for r in c.rejected} == {"cooldown"} and c.position not in tried]
        able = sorted(waiting, key=lambda c: (c.health.cooling, c.model))[:1]
        notes += ["every model that could take the call is paused; the first to be ready is asked"] if able else []
    order = policy.ranking
    name = order if isinstance(order, str) else getattr(order, "__name__", "function")
    ordered = _ordered(able, need, order)
    if pinned is not None and policy.sticky and order != "ordered" and not callable(order):
        ordered, kept = _kept(ordered, pinned[0])
        notes += [f"kept with the conversation's model, {pinned[0]}"] if kept else []
    return Plan(
        requested=request.model,
        order=tuple(ordered),
        candidates=tuple(sorted(held, key=lambda c: (c.model, c.position))),
        need=need,
        policy=name,
        catalog_version=catalog.version,
        notes=tuple(notes),
    )


def _entries(request: ChatRequest, catalog: Catalog, policy: Policy) -> Iterator[Entry]:
    if policy.listed:
        yield from policy.listed
    elif request.model == AUTO:
        yield from (Entry(card.id) for card in catalog if card.servable)
    else:
        yield Entry(request.model)


@dataclass(frozen=True, slots=True)
class _Call:
    """All that a decision depends on."""

    request: ChatRequest
    need: Need
    catalog: Catalog
    policy: Policy
    health: Mapping[str, ModelHealth]
    budget: Decimal | None
    pinned: tuple[str, int] | None
    tokens: Callable[[str, int], int] | None
    named: bool

    def held(self, entry: Entry, position: int) -> Candidate:
        """Return a model, held against the call."""
        policy, need, card = self.policy, self.need, self.catalog.get(entry.model)
        if card is not None and not card.servable and policy.on_retired == "redirect":
            card = self.catalog.successor(card) or card
            entry = replace(entry, model=card.id)
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
        told["usual_answer"] = _usual_answer(seen, self.health)
        if self.pinned is not None and self.pinned[0] == model:
            told["cached_tokens"] = self.pinned[1]
        cost, ceiling = estimate(card, max_tokens=need.max_tokens, **told), self.policy.max_cost
        if not self.policy.fit or ceiling is None or card is None or cost.worst is None or cost.worst <= ceiling:
            return cost, None
        affordable = affordable_max_tokens(card, **facts, max_cost=ceiling)
        if affordable is None or affordable < min(self.policy.min_output, cost.max_tokens or self.policy.min_output):
            return cost, None
        return estimate(card, max_tokens=affordable, **told), affordable


def _usual_answer(seen: ModelHealth, health: Mapping[str, ModelHealth]) -> float:
    """Return how long a model's answers are: as long as all models', until enough of its own are known.

    Compared by one short answer alone, a dear model would be cheaper than those that were never asked.
    """
    averages = [other.answer_tokens for other in health.values() if other.answer_tokens is not None]
    common = sum(averages) / len(averages) if averages else USUAL_ANSWER
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


def _ordered(able: Sequence[Candidate], need: Need, order: Order) -> list[Candidate]:
    if callable(order):
        names = order(tuple(able), need)
        if isinstance(names, str):
            raise ConfigurationError(
                f"The order returned {names!r}.", hint="It returns a list of ids, the first one first."
            )
        return [c for name in dict.fromkeys(names) for c in able if name in (c.model, c.entry.model)]
    if order == "ordered":
        return sorted(able, key=lambda c: c.position)
    costs, speeds = _ranks(able, _cost), _ranks(able, _speed)
    sizes = _ranks(able, lambda c: -(c.card.total_params_b or 0) if c.card else 0)
    ranked = {"cheapest": (costs,), "fastest": (speeds, costs)}.get(order)

    def key(candidate: Candidate) -> tuple[Any, ...]:
        model = candidate.model
        ranks = [rank[model] for rank in ranked] if ranked else [costs[model] + speeds[model] + sizes[model]]
        return (candidate.health.error_rate >= _UNHEALTHY, *ranks, costs[model], model)

    return sorted(able, key=key)


def _ranks(able: Sequence[Candidate], key: Callable[[Candidate], Any]) -> dict[str, int]:
    """Return each model's place; equal ones share it."""
    places = {value: place for place, value in enumerate(sorted({key(candidate) for candidate in able}))}
    return {candidate.model: places[key(candidate)] for candidate in able}


def _cost(candidate: Candidate) -> tuple[bool, Decimal]:
    expected = candidate.cost.expected
    return expected is None, expected or Decimal(0)


def _speed(candidate: Candidate) -> tuple[int, Decimal]:
    """Measured models first, by seconds to their first token; then by active parameters; then those of unknown size."""
    if candidate.health.first_token is not None:
        return 0, Decimal(str(candidate.health.first_token))
    active = candidate.card.active_params_b if candidate.card else None
    return (2, Decimal(0)) if active is None else (1, active)


def _kept(ordered: list[Candidate], model: str) -> tuple[list[Candidate], bool]:
    """Return the order with the conversation's model first, unless even what it has cached leaves it dearer."""
    mine = next((candidate for candidate in ordered if candidate.model == model), None)
    if mine is None or mine is ordered[0] or _cost(mine) > _cost(ordered[0]):
        return ordered, mine is not None and mine is ordered[0]
    return [mine, *(candidate for candidate in ordered if candidate is not mine)], True
