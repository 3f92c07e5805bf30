"""The prices that a Weave client is given, under every name that calls carry."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from wandb_inference import Catalog
from wandb_inference._autolog.weave import PREFIXES, register_costs


def test_prices_stand_under_the_names_of_both_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}
    client = SimpleNamespace(add_cost=lambda llm_id, **prices: taken.update({llm_id: prices}))
    monkeypatch.setitem(sys.modules, "weave", SimpleNamespace(get_client=lambda: client))
    register_costs(Catalog.bundled())
    priced = {card.id for card in Catalog.bundled() if card.status == "active" and card.price is not None}
    assert set(taken) == priced | {f"wandb_inference/{id_}" for id_ in priced}
    assert all(taken[id_] == taken[f"wandb_inference/{id_}"] for id_ in priced)


def test_the_prefix_is_litellms_name_of_the_provider() -> None:
    provider = pytest.importorskip("wandb_inference.litellm.provider", reason="no litellm")
    assert (f"{provider.PROVIDER}/",) == PREFIXES
