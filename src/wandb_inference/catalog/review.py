"""Hold a call against a model's card before it is sent.

An *error* is what cannot succeed; a *warning* is what the card only doubts. A fact that is not known finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from wandb_inference.catalog.card import ModelCard
from wandb_inference.catalog.catalog import Catalog
from wandb_inference.catalog.tokens import BYTES_PER_TOKEN, Measured
from wandb_inference.chat import ChatRequest
from wandb_inference.errors import RequestReviewError, overflow_message

ReviewMode: TypeAlias = Literal["strict", "warn", "off"]
"""``strict``: errors raise, warnings warn. ``warn``: both warn. ``off``: the call goes out as it is."""

_WORDS_PER_ESTIMATED_TOKEN = BYTES_PER_TOKEN / 2  # a word and its space are two bytes or more


class ReviewWarning(UserWarning):
    """The catalog doubts that a call can succeed, or knows that its model will be retired."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a call that the model's card objects to."""

    code: str
    field: str
    """Where in the request, such as ``messages[0].content[1]`` or ``max_tokens``."""
    severity: Literal["error", "warning"]
    message: str
    limit: Any = None
    actual: Any = None
    alternatives: tuple[str, ...] = ()
    """Ids of models whose cards accept this very call."""


def check_shape(request: ChatRequest) -> None:
    """Raise unless a call is of the types that calls are of; what is in it is looked at later.

    Raises:
        RequestReviewError: its messages are no list of messages, its tools no tools, and the like.
    """
    options, messages = request.options, request.messages
    for field, value, right in (
        ("messages", messages, _are_objects(messages)),
        ("tools", options.tools, options.tools is None or _are_objects(options.tools)),
        ("response_format", options.response_format, isinstance(options.response_format, Mapping | None)),
        ("extra_body", options.extra_body, isinstance(options.extra_body, Mapping | None)),
    ):
        if not right:
            what = {"messages": "list of messages", "tools": "list of tools"}.get(field, "object")
            raise RequestReviewError(
                f"{request.model}: {field} is no {what}.",
                model=str(request.model),
                findings=(),
                hint='Messages are [{"role": "user", "content": "…"}].' if field == "messages" else repr(value)[:200],
            )
    for i, message in enumerate(messages):
        if message.get("tool_calls") is not None and not _are_objects(message["tool_calls"]):
            raise RequestReviewError(
                f"{request.model}: messages[{i}].tool_calls is no list of calls.", model=str(request.model), findings=()
            )


def _are_objects(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, Mapping) for value in values)


def review(request: ChatRequest | Measured, card: ModelCard, catalog: Catalog | None = None) -> tuple[Finding, ...]:
    """Return what the card objects to; empty when nothing.

    Args:
        request: the call, or one that is measured already.
        card: the model it goes to.
        catalog: where to look for models that would accept the call; without it, ``alternatives`` stay empty.
    """
    call = request if isinstance(request, Measured) else Measured(request)
    found = findings(call, card)
    if catalog is None or not any(finding.severity == "error" for finding in found):
        return found
    others = tuple(
        other.id
        for other in catalog
        if other.status == "active"
        and other != card
        and not any(finding.severity == "error" for finding in findings(call, other))
    )
    return tuple(replace(f, alternatives=f.alternatives or others) if f.severity == "error" else f for f in found)


def findings(call: Measured, card: ModelCard) -> tuple[Finding, ...]:
    """Return what a card objects to in a call that is measured already, without alternatives."""
    return tuple(chain.from_iterable(check(call, card) for check in _CHECKS))


def _lifecycle(_: Measured, card: ModelCard) -> Iterator[Finding]:
    if card.status == "retired":
        when = f"on {card.retired_on}" if card.retired_on else f"({card.lifecycle_note or 'date not known'})"
        yield Finding("model_retired", "model", "error", f"it was retired {when}; every call to it gets HTTP 404")
    elif card.status == "deprecated":
        when = f"on {card.retired_on}" if card.retired_on else "soon"
        instead = f"; use {card.replacement}" if card.replacement else ""
        yield Finding("model_deprecated", "model", "warning", f"it will be retired {when}{instead}", card.retired_on)


def _modalities(call: Measured, card: ModelCard) -> Iterator[Finding]:
    for field, kind in call.media:
        if not card.accepts(kind):
            reads = " and ".join(card.input)
            message = f"{field} is {kind} input, the model reads {reads} only"
            yield Finding("input_modality", field, "error", message, card.input, kind)


def _abilities(call: Measured, card: ModelCard) -> Iterator[Finding]:
    if call.options.tools and card.tools is False:
        yield Finding("tools", "tools", "error", "it cannot call tools", False, len(call.options.tools))
    yield from _tool_choice(call)
    kind = (call.options.response_format or {}).get("type")
    if kind == "json_schema" and card.structured_output is False:
        message = "it does not enforce a JSON schema; ask for json_object, or let a tool carry the schema"
        yield Finding("structured_output", "response_format", "error", message, False, kind)


def _tool_choice(call: Measured) -> Iterator[Finding]:
    choice, tools = call.options.tool_choice, call.options.tools or ()
    if choice in (None, "auto", "none"):
        return
    if not tools:
        message = f"tool_choice={choice!r} asks for a tool, and there are none"
        yield Finding("tool_choice", "tool_choice", "error", message, None, choice)
    elif isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        names = tuple((tool.get("function") or {}).get("name") for tool in tools)
        if name not in names:
            message = f"tool_choice names {name!r}, which is none of the tools ({', '.join(map(str, names))})"
            yield Finding("tool_choice", "tool_choice", "error", message, names, name)
    elif choice not in ("required", "any"):
        message = f"tool_choice={choice!r} is none of auto, none and required, and names no tool"
        yield Finding("tool_choice", "tool_choice", "error", message, ("auto", "none", "required"), choice)


