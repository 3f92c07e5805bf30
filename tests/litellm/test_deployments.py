"""The catalog as a Router's arguments, and as a proxy's configuration."""

from __future__ import annotations

import math
from typing import Any

import pytest
from cards import card

from wandb_inference import Catalog, ConfigurationError, UnknownModelError
from wandb_inference.litellm.deployments import deployments, proxy_config
from wandb_inference.litellm.models import model_info

CATALOG = Catalog(
    [
        card("me/a", family="a", price={"input": 1, "output": 1}, context_window=100, aliases=("a",)),
        card("me/b", family="a", price={"input": 2, "output": 2}, context_window=200, tools=True),
        card("me/c", family="c", price={"input": 3, "output": 1}, context_window=100, input=("text", "image")),
        card("me/d", family="d", tools=True, structured_output=True, reasoning={"mode": "always"}),
        card("me/old", status="retired", replacement="me/a"),
        card("me/soon", status="deprecated"),
    ]
)


def router(**given: Any) -> dict[str, Any]:
    return deployments(CATALOG, **given)


def names(of: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["model_name"], row["litellm_params"]["model"]) for row in of["model_list"]]


def test_a_group_for_each_active_model() -> None:
    assert names(router()) == [(f"me/{id_}", f"wandb_inference/me/{id_}") for id_ in "abcd"]
    assert names(router(models=["me/b", "a", "me/a"])) == [
        ("me/b", "wandb_inference/me/b"),
        ("me/a", "wandb_inference/me/a"),
    ]
    assert names(router(models=[])) == []
    assert names(router(models=["me/soon"])) == [("me/soon", "wandb_inference/me/soon")]


def test_a_group_for_each_family() -> None:
    assert names(router(models=["me/a", "me/b", "me/c"], families=True))[3:] == [
        ("family/a", "wandb_inference/me/a"),
        ("family/a", "wandb_inference/me/b"),
        ("family/c", "wandb_inference/me/c"),
    ]


def test_a_deployment() -> None:
    (row,) = router(models=["me/d"], api_key="k")["model_list"]
    assert row == {
        "model_name": "me/d",
        "litellm_params": {
            "model": "wandb_inference/me/d",
            "allowed_openai_params": ["reasoning_effort", "thinking", "user"],
            "api_key": "k",
        },
        "model_info": model_info(CATALOG.card("me/d")),
    }
    (row,) = router(models=["me/c"], tags=["mine"])["model_list"]
    assert row["litellm_params"]["tags"] == ["mine"]


def test_fallbacks_can_do_all_that_is_asked_of_a_group_the_cheapest_first() -> None:
    found = router(fallback_price=math.inf)
    assert found["fallbacks"] == [
        {"me/a": ["me/b", "me/c", "me/d"]},  # it can nothing in particular
        {"me/b": ["me/d"]},  # tools
    ]
    assert found["context_window_fallbacks"] == [{"me/a": ["me/b"]}]
    assert found["disable_cooldowns"] is True


PRICES: dict[str, tuple[float, dict[str, list[str]]]] = {
    # of: b, in 2 and out 2; a, 1 and 1; c, 3 and 1; d of no known price. name: (fallback_price, fallbacks)
    "what costs no more": (1.0, {}),
    "twice as much": (2.0, {"me/a": ["me/b"]}),
    "three times": (3.0, {"me/a": ["me/b", "me/c"]}),
    "whatever": (math.inf, {"me/a": ["me/b", "me/c", "me/d"], "me/b": ["me/d"]}),
    "none": (0.0, {}),
}


@pytest.mark.parametrize("name", PRICES)
def test_what_a_fallback_may_cost(name: str) -> None:
    times, expected = PRICES[name]
    found = router(fallback_price=times)
    assert {group: names for row in found["fallbacks"] for group, names in row.items()} == expected
    assert found["context_window_fallbacks"] == ([{"me/a": ["me/b"]}] if times >= 2 else [])


@pytest.mark.parametrize("price", ["input", "cached_input", "output"])
def test_a_fallback_is_not_dearer_in_any_of_the_three_prices(price: str) -> None:
    same = {"input": 2, "cached_input": 1, "output": 3}
    cards = [card("me/a", price=same), card("me/b", price={**same, price: same[price] + 0.5})]
    assert deployments(Catalog(cards))["fallbacks"] == [{"me/b": ["me/a"]}]


