"""The first of the cases that ``make fuzz`` has by the thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fuzzing import Case, fuzzed

Fuzz = Callable[[int], tuple[Case, str | None]]


@pytest.fixture(scope="module")
def run() -> Iterator[Fuzz]:
    with fuzzed() as found:
        yield found


@pytest.mark.parametrize("first", range(0, 320, 20))
def test_mutated_answers(first: int, run: Fuzz) -> None:
    faults = [(told.number, told.way, told.what, wrong) for told, wrong in map(run, range(first, first + 20)) if wrong]
    assert faults == []
