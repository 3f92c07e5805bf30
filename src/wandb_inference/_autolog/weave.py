"""Weave, where the program uses it: calls that it traces already get what it does not know."""

from __future__ import annotations

import sys
from typing import Any

from wandb_inference._autolog.sinks import log
from wandb_inference.accounting import CallRecord, spent
from wandb_inference.catalog import Catalog

PREFIXES = ("wandb_inference/",)
"""What stands before ids in the names that LiteLLM's answers carry."""
_TRACED = ("langchain", "litellm")  # doors; in the names of Weave's own operations, too


def enrich(call: Any, record: CallRecord) -> str | None:
    """Add cost and times to the call that Weave traces around one of ours; return Weave's id of it.

    Only to calls that Weave's own patches of LangChain and LiteLLM trace: one around several calls is not ours.
    """
    try:
        if call is None or record.entry not in _TRACED or record.entry not in str(call.op_name).lower():
            return None
        call.summary = {**(call.summary or {}), "wandb_inference": _facts(record)}
        return str(call.id)
    except Exception:  # noqa: BLE001 (another version of Weave; the call is logged all the same)
        return None


def _facts(record: CallRecord) -> dict[str, Any]:
    facts = {"call_id": record.call_id, "status": record.status, **spent(record)}
    return {name: value for name, value in facts.items() if value is not None}


def register_costs(catalog: Catalog) -> None:
    """Give the Weave client of this process our prices.

    Weave joins prices to calls by the exact model id, and knows none for the ids of this service.
    """
    weave = sys.modules.get("weave")
    try:
        client = weave.get_client() if weave is not None else None
        if client is None:
            log.warning("autolog: register_costs=True found no Weave client: call weave.init() before autolog().")
            return
        for card in catalog:
            if card.status == "active" and card.price is not None:
                input_, cached, output = card.price.per_token()
                for prefix in ("", *PREFIXES):
                    client.add_cost(
                        llm_id=prefix + card.id,
                        prompt_token_cost=input_,
                        completion_token_cost=output,
                        cache_read_input_token_cost=cached,  # 0 unless it is said
                    )
    except Exception as e:  # noqa: BLE001 (Weave's server; calls are logged all the same)
        log.warning("autolog: Weave did not take our prices: %s: %s", type(e).__name__, e)
