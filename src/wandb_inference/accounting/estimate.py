"""What a call will cost, before it is sent: expected, and at worst."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from wandb_inference.accounting.price import price
from wandb_inference.catalog import ModelCard
from wandb_inference.chat import Usage

_PER = Decimal(1_000_000)
USUAL_ANSWER = 500
"""Tokens of an answer when nothing is known of the model's earlier ones."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one attempt in USD; ``None`` where a price, or the length of an answer, is not known."""

    expected: Decimal | None
    worst: Decimal | None
    """Never below what is billed: the prompt by its bound, every answer as long as it may become, nothing cached."""
    max_tokens: int | None
    """The ceiling of one answer that ``worst`` assumes; ``None``: there is none."""


def estimate(  # the facts of a call that its cost depends on
    card: ModelCard | None,
    *,
    prompt_tokens: int,
    prompt_bound: int,
    max_tokens: int | None = None,
    answers: int = 1,
    usual_answer: float = USUAL_ANSWER,
    cached_tokens: int = 0,
) -> Estimate:
    """Return what one attempt costs.

    Args:
        card: the model; ``None`` when it is not known.
        prompt_tokens: of the prompt, about.
        prompt_bound: of the prompt, at most.
        max_tokens: that the call asks for.
        answers: that the call asks for (``n``).
        usual_answer: tokens that the model's answers have on average, reasoning included.
        cached_tokens: of the prompt that the prefix cache is expected to hold.
    """
    ceiling = effective_max_tokens(card, max_tokens)
    if card is None or card.price is None:
        return Estimate(None, None, ceiling)
    window = card.context_window
    bound = prompt_bound if window is None else min(prompt_bound, window)
    # Prompt and answer share the window: the dearest split of it, with the prompt at its bound, bounds every other one
    # only if each part is bounded alone, so the answer is not shortened by the prompt here.
    worst = None
    if ceiling is not None:
        dearest = max(card.price.input, card.price.cached_input or 0)
        worst = (bound * dearest + ceiling * answers * card.price.output) / _PER
    usual = usual_answer if ceiling is None else min(usual_answer, ceiling)
    likely = price(
        Usage(
            input_tokens=min(prompt_tokens, bound),
            output_tokens=round(usual) * answers,
            cached_tokens=min(cached_tokens, prompt_tokens, bound),
        ),
        card.price,
    )
    return Estimate(likely.total if likely else None, worst, ceiling)


def effective_max_tokens(card: ModelCard | None, max_tokens: int | None) -> int | None:
    """Return how long an answer may become: as asked, or as the model allows."""
    limits = (max_tokens, card.output_limit if card else None, card.context_window if card else None)
    return min((limit for limit in limits if limit is not None), default=None)


def affordable_max_tokens(card: ModelCard, *, prompt_bound: int, answers: int, max_cost: Decimal) -> int | None:
    """Return the longest answer whose worst case stays within ``max_cost``; ``None`` when there is no such limit.

    0 or less: even the prompt alone may cost more.
    """
    if card.price is None or not card.price.output:
        return None
    bound = prompt_bound if card.context_window is None else min(prompt_bound, card.context_window)
    left = max_cost * _PER - bound * max(card.price.input, card.price.cached_input or 0)
    return int((left / (card.price.output * answers)).to_integral_value(ROUND_FLOOR))
