"""Estimates that learn: a tokenizer, a chat template, and a template that changes."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import ask

from wandb_inference.catalog import TokenEstimator, estimate_tokens

CASES = {
    # name: (tokens that the template adds, tokens a word)
    "as estimated": (0, 1.6),
    "a long system preamble": (66, 1.6),
    "a better tokenizer": (5, 1.0),
    "a worse one": (5, 3.0),
}


@pytest.mark.parametrize("name", CASES)
def test_it_learns_base_and_rate_from_prompts_of_different_sizes(name: str) -> None:
    base, rate = CASES[name]
    estimator, sizes = TokenEstimator(), random.Random(1)
    for _ in range(40):
        words = sizes.randint(1, 3000)
        estimator.learn(ask("word " * words), round(base + rate * words))
    for words in (5, 100, 2000):
        assert estimator.estimate(ask("word " * words)) == pytest.approx(base + rate * words, rel=0.08, abs=4)


def test_it_follows_a_change() -> None:
    estimator = TokenEstimator()
    for counted in [100] * 50 + [200] * 100:
        estimator.learn(ask("word " * 100), counted)
    assert estimator.estimate(ask("word " * 100)) == pytest.approx(200, rel=0.05)


def test_one_call_does_not_bend_the_line_for_other_sizes() -> None:
    estimator = TokenEstimator()
    estimator.learn(ask("x"), 70)
    long = ask("word " * 1000)
    assert estimator.estimate(long) == pytest.approx(estimate_tokens(long) + 66, rel=0.1)
    assert estimator.estimate(ask("x")) == pytest.approx(70, rel=0.2)


def test_each_model_has_its_own_line_and_pictures_teach_nothing() -> None:
    estimator = TokenEstimator()
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    shown = ask("x", model="a")
    shown.messages[0]["content"] = [image]  # type: ignore[index]
    before = estimator.estimate(ask("word " * 100, model="a"))
    estimator.learn(shown, 9)
    for _ in range(10):
        estimator.learn(ask("word " * 100, model="b"), 10)
    assert estimator.estimate(ask("word " * 100, model="a")) == before
    assert estimator.estimate(ask("word " * 100, model="b")) < before


def test_nonsense_counts_are_bounded() -> None:
    estimator = TokenEstimator()
    for counted in (0, 10**9, 0, 10**9):
        estimator.learn(ask("word " * 100), counted)
        assert estimator.estimate(ask("word")) >= 1


def test_threads() -> None:
    estimator = TokenEstimator()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: estimator.learn(ask("word " * (n % 50 + 1)), n % 50 + 11), range(400)))
    assert estimator.estimate(ask("word " * 25)) == pytest.approx(35, rel=0.15)
