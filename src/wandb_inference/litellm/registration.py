"""Make the provider, and what the catalog knows of its models, known to LiteLLM."""

from __future__ import annotations

import warnings
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.utils import custom_llm_setup

from wandb_inference.catalog import Catalog
from wandb_inference.litellm.handler import WandbInferenceLLM
from wandb_inference.litellm.models import model_info
from wandb_inference.litellm.provider import PROVIDER
from wandb_inference.litellm.shims import allowed, install


def register(catalog: Catalog | None = None, *, coalesce: bool | None = None) -> WandbInferenceLLM:
    """Make ``wandb_inference/<model id>`` known to LiteLLM, with limits, abilities and prices; once or often.

    Other providers stay registered. Models whose price is not known are registered without one.

    LiteLLM's registry is this process's own. In one that has not registered, such as a child of ``spawn``, LiteLLM says
    "LLM Provider NOT provided": register where it begins (``ProcessPoolExecutor(initializer=register)``).

    Args:
        catalog: what is known of the models; the bundled one when ``None``.
        coalesce: whether deltas of a kind that one network read brought leave as one chunk; ``None``: as before, at
            first yes. Programs that look for words in single chunks (DSPy's ``StreamListener``) want ``False``.

    >>> handler = register()
    >>> litellm.get_model_info("wandb_inference/openai/gpt-oss-20b")["input_cost_per_token"]
    3e-08
    """
    known = next((item for item in litellm.custom_provider_map if item["provider"] == PROVIDER), None)
    handler: Any = known["custom_handler"] if known else None
    if handler is None or catalog is not None or coalesce is not None:
        before = handler or WandbInferenceLLM()
        catalog = before.catalog if catalog is None else catalog
        handler = WandbInferenceLLM(catalog, coalesce=before.coalesce if coalesce is None else coalesce)
        others = [item for item in litellm.custom_provider_map if item["provider"] != PROVIDER]
        litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    let_through = install()
    custom_llm_setup()  # type: ignore[no-untyped-call]
    for name in [name for name in litellm.model_cost if name.startswith(f"{PROVIDER}/")]:
        del litellm.model_cost[name]  # LiteLLM would merge: a price that is not known any more would stay
    litellm.register_model(
        {
            f"{PROVIDER}/{name}": model_info(card)
            for card in handler.catalog
            if card.servable
            for name in (card.id, *card.aliases)  # LiteLLM prices a stream by the name that was asked for
        }
    )
    litellm.models_by_provider[PROVIDER] = [f"{PROVIDER}/{card.id}" for card in handler.catalog if card.servable]
    if not let_through and not any(isinstance(callback, _Options) for callback in litellm.callbacks):
        litellm.callbacks.append(_Options())  # only then: with any callback, LiteLLM does the work of logging each call
    if "wandb" in (*litellm.callbacks, *litellm.success_callback, *litellm.failure_callback):
        warnings.warn(
            "LiteLLM's own 'wandb' callback is on: it writes the API key into every trace, and ends the run it logs "
            "to. Take it out of litellm.callbacks.",
            stacklevel=2,
        )
    return handler  # type: ignore[no-any-return]


class _Options(CustomLogger):
    """LiteLLM's own hook, for asynchronous calls and the Router, to let through what ``shims`` lets through anyway."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:  # noqa: ARG002 (LiteLLM's signature)
        if (
            not str(kwargs.get("model") or "").startswith(f"{PROVIDER}/")
            and kwargs.get("custom_llm_provider") != PROVIDER
        ):
            return None
        return {**kwargs, "allowed_openai_params": allowed(kwargs.get("allowed_openai_params"))}
