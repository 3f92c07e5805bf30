"""From a call, a catalog and a state to a plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal

from wandb_inference.catalog import Catalog
from wandb_inference.chat import ChatRequest
from wandb_inference.routing.filters import Held, usual_answer
from wandb_inference.routing.health import ModelHealth
from wandb_inference.routing.need import Need
from wandb_inference.routing.order import kept, ordered
from wandb_inference.routing.plan import Plan
from wandb_inference.routing.policy import AUTO, Entry, Policy


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
    need, known = Need.of(request), health or {}
    call = Held(request, need, catalog, policy, known, budget, pinned, tokens, named, usual_answer(known))
    held = [call.against(entry, position) for position, entry in enumerate(_entries(request, catalog, policy))]
    able = [candidate for candidate in held if not candidate.rejected and candidate.position not in tried]
    notes = list(need.assumptions)
    if not able:
        # Better a model that was busy a moment ago than none.
        waiting = [c for c in held if {r.code for r in c.rejected} == {"cooldown"} and c.position not in tried]
        able = sorted(waiting, key=lambda c: (c.health.cooling, c.model))[:1]
        notes += ["every model that could take the call is paused; the first to be ready is asked"] if able else []
    order = policy.ranking
    name = order if isinstance(order, str) else getattr(order, "__name__", "function")
    able = ordered(able, need, order)
    if pinned is not None and policy.sticky and order != "ordered" and not callable(order):
        able, stays = kept(able, pinned[0])
        notes += [f"kept with the conversation's model, {pinned[0]}"] if stays else []
    return Plan(
        requested=request.model,
        order=tuple(able),
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
