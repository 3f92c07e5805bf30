"""A ceiling on what calls may cost, that holds however many run at once."""
# ruff: noqa: SLF001 (budgets of one family see each other's books)

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol, Self

from wandb_inference._guard import Guard
from wandb_inference._turns import Turn
from wandb_inference.accounting.price import in_usd
from wandb_inference.errors import BudgetExceededError, ConfigurationError

Usd = Decimal | float | int | str
_LOOK = 1.0  # seconds between two looks at what only time tells, while a call waits


class Budget:
    """USD that calls may spend together: each reserves its worst case before it is sent, and settles what it cost.

    Clients, models of LangChain, threads and tasks may share one. A call that does not fit waits, up to its timeout,
    where it will fit when those in flight have ended; else it is refused. Nothing is sent then. What an attempt cost
    that nobody can know (its stream was dropped, its connection broke) is booked at its worst case.

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
        self._family = _Family()
        self._last = 0.0  # of the clock
        self._reserved = self._spent = Decimal(0)
        self._recent: deque[tuple[float, Decimal]] = deque()

    @property
    def _guard(self) -> Guard:
        return self._family.guard

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
        made._parent, made._family = self, self._family
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
        """Set aside what a call may cost, or refuse it at once.

        Raises:
            BudgetExceededError: it does not fit; nothing is set aside.
        """
        with self._guard:
            lacking = self._lacking(worst)
            if lacking is not None:
                raise lacking._exceeded(worst)
            return self._take(worst)

    def acquire(self, worst: Decimal, seconds: float | None = None) -> Reservation:
        """Set aside what a call may cost; where it will fit when calls in flight have ended, wait for them.

        Args:
            worst: USD.
            seconds: to wait at most. Those who wait are served in order, unless they wait for other budgets.

        Raises:
            BudgetExceededError: it can never fit, or did not in that time; or those in flight are streams that nobody
                reads, perhaps because their reader makes this call.
        """
        claim = self._claim(worst, None)
        try:
            while (left := claim.left(seconds)) > 0:
                claim.wait(min(left, _LOOK))
                self._look()
            return self._granted(claim)
        except BaseException:  # KeyboardInterrupt
            self._guard.soon(lambda: self._cancel(claim))
            raise

    async def aacquire(self, worst: Decimal, seconds: float | None = None) -> Reservation:
        """Set aside what a call may cost; as ``acquire``."""
        claim = self._claim(worst, asyncio.get_running_loop())
        try:
            while (left := claim.left(seconds)) > 0:
                await claim.await_(min(left, _LOOK))
                self._look()
            return self._granted(claim)
        except BaseException:  # cancelled
            self._guard.soon(lambda: self._cancel(claim))
            raise

    def _claim(self, worst: Decimal, loop: asyncio.AbstractEventLoop | None) -> _Claim:
        claim = _Claim(self, worst, loop)
        with self._guard:
            self._family.waiting.append(claim)
            self._serve()
            claim.since = None if claim.granted else time.monotonic()
        return claim

    def _look(self) -> None:
        """See what nobody tells: whether streams rest."""
        with self._guard:
            self._serve()

    def _granted(self, claim: _Claim) -> Reservation:
        with self._guard:
            if claim.reservation is not None:
                return claim.reservation
            error = claim.error or (self._lacking(claim.worst) or self)._exceeded(claim.worst, claim.waited)
        raise error

    # Under the guard

    def _lacking(self, worst: Decimal) -> Budget | None:
        """Return which budget of the line has too little left; the one that never has enough, if there is one."""
        line = [(budget, budget._forget() + worst) for budget in self._line()]
        never = (budget for budget, needed in line if needed > budget.limit)
        now = (budget for budget, needed in line if needed + budget._reserved > budget.limit)
        return next(never, None) or next(now, None)

    def _exceeded(self, worst: Decimal, waited: float | None = None) -> BudgetExceededError:
        told = {"limit": self.limit, "spent": self._forget(), "reserved": self._reserved, "needed": worst}
        return BudgetExceededError(**told, name=self.name, waited=waited)

    def _take(self, worst: Decimal) -> Reservation:
        for budget in self._line():
            budget._reserved += worst
        made = Reservation(self, worst)
        self._family.open.add(made)
        return made

    def _serve(self) -> None:
        """Give to those who wait what has come free, and tell those that wait for nothing."""
        short: set[Budget] = set()  # those that somebody waits for already
        for claim in list(self._family.waiting):
            lacking = claim.budget._lacking(claim.worst)
            if lacking is None and not short.intersection(claim.budget._line()):
                claim.reservation = claim.budget._take(claim.worst)
            elif lacking is not None and (lacking._forget() + claim.worst > lacking.limit or lacking._is_stuck()):
                claim.error = lacking._exceeded(claim.worst, claim.waited)
            else:
                short.add(lacking or claim.budget)
                continue
            self._family.waiting.remove(claim)
            if not claim.grant() and claim.reservation is not None:
                claim.reservation.settle(Decimal(0))

    def _is_stuck(self) -> bool:
        """Whether all that is reserved here is held by streams that rest with their readers."""
        held = [reservation for reservation in self._family.open if self in reservation._budget._line()]
        return all(reservation.holder is not None and reservation.holder.is_idle for reservation in held)

    def _cancel(self, claim: _Claim) -> None:
        if claim.reservation is not None:
            claim.reservation.settle(Decimal(0))
        elif claim in self._family.waiting:
            self._family.waiting.remove(claim)
            self._serve()

    def _line(self) -> Iterator[Budget]:
        budget: Budget | None = self
        while budget is not None:
            yield budget
            budget = budget._parent

    def _forget(self) -> Decimal:
        """Return what is spent, without what has left the window."""
        if self._window is not None:
            now = self._now()
            while self._recent and self._recent[0][0] <= now - self._window:
                self._spent -= self._recent.popleft()[1]
        return self._spent

    def _now(self) -> float:
        """Return the clock's time; of a clock that fails, the last one: an answer that was paid for is not lost."""
        with suppress(Exception):
            self._last = self._clock()
        return self._last

    def _settle(self, reservation: Reservation, spent: Decimal) -> None:
        self._family.open.discard(reservation)
        for budget in self._line():
            budget._reserved -= reservation.worst
            budget._spent += spent
            if budget._window is not None:
                budget._recent.append((budget._now(), spent))
        self._serve()


