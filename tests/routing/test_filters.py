"""One model, held against one call: every reason in full, at the very limit it is about, and the cost there."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Catalog, ChatOptions, ChatRequest, Entry, ModelCard, Need, Policy
from wandb_inference.accounting import Estimate
from wandb_inference.routing import ModelHealth
from wandb_inference.routing.filters import Held, usual_answer
from wandb_inference.routing.plan import Candidate, Rejection

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
# Prices are USD per million tokens: with them, tokens cost millionths. The prompt has 5 tokens, at most 2089.
PRICE = {"input": 1, "output": 10}
BOUND = 2048 + 32 + len("userHello")


def call(model: str = "auto", content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**options))


def held(
    *cards: ModelCard,
    request: ChatRequest | None = None,
    entry: Entry | None = None,
    policy: Policy | None = None,
    health: ModelHealth | None = None,
    **state: Any,
) -> Candidate:
    """Return the first of these models (or an entry), held against a call."""
    request = request or call()
    known: dict[str, Any] = {"budget": None, "pinned": None, "tokens": None, "named": False, "usual_answer": 500}
    of = Held(
        request=request,
        need=Need.of(request),
        catalog=Catalog(cards),
        policy=policy or Policy(),
        health={cards[0].id: health} if health else {},
        **{**known, **state},
    )
    return of.against(entry or Entry(cards[0].id), 3)


def usd(millionths: int | None) -> Decimal | None:
    return None if millionths is None else Decimal(millionths) / 1_000_000


M = card(price=PRICE)
REASONS: dict[str, tuple[dict[str, Any], list[Rejection]]] = {
    # name: (what is held, the reasons against it)
    "nothing known": ({"card": card()}, []),
    "denied": ({"policy": Policy(deny=frozenset({"me/m"}))}, [Rejection("denied", "the policy denies it")]),
    "denied by an alias": (
        {"card": card(aliases=("a", "b")), "policy": Policy(deny=frozenset({"b"}))},
        [Rejection("denied", "the policy denies it")],
    ),
    "another is denied": ({"policy": Policy(deny=frozenset({"me/n"}))}, []),
    # lifecycle
    "unconfirmed": (
        {"card": card(status="unconfirmed")},
        [Rejection("model_unconfirmed", "only third parties list it; name it to use it")],
    ),
    "deprecated": (
        {"card": card(status="deprecated", retired_on=date(2027, 1, 1))},
        [Rejection("model_deprecated", "it will be retired; name it to use it", None, date(2027, 1, 1))],
    ),
    "unconfirmed, and called by its name": (
        {"card": card(status="unconfirmed"), "request": call("me/m")},
        [],
    ),
    "deprecated, and in a list": ({"card": card(status="deprecated"), "policy": Policy(models=["me/m"])}, []),
    "retired": (
        {"card": card(status="retired", replacement="me/n")},
        [Rejection("model_retired", "it was retired (date not known); every call to it gets HTTP 404; use me/n")],
    ),
    "retired without a replacement": (
        {"card": card(status="retired")},
        [Rejection("model_retired", "it was retired (date not known); every call to it gets HTTP 404")],
    ),
    # prices
    "an output price at the ceiling": ({"policy": Policy(max_output_price=Decimal(10))}, []),
    "an output price above it": (
        {"policy": Policy(max_output_price=Decimal("9.99"))},
        [Rejection("price", "a million output tokens cost 10 USD", Decimal("9.99"), Decimal(10))],
    ),
    "an input price at the ceiling": ({"policy": Policy(max_input_price=Decimal(1))}, []),
    "both prices above": (
        {"policy": Policy(max_input_price=Decimal("0.5"), max_output_price=Decimal(5))},
        [
            Rejection("price", "a million input tokens cost 1 USD", Decimal("0.5"), Decimal(1)),
            Rejection("price", "a million output tokens cost 10 USD", Decimal(5), Decimal(10)),
        ],
    ),
    "no price under a ceiling": (
        {"card": card(), "policy": Policy(max_input_price=Decimal(1))},
        [Rejection("price_unknown", "its input price is not known", Decimal(1))],
    ),
    # the review
    "a picture": (
        {"request": call(content=[IMAGE])},
        [
            Rejection(
                "input_modality",
                "messages[0].content[0] is image input, the model reads text only",
                ("text",),
                "image",
            )
        ],
    ),
    "a doubt about its length is enough": (
        {"card": card(context_window=1003), "request": call(content="x" * 3200)},
        [
            Rejection(
                "context_window",
                "the prompt may be too long. This model's maximum context length is 1003 tokens. However, your prompt "
                "contains about 1004 input tokens",
                1003,
                1004,
            )
        ],
    ),
    "other doubts are not": ({"request": call(stop=list("abcde"))}, []),
    "a call that names it is reviewed later": ({"request": call("me/m", [IMAGE]), "named": True}, []),
    # cost
    "a cost at the ceiling": (
        {"policy": Policy(max_cost=usd(BOUND + 500)), "request": call(max_tokens=50)},
        [],
    ),
    "a cost above it": (
        {"policy": Policy(max_cost=Decimal("0.002")), "request": call(max_tokens=50)},
        [Rejection("max_cost", "it may cost 0.002589 USD, max_cost is 0.002", Decimal("0.002"), "0.002589")],
    ),
    "a cost at what the budget has left": (
        {"budget": usd(BOUND + 500), "request": call(max_tokens=50)},
        [],
    ),
    "a cost above both": (
        {"policy": Policy(max_cost=Decimal("0.002")), "budget": Decimal("0.001"), "request": call(max_tokens=50)},
        [
            Rejection("max_cost", "it may cost 0.002589 USD, max_cost is 0.002", Decimal("0.002"), "0.002589"),
            Rejection("budget", "it may cost 0.002589 USD, budget is 0.001", Decimal("0.001"), "0.002589"),
        ],
    ),
    "no end to the answer": (
        {"policy": Policy(max_cost=Decimal(1)), "budget": Decimal(2)},
        [Rejection("price_unknown", "what it may cost is not known: its price, or the longest answer", Decimal(1))],
    ),
    "no price under a budget": (
        {"card": card(), "budget": Decimal(2), "request": call(max_tokens=5), "named": True},
        [Rejection("price_unknown", "what it may cost is not known: its price, or the longest answer", Decimal(2))],
    ),
    # health
    "paused": (
        {"health": ModelHealth(cooling=12.34)},
        [Rejection("cooldown", "it is left alone for 12 s", None, 12.3)],
    ),
    "as slow as it may be": ({"health": ModelHealth(first_token=2), "policy": Policy(max_first_token=2)}, []),
    "slow": (
        {"health": ModelHealth(first_token=2.34567), "policy": Policy(max_first_token=2)},
        [Rejection("slow", "its first token takes 2.3 s", 2, 2.346)],
    ),
    "nobody measured it": ({"health": ModelHealth(), "policy": Policy(max_first_token=2)}, []),
    "at once": ({"health": ModelHealth(first_token=0), "policy": Policy(max_first_token=0)}, []),
    "a call that names it waits for nothing": (
        {"health": ModelHealth(cooling=5, first_token=9), "policy": Policy(max_first_token=2), "named": True},
        [],
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons(name: str) -> None:
    given, reasons = REASONS[name]
    given = dict(given)
    assert list(held(given.pop("card", M), **given).rejected) == reasons


def test_reasons_of_all_kinds_stand_together() -> None:
    found = held(
        card(price=PRICE, status="unconfirmed"),
        request=call(content=[IMAGE], max_tokens=50),
        policy=Policy(max_cost=Decimal("0.001")),
        health=ModelHealth(cooling=5),
    )
    assert [reason.code for reason in found.rejected] == [
        *("model_unconfirmed", "input_modality", "max_cost"),
        "cooldown",
    ]


def test_a_candidate_is_what_was_held() -> None:
    entry = Entry("alias", max_retries=0)
    health = ModelHealth(first_token=1.0)
    found = held(card(aliases=("alias",)), entry=entry, health=health)
    assert (found.model, found.entry, found.position, found.health) == ("me/m", entry, 3, health)
    unknown = held(M, entry=Entry("you/x"), health=health)
    assert (unknown.model, unknown.card, unknown.health) == ("you/x", None, ModelHealth())
    assert unknown.cost == Estimate(None, None, None)


def test_a_retired_model_is_held_as_the_one_that_replaces_it() -> None:
    old, new = card("me/old", status="retired", replacement="me/new"), card("me/new", context_window=100)
    redirected = held(old, new, policy=Policy(on_retired="redirect"))
    assert (redirected.model, redirected.entry.model, redirected.rejected) == ("me/new", "me/new", ())
    assert held(old, new).model == "me/old"


def test_an_entry_is_held_with_its_own_settings() -> None:
    entry = Entry("me/m", {"max_tokens": 50, "extra_body": {"n": 2}})
    assert held(M, entry=entry).cost.worst == usd(BOUND + 2 * 500)
    blind = held(card(price=PRICE, output_limit=10), entry=entry)
    assert [reason.code for reason in blind.rejected] == ["max_tokens"]


COSTS: dict[str, tuple[dict[str, Any], tuple[int, int | None, int | None]]] = {
    # name: (what is held, (expected and worst in millionths of a USD, the ceiling of one answer))
    "an answer as usual": ({}, (5 + 5000, None, None)),
    "as usual of all": ({"usual_answer": 20}, (5 + 200, None, None)),
    "asked for": ({"request": call(max_tokens=50)}, (5 + 500, BOUND + 500, 50)),
    "more answers": ({"request": call(max_tokens=50, n=2)}, (5 + 1000, BOUND + 1000, 50)),
    "tokens as this model counts them": (
        {"request": call(max_tokens=50), "tokens": lambda model, tokens: tokens * 2 if model == "me/m" else 0},
        (10 + 500, BOUND + 500, 50),
    ),
    "an answer of its own length": (
        {"health": ModelHealth(answer_tokens=100, answers=20)},  # weighs as much as the usual one
        (5 + 3000, None, None),
    ),
    "many answers of its own length": (
        {"health": ModelHealth(answer_tokens=100, answers=9999)},  # weighs no more
        (5 + 3000, None, None),
    ),
    "five answers of its own length": (
        {"health": ModelHealth(answer_tokens=100, answers=5)},  # a fifth of the weight
        (5 + 4200, None, None),
    ),
    "no answer of its own": ({"health": ModelHealth(first_token=1.0)}, (5 + 5000, None, None)),
}


@pytest.mark.parametrize("name", COSTS)
def test_cost(name: str) -> None:
    given, (expected, worst, ceiling) = COSTS[name]
    found = held(M, **given)
    assert found.cost == Estimate(usd(expected), usd(worst), ceiling)
    assert found.lowered is None


@pytest.mark.parametrize(("pinned", "expected"), [(("me/m", 3), 2 * 4 + 3), (("me/n", 3), 5 * 4), (None, 5 * 4)])
def test_the_model_of_a_conversation_has_its_prompt_cached(pinned: Any, expected: int) -> None:
    found = held(card(price={"input": 4, "output": 10, "cached_input": 1}), request=call(max_tokens=1), pinned=pinned)
    assert found.cost.expected == usd(expected + 10)


LOWERED: dict[str, tuple[dict[str, Any], dict[str, Any], int | None]] = {
    # name: (policy, what is held, max_tokens as lowered)
    "it fits as it is": ({"max_cost": usd(BOUND + 5000)}, {"request": call(max_tokens=500)}, None),
    "a little": ({"max_cost": usd(BOUND + 4999)}, {"request": call(max_tokens=500)}, 499),
    "as far as it goes": ({"max_cost": usd(BOUND + 2560)}, {"request": call(max_tokens=500)}, 256),
    "too far": ({"max_cost": usd(BOUND + 2559)}, {"request": call(max_tokens=500)}, None),
    "not so far for one's own taste": (
        {"max_cost": usd(BOUND + 100), "min_output": 10},
        {"request": call(max_tokens=500)},
        10,
    ),
    "an answer that was to be short anyway": (
        {"max_cost": usd(BOUND + 999)},
        {"request": call(max_tokens=100)},
        None,
    ),
    "as the model allows": ({"max_cost": usd(BOUND + 4999)}, {"card": card(price=PRICE, output_limit=500)}, 499),
    "no end to the answer": ({"max_cost": usd(BOUND + 5000)}, {}, None),
    "without leave": ({"max_cost": usd(BOUND + 4999), "fit": False}, {"request": call(max_tokens=500)}, None),
    "without a ceiling": ({}, {"request": call(max_tokens=500)}, None),
}


@pytest.mark.parametrize("name", LOWERED)
def test_lowered(name: str) -> None:
    policy, given, lowered = LOWERED[name]
    given = dict(given)
    found = held(given.pop("card", M), policy=Policy(**{"fit": True, **policy}), **given)
    assert found.lowered == lowered
    ceiling = policy.get("max_cost")
    if lowered is not None:
        assert (found.rejected, found.cost.max_tokens) == ((), lowered)
        assert found.cost.worst is not None
        assert ceiling is not None
        assert found.cost.worst <= ceiling
        assert found.cost.expected == usd(5 + min(lowered, 500) * 10)


def test_what_is_known_of_no_model_is_not_lowered() -> None:
    policy = Policy(fit=True, max_cost=Decimal(1))
    assert held(M, entry=Entry("you/x"), policy=policy).lowered is None
    free = held(card(price={"input": 1, "output": 0}), request=call(max_tokens=9), policy=policy)
    assert (free.lowered, free.rejected) == (None, ())
    dear = Policy(fit=True, max_cost=Decimal("0.000001"))
    found = held(card(price={"input": 1, "output": 0}), request=call(max_tokens=9), policy=dear)
    assert (found.lowered, [reason.code for reason in found.rejected]) == (None, ["max_cost"])


@pytest.mark.parametrize(
    ("averages", "usual"), [([], 500), ([None], 500), ([100], 100), ([100, None, 300], 200), ([0], 0)]
)
def test_how_long_answers_are(averages: list[float | None], usual: float) -> None:
    assert usual_answer({str(n): ModelHealth(answer_tokens=a) for n, a in enumerate(averages)}) == usual
