"""A plan as people and programs read it: its candidates, its reasons, and what it says when there is nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Candidate, ChatRequest, Entry, Need, NoCandidateError, Plan
from wandb_inference.accounting import Estimate
from wandb_inference.routing import ModelHealth
from wandb_inference.routing.plan import Rejection

NEED = Need.of(ChatRequest("auto", [{"role": "user", "content": "Hello"}]))


def candidate(model: str, *codes: str, worst: str | None = "1", expected: str | None = None, **rest: Any) -> Candidate:
    cost = Estimate(None if expected is None else Decimal(expected), None if worst is None else Decimal(worst), None)
    return Candidate(Entry(model), card(model), cost, tuple(Rejection(code, f"why {code}") for code in codes), **rest)


def made(*candidates: Candidate, **rest: Any) -> Plan:
    order = tuple(c for c in candidates if not c.rejected)
    known: dict[str, Any] = {"requested": "auto", "order": order, "candidates": candidates, "need": NEED, "policy": "p"}
    return Plan(**{**known, **rest})


REASONS: dict[str, tuple[Rejection, dict[str, Any]]] = {
    # name: (reason, as JSON takes it)
    "no figures": (Rejection("c", "m"), {}),
    "whole numbers stay": (Rejection("c", "m", 5, 0), {"limit": 5, "actual": 0}),
    "and so do yes and no": (Rejection("c", "m", False, True), {"limit": False, "actual": True}),
    "all others are text": (
        Rejection("c", "m", Decimal("0.10"), date(2026, 11, 20)),
        {"limit": "0.10", "actual": "2026-11-20"},
    ),
    "one of them": (Rejection("c", "m", None, 1.5), {"actual": "1.5"}),
}


@pytest.mark.parametrize("name", REASONS)
def test_reason(name: str) -> None:
    reason, figures = REASONS[name]
    assert reason.to_dict() == {"code": "c", "message": "m", **figures}


CANDIDATES: dict[str, tuple[Candidate, dict[str, Any]]] = {
    # name: (candidate, as JSON takes it)
    "of which nothing is known": (
        Candidate(Entry("me/m"), None, Estimate(None, None, None)),
        {"model": "me/m", "ok": True},
    ),
    "under its alias": (
        Candidate(Entry("alias"), card("me/m"), Estimate(None, None, None)),
        {"model": "me/m", "ok": True},
    ),
    "what it costs": (
        candidate("me/m", expected="0", worst="0.0000010"),
        {"model": "me/m", "ok": True, "expected_usd": "0", "worst_usd": "0.000001"},
    ),
    "rejected": (
        candidate("me/m", "a", "b", worst=None),
        {
            "model": "me/m",
            "ok": False,
            "rejected": [{"code": "a", "message": "why a"}, {"code": "b", "message": "why b"}],
        },
    ),
    "shortened": (candidate("me/m", worst=None, lowered=0), {"model": "me/m", "ok": True, "max_tokens": 0}),
    "measured": (
        candidate("me/m", worst=None, health=ModelHealth(first_token=0.12345, error_rate=0.98765)),
        {"model": "me/m", "ok": True, "first_token_seconds": 0.123, "error_rate": 0.988},
    ),
    "at once": (
        candidate("me/m", worst=None, health=ModelHealth(first_token=0.0)),
        {"model": "me/m", "ok": True, "first_token_seconds": 0.0},
    ),
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_candidate(name: str) -> None:
    of, expected = CANDIDATES[name]
    assert of.to_dict() == expected


def test_a_candidate_in_short() -> None:
    of = candidate("me/m")
    assert (of.position, of.lowered, of.rejected, of.health) == (0, None, (), ModelHealth())
    assert "ModelCard" not in repr(of)


def test_plan() -> None:
    able, unable = candidate("me/b", worst=None), candidate("me/a", "c", worst=None)
    shown: dict[str, Any] = {
        "requested": "auto",
        "policy": "p",
        "chosen": "me/b",
        "order": ["me/b"],
        "need": NEED.to_dict(),
        "candidates": [unable.to_dict(), able.to_dict()],
        "catalog_version": "v",
    }
    assert made(unable, able, catalog_version="v").to_dict() == shown
    assert made(unable, able, catalog_version="v", notes=("n",)).to_dict() == {**shown, "notes": ["n"]}
    nobody = made(unable).to_dict()
    assert (nobody["chosen"], nobody["order"], nobody["catalog_version"]) == (None, [], "")
    assert made(able, unable).chosen == "me/b"
    made(able, unable).check()


EXPLAIN = "`wandb-inference route explain` shows the reasons against every model."


def narrow(model: str, window: int | None, *others: str) -> Candidate:
    rejected = Rejection("context_window", f"words about {window}", window, 999)
    return replace(candidate(model, *others), rejected=(rejected, *candidate(model, *others).rejected))


NOBODY: dict[str, tuple[list[Candidate], str, str]] = {
    # name: (candidates, message, hint)
    "nobody at all": ([], "No model may take this call (auto): there are no candidates.", EXPLAIN),
    "the only one": (
        [candidate("me/m", "tools", "cooldown")],
        "me/m may not take this call: why tools; why cooldown.",
        EXPLAIN,
    ),
    "the only one, in a pause": (
        [candidate("me/m", "cooldown")],
        "me/m may not take this call: why cooldown.",
        "Try again when the pause is over.",
    ),
    "by the first reason against each, the cheapest first": (
        [
            candidate("me/a", "tools", "slow", worst="3"),
            candidate("me/b", "slow", worst="2"),
            candidate("me/c", "slow"),
        ],
        "No model may take this call (auto): slow (me/c, me/b); tools (me/a).",
        EXPLAIN,
    ),
    "of unknown cost goes last, of one cost by id": (
        [candidate("me/c", "x", worst=None), candidate("me/b", "x"), candidate("me/a", "x")],
        "No model may take this call (auto): x (me/a, me/b, me/c).",
        EXPLAIN,
    ),
    "for nothing goes first": (
        [candidate("me/a", "x", worst="0.5"), candidate("me/b", "x", worst="0")],
        "No model may take this call (auto): x (me/b, me/a).",
        EXPLAIN,
    ),
    "more than three": (
        [candidate(f"me/{n}", "x") for n in range(5)],
        "No model may take this call (auto): x (me/0, me/1, me/2, …).",
        EXPLAIN,
    ),
    "what third parties list is not worth a word": (
        [candidate("me/a", "model_unconfirmed"), candidate("me/b", "x")],
        "No model may take this call (auto): x (me/b).",
        EXPLAIN,
    ),
    "unless it is all there is": (
        [candidate("me/a", "model_unconfirmed"), candidate("me/b", "model_unconfirmed")],
        "No model may take this call (auto): model_unconfirmed (me/a, me/b).",
        EXPLAIN,
    ),
    "too dear, and by how much": (
        [candidate("me/a", "max_cost", worst="0.30"), candidate("me/b", "max_cost", "budget", worst="0.2")],
        "No model may take this call (auto): max_cost (me/b, me/a). The least that it may cost is 0.2 USD.",
        "Raise max_cost, or set a lower max_tokens, as Policy(fit=True) does.",
    ),
    "too dear for the budget": (
        [candidate("me/a", "budget", worst="0.3"), candidate("me/b", "tools", "budget", worst="0.1")],
        "No model may take this call (auto): tools (me/b); budget (me/a). The least that it may cost is 0.3 USD.",
        "Set a lower max_tokens, or raise the budget.",
    ),
    "a prompt too long for the only one": (
        [narrow("me/a", 5)],
        "me/a may not take this call: words about 5.",
        "Shorten the conversation.",
    ),
    "a prompt too long for each": (
        [narrow("me/a", None), narrow("me/b", 50), narrow("me/c", 7), narrow("me/d", 99, "tools")],
        "No model may take this call (auto): context_window (me/a, me/b, me/c, …). Even for the largest window "
        "words about 50.",
        "Shorten the conversation.",
    ),
    "of no known price": (
        [candidate("me/a", "price_unknown", worst=None), candidate("me/b", "cooldown", worst=None)],
        "No model may take this call (auto): price_unknown (me/a); cooldown (me/b).",
        "Give the model a price with Catalog.with_overrides, or call without max_cost and budget. "
        "Try again when the pause is over.",
    ),
}


@pytest.mark.parametrize("name", NOBODY)
def test_nobody(name: str) -> None:
    candidates, message, hint = NOBODY[name]
    plan = made(*candidates)
    with pytest.raises(NoCandidateError) as caught:
        plan.check()
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.plan is plan


def test_the_only_candidate_that_was_passed_over_without_a_reason() -> None:
    plan = made(candidate("me/a"), order=())
    with pytest.raises(NoCandidateError, match=r"\(auto\): there are no candidates"):
        plan.check()
