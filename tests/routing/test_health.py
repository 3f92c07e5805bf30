"""What a model's answers and failures say of it, at any moment of a clock that the caller holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import pytest

from wandb_inference.routing import Health, ModelHealth

M = "some/model"


def failing(*times: float, retry_after: float | None = None, gone: bool = False) -> Health:
    health = Health()
    for now in times:
        health.failed(M, now, retry_after=retry_after, gone=gone)
    return health


def seen(health: Health, now: float) -> tuple[float, bool]:
    state = health.view(now)[M]
    return state.cooling, state.half_open


PAUSES: dict[str, tuple[Health, float, tuple[float, bool]]] = {
    # name: (health, now, (seconds until it may be asked again, whether it is on trial))
    "a failure is no reason to pause": (failing(0), 0, (0, False)),
    "nor are two": (failing(0, 1), 1, (0, False)),
    "three in a row are": (failing(0, 1, 2), 2, (30, False)),
    "a pause runs down": (failing(0, 1, 2), 12.5, (19.5, False)),
    "a pause that is over puts on trial": (failing(0, 1, 2), 32, (0, True)),
    "long over": (failing(0, 1, 2), 9999, (0, True)),
    "the service names the pause": (failing(0, retry_after=7), 0, (7, False)),
    "a pause of nothing": (failing(0, retry_after=0), 0, (0, False)),
    "the service's nothing counts, however many fail": (failing(0, 0, 0, retry_after=0), 0, (0, False)),
    "a pause that must be a mistake": (failing(0, retry_after=86_400), 0, (900, False)),
    "a model that is gone": (failing(0, gone=True), 0, (600, False)),
    "a model that is gone, whatever the service asks for": (failing(0, gone=True, retry_after=1), 0, (600, False)),
}


@pytest.mark.parametrize("name", PAUSES)
def test_pause(name: str) -> None:
    health, now, expected = PAUSES[name]
    assert seen(health, now) == expected


def test_a_later_failure_never_shortens_a_pause() -> None:
    health = failing(0, retry_after=60)
    health.failed(M, 1, retry_after=5)
    assert seen(health, 1) == (59, False)


def test_an_answer_ends_the_pause_and_the_row_of_failures() -> None:
    health = failing(0, 1, 2)
    health.succeeded(M)
    assert seen(health, 2) == (0, False)
    health.failed(M, 3)
    health.failed(M, 4)
    assert seen(health, 4) == (0, False)
    health.failed(M, 5)
    assert seen(health, 5) == (30, False)


def test_one_call_finds_out_whether_a_pause_was_long_enough() -> None:
    health = failing(0, retry_after=10)
    health.probe(M, 10)
    assert seen(health, 10) == (30, False)  # the others wait
    assert seen(health, 40) == (0, True)  # it never came back: the next one may try
    health.probe(M, 40, seconds=5)
    assert seen(health, 40) == (5, False)
    health.succeeded(M)
    assert seen(health, 40) == (0, False)


def test_a_trial_that_fails_begins_another_pause() -> None:
    health = failing(0, retry_after=10)
    health.probe(M, 10)
    health.failed(M, 11)  # the second in a row only
    assert seen(health, 11) == (30, False)
    assert seen(health, 41) == (0, True)


def test_a_clock_may_have_begun_a_moment_ago() -> None:
    health = failing(0, retry_after=0.1)
    health.probe(M, 0.1, seconds=0.5)
    health.failed(M, 0.3)
    assert seen(health, 0.3) == (30, False)


def test_a_failure_beside_a_trial_is_not_taken_for_one() -> None:
    health = failing(0, retry_after=10)
    health.failed(M, 12)  # nobody was sent on trial
    assert seen(health, 12) == (0, True)


@pytest.mark.parametrize(
    "before",
    [lambda h: h.succeeded(M), lambda h: h.failed(M, 0), lambda h: (h.failed(M, 0, retry_after=9), h.succeeded(M))],
    ids=["well", "one failure", "well again"],
)
def test_calls_to_a_model_without_a_pause_hold_nobody_up(before: Callable[[Health], object]) -> None:
    health = Health()
    before(health)
    health.probe(M, 1)
    assert seen(health, 1) == (0, False)


def test_only_models_that_answered_or_failed_are_known() -> None:
    health = Health()
    health.probe(M, 0)
    assert health.view(0) == {}
    health.succeeded(M)
    health.failed("another/model", 0)
    assert set(health.view(0)) == {M, "another/model"}


def test_what_is_known_after_one_answer_that_said_nothing() -> None:
    health = Health()
    health.succeeded(M)
    assert astuple(health.view(0)[M]) == astuple(ModelHealth()) == (0.0, False, None, 0.0, None, 0)


AVERAGES: dict[str, tuple[list[float | None], float | None]] = {
    # name: (measured, the average, in which the newest counts a fifth)
    "none": ([None], None),
    "one": ([2.0], 2.0),
    "two": ([2.0, 4.0], 2.4),
    "three": ([2.0, 4.0, 0.0], 1.92),
    "one that was not measured changes nothing": ([2.0, None, 4.0, None], 2.4),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name: str) -> None:
    measured, average = AVERAGES[name]
    health = Health()
    for seconds in measured:
        tokens = None if seconds is None else int(seconds * 100)
        health.succeeded(M, first_token=seconds, answer_tokens=tokens)
    state = health.view(0)[M]
    assert state.first_token == (None if average is None else pytest.approx(average))
    assert state.answer_tokens == (None if average is None else pytest.approx(average * 100))
    assert state.answers == len([seconds for seconds in measured if seconds is not None])


@pytest.mark.parametrize(
    ("calls", "rate"),
    [("s", 0.0), ("f", 0.2), ("ff", 0.36), ("fs", 0.16), ("fsf", 0.328)],
)
def test_the_rate_of_errors_moves_by_a_fifth(calls: str, rate: float) -> None:
    health = Health()
    for call in calls:
        health.failed(M, 0) if call == "f" else health.succeeded(M)
    assert health.view(0)[M].error_rate == pytest.approx(rate)


def test_measurements_outlive_failures() -> None:
    health = Health()
    health.succeeded(M, first_token=2.0, answer_tokens=100)
    health.failed(M, 0)
    state = health.view(0)[M]
    assert (state.first_token, state.answer_tokens, state.answers) == (2.0, 100, 1)


def test_a_conversation_is_with_its_latest_model() -> None:
    health = Health()
    assert health.conversation("c") is None
    health.converse("c", M, 10)
    health.converse("d", "another/model", 20)
    health.converse("c", "another/model", 30)
    assert (health.conversation("c"), health.conversation("d")) == (("another/model", 30), ("another/model", 20))


def test_the_conversations_that_were_silent_longest_are_forgotten() -> None:
    health = Health()
    for number in range(10_000):
        health.converse(str(number), M, number)
    health.converse("0", M, 0)  # goes on
    assert health.conversation("1") == (M, 1)
    health.converse("one more", M, 1)
    assert [health.conversation(key) for key in ("0", "1", "2", "one more")] == [(M, 0), None, (M, 2), (M, 1)]
