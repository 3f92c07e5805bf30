"""What recorded calls would have cost elsewhere: the same tokens at other prices, and who could not have taken them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from wandb_inference.accounting import price
from wandb_inference.catalog import Catalog, Measured, ModelCard, check_shape, findings
from wandb_inference.chat import ChatOptions, ChatRequest, Usage
from wandb_inference.errors import ConfigurationError
from wandb_inference.routing.planning import plan
from wandb_inference.routing.policy import AUTO, Policy, resolve


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of a log."""

    model: str
    request: ChatRequest
    """The call, or one that needs the same."""
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A whole log, answered by one model or by the choice of one policy."""

    name: str
    cost: Decimal
    """USD of the calls that could be made and priced."""
    calls: int
    """That could be made."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Calls that could not, by reason."""
    unpriced: int = 0
    """Calls whose model has no known price."""
    models: Mapping[str, int] = field(default_factory=dict)
    """Calls that each model got."""

    @property
    def share(self) -> float:
        """Part of the calls that could be made, from 0 to 1."""
        total = self.calls + sum(self.refused.values())
        return self.calls / total if total else 1.0


def read_log(lines: Iterable[str]) -> Iterator[Recorded]:
    """Yield the calls of a log: one JSON object a line.

    A line has a ``model``, a ``usage`` (``input_tokens`` and ``output_tokens``, or OpenAI's names for them), and what
    was asked: ``request`` (the body that was sent) or ``need`` (as in a plan). A ``CallRecord`` is such a line, too;
    one of a call that failed, and so has no usage, is left out.

    Raises:
        ConfigurationError: a line is none; it is named by its number.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            attempt: Any = (row.get("attempts") or ({},))[-1]
            if "attempts" in row and "usage" not in attempt:
                continue
            usage = _usage(row.get("usage") or attempt["usage"])
            model = row.get("model") or attempt["model"]
            need = row.get("need") or (row.get("plan") or {}).get("need") or {}
            body = row.get("request")
            request = ChatRequest.from_body({"model": model, **body}) if body else _like(need, model)
            check_shape(request)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as e:
            raise ConfigurationError(
                f"Line {number} is no recorded call: {type(e).__name__}: {e}.",
                hint='A line is {"model": …, "usage": {"input_tokens": …, "output_tokens": …}, "request": {…}}.',
            ) from e
        yield Recorded(model, request, usage)


def simulate(
    log: Sequence[Recorded],
    catalog: Catalog,
    *,
    models: Sequence[str] = (),
    policies: Mapping[str, Policy] | None = None,
) -> tuple[Outcome, ...]:
    """Return what the log came to as recorded, on each of these models, and as each of these policies would choose.

    Tokens are taken as recorded: other models cut text differently, and answer at other lengths.

    Raises:
        UnknownModelError: one of the models is not in the catalog.
    """
    cards = [catalog.card(name) for name in models]
    return (
        _outcome("as recorded", [(call, catalog.get(call.model), ()) for call in log]),
        *(_outcome(card.id, [(call, card, _objections(call, card)) for call in log]) for card in cards),
        *(
            _outcome(name, [_chosen(call, catalog, policy) for call in log])
            for name, policy in (policies or {}).items()
        ),
    )


_Answered = tuple[Recorded, "ModelCard | None", Sequence[str]]


def _outcome(name: str, answered: Iterable[_Answered]) -> Outcome:
    cost, calls, unpriced = Decimal(0), 0, 0
    refused: Counter[str] = Counter()
    models: Counter[str] = Counter()
    for call, card, why_not in answered:
        if why_not:
            refused[why_not[0]] += 1
            continue
        calls += 1
        models[card.id if card else call.model] += 1
        bill = price(call.usage, card.price if card else None)
        cost, unpriced = (cost + bill.total, unpriced) if bill else (cost, unpriced + 1)
    return Outcome(
        name=name,
        cost=cost,
        calls=calls,
        refused=dict(sorted(refused.items())),
        unpriced=unpriced,
        models=dict(models.most_common()),
    )


def _objections(call: Recorded, card: ModelCard) -> list[str]:
    found = [f.code for f in findings(Measured(call.request), card) if f.severity == "error"]
    if card.context_window is not None and call.usage.total_tokens > card.context_window:
        found.append("context_window")
    return found


def _chosen(call: Recorded, catalog: Catalog, policy: Policy) -> _Answered:
    asked = ChatRequest(AUTO, call.request.messages, call.request.options)
    request, policy = resolve(asked, policy)
    made = plan(request, catalog, policy, tokens=lambda *_: call.usage.input_tokens)
    able = [c.card for c in made.order if c.card is not None and not _objections(call, c.card)]
    return (call, able[0], ()) if able else (call, None, ("no_candidate",))


def _usage(row: Mapping[str, Any]) -> Usage:
    details = row.get("prompt_tokens_details") or {}
    cached = row.get("cached_tokens", details.get("cached_tokens"))
    prompt = row["input_tokens"] if "input_tokens" in row else row["prompt_tokens"]
    answer = row["output_tokens"] if "output_tokens" in row else row["completion_tokens"]
    counts = [prompt, answer, 0 if cached is None else cached]
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"{row} are no counts")
    return Usage(input_tokens=prompt, output_tokens=answer, cached_tokens=cached)


def _like(need: Mapping[str, Any], model: str) -> ChatRequest:
    """Return a call that needs the same: what it said is not in the log."""
    kinds = {"image": "image_url", "audio": "input_audio", "video": "video_url", "file": "file"}
    parts = [{"type": kinds[kind]} for kind in need.get("modalities") or () if kind in kinds]
    tool = {"type": "function", "function": {"name": "f"}}
    options = ChatOptions(
        tools=[tool] * int(need.get("tools") or 0) or None,
        response_format={"type": "json_schema"} if need.get("schema") else None,
        reasoning=need.get("reasoning"),
        max_tokens=need.get("max_tokens"),
        n=need.get("answers"),
    )
    return ChatRequest(model, [{"role": "user", "content": parts}], options)
