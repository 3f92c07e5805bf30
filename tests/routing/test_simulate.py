"""A log of calls, priced elsewhere."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from wandb_inference import CallRecord, Catalog, ChatRequest, Client, ConfigurationError, Policy, UnknownModelError
from wandb_inference.emulator import Emulator
from wandb_inference.routing import read_log, simulate

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