def _reasoning(call: Measured, card: ModelCard) -> Iterator[Finding]:
    wanted, known = call.options.wants_reasoning, card.reasoning
    if wanted is None or known.mode is None:
        return
    if known.mode == "none" and wanted is not False:
        yield Finding("reasoning", "reasoning", "error", "it does not reason", "none", wanted)
    elif known.mode == "always" and wanted is False:
        levels = f"; its effort can be set: {', '.join(known.efforts)}" if known.efforts else ""
        yield Finding(
            "reasoning", "reasoning", "error", f"its reasoning cannot be switched off{levels}", "always", wanted
        )
    elif isinstance(wanted, str) and known.efforts is not None and wanted not in known.efforts:
        # Seen to be taken for the nearest level rather than refused: doubtful, not impossible.
        message = f"reasoning={wanted!r} is none of the effort levels it tells apart ({', '.join(known.efforts)})"
        yield Finding("reasoning_effort", "reasoning", "warning", message, known.efforts, wanted)


def _tokens(call: Measured, card: ModelCard) -> Iterator[Finding]:
    wanted, window = call.options.max_tokens, card.context_window
    wanted = wanted if _is(wanted, int) else None
    if wanted is not None and wanted < 1:
        yield Finding("max_tokens", "max_tokens", "error", f"max_tokens={wanted} is less than 1", 1, wanted)
        return
    limit = min((x for x in (card.output_limit, window) if x is not None), default=None)
    if wanted is not None and limit is not None and wanted > limit:
        what = "answers end at" if limit == card.output_limit else "prompt and answer together have"
        message = f"max_tokens={wanted:,} is too large: {what} {limit:,} tokens"
        yield Finding("max_tokens", "max_tokens", "error", message, limit, wanted)
        return
    if window is None:
        return
    if _WORDS_PER_ESTIMATED_TOKEN * call.estimate + (wanted or 0) <= window:
        return
    if call.words + (wanted or 0) > window:
        if wanted is not None and wanted > call.words:
            # The larger part is at fault: a shorter conversation would not mend a max_tokens that fills the window,
            # so these are not the words by which frameworks recognise an overflow.
            message = (
                f"max_tokens={wanted:,} is too large: the window has {window:,} tokens, and the prompt has at least "
                f"{call.words:,} of them"
            )
            yield Finding("max_tokens", "max_tokens", "error", message, window, call.words)
        else:
            message = overflow_message(window, call.words, wanted, "at least ")
            yield Finding("context_window", "messages", "error", message, window, call.words)
    elif call.estimate + (wanted or 0) > window:
        message = overflow_message(window, call.estimate, wanted, "about ")
        yield Finding("context_window", "messages", "warning", message, window, call.estimate)


_RANGES: tuple[tuple[str, float, float, str], ...] = (
    # What vLLM 0.32 answers with 400 (recorded in tests/golden); its temperature has no upper end.
    ("temperature", 0, float("inf"), "at least 0"),
    ("top_p", 1e-9, 1, "above 0 and at most 1"),
    ("frequency_penalty", -2, 2, "from -2 to 2"),
    ("presence_penalty", -2, 2, "from -2 to 2"),
    ("n", 1, float("inf"), "at least 1"),
    ("top_logprobs", 0, float("inf"), "at least 0"),
)
_MAX_STOPS = 4  # vLLM 0.32 refuses more, 0.14 does not


def _is(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


_NUMBERS = (*(row[0] for row in _RANGES), "max_tokens", "seed")
_numbers = attrgetter(*_NUMBERS)
_WHOLE = {"max_tokens", "n", "top_logprobs", "seed"}


def _types(call: Measured, _: ModelCard) -> Iterator[Finding]:
    """Numbers as text and the like: other checks would stumble over them, and the service refuses them."""
    for name, value in zip(_NUMBERS, _numbers(call.options), strict=True):
        if value is not None and not _is(value, *((int,) if name in _WHOLE else (int, float))):
            what = "whole number" if name in _WHOLE else "number"
            yield Finding(name, name, "error", f"{name}={value!r} is no {what}", what, value)
    stop = call.options.stop
    if stop is not None and not isinstance(stop, str | list | tuple):
        yield Finding("stop", "stop", "error", f"stop={stop!r} is no list of strings", "list", stop)


def _sampling(call: Measured, _: ModelCard) -> Iterator[Finding]:
    options = call.options
    for name, low, high, words in _RANGES:
        value = getattr(options, name)
        if value is not None and _is(value, int, float) and not low <= value <= high:
            yield Finding(name, name, "error", f"{name}={value:g} must be {words}", (low, high), value)
    if options.top_logprobs and not options.logprobs:
        yield Finding(
            "top_logprobs", "top_logprobs", "error", "top_logprobs needs logprobs=True", None, options.top_logprobs
        )
    if isinstance(options.stop, list | tuple) and len(options.stop) > _MAX_STOPS:
        message = f"{len(options.stop)} stop strings; newer vLLM takes {_MAX_STOPS} at most"
        yield Finding("stop", "stop", "warning", message, _MAX_STOPS, len(options.stop))


_CHECKS: tuple[Callable[[Measured, ModelCard], Iterator[Finding]], ...] = (
    _types,
    _lifecycle,
    _modalities,
    _abilities,
    _reasoning,
    _tokens,
    _sampling,
)
