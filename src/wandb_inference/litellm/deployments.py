"""The catalog as a Router's ``model_list``, and as the configuration of a LiteLLM proxy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from wandb_inference._preflight import retired
from wandb_inference.catalog import Catalog, ModelCard
from wandb_inference.errors import ConfigurationError
from wandb_inference.litellm.models import model_info
from wandb_inference.litellm.provider import ALLOWED, PROVIDER

_NAMED = 3  # fallbacks of a group
_SETTING = "fallback_on_unsupported_params"  # of the Router: whether it falls back from a 400, too
_KNOWS_IT = (1, 108, 7)  # LiteLLM; before, a Router does not take it, and falls back from whatever fails


def deployments(
    catalog: Catalog | None = None,
    *,
    models: Sequence[str] | None = None,
    families: bool = False,
    fallback_price: float = 1.0,
    **litellm_params: Any,
) -> dict[str, Any]:
    """Return the arguments of a ``litellm.Router`` for the catalog's models: one group each, with fallbacks.

    Calls are neither refused nor answered by another model because many are made at a time: those that the service
    does not take yet wait here, and LiteLLM's cooldowns, which refuse good calls after a failed one, are off.

    Args:
        catalog: what is known of the models; the bundled one when ``None``.
        models: ids or aliases; all active ones when ``None``.
        families: a further group for each family, named ``family/<family>``, over which the Router balances.
        fallback_price: how many times a group's prices a fallback may cost, for what goes in and for what comes out;
            ``math.inf``: whatever it costs; 0: no fallbacks. It holds for ``context_window_fallbacks``, too.
        **litellm_params: of every deployment, such as ``api_key`` or ``project``. LiteLLM refuses calls beyond
            ``max_parallel_requests``, ``rpm`` and ``tpm``, or falls back: none of them waits. ``rpm`` and a sixth of
            ``tpm`` in thousands are its limits for calls at a time, too.

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
        "model_list": [_entry(card, name, litellm_params) for name, group in groups.items() for card in group],
        "fallbacks": _fallbacks(groups, cards, fallback_price),
        "context_window_fallbacks": _larger(groups, cards, fallback_price),
        "disable_cooldowns": True,
        **({_SETTING: False} if _knows_it() else {}),
        # Without it, LiteLLM takes rpm and tpm for weights.
        **({"optional_pre_call_checks": ["enforce_model_rate_limits"]} if {"rpm", "tpm"} & set(litellm_params) else {}),
    }


def proxy_config(router: Mapping[str, Any], *, redis: str | None = None, cache: bool = False) -> dict[str, Any]:
    """Return a proxy's configuration for what ``deployments`` returned.

    Args:
        router: the arguments of a Router.
        redis: ``host:port`` of a Redis in which several proxies share counters; its password is read
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
            _SETTING: False,  # a proxy that does not know it passes it over
            **{name: value for name, value in router.items() if name != "model_list" and value != []},
            **{f"redis_{name}": value for name, value in shared.items()},
        },
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }


def _knows_it() -> bool:
    """Whether the LiteLLM of this environment can keep the Router from asking another model after a 400."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", version("litellm"))[:3]) >= _KNOWS_IT
    except PackageNotFoundError:  # only a proxy elsewhere reads what is returned
        return True


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


def _entry(card: ModelCard, group: str, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_name": group,
        "litellm_params": {
            "model": f"{PROVIDER}/{card.id}",
            "allowed_openai_params": list(ALLOWED),
            **params,
        },
        "model_info": model_info(card),
    }


def _fallbacks(
    groups: Mapping[str, Sequence[ModelCard]], cards: Sequence[ModelCard], times: float
) -> list[dict[str, list[str]]]:
    """Return, for each group, the cheapest of the other models that can do all that any of it can."""
    rows = {}
    for name, group in groups.items():
        able = set[str]().union(*map(_can, group))
        rows[name] = [c for c in cards if c not in group and _can(c) >= able and _costs_no_more(c, group, times)]
    return _rows(rows)


def _larger(
    groups: Mapping[str, Sequence[ModelCard]], cards: Sequence[ModelCard], times: float
) -> list[dict[str, list[str]]]:
    """Return, for each group, the cheapest of the models with a larger window that can do all that any of it can.

    In a group of several, the call may have met the smallest, so its own larger ones count, too. LiteLLM's pre-call
    checks would choose by the window, but they count all models' tokens with one tokenizer of OpenAI's, and so refuse
    prompts that fit.
    """
    rows = {}
    for name, group in groups.items():
        windows = [card.context_window or 0 for card in group]
        able = set[str]().union(*map(_can, group))
        rows[name] = [
            card
            for card in cards
            if (card.context_window or 0) > (min(windows) if card in group else max(windows))
            and (card in group or _can(card) >= able)
            and _costs_no_more(card, group, times)
        ]
    return _rows(rows)


def _rows(found: Mapping[str, Sequence[ModelCard]]) -> list[dict[str, list[str]]]:
    return [{name: [card.id for card in sorted(cards, key=_cost)[:_NAMED]]} for name, cards in found.items() if cards]


def _costs_no_more(card: ModelCard, group: Sequence[ModelCard], times: float) -> bool:
    """Whether a model's every price is within ``times`` what the group's callers may be charged; unknown is not."""
    if math.isinf(times):
        return True
    known = [one.price for one in group if one.price is not None]
    if card.price is None or len(known) < len(group):
        return False
    price, factor = card.price, Decimal(times)
    return (
        price.input <= factor * max(one.input for one in known)
        and price.cached <= factor * max(one.cached for one in known)
        and price.output <= factor * max(one.output for one in known)
    )


def _can(card: ModelCard) -> set[str]:
    able = {"tools": card.tools, "image": card.accepts("image"), "schema": card.structured_output}
    return {name for name, can in able.items() if can}


def _cost(card: ModelCard) -> tuple[Any, ...]:
    return (card.price is None, card.price.input + card.price.output if card.price else 0, card.id)
