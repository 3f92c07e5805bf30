"""What is known of an answer beside its text, under the names LangChain has for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage, UsageMetadata
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails

from wandb_inference.accounting import price
from wandb_inference.catalog import ModelCard
from wandb_inference.chat import Usage
from wandb_inference.errors import request_id_of
from wandb_inference.langchain.provider import PROVIDER
from wandb_inference.langchain.shims import ADDS_COSTS


@dataclass(frozen=True, slots=True)
class Facts:
    """Makes the metadata of one answer, in the two parts that a stream brings it in."""

    requested: str = ""
    """The model that was asked for."""
    card: ModelCard | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    with_headers: bool = False

    def at_start(self, id_: str, model: str) -> dict[str, Any]:
        """Return what is known when the answer begins."""
        request_id = request_id_of(self.headers)
        return {
            "model_provider": PROVIDER,
            "model_name": model,
            **({"requested_model": self.requested} if self.requested not in ("", model) else {}),
            **({"id": id_} if id_ else {}),
            **({"request_id": request_id} if request_id else {}),
            **({"headers": dict(self.headers)} if self.with_headers else {}),
        }

    def at_end(
        self,
        finish_reason: str | None,
        fingerprint: str | None,
        usage: Usage | None,
        route: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Return what is known when the answer is complete."""
        facts: dict[str, Any] = {"model_provider": PROVIDER, "finish_reason": finish_reason}
        if route is not None:
            facts["route"] = dict(route)
        if fingerprint:
            facts["system_fingerprint"] = fingerprint
        if usage is not None:
            facts["token_usage"] = to_token_usage(usage)
        cost = price(usage, self.card.price if self.card else None)
        if cost is not None:
            # Metadata must survive JSON, so floats here; exact decimals come from wandb_inference.price.
            parts = {name: float(getattr(cost, name)) for name in ("input", "cached_input", "output")}
            facts |= {"cost": float(cost.total), "cost_details": {"currency": "USD", **parts}}
            spent = Decimal(route["cost_usd"]) if route and "cost_usd" in route else cost.total
            if spent > cost.total:  # for answers that were not enough
                facts["cost"] = float(spent)
                facts["cost_details"]["earlier_attempts"] = float(spent - cost.total)
        return facts


def extra_metadata(answer: Mapping[str, Any], choice: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service's own fields under their names; ours, which are added after them, win."""
    return {**answer, **message, **choice}


def beside_the_text(reasoning: str, refusal: str) -> dict[str, Any]:
    """Return what LangChain keeps in ``additional_kwargs``."""
    told = {"reasoning_content": reasoning, "refusal": refusal}
    return {name: text for name, text in told.items() if text}


def to_token_usage(usage: Usage) -> dict[str, int]:
    """Return the three counts that LangChain adds up over a batch."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def to_usage_metadata(usage: Usage, facts: Mapping[str, Any] | None = None) -> UsageMetadata:
    """Return token counts under LangChain's names; parts that the service did not count are absent.

    Args:
        usage: the counts.
        facts: of the answer's end; its costs stand beside the counts, where LangSmith reads them.
    """
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    if facts and "cost" in facts and ADDS_COSTS:
        parts = facts["cost_details"]
        costs = {"input_cost": parts["input"] + parts["cached_input"], "output_cost": parts["output"]}
        metadata.update({**costs, "total_cost": facts["cost"]})  # type: ignore[typeddict-item]  # langchain-core's own
    return metadata


def from_cache(message: AIMessage) -> AIMessage:
    """Return an answer that was paid before: it has cost nothing this time."""
    facts, usage = dict(message.response_metadata), dict(message.usage_metadata or {})
    if "cost" in facts:
        parts = {name: 0.0 for name, value in facts.get("cost_details", {}).items() if isinstance(value, float)}
        facts |= {"cost": 0.0, "cost_details": {**facts.get("cost_details", {}), **parts}}
    usage |= {name: 0 for name in ("input_cost", "output_cost", "total_cost") if name in usage}
    return message.model_copy(update={"response_metadata": facts, "usage_metadata": usage or None})