def test_fallbacks_of_a_family_are_of_others() -> None:
    found = router(families=True, fallback_price=math.inf)["fallbacks"]
    assert {"family/a": ["me/d"]} in found  # one of them calls tools
    assert not any("family/c" in row for row in found)  # nobody else sees


def test_a_larger_window_is_larger_than_any_of_the_group() -> None:
    windows = [("me/a", "f", 100), ("me/b", "f", 200), ("me/c", "g", 150), ("me/d", "g", 250), ("me/e", "g", None)]
    cards = [card(id_, family=family, context_window=window) for id_, family, window in windows]
    found = {
        name: row
        for rows in deployments(Catalog(cards), families=True, fallback_price=math.inf)["context_window_fallbacks"]
        for name, row in rows.items()
    }
    assert found == {
        "me/a": ["me/b", "me/c", "me/d"],
        "me/b": ["me/d"],
        "me/c": ["me/b", "me/d"],
        "me/e": ["me/a", "me/b", "me/c"],
        "family/f": ["me/b", "me/d"],  # the smaller of the two may have been asked
        "family/g": ["me/c", "me/d"],
    }


def test_three_fallbacks_are_enough_and_one_of_no_known_price_is_the_last() -> None:
    cards = [card("me/unpriced"), *(card(f"me/{n}", price={"input": n, "output": 0}) for n in (4, 3, 2, 1))]
    found = deployments(Catalog(cards), fallback_price=math.inf)["fallbacks"]
    assert found[0] == {"me/unpriced": ["me/1", "me/2", "me/3"]}
    three = Catalog([*cards[:2], card("me/a", price={"input": 2, "output": 3})])
    assert deployments(three, fallback_price=math.inf)["fallbacks"] == [
        {"me/unpriced": ["me/4", "me/a"]},
        {"me/4": ["me/a", "me/unpriced"]},
        {"me/a": ["me/4", "me/unpriced"]},
    ]
    assert deployments(Catalog(cards[:1]))["fallbacks"] == []


def test_limits_are_limits() -> None:
    assert "optional_pre_call_checks" not in router()
    for limit in ("rpm", "tpm"):
        assert router(**{limit: 5})["optional_pre_call_checks"] == ["enforce_model_rate_limits"]


def test_models_that_cannot_be_deployed() -> None:
    with pytest.raises(UnknownModelError, match="me/old is not served any more"):
        router(models=["me/old"])
    with pytest.raises(UnknownModelError, match="No model 'me/x'"):
        router(models=["me/x"])


MAP = {"provider": "wandb_inference", "custom_handler": "wandb_inference.litellm.proxy.handler"}
ROUTER = {"model_list": ["m"], "fallbacks": [], "context_window_fallbacks": ["f"], "disable_cooldowns": True}
CHECKS = {
    "context_window_fallbacks": ["f"],
    "disable_cooldowns": True,
    "fallback_on_unsupported_params": False,  # whatever LiteLLM writes the configuration, or none
}
CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # name: (keywords, settings of the Router, settings of LiteLLM beside ours)
    "one proxy": ({}, {}, {}),
    "several": ({"redis": "host:7000"}, {"redis_host": "host", "redis_port": 7000}, {}),
    "several, at the usual port": ({"redis": "host"}, {"redis_host": "host", "redis_port": 6379}, {}),
    "several, by a URL": ({"redis": "redis://host:7000/"}, {"redis_host": "host", "redis_port": 7000}, {}),
    "with a cache of its own": ({"cache": True}, {}, {"cache": True, "cache_params": {"type": "local"}}),
    "with a cache of theirs": (
        {"cache": True, "redis": "host"},
        {"redis_host": "host", "redis_port": 6379},
        {"cache": True, "cache_params": {"type": "redis", "host": "host", "port": 6379}},
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config(name: str) -> None:
    keywords, of_router, of_litellm = CONFIGS[name]
    assert proxy_config(ROUTER, **keywords) == {
        "model_list": ["m"],
        "litellm_settings": {"custom_provider_map": [MAP], **of_litellm},
        "router_settings": {**CHECKS, **of_router},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


@pytest.mark.parametrize(
    "redis",
    [
        "host:many",
        "host:99999999",
        ":7000",
        "https://host",
        "redis://user@host",
        "redis://:secret@host",
        "host/1",
        "redis://",
    ],
)
def test_no_address(redis: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        proxy_config(ROUTER, redis=redis)
    assert str(caught.value) == "redis= is no host:port. Its password belongs in REDIS_PASSWORD."
