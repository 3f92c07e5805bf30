"""Weave, where the program uses it: calls that it traces already get what it does not know."""

from __future__ import annotations

import sys
from typing import Any

from wandb_inference._autolog.sinks import log
from wandb_inference.accounting import CallRecord, spent
from wandb_inference.catalog import Catalog

_TRACERS = {"langchain": "langchain", "litellm": "litellm"}  # by door: in the names of Weave's own operations


def traced() -> Any:
    """Return the call that Weave traces around what happens now; ``None`` when it does not."""
    weave = sys.modules.get("weave")
    try:
        return weave.get_current_call() if weave is not None else None
    except Exception:  # noqa: BLE001 (another version of Weave; the call is logged all the same)
        return None


def enrich(call: Any, record: CallRecord) -> str | None:
    """Add cost and times to the call that Weave traces around one of ours; return Weave's id of it.

    Only to calls that Weave's own patches of LangChain and LiteLLM trace: one around several calls is not ours.
    """
    tracer = _TRACERS.get(record.entry)
    try:
        if call is None or tracer is None or tracer not in str(call.op_name).lower():
            return None
        call.summary = {**(call.summary or {}), "wandb_inference": _facts(record)}
        return str(call.id)
    except Exception:  # noqa: BLE001 (as above)
        return None


def _facts(record: CallRecord) -> dict[str, Any]:
    facts = {"call_id": record.call_id, "status": record.status, **spent(record)}
    return {name: value for name, value in facts.items() if value is not None}


def register_costs(catalog: Catalog) -> int:
    """Give the Weave client of this process our prices; return how many models have one.

    Weave joins prices to calls by the exact model id, and knows none for the ids of this service.
    """
    weave = sys.modules.get("weave")
    client = weave.get_client() if weave is not None else None
    if client is None:
        log.warning("autolog: register_costs=True found no Weave client: call weave.init() before autolog().")
        return 0
    priced = [card for card in catalog if card.status == "active" and card.price is not None]
    for card in priced:
        price: Any = card.price
        cached = price.input if price.cached_input is None else price.cached_input
        client.add_cost(
            llm_id=card.id,
            prompt_token_cost=float(price.input / 1_000_000),
            completion_token_cost=float(price.output / 1_000_000),
            cache_read_input_token_cost=float(cached / 1_000_000),  # 0 unless it is said
        )
    return len(priced)