@dataclass(slots=True)
class _Family:
    """What budgets with one ancestor share."""

    guard: Guard = field(default_factory=Guard)
    waiting: deque[_Claim] = field(default_factory=deque)
    open: set[Reservation] = field(default_factory=set)


class _Claim(Turn):
    """A call that waits until what it may cost can be set aside."""

    __slots__ = ("budget", "error", "reservation", "since", "worst")

    def __init__(self, budget: Budget, worst: Decimal, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(loop)
        self.budget, self.worst = budget, worst
        self.reservation: Reservation | None = None
        self.error: BudgetExceededError | None = None
        self.since: float | None = None

    @property
    def waited(self) -> float | None:
        """Seconds; ``None``: it did not have to wait."""
        return None if self.since is None else time.monotonic() - self.since

    def left(self, seconds: float | None) -> float:
        """Return how many of these seconds there are to wait; none when there is nothing to wait for any more."""
        if self.granted:
            return 0.0
        return float("inf") if seconds is None else seconds - (self.waited or 0.0)


class Holder(Protocol):
    """Who a reservation is for."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody works on it, perhaps never again."""
        ...


class Reservation:
    """What one attempt may cost, until it is settled; left unsettled, it stays booked at its worst case."""

    __slots__ = ("_budget", "_open", "holder", "worst")

    def __init__(self, budget: Budget, worst: Decimal) -> None:
        self._budget = budget
        self.holder: Holder | None = None
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
        self._budget._guard.soon(lambda: self._budget._settle(self, spent))


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
