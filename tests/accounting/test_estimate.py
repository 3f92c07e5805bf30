"""What a call is expected to cost, and what it costs at worst."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import ModelCard
from wandb_inference.accounting import Estimate, affordable_max_tokens, estimate

# Prices are USD per million tokens: with them, tokens cost millionths.
PRICE = {"input": 1, "output": 10}
CACHED = {"input": 4, "output": 10, "cached_input": 1}
DEAR_CACHE = {"input": 1, "output": 10, "cached_input": 3}


def usd(millionths: int | None) -> Decimal | None:
    return None if millionths is None else Decimal(millionths) / 1_000_000


LONG = {"prompt_tokens": 100, "prompt_bound": 300}
CASES: dict[str, tuple[ModelCard | None, dict[str, Any], tuple[int | None, int | None, int | None]]] = {
    # name: (model, facts of the call, (expected and worst in millionths of a USD, the ceiling of one answer))
    "an unknown model": (None, {**LONG, "max_tokens": 50}, (None, None, 50)),
    "an unknown model, and no ceiling": (None, LONG, (None, None, None)),
    "no price": (card(context_window=1000), {**LONG, "max_tokens": 50}, (None, None, 50)),
    "asked for": (card(price=PRICE), {**LONG, "max_tokens": 50}, (100 + 500, 300 + 500, 50)),
    "no end to an answer": (card(price=PRICE), LONG, (100 + 5000, None, None)),
    "an answer as usual": (card(price=PRICE), {**LONG, "usual_answer": 20}, (100 + 200, None, None)),
    "an answer of less than asked for": (
        card(price=PRICE),
        {**LONG, "max_tokens": 50, "usual_answer": 20},
        (100 + 200, 300 + 500, 50),
    ),
    "averages are no whole numbers": (card(price=PRICE), {**LONG, "usual_answer": 20.4}, (100 + 200, None, None)),
    "the model's limit": (
        card(price=PRICE, output_limit=40, context_window=1000),
        {**LONG, "max_tokens": 50},
        (100 + 400, 300 + 400, 40),
    ),
    "the window": (card(price=PRICE, context_window=400), LONG, (100 + 4000, 300 + 4000, 400)),
    "a window shorter than the prompt may be": (
        card(price=PRICE, context_window=200),
        {**LONG, "max_tokens": 50},
        (100 + 500, 200 + 500, 50),
    ),
    "a window shorter than the prompt is": (
        card(price=PRICE, context_window=80),
        {**LONG, "max_tokens": 50},
        (80 + 500, 80 + 500, 50),
    ),
    "three answers": (
        card(price=PRICE),
        {**LONG, "max_tokens": 50, "answers": 3, "usual_answer": 20},
        (100 + 600, 300 + 1500, 50),
    ),
    "half of the prompt cached": (
        card(price=CACHED),
        {**LONG, "max_tokens": 50, "cached_tokens": 50},
        (50 * 4 + 50 + 500, 300 * 4 + 500, 50),
    ),
    "more cached than the prompt has": (
        card(price=CACHED),
        {**LONG, "max_tokens": 50, "cached_tokens": 900},
        (100 + 500, 300 * 4 + 500, 50),
    ),
    "nothing is known of the cache": (
        card(price=PRICE),
        {**LONG, "max_tokens": 50, "cached_tokens": 50},
        (100 + 500, 300 + 500, 50),
    ),
    "a cache that makes it dearer": (card(price=DEAR_CACHE), {**LONG, "max_tokens": 50}, (100 + 500, 900 + 500, 50)),
    "a prompt that is surely shorter than it seems": (
        card(price=PRICE),
        {"prompt_tokens": 500, "prompt_bound": 300, "max_tokens": 50, "cached_tokens": 400},
        (300 + 500, 300 + 500, 50),
    ),
    "for nothing": (card(price={"input": 0, "output": 0}), {**LONG, "max_tokens": 50}, (0, 0, 50)),
}


@pytest.mark.parametrize("name", CASES)
def test_estimate(name: str) -> None:
    of, facts, (expected, worst, ceiling) = CASES[name]
    assert estimate(of, **facts) == Estimate(usd(expected), usd(worst), ceiling)


AFFORDABLE: dict[str, tuple[dict[str, Any], dict[str, Any], str, int | None]] = {
    # name: (facts of the card, facts of the call, USD at most, tokens of an answer)
    "no price": ({}, {}, "1", None),
    "answers for nothing": ({"price": {"input": 1, "output": 0}}, {}, "1", None),
    "to the last token": ({"price": PRICE}, {}, "0.001300", 100),
    "not quite one more": ({"price": PRICE}, {}, "0.001309", 100),
    "one more": ({"price": PRICE}, {}, "0.001310", 101),
    "of three answers each": ({"price": PRICE}, {"answers": 3}, "0.001300", 33),
    "a cheap prompt": ({"price": {"input": "0.5", "output": 10}}, {}, "0.001150", 100),
    "the prompt alone": ({"price": PRICE}, {}, "0.000300", 0),
    "not even the prompt": ({"price": PRICE}, {}, "0.000290", -1),
    "a short window": ({"price": PRICE, "context_window": 200}, {}, "0.001300", 110),
    "a long window": ({"price": PRICE, "context_window": 900}, {}, "0.001300", 100),
    "a cache that makes it dearer": ({"price": DEAR_CACHE}, {}, "0.001300", 40),
}


@pytest.mark.parametrize("name", AFFORDABLE)
def test_the_longest_answer_that_can_be_paid(name: str) -> None:
    facts, call, most, tokens = AFFORDABLE[name]
    of, told = card(**facts), {"prompt_bound": 300, "answers": 1, **call}
    assert affordable_max_tokens(of, **told, max_cost=Decimal(most)) == tokens
    if tokens is not None and tokens > 0:  # its worst case holds, and that of one token more does not
        for more, holds in ((0, True), (1, False)):
            worst = estimate(of, prompt_tokens=0, max_tokens=tokens + more, **told).worst
            assert worst is not None
            assert (worst <= Decimal(most)) is holds
