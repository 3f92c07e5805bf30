"""The catalog as a Router's ``model_list``, and as the configuration of a LiteLLM proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from wandb_inference._preflight import retired
from wandb_inference.catalog import Catalog, ModelCard
from wandb_inference.errors import ConfigurationError
from wandb_inference.litellm.models import model_info
from wandb_inference.litellm.provider import ALLOWED, PROVIDER

_NAMED = 3  # fallbacks of a group
MAX_PARALLEL = 32  # the service answers 429 to too many calls in flight for a project, a user and a model


def deployments(
    catalog: Catalog | None = None,
    *,
    models: Sequence[str] | None = None,
    families: bool = False,
    max_parallel_requests: int = MAX_PARALLEL,
    **litellm_params: Any,
) -> dict[str, Any]:
    """Return the arguments of a ``litellm.Router`` for the catalog's models: one group each, with fallbacks.

    Args:
        catalog: what is known of the models; the bundled one when ``None``.
        models: ids or aliases; all active ones when ``None``.
        families: a further group for each family, named ``family/<family>``, over which the Router balances.
        max_parallel_requests: of each model; more wait in the Router.
        **litellm_params: of every deployment, such as ``api_key`` or ``project``; ``rpm`` and ``tpm`` are limits, which
            LiteLLM refuses to exceed.

    Raises:
        UnknownModelError: one of the models is not in the catalog, or not served any more.

    >>> router = deployments(models=["gpt-oss-20b"], api_key="os.environ/WANDB_API_KEY")
    >>> router["model_list"][0]["model_name"], router["model_list"][0]["litellm_params"]["model"]
    ('openai/gpt-oss-20b', 'wandb_inference/openai/gpt-oss-20b')
    """
    catalog = Catalog.bundled() if catalog is None else catalog
    named = [c.id for c in catalog if c.status == "active"] if models is None else models
    cards = [_served(catalog, id_) for id_ in dict.fromkeys(catalog.card(name).id for name in named)]
    groups = {card.id: [card] for card in cards}
    if families:
        for card in cards:
            groups.setdefault(f"family/{card.family}", []).append(card)
    return {
        "model_list": [
            _entry(card, name, max_parallel_requests, litellm_params)
            for name, group in groups.items()
            for card in group
        ],
        "fallbacks": _fallbacks(groups, cards),
        "context_window_fallbacks": _fallbacks(groups, cards, larger=True),
        "enable_pre_call_checks": True,
        # Without it, LiteLLM takes rpm and tpm for weights.
        **({"optional_pre_call_checks": ["enforce_model_rate_limits"]} if {"rpm", "tpm"} & set(litellm_params) else {}),
    }


def proxy_config(router: Mapping[str, Any], *, redis: str | None = None, cache: bool = False) -> dict[str, Any]:
    """Return a proxy's configuration for what ``deployments`` returned.

    Args:
        router: the arguments of a Router.
        redis: ``host:port`` of a Redis in which several proxies share counters and cooldowns; its password is read
            from ``REDIS_PASSWORD``.
        cache: whether it keeps whole answers, too: the same call is then answered without asking the service.

    Raises:
        ConfigurationError: ``redis`` is no ``host:port``.

    >>> config = proxy_config(deployments(models=["gpt-oss-20b"]), redis="127.0.0.1")
    >>> config["router_settings"]["redis_port"]
    6379
    >>> config["litellm_settings"]["custom_provider_map"][0]["custom_handler"]
    'wandb_inference.litellm.proxy.handler'
    """
    shared = _address(redis) if redis else {}
    return {
        "model_list": router["model_list"],
        "litellm_settings": {
            "custom_provider_map": [{"provider": PROVIDER, "custom_handler": "wandb_inference.litellm.proxy.handler"}],
            **({"cache": True, "cache_params": {"type": "redis" if redis else "local", **shared}} if cache else {}),
        },
        "router_settings": {
            **{name: value for name, value in router.items() if name != "model_list" and value != []},
            **{f"redis_{name}": value for name, value in shared.items()},
        },
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


def _served(catalog: Catalog, name: str) -> ModelCard:
    card = catalog.card(name)
    if not card.servable:
        raise retired(card, catalog)
    return card


def _address(redis: str) -> dict[str, Any]:
    url = urlsplit(redis if "://" in redis else f"redis://{redis}")
    try:
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if url.scheme != "redis" or not host or url.username or url.password or url.path not in ("", "/"):
        # Not quoted: it may hold a password.
        raise ConfigurationError("redis= is no host:port.", hint="Its password belongs in REDIS_PASSWORD.")
    return {"host": host, "port": port or 6379}


def _entry(card: ModelCard, group: str, parallel: int, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_name": group,
        "litellm_params": {
            "model": f"{PROVIDER}/{card.id}",
            "allowed_openai_params": list(ALLOWED),
            "max_parallel_requests": parallel,
            "tags": _tags(card),
            **params,
        },
        "model_info": model_info(card),
    }


def _tags(card: ModelCard) -> list[str]:
    reasons = card.reasoning.mode in ("always", "switchable")
    able = {"tools": card.tools, "vision": card.accepts("image"), "reasoning": reasons}
    return [card.family, *(name for name, can in able.items() if can)]


def _fallbacks(
    groups: Mapping[str, Sequence[ModelCard]], cards: Sequence[ModelCard], *, larger: bool = False
) -> list[dict[str, list[str]]]:
    """Return, for each group, the cheapest of the other models that can do all that any of it can."""
    rows = []
    for name, group in groups.items():
        able, window = set[str]().union(*map(_can, group)), max(card.context_window or 0 for card in group)
        others = [
            card
            for card in sorted(cards, key=_cost)
            if card not in group and _can(card) >= able and (not larger or (card.context_window or 0) > window)
        ]
        if others:
            rows.append({name: [card.id for card in others[:_NAMED]]})
    return rows


def _can(card: ModelCard) -> set[str]:
    able = {"tools": card.tools, "image": card.accepts("image"), "schema": card.structured_output}
    return {name for name, can in able.items() if can}


def _cost(card: ModelCard) -> tuple[Any, ...]:
    return (card.price is None, card.price.input + card.price.output if card.price else 0, card.id)
