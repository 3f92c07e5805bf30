"""A ceiling on what calls may cost, that holds however many run at once."""
# ruff: noqa: SLF001 (budgets of one family see each other's books)

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

from wandb_inference._guard import Guard
from wandb_inference.accounting.price import in_usd
from wandb_inference.errors import BudgetExceededError, ConfigurationError

Usd = Decimal | float | int | str


class Budget:
    """USD that calls may spend together: each reserves its worst case before it is sent, and settles what it cost.

    Clients, models of LangChain, threads and tasks may share one. A call that does not fit is refused before it is
    sent. What an attempt cost that nobody can know (its stream was dropped, its connection broke) is booked at its
    worst case.

    Args:
        limit: USD.
        window: forget what was spent longer ago than this; ``None``: never.
        name: to be named in errors.
        clock: seconds, from any beginning.

    Raises:
        ConfigurationError: the limit is no amount of money, or the window no time.

    >>> budget = Budget("1.00")
    >>> agent = budget.child("0.40")  # spends from both
    >>> reservation = agent.reserve(Decimal("0.30"))
    >>> budget.available
    Decimal('0.70')
    >>> reservation.settle(Decimal("0.10"))
    >>> budget.spent, agent.available
    (Decimal('0.10'), Decimal('0.30'))
    """

    def __init__(
        self,
        limit: Usd,
        *,
        window: timedelta | float | None = None,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = to_usd(limit, "a budget")
        self.name = name
        seconds = window.total_seconds() if isinstance(window, timedelta) else window
        if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
            raise ConfigurationError(f"window={window!r} is no time.", hint="A timedelta, or seconds above 0.")
        self._window, self._clock = seconds, clock
        self._parent: Budget | None = None
        self._guard = Guard()  # one for a whole family
        self._reserved = self._spent = Decimal(0)
        self._recent: deque[tuple[float, Decimal]] = deque()

    @classmethod
    def of(cls, budget: Budget | Usd | None) -> Budget | None:
        """Return the budget, or a new one of so many USD.

        Raises:
            ConfigurationError: it is no amount of money.
        """
        return budget if isinstance(budget, Budget | None) else cls(budget)

    def __repr__(self) -> str:
        name = f"{self.name!r}: " if self.name else ""
        return (
            f"<Budget {name}{in_usd(self.spent)} of {in_usd(self.limit)} USD spent, {in_usd(self.reserved)} reserved>"
        )

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("A Budget is of one process: another one would spend the same money again.")

    def __deepcopy__(self, memo: object) -> Self:
        return self  # copies of a model spend the same money

    def child(self, limit: Usd, *, window: timedelta | float | None = None, name: str = "") -> Budget:
        """Return a budget whose spending counts here, too, such as that of one agent."""
        made = Budget(limit, window=window, name=name, clock=self._clock)
        made._parent, made._guard = self, self._guard
        return made

    @property
    def spent(self) -> Decimal:
        """USD settled, within the window."""
        with self._guard:
            return self._forget()

    @property
    def reserved(self) -> Decimal:
        """USD that calls in flight may cost at worst."""
        with self._guard:
            return self._reserved

    @property
    def available(self) -> Decimal:
        """USD that one more call may cost at worst, here and in every budget above."""
        with self._guard:
            return min(each.limit - each._forget() - each._reserved for each in self._line())

    def reserve(self, worst: Decimal) -> Reservation:
        """Set aside what a call may cost.

        Raises:
            BudgetExceededError: it does not fit; nothing is set aside.
        """
        with self._guard:
            for budget in self._line():
                spent = budget._forget()
                if spent + budget._reserved + worst > budget.limit:
                    raise BudgetExceededError(
                        limit=budget.limit,
                        spent=spent,
                        reserved=budget._reserved,
                        needed=worst,
                        name=budget.name,
                    )
            for budget in self._line():
                budget._reserved += worst
        return Reservation(self, worst)

    def _line(self) -> Iterator[Budget]:
        budget: Budget | None = self
        while budget is not None:
            yield budget
            budget = budget._parent

    def _forget(self) -> Decimal:
        """Return what is spent, without what has left the window."""
        if self._window is not None:
            while self._recent and self._recent[0][0] <= self._clock() - self._window:
                self._spent -= self._recent.popleft()[1]
        return self._spent

    def _settle(self, reserved: Decimal, spent: Decimal) -> None:
        for budget in self._line():
            budget._reserved -= reserved
            budget._spent += spent
            if budget._window is not None:
                budget._recent.append((budget._clock(), spent))


class Reservation:
    """What one attempt may cost, until it is settled; left unsettled, it stays booked at its worst case."""

    __slots__ = ("_budget", "_open", "worst")

    def __init__(self, budget: Budget, worst: Decimal) -> None:
        self._budget = budget
        self._open = [None]  # popped by the first to settle: one operation, so that no two can
        self.worst = worst

    def settle(self, cost: Decimal | None = None) -> None:
        """Book what the attempt cost (``None``: nobody knows, so its worst case); only the first time counts.

        Never waits: destructors call it, too.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        spent = self.worst if cost is None else cost
        self._budget._guard.soon(lambda: self._budget._settle(self.worst, spent))


def to_usd(amount: Usd, what: str) -> Decimal:
    """Return the amount; a float is read as it is written.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        usd = Decimal(str(amount))
    except ArithmeticError:
        usd = Decimal("NaN")
    if isinstance(amount, bool) or not usd.is_finite() or usd < 0:
        raise ConfigurationError(f"{amount!r} is no amount for {what}.", hint="USD, such as 0.05 or '0.05'.")
    return usd
