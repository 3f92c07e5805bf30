"""What a card says of its model, and which facts it takes at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from cards import LEAST, card
from pydantic import ValidationError

from wandb_inference import ModelCard, Price
from wandb_inference.catalog import ReasoningSupport


def test_what_is_not_stated_is_not_known() -> None:
    least = card()
    stated = {"id", "input", "reasoning", *LEAST}
    assert {name: getattr(least, name) for name in ModelCard.model_fields if name not in stated} == {
        **dict.fromkeys(("context_window", "output_limit", "tools", "structured_output", "schema_as_tool", "price")),
        **dict.fromkeys(("total_params_b", "active_params_b", "released", "deprecated_on", "retired_on")),
        **dict.fromkeys(("replacement", "lifecycle_note")),
        **dict.fromkeys(("aliases", "notes", "conflict"), ()),
    }
    assert (least.input, least.reasoning.mode, least.reasoning.switch) == (("text",), None, ())


REFUSED: dict[str, dict[str, Any]] = {
    "a fact that does not exist": {"colour": "red"},
    "a window of nothing": {"context_window": 0},
    "an answer of nothing": {"output_limit": 0},
    "a price below nothing": {"price": {"input": "-0.01", "output": "1"}},
    "another status": {"status": "asleep"},
    "another modality": {"input": ("text", "smell")},
    "another way to reason": {"reasoning": {"mode": "sometimes"}},
    "another default": {"reasoning": {"default": "sometimes"}},
    "a price that is unheard of": {"price": {"input": "1", "output": "1", "tips": "1"}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        card(**REFUSED[name])


TAKEN: dict[str, dict[str, Any]] = {
    "the smallest window": {"context_window": 1},
    "for nothing": {"price": {"input": "0", "output": 0, "cached_input": 0}},
    **{f"status {name}": {"status": name} for name in ("active", "unconfirmed", "deprecated", "retired")},
    **{f"reads {name}": {"input": (name,)} for name in ("text", "image", "audio", "video", "file")},
    **{f"reasons {name}": {"reasoning": {"mode": name}} for name in ("none", "always", "switchable", None)},
    **{f"begins {name}": {"reasoning": {"default": name}} for name in ("on", "off", "adaptive", None)},
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str) -> None:
    taken = card(**TAKEN[name])
    assert ModelCard.model_validate_json(taken.model_dump_json()) == taken


def test_cards_do_not_change() -> None:
    one = card()
    with pytest.raises(ValidationError, match="frozen"):
        one.status = "retired"  # type: ignore[misc]  # which is the point
    assert hash(one) == hash(card())


@pytest.mark.parametrize(
    ("status", "servable"), [("active", True), ("unconfirmed", True), ("deprecated", True), ("retired", False)]
)
def test_who_answers(status: str, servable: bool) -> None:
    assert card(status=status).servable is servable


def test_what_it_reads() -> None:
    sees = card(input=("text", "image"))
    assert [sees.accepts(kind) for kind in ("text", "image", "audio")] == [True, True, False]


def test_a_card_shows_no_quarrels() -> None:
    conflict = {"field": "price.input", "reason": "newer", "lost": [{"value": 1, "sources": ["x"]}]}
    of = card(conflict=[conflict])
    assert "newer" not in repr(of)
    assert (of.conflict[0].chosen, of.conflict[0].lost[0].value) == (None, 1)


@pytest.mark.parametrize(
    ("mode", "default", "reasons"),
    [
        ("always", None, True),
        ("always", "off", True),  # it has no off switch
        ("switchable", "on", True),
        ("switchable", "adaptive", True),
        ("switchable", None, True),
        ("switchable", "off", False),
        ("none", "on", False),
        (None, None, False),
    ],
)
def test_whether_a_model_may_reason_unasked(mode: Any, default: Any, reasons: bool) -> None:
    assert ReasoningSupport(mode=mode, default=default).on_by_default is reasons


@pytest.mark.parametrize(
    ("stated", "cached", "per_token"),
    [
        (None, "2", (2e-06, 2e-06, 8e-06)),  # no discount is known, so none is given
        ("0.5", "0.5", (2e-06, 5e-07, 8e-06)),
        ("0", "0", (2e-06, 0.0, 8e-06)),
    ],
)
def test_price(stated: Any, cached: str, per_token: tuple[float, float, float]) -> None:
    price = Price(input=Decimal(2), output=Decimal(8), cached_input=stated)
    assert price.cached == Decimal(cached)
    assert price.per_token() == per_token
