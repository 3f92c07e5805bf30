"""What calls cost, to the last digit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wandb_inference import Catalog, Cost, Price, Usage, price
from wandb_inference.accounting import in_usd

PLAIN = Price(input=Decimal("0.03"), output=Decimal("0.13"))
CACHED = Price(input=Decimal("1.31"), output=Decimal("3.96"), cached_input=Decimal("0.044"))

CASES: dict[str, tuple[Usage, Price, Cost]] = {
    "odd numbers": (
        Usage(input_tokens=777, output_tokens=333),
        PLAIN,
        Cost(Decimal("0.00002331"), Decimal(0), Decimal("0.00004329")),
    ),
    "cached tokens at their own price": (
        Usage(input_tokens=1000, output_tokens=0, cached_tokens=900),
        CACHED,
        Cost(Decimal("0.000131"), Decimal("0.0000396"), Decimal(0)),
    ),
    "no price for cached tokens: no discount": (
        Usage(input_tokens=1000, output_tokens=0, cached_tokens=900),
        PLAIN,
        Cost(Decimal("0.000003"), Decimal("0.000027"), Decimal(0)),
    ),
    "reasoning is output, once": (
        Usage(input_tokens=0, output_tokens=100, reasoning_tokens=90),
        PLAIN,
        Cost(Decimal(0), Decimal(0), Decimal("0.000013")),
    ),
    "more cached tokens than tokens": (
        Usage(input_tokens=10, output_tokens=0, cached_tokens=99),
        CACHED,
        Cost(Decimal(0), Decimal("0.00000044"), Decimal(0)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_price(name: str) -> None:
    usage, tariff, cost = CASES[name]
    assert price(usage, tariff) == cost


def test_unknown_is_not_zero() -> None:
    assert price(None, PLAIN) is None
    assert price(Usage(input_tokens=1, output_tokens=1), None) is None


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.sampled_from(list(Catalog.bundled())))
def test_the_cache_never_makes_a_call_dearer(prompt: int, answer: int, cached: int, card: object) -> None:
    tariff = card.price  # type: ignore[attr-defined]
    plain = price(Usage(input_tokens=prompt, output_tokens=answer), tariff)
    hit = price(Usage(input_tokens=prompt, output_tokens=answer, cached_tokens=min(cached, prompt)), tariff)
    assert (plain is None) == (hit is None) == (tariff is None)
    if plain and hit:
        assert hit.total <= plain.total


def test_the_total_is_the_sum_of_all_three() -> None:
    assert Cost(Decimal("0.1"), Decimal("0.02"), Decimal("0.003")).total == Decimal("0.123")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0", "0"), ("1.50", "1.5"), ("100", "100"), ("1E+2", "100"), ("3.80E-7", "0.00000038"), ("-0.10", "-0.1")],
)
def test_an_amount_as_people_read_it(amount: str, shown: str) -> None:
    assert in_usd(Decimal(amount)) == shown
