"""Estimates that learn: a tokenizer, a chat template, and a template that changes."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import ask

from wandb_inference import ChatOptions, ChatRequest
from wandb_inference.catalog import Measured, TokenEstimator, estimate_tokens

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


# What counts, by bytes. One message alone counts 4, as the words that separate it; 3.2 bytes are one token.

IMAGE = {"type": "image_url", "image_url": {"url": "data:," + "A" * 9999}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A" * 9999}}


def said(*messages: dict[str, Any], **options: Any) -> Measured:
    return Measured(ChatRequest("m", messages, ChatOptions(**options)))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def calls(name: Any, arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": name, "arguments": arguments}}]}


ESTIMATES: dict[str, tuple[Measured, int, int]] = {
    # name: (call, tokens about, words at least)
    "nothing": (said(), 0, 0),
    "a message of nothing": (said(user(None)), 4, 0),
    "text": (said(user("x" * 320)), 104, 1),
    "what does not fill a token": (said(user("x" * 31)), 4 + 9, 1),
    "characters of two bytes": (said(user("ü" * 160)), 104, 1),
    "half of a character": (said(user("\ud83d" * 320)), 104, 1),
    "two messages": (said(user("x" * 160), user("y " * 80)), 108, 81),
    "text in parts": (said(user([{"type": "text", "text": "x" * 160}, {"text": "y" * 160}])), 104, 2),
    "parts in a tuple": (said(user(({"text": "x" * 320},))), 104, 1),
    "parts that are no text": (said(user([{"type": "text", "text": 5}, "x" * 99, {"type": "text"}])), 4, 0),
    "a picture": (said(user([IMAGE])), 1004, 0),
    "a picture in older words": (said(user([{"type": "image"}])), 1004, 0),
    "two pictures": (said(user([IMAGE]), user([IMAGE])), 2008, 0),
    "audio has no usual size": (said(user([AUDIO])), 4, 0),
    "a call of a tool": (said(calls("f" * 100, "x" * 219)), 104, 2),
    "a call of nothing": (said({"role": "assistant", "tool_calls": [{}, {"function": None}]}), 4, 0),
    "a call without arguments": (said(calls("f" * 31, None)), 14, 1),
    "no calls": (said({"role": "assistant", "tool_calls": None, "content": "x" * 320}), 104, 1),
    "tools": (said(user(None), tools=[{"a": "x" * 311}]), 104, 0),
    "tools of odd values": (said(user(None), tools=[{"a": {1, 2}}]), 4 + 4, 0),
    "reasoning of this turn": (said(user(None), {"role": "assistant", "reasoning": "x" * 320}), 108, 0),
    "reasoning that a tool's result follows": (
        said(user(None), {"role": "assistant", "reasoning": "x" * 320}, {"role": "tool", "content": None}),
        112,
        0,
    ),
    "reasoning of an earlier turn": (said({"role": "assistant", "reasoning": "x" * 320}, user(None)), 8, 0),
    "reasoning in blocks": (said(user(None), {"role": "assistant", "reasoning": ["x" * 320]}), 8, 0),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_estimate(name: str) -> None:
    call, tokens, words = ESTIMATES[name]
    assert (call.estimate, call.words) == (tokens, words)
    assert estimate_tokens(call.request) == tokens


# A bound assumes 2048 tokens of the template's own, 32 for a message, 16384 for a picture; a byte is a token at most,
# and what is structured counts twice.
BOUNDS: dict[str, tuple[Measured, int]] = {
    # name: (call, tokens at most)
    "nothing": (said(), 2048),
    "a message": (said({"content": "x" * 100}), 2180),
    "its role is text, too": (said(user("x" * 100)), 2184),
    "characters of more bytes": (said({"content": "ü" * 50}), 2180),
    "half of a character": (said({"content": "\ud83d"}), 2083),
    "two messages": (said({"content": "x" * 50}, {"content": "y" * 50}), 2212),
    "text anywhere": (said({"content": [{"text": "x" * 50, "more": {"deep": ("y" * 50,)}}]}), 2180),
    "kinds are text, too": (said({"content": [{"type": "text", "text": "x" * 96}]}), 2180),
    "what is no text": (said({"content": [5, None, True]}), 2080),
    "a picture": (said({"content": [IMAGE]}), 2080 + 16_384),
    "two media": (said({"content": [IMAGE, AUDIO]}), 2080 + 2 * 16_384),
    "tools, twice": (said(tools=[{"a": "x" * 10}]), 2048 + 2 * 21),
    "a format, twice": (said(response_format={"a": "x" * 10}), 2048 + 2 * 19),
    "more fields, twice": (said(extra_body={"a": "x" * 10}), 2048 + 2 * 19),
    "calls, twice, and once only": (said({"tool_calls": [{"a": "x" * 10}]}), 2080 + 2 * 21),
    "structures in ASCII": (said(tools=[{"a": "ü"}]), 2048 + 2 * 17),
    "structures of odd values": (said(tools=[{"a": {1}}]), 2048 + 2 * 14),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bound(name: str) -> None:
    call, tokens = BOUNDS[name]
    assert call.bound == tokens


KINDS = {
    "image_url": "image",
    "image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "file": "file",
}


def test_media_by_where_they_stand() -> None:
    parts = [{"type": "text", "text": "a"}, *({"type": kind} for kind in KINDS), {"type": 5}, "image", {}]
    call = said(user("image_url"), user(tuple(parts)), {"role": "tool", "content": [IMAGE]})
    assert call.media == (
        *((f"messages[1].content[{place}]", kind) for place, kind in enumerate(KINDS.values(), 1)),
        ("messages[2].content[0]", "image"),
    )


def test_an_estimator_that_learned_nothing_says_what_bytes_say() -> None:
    estimator = TokenEstimator()
    assert (estimator.estimate(said(user("x" * 320)).request), estimator.adjusted("m", 70)) == (104, 70)


def test_what_teaches_nothing() -> None:
    estimator = TokenEstimator()
    estimator.learn(said(user("x" * 320)), 0)  # the service did not count
    estimator.learn(said(user([IMAGE, {"text": "x" * 320}])), 50)  # pixels
    assert estimator.adjusted("m", 104) == 104


@pytest.mark.parametrize(("rate", "learned"), [(0.1, 0.2), (0.5, 0.5), (2, 2), (9, 5)])
def test_a_tokenizer_makes_a_fifth_to_five_times_as_many(rate: float, learned: float) -> None:
    # Beyond that it is the template's, or nonsense, which must not make long prompts of short ones.
    estimator = TokenEstimator()
    for size in (3_200, 32_000, 320_000) * 30:
        call = said(user("x" * size))
        estimator.learn(call, round(rate * call.estimate))
    assert estimator.adjusted("m", 20_000) - estimator.adjusted("m", 10_000) == pytest.approx(
        learned * 10_000, rel=0.01
    )


def test_at_least_one_token() -> None:
    estimator = TokenEstimator()
    for _ in range(20):
        estimator.learn(said(user("x" * 3200)), 1)
    assert estimator.adjusted("m", 0) == 1


BELIEVED: dict[str, tuple[int, int, list[int]]] = {
    # name: (tokens by bytes, tokens as counted, then believed of 0, 100, 1000 and 10,000 by bytes)
    # A base is taken to be 0 give or take 200, a rate 1 give or take 0.2, and a single count to be off by 5 % of the
    # prompt and 5 tokens: what one count says of the two, by Bayes.
    "as estimated": (100, 100, [1, 100, 1000, 10_000]),
    "what is too many in a short prompt is the template's": (100, 200, [99, 200, 1109, 10_198]),
    "in a longer one it is of both": (1000, 1500, [241, 365, 1482, 12_650]),
    "in a long one it is the tokenizer's": (10_000, 20_000, [93, 286, 2024, 19_406]),
}


@pytest.mark.parametrize("name", BELIEVED)
def test_what_one_count_says_of_other_prompts(name: str) -> None:
    tokens, counted, believed = BELIEVED[name]
    estimator, call = TokenEstimator(), said(user("x" * ((tokens - 4) * 16 // 5 + 1)))
    assert call.estimate == tokens
    estimator.learn(call, counted)
    assert [estimator.adjusted("m", size) for size in (0, 100, 1000, 10_000)] == believed


@pytest.mark.parametrize("counted", [57, 101, 250])
def test_what_is_counted_again_and_again_is_expected(counted: int) -> None:
    estimator = TokenEstimator()
    for _ in range(100):
        estimator.learn(said(user("x" * 320)), counted)
    assert estimator.adjusted("m", 104) == counted


def test_a_count_loses_a_twentieth_of_its_weight_with_each_that_follows() -> None:
    estimator, call = TokenEstimator(), said(user("x" * 320))
    for counted in [100] * 200 + [200] * 10:
        estimator.learn(call, counted)
    # 200 of 40 % of the weight, 100 of the rest: 0.95 ** 10 is 0.6
    assert estimator.adjusted("m", 104) == 140
