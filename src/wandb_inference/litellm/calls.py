"""LiteLLM's parameters to a call of ours: what names an option becomes one, everything else travels in the body."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, get_args

from wandb_inference.accounting import Budget, Labels
from wandb_inference.catalog import Catalog, ModelCard, ReviewMode, review
from wandb_inference.chat import OPTION_FIELDS, ChatOptions, ChatRequest
from wandb_inference.errors import ConfigurationError
from wandb_inference.routing import Policy

_LITELLMS_OWN = {
    "stream",
    "stream_options",
    "num_retries",
    "drop_params",
    "allowed_openai_params",
    "metadata",
    "extra_body",
}
_TERMS = {option.name for option in fields(Policy)} - {"aliases"} | {"policy"}
_OURS = _TERMS | {"budget", "project", "review"}
_OLD = {"functions", "function_call"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as LiteLLM asks for it: the request, and what concerns the connection."""

    request: ChatRequest
    project: str | None = None
    review: ReviewMode = "strict"
    policy: Policy | None = None
    budget: Budget | None = None
    max_retries: int = 2
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def to_asked(
    model: str,
    messages: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    headers: Mapping[str, str] | None,
    card: ModelCard | None = None,
) -> Asked:
    """Return the call that these arguments of a LiteLLM handler mean; ``card``: of its model.

    Raises:
        ConfigurationError: a parameter is OpenAI's old form, misspelt or malformed.
    """
    extra = params.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise ConfigurationError(f"extra_body={extra!r} is no object.", hint="Fields of the request body, by name.")
    given = {name: value for name, value in params.items() if name not in _LITELLMS_OWN}
    given = {name: value for name, value in {**given, **extra}.items() if value is not None}
    for old in sorted(_OLD & set(given), reverse=True):
        raise ConfigurationError(f"{old} is OpenAI's old form.", hint="Write tools and tool_choice.")
    project, retries = given.pop("project", None), given.pop("max_retries", None)
    terms = {name: given.pop(name) for name in _TERMS & set(given)}
    budget = given.pop("budget", None)
    for name in given:  # other names are fields of the body; but a ceiling that is misspelt holds nothing
        if meant := _meant(name):
            raise ConfigurationError(f"There is no parameter {name!r}.", hint=f"Did you mean {meant!r}?")
    policy = terms.pop("policy", None)
    if terms:
        policy = replace(policy or Policy(), **terms)
    mode = given.pop("review", "strict")
    if mode not in get_args(ReviewMode):
        raise ConfigurationError(f"review={mode!r} does not exist.", hint=f"{', '.join(get_args(ReviewMode))}.")
    thinking = given.pop("thinking", None)  # Anthropic's
    efforts = {"reasoning", "reasoning_effort"} & set(given)
    if isinstance(thinking, Mapping) and not efforts:
        given["reasoning"] = _reasoning(thinking, model, card)
    for name in efforts:
        given[name] = _effort(given[name])
    request = ChatRequest(model, [to_wire(message) for message in messages], ChatOptions.from_fields(given))
    return Asked(request, project, mode, policy, budget, 2 if retries is None else retries, headers or {})


def to_labels(params: Mapping[str, Any]) -> Labels:
    """Return session, tags and ids, as LiteLLM's own parameters and ``metadata`` have them."""
    metadata = params.get("metadata")
    told = metadata if isinstance(metadata, Mapping) else {}
    tags = told.get("tags")
    return Labels.of(
        told.get("session_id") or params.get("litellm_session_id"),
        tags if isinstance(tags, list | tuple) else (),
        parent=params.get("litellm_call_id"),
        trace=params.get("litellm_trace_id"),
    )


@lru_cache(1000)  # comparing takes longer than the rest of a call's translation, and names come again
def _meant(name: str) -> str | None:
    """Return the parameter of ours that a name is a misspelling of."""
    known = name in OPTION_FIELDS | _OURS
    return None if known else next(iter(difflib.get_close_matches(name, _OURS, n=1, cutoff=0.85)), None)


