"""A log of calls, priced elsewhere."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import (
    CallRecord,
    Catalog,
    ChatOptions,
    ChatRequest,
    Client,
    ConfigurationError,
    Policy,
    UnknownModelError,
    Usage,
)
from wandb_inference.emulator import Emulator
from wandb_inference.routing import Outcome, Recorded, read_log, simulate

CATALOG = Catalog.bundled()
SMALL, GLM, SEES = "openai/gpt-oss-20b", "zai-org/GLM-5.2", "Qwen/Qwen3.8-27B"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
HELLO = [{"role": "user", "content": "Hello"}]


def line(prompt: int = 1000, answer: int = 100, model: str = SMALL, **row: Any) -> str:
    usage = {"input_tokens": prompt, "output_tokens": answer}
    return json.dumps({"model": model, "usage": usage, "request": {"messages": HELLO}, **row})


LOG = [
    line(),
    line(usage={"prompt_tokens": 2000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 500}}),
    line(request={"messages": [{"role": "user", "content": [IMAGE]}]}, model=SEES),
    line(200_000, 10, model=GLM),
    line(need={"modalities": ["text", "image"], "tools": 1}, request=None, model=SEES),
]


def test_the_same_tokens_at_other_prices_to_the_last_digit() -> None:
    recorded, small, glm = simulate(list(read_log(LOG)), CATALOG, models=["gpt-oss-20b", GLM])
    assert small.cost == Decimal("0.000043") + Decimal("0.0000665")  # 3000 in at 0.03, 150 out at 0.13, no discount
    assert (small.calls, dict(small.refused)) == (2, {"context_window": 1, "input_modality": 2})
    assert small.share == pytest.approx(0.4)
    # 202,500 in at 0.76, 500 cached at 0.14, 160 out at 2.42
    assert glm.cost == (Decimal(202_500) * Decimal("0.76") + 500 * Decimal("0.14") + 160 * Decimal("2.42")) / 1_000_000
    assert glm.refused == {"input_modality": 2}
    assert (recorded.calls, recorded.models) == (5, {SMALL: 2, SEES: 2, GLM: 1})


def test_a_policy_chooses_for_each_call() -> None:
    *_, cheapest = simulate(list(read_log(LOG)), CATALOG, policies={"cheapest": Policy(order="cheapest")})
    assert cheapest.share == 1
    assert cheapest.models[SMALL] == 2
    assert all(CATALOG.card(model).accepts("image") or model != SEES for model in cheapest.models)
    recorded = simulate(list(read_log(LOG)), CATALOG)[0]
    assert cheapest.cost < recorded.cost


def test_unknown_prices_are_counted_not_zero() -> None:
    (recorded,) = simulate(list(read_log([line(model="me/mine")])), CATALOG)
    assert [recorded.cost, recorded.unpriced] == [0, 1]


def test_unknown_models_are_named() -> None:
    with pytest.raises(UnknownModelError, match="gpt-oss-20b"):
        simulate([], CATALOG, models=["gpt-oss-20"])


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "5",
        '{"model": "m"}',
        '{"usage": {"input_tokens": 1, "output_tokens": 1}}',
        line(usage={"x": 1}),
    ],
)
def test_lines_that_are_no_calls(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 2 is no recorded call"):
        list(read_log([line(), text]))


def test_calls_that_failed_are_left_out() -> None:
    failed = json.dumps(
        {"requested": SMALL, "attempts": [{"model": SMALL, "outcome": "OverloadedError", "seconds": 1}]}
    )
    assert len(list(read_log([line(), failed, "", line()]))) == 2


def test_our_own_records_are_such_a_log(emulator: Emulator) -> None:
    records: list[CallRecord] = []
    with Client(base_url=emulator.url, api_key=emulator.api_key, on_record=records.append) as client:
        client.chat(ChatRequest("auto:cheapest", [{"role": "user", "content": [IMAGE]}]))
        client.chat(ChatRequest(SEES, [{"role": "user", "content": [IMAGE]}]))  # named: what it needs is in the record
        for _ in range(2):  # of the second, most of the prompt is cached
            client.chat(ChatRequest(SMALL, [{"role": "user", "content": "Hello, " * 50}]))
    assert records[-1].attempts[0].usage
    assert records[-1].attempts[0].usage.cached_tokens
    calls = list(read_log(json.dumps(record.to_dict()) for record in records))
    recorded, small = simulate(calls, CATALOG, models=[SMALL])
    assert recorded.cost == sum((record.cost or Decimal(0) for record in records), Decimal(0))
    assert small.refused == {"input_modality": 2}


# In small: three models, whose tokens cost millionths

SMALL_CATALOG = Catalog(
    [
        card("me/a", price={"input": 1, "output": 10}, context_window=1000, aliases=("a",)),
        card("me/b", price={"input": 2, "output": 20, "cached_input": 1}, input=("text", "image")),
        card("me/unpriced", tools=False),
    ]
)


def recorded(*rows: dict[str, Any]) -> list[Recorded]:
    return list(read_log(json.dumps(row) for row in rows))


def row(model: str = "me/a", prompt: int = 100, answer: int = 10, **rest: Any) -> dict[str, Any]:
    usage = {"input_tokens": prompt, "output_tokens": answer}
    return {"model": model, "usage": usage, "request": {"messages": HELLO}, **rest}


COUNTS: dict[str, tuple[dict[str, Any], Usage]] = {
    # name: (usage as it was logged, as it is read)
    "ours": ({"input_tokens": 5, "output_tokens": 4}, Usage(input_tokens=5, output_tokens=4)),
    "ours, with the cache": (
        {"input_tokens": 5, "output_tokens": 4, "cached_tokens": 3},
        Usage(input_tokens=5, output_tokens=4, cached_tokens=3),
    ),
    "OpenAI's": ({"prompt_tokens": 5, "completion_tokens": 4}, Usage(input_tokens=5, output_tokens=4)),
    "OpenAI's, with the cache": (
        {"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
        Usage(input_tokens=5, output_tokens=4, cached_tokens=3),
    ),
    "null details": (
        {"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": None},
        Usage(input_tokens=5, output_tokens=4),
    ),
    "nothing": ({"input_tokens": 0, "output_tokens": 0}, Usage(input_tokens=0, output_tokens=0)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    usage, read = COUNTS[name]
    (found,) = recorded(row(usage=usage))
    assert (found.model, found.usage) == ("me/a", read)


def needed(**need: Any) -> ChatRequest:
    (found,) = recorded(row(need=need, request=None))
    return found.request


TOOL = {"type": "function", "function": {"name": "f"}}
LIKE: dict[str, tuple[dict[str, Any], list[dict[str, Any]], ChatOptions]] = {
    # name: (what a call needed, the parts of a message that needs the same, its options)
    "nothing": ({}, [], ChatOptions()),
    "media": (
        {"modalities": ["text", "image", "audio", "video", "file", "smell"]},
        [{"type": "image_url"}, {"type": "input_audio"}, {"type": "video_url"}, {"type": "file"}],
        ChatOptions(),
    ),
    "tools": ({"tools": 2}, [], ChatOptions(tools=[TOOL, TOOL])),
    "a schema": ({"schema": True}, [], ChatOptions(response_format={"type": "json_schema"})),
    "the rest": (
        {"reasoning": False, "max_tokens": 5, "answers": 2},
        [],
        ChatOptions(reasoning=False, max_tokens=5, n=2),
    ),
}


@pytest.mark.parametrize("name", LIKE)
def test_a_call_like_one_that_was_logged(name: str) -> None:
    need, parts, options = LIKE[name]
    assert needed(**need) == ChatRequest("me/a", [{"role": "user", "content": parts}], options)


def test_the_same_need_where_a_plan_holds_it_or_nothing_does() -> None:
    (planned,) = recorded(row(plan={"need": {"tools": 1}}, request=None))
    assert planned.request.options.tools == [TOOL]
    for plan in (None, {}, {"need": None}):
        (bare,) = recorded(row(plan=plan, request=None))
        assert bare.request.options == ChatOptions()


def test_the_body_of_a_call_counts_for_more_than_its_model() -> None:
    (found,) = recorded(row(request={"model": "me/b", "messages": HELLO, "seed": 7}))
    assert (found.model, found.request) == ("me/a", ChatRequest("me/b", HELLO, ChatOptions(seed=7)))


def test_what_is_known_of_attempts() -> None:
    usage = {"input_tokens": 5, "output_tokens": 4}
    attempts: list[dict[str, Any]] = [{"model": "me/a"}, {"model": "me/b", "usage": usage}]
    (found,) = recorded({"attempts": attempts})
    assert (found.model, found.usage) == ("me/b", Usage(input_tokens=5, output_tokens=4))
    assert recorded({"attempts": attempts[::-1]}) == []  # the last one failed
    assert recorded({"attempts": []}) == []  # nothing was sent


BROKEN: dict[str, Any] = {
    "a count in words": row(usage={"input_tokens": "5", "output_tokens": 4}),
    "a count below nothing": row(usage={"input_tokens": 5, "output_tokens": -1}),
    "half a token": row(usage={"input_tokens": 5, "output_tokens": 4, "cached_tokens": 0.5}),
    "no counts": row(usage={"input_tokens": 5}),
    "a usage of words": row(usage="much"),
    "a model of none": {**row(), "model": 5, "need": {}, "request": {"messages": HELLO, "model": 5}},
    "messages of words": row(request={"messages": "Hello"}),
    "a message of words": row(request={"messages": ["Hello"]}),
    "tools of words": row(need={"tools": "many"}, request=None),
    "tools without end": row(need={"tools": float("inf")}, request=None),
    "attempts of a number": {"attempts": 5},
    "media of a number": row(need={"modalities": 5}, request=None),
    "no row": [1],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_line_that_is_no_call_is_named_by_its_number(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 3 is no recorded call") as caught:
        list(read_log([json.dumps(row()), "", json.dumps(BROKEN[name])]))
    assert caught.value.hint.startswith("A line is {")


def test_a_line_nested_without_end() -> None:
    with pytest.raises(ConfigurationError, match="Line 1 is no recorded call: RecursionError"):
        list(read_log(["[" * 100_000]))


LOGGED = [
    row(),  # 100 in, 10 out
    row("me/b", 1000, 1),  # longer than the window of the first
    row("me/b", 50, 0, usage={"input_tokens": 50, "output_tokens": 0, "cached_tokens": 50}),
    row("me/unpriced"),
    row("you/x"),
    row("me/a", 10, 1, request={"messages": [{"role": "user", "content": [IMAGE]}], "tools": [TOOL]}),
]


def usd(millionths: int) -> Decimal:
    return Decimal(millionths) / 1_000_000


def test_a_log_as_it_was_and_elsewhere() -> None:
    as_was, a, b, unpriced = simulate(recorded(*LOGGED), SMALL_CATALOG, models=["a", "me/b", "me/unpriced"])
    assert as_was == Outcome(
        name="as recorded",
        cost=usd(200 + 2020 + 50 + 20),
        calls=6,
        unpriced=2,
        models={"me/a": 2, "me/b": 2, "me/unpriced": 1, "you/x": 1},
    )
    assert a == Outcome(
        name="me/a",
        cost=usd(200 + 50 + 200 + 200),
        calls=4,
        refused={"context_window": 1, "input_modality": 1},
        models={"me/a": 4},
    )
    assert b == Outcome(name="me/b", cost=usd(400 + 2020 + 50 + 400 + 400 + 40), calls=6, models={"me/b": 6})
    assert unpriced == Outcome(
        name="me/unpriced",
        cost=Decimal(0),
        calls=5,
        unpriced=5,
        refused={"input_modality": 1},
        models={"me/unpriced": 5},
    )
    assert list(as_was.models) == ["me/a", "me/b", "me/unpriced", "you/x"]


def test_a_call_at_the_end_of_a_window() -> None:
    (_, fits), (_, too_long) = (
        simulate(recorded(row(prompt=prompt, answer=1)), SMALL_CATALOG, models=["me/a"]) for prompt in (999, 1000)
    )
    assert (fits.calls, dict(fits.refused)) == (1, {})
    assert (too_long.calls, dict(too_long.refused)) == (0, {"context_window": 1})


def test_a_log_as_policies_would_have_it() -> None:
    policies = {"cheap": Policy(models=["me/b", "me/a"], order="cheapest"), "first": Policy(models=["me/b", "me/a"])}
    _, cheap, first = simulate(recorded(*LOGGED), SMALL_CATALOG, policies=policies)
    assert (cheap.name, cheap.calls, dict(cheap.models)) == ("cheap", 6, {"me/a": 4, "me/b": 2})
    assert cheap.cost == usd(200 + 2020 + 50 + 200 + 200 + 40)
    assert (first.name, dict(first.models)) == ("first", {"me/b": 6})


def test_a_log_that_no_model_of_a_policy_takes() -> None:
    _, nobody = simulate(recorded(row(), row()), SMALL_CATALOG, policies={"p": Policy(models=["you/x"])})
    assert nobody == Outcome(name="p", cost=Decimal(0), calls=0, refused={"no_candidate": 2})
    assert nobody.share == 0


@pytest.mark.parametrize(
    ("calls", "refused", "share"), [(0, {}, 1.0), (1, {}, 1.0), (1, {"a": 1, "b": 2}, 0.25), (0, {"a": 1}, 0.0)]
)
def test_the_share_of_calls_that_could_be_made(calls: int, refused: dict[str, int], share: float) -> None:
    assert Outcome(name="n", cost=Decimal(0), calls=calls, refused=refused).share == share
