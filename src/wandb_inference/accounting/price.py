"""What a call costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from wandb_inference.catalog import Price
from wandb_inference.chat import Usage

_PER = Decimal(1_000_000)


def in_usd(amount: Decimal) -> str:
    """Return an amount with all its digits and no exponent.

    >>> in_usd(Decimal("3.80E-7"))
    '0.00000038'
    """
    return f"{amount.normalize():f}"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call in USD, exact, in exclusive buckets."""

    input: Decimal
    """Of the input tokens that were not served from the cache."""
    cached_input: Decimal
    output: Decimal
    """Of the answer, its reasoning included."""

    @property
    def total(self) -> Decimal:
        """The sum."""
        return self.input + self.cached_input + self.output


def price(usage: Usage | None, tariff: Price | None) -> Cost | None:
    """Return what these tokens cost; ``None`` when the tokens or the prices are not known.

    >>> price(Usage(input_tokens=1000, output_tokens=500), Price(input="0.03", output="0.13")).total
    Decimal('0.000095')
    """
    if usage is None or tariff is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    return Cost(
        input=(usage.input_tokens - cached) * tariff.input / _PER,
        cached_input=cached * tariff.cached / _PER,
        output=usage.output_tokens * tariff.output / _PER,
    )