# The budgets, in tokens, that LiteLLM takes these words for: each from there on, the nearest that the model knows.
_BUDGETS = {"low": 1024, "medium": 2048, "high": 4096, "max": 16384}


def _reasoning(thinking: Mapping[str, Any], model: str, card: ModelCard | None) -> bool | str:
    """Return Anthropic's ``thinking`` as reasoning: a budget is the highest of the model's levels that it reaches."""
    if thinking.get("type") == "disabled":
        return False
    budget = thinking.get("budget_tokens")
    if budget is None:
        return True
    if isinstance(budget, bool) or not isinstance(budget, int | float):
        raise ConfigurationError(f"budget_tokens={budget!r} is no number.", hint="Write how many tokens of thinking.")
    levels = [level for level in _BUDGETS if card is not None and level in (card.reasoning.efforts or ())]
    if not levels:
        if card is None or card.reasoning.mode != "none":  # else the review refuses the call
            words = f"{model} is not known to have levels of reasoning: budget_tokens={budget} only switches it on."
            warnings.warn(words, stacklevel=2)
        return True
    reached = [level for level in levels if _BUDGETS[level] <= budget]
    return reached[-1] if reached else levels[0]


def _effort(wanted: Any) -> Any:
    """Return LiteLLM's own words for an effort as ours."""
    if isinstance(wanted, Mapping):  # as the responses API has it
        wanted = wanted.get("effort")
    return {"disable": False, "default": None}.get(wanted, wanted) if isinstance(wanted, str) else wanted


def to_wire(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as vLLM takes it: no cache marks, no nulls, media as objects, one name for reasoning."""
    if message.get("function_call"):
        raise ConfigurationError("function_call is OpenAI's old form of a message.", hint="Write tool_calls.")
    names = ("role", "content", "name", "tool_calls", "tool_call_id")
    wire = {name: message[name] for name in names if message.get(name) not in (None, [])}
    if wire.get("role") == "developer":
        wire["role"] = "system"
    if isinstance(wire.get("content"), list):
        wire["content"] = [_part(part) if isinstance(part, Mapping) else part for part in wire["content"]]
    wire.setdefault("content", "")  # rather than null, which some chat templates print (vllm#54337)
    if wire.get("role") != "assistant":
        return wire
    blocks = message.get("thinking_blocks") or ()
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    reasoning = reasoning or "".join(str(block.get("thinking") or "") for block in blocks)
    if isinstance(reasoning, str) and reasoning:
        wire["reasoning"] = reasoning
    return wire


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in part.items() if name != "cache_control"}
    image = kept.get("image_url")
    if isinstance(image, str):
        kept["image_url"] = {"url": image}
    elif isinstance(image, Mapping):
        kept["image_url"] = {name: image[name] for name in ("url", "detail") if image.get(name)}
    return kept


def without_old(params: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the parameters without OpenAI's old forms (LiteLLM's ``drop_params``), and the names of what went."""
    gone = tuple(name for name in sorted(_OLD) if params.get(name) is not None)
    return {name: value for name, value in params.items() if name not in _OLD}, gone


_DROPPED = {
    "tools": ("tools", "tool_choice", "parallel_tool_calls"),
    "reasoning": ("reasoning",),
    "structured_output": ("response_format",),
}


def without_unsupported(request: ChatRequest, catalog: Catalog) -> tuple[ChatRequest, tuple[str, ...]]:
    """Return the call without what its model cannot do (LiteLLM's ``drop_params``), and the names of what went."""
    card = catalog.get(request.model)
    if card is None:
        return request, ()
    codes = {finding.code for finding in review(request, card) if finding.severity == "error"}
    gone = tuple(name for code in _DROPPED if code in codes for name in _DROPPED[code])
    gone = tuple(name for name in gone if getattr(request.options, name) is not None)
    nothing: dict[str, Any] = dict.fromkeys(gone)
    return replace(request, options=replace(request.options, **nothing)), gone
