"""The bundled facts, and how they are found and overridden."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from cards import LEAST

from wandb_inference import Catalog, ConfigurationError, ModelCard, UnknownModelError

CATALOG = Catalog.bundled()
ACTIVE = [card for card in CATALOG if card.status == "active"]

# The ten models that other routers list since 2025.
OF_2025 = (
    "deepseek-ai/DeepSeek-R1-0528",
    "deepseek-ai/DeepSeek-V3-0324",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "microsoft/Phi-4-mini-instruct",
    "moonshotai/Kimi-K2-Instruct",
    "Qwen/Qwen3-235B-A22B-Instruct-2507",
    "Qwen/Qwen3-235B-A22B-Thinking-2507",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct",
)


def test_numbers() -> None:
    by_status = {
        status: sum(card.status == status for card in CATALOG) for status in ("active", "unconfirmed", "retired")
    }
    assert by_status == {"active": 20, "unconfirmed": 3, "retired": 26}


@pytest.mark.parametrize("model", OF_2025)
def test_the_models_of_2025_are_known(model: str) -> None:
    card = CATALOG.card(model)
    assert card.id == model
    assert card.status == "retired" or card in ACTIVE


@pytest.mark.parametrize("card", CATALOG, ids=lambda card: card.id)
def test_every_card_is_dated_sourced_and_coherent(card: ModelCard) -> None:
    assert card.source
    assert date(2026, 10, 1) <= card.checked <= date(2026, 11, 21)
    assert "text" in card.input
    assert card.output_limit is None or card.context_window is None or card.output_limit < card.context_window
    assert (card.status == "retired") or (card.retired_on is None and card.replacement is None)
    assert card.status != "retired" or card.retired_on or card.lifecycle_note
    assert card.replacement is None or card.replacement in CATALOG
    assert bool(card.reasoning.switch) == (card.reasoning.mode == "switchable")
    assert all(conflict.reason for conflict in card.conflict)
    if card.price:
        assert isinstance(card.price.input, Decimal)
        assert Decimal(0) < card.price.input <= card.price.output < 100  # LiteLLM once had 15,000
        assert card.price.cached_input is None or card.price.cached_input <= card.price.input


@pytest.mark.parametrize("card", ACTIVE, ids=lambda card: card.id)
def test_every_active_card_is_complete(card: ModelCard) -> None:
    assert card.price
    assert card.price.cached_input is not None
    assert card.context_window
    assert card.tools is True
    assert card.structured_output is True
    assert card.reasoning.mode is not None
    assert card.output_limit is None  # the feed repeats the context window, which is no fact about output


@pytest.mark.parametrize(
    ("model", "path", "value", "lost"),
    [
        ("openai/gpt-oss-120b", "price.input", "0.03", "0.15"),
        ("openai/gpt-oss-20b", "price.output", "0.13", "0.2"),
        ("zai-org/GLM-5.2", "context_window", "1048576", "262144"),
        ("zai-org/GLM-5.2", "price.cached_input", "0.14", "0.26"),
        ("deepseek-ai/DeepSeek-V3.1", "context_window", "161000", "128000"),
        ("moonshotai/Kimi-K2.6", "price.output", "3.41", "4"),
        ("MiniMaxAI/MiniMax-M3", "reasoning.mode", "switchable", "always"),
        (
            "deepseek-ai/DeepSeek-V4.1-Flash",
            "reasoning.switch",
            "('thinking', 'enable_thinking')",
            "['enable_thinking']",
        ),
    ],
)
def test_a_conflict_records_what_was_not_chosen(model: str, path: str, value: str, lost: str) -> None:
    card = CATALOG.card(model)
    chosen: object = card
    for name in path.split("."):
        chosen = getattr(chosen, name)
    assert str(chosen) == value
    (conflict,) = [c for c in card.conflict if c.field == path]
    assert lost in [str(x.value) for x in conflict.lost]


NAMES = [
    # (asked, id or suggestion, exact?)
    ("openai/gpt-oss-20b", "openai/gpt-oss-20b", True),
    ("gpt-oss-20b", "openai/gpt-oss-20b", True),
    ("deepseek-v4.1-flash", "deepseek-ai/DeepSeek-V4.1-Flash", True),
    ("OpenAI/GPT-OSS-20B", "openai/gpt-oss-20b", False),
    ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct", False),
    ("openai/gpt-oss-20", "openai/gpt-oss-20b", False),
    ("zai-org/GLM5.3-flash", "zai-org/GLM-5.3-Flash", False),
]


@pytest.mark.parametrize(("asked", "id_", "exact"), NAMES)
def test_names(asked: str, id_: str, exact: bool) -> None:
    if exact:
        assert CATALOG.card(asked).id == id_
        return
    assert asked not in CATALOG
    with pytest.raises(UnknownModelError) as caught:
        CATALOG.card(asked)
    assert caught.value.suggestions[0] == id_
    assert id_ in str(caught.value)


def test_only_the_case_is_wrong() -> None:
    with pytest.raises(UnknownModelError, match=r"case-sensitive: write 'Qwen/Qwen3\.8-27B'"):
        CATALOG.card("qwen/qwen3.8-27b")


def test_a_name_like_no_other() -> None:
    with pytest.raises(UnknownModelError, match="`wandb-inference models` lists") as caught:
        CATALOG.card("xyzzy")
    assert caught.value.suggestions == ()


@pytest.mark.parametrize(
    ("retired", "successor"),
    [
        ("Qwen/Qwen2.5-14B-Instruct", "Qwen/Qwen3.8-27B"),  # by way of a model that is retired, too
        ("zai-org/GLM-4.5", None),  # its replacement was retired without one
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
    ],
)
def test_successor(retired: str, successor: str | None) -> None:
    found = CATALOG.successor(CATALOG.card(retired))
    assert (found.id if found else None) == successor


def test_successors_that_name_each_other_end() -> None:
    rows = [
        {**CATALOG.card("zai-org/GLM-4.5").model_dump(), "id": a, "replacement": b} for a, b in (("a", "b"), ("b", "a"))
    ]
    catalog = Catalog.empty().with_overrides({"model": rows})
    assert catalog.successor(catalog.card("a")) is None


def test_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        version = "mine"
        [[model]]
        id = "openai/gpt-oss-20b"
        price = { input = 0.01 }
        output_limit = 4096
        [[model]]
        id = "me/tuned"
        name = "Tuned"
        family = "mine"
        aliases = ["tuned"]
        status = "active"
        checked = 2026-11-21
        source = "me"
        """
    )
    catalog = CATALOG.with_overrides(file)
    card = catalog.card("openai/gpt-oss-20b")
    assert card.price is not None
    assert (card.price.input, card.price.output, card.output_limit) == (Decimal("0.01"), Decimal("0.13"), 4096)
    assert catalog.card("tuned").context_window is None
    assert (catalog.version, len(catalog)) == ("mine", len(CATALOG) + 1)
    assert CATALOG.card("openai/gpt-oss-20b").output_limit is None  # the bundled catalog stays as it is


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[model]]\nid = 'openai/gpt-oss-20b'\ncontext = 5", "openai/gpt-oss-20b: context: Extra inputs"),
        ("[[model]]\nid = 'openai/gpt-oss-20b'\ncontext_window = -5", "context_window: Input should be greater than 0"),
        ("[[model]]\nid = 'openai/gpt-oss-20b'\nprice = {input = 'free'}", "price.input"),
        ("[[model]]\nid = 'new/model'", "new/model: name: Field required"),
        ("[[models]]\nid = 'x'", "there is no table 'models'"),
        ("model = 5", "every [[model]] needs an id"),
        ("[[model]]\nname = 'x'", "every [[model]] needs an id"),
        ("[[model", "not valid TOML"),
    ],
)
def test_bad_overrides_name_file_model_and_field(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        CATALOG.with_overrides(file)
    assert words in str(caught.value)
    assert "bad.toml" in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(b"version = '\xff'")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        CATALOG.with_overrides(file)


def test_suggestions_are_of_models_that_answer() -> None:
    assert all(CATALOG.card(id_).servable for id_ in CATALOG.suggestions("glm"))
    assert CATALOG.suggestions("GLM-4.6")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Cannot read .*none\.toml: No such file"):
        CATALOG.with_overrides(tmp_path / "none.toml")


def made(*rows: Mapping[str, object], version: str = "") -> Catalog:
    return Catalog([ModelCard.model_validate({**LEAST, **row}) for row in rows], version=version)


ALIKE: dict[str, tuple[list[dict[str, object]], str, tuple[str, ...]]] = {
    # name: (cards, the name asked for, ids that look alike)
    "none": ([{"id": "me/model-1"}], "xyzzy", ()),
    "by the whole id": ([{"id": "me/model-1"}, {"id": "you/x"}], "me/model-2", ("me/model-1",)),
    "by what stands behind the slash": ([{"id": "averylongname/m1-base"}], "m1-bass", ("averylongname/m1-base",)),
    "by an alias": ([{"id": "me/m", "aliases": ("nickname",)}], "nickname2", ("me/m",)),
    "in another case": ([{"id": "me/Model-1"}, {"id": "me/Model-12"}], " ME/MODEL-1 ", ("me/Model-1",)),
    "an alias in another case": ([{"id": "me/m", "aliases": ("Nick",)}], "nick", ("me/m",)),
    "three at most, best first": (
        [{"id": f"me/model-{n}"} for n in ("9999", "999", "99", "9")],
        "me/model-99999",
        ("me/model-9999", "me/model-999", "me/model-99"),
    ),
    "one with two names, once": (
        [{"id": "me/model-1", "aliases": ("me/model-1x", "me/model-1y")}],
        "me/model-1z",
        ("me/model-1",),
    ),
    "those that answer": (
        [{"id": "me/model-1", "status": "retired"}, {"id": "me/model-10"}],
        "me/model-11",
        ("me/model-10",),
    ),
    "retired ones if no other does": ([{"id": "me/model-1", "status": "retired"}], "me/model-2", ("me/model-1",)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_alike(name: str) -> None:
    cards, asked, ids = ALIKE[name]
    catalog = made(*cards)
    assert catalog.suggestions(asked) == ids
    assert catalog.suggestions(asked) == ids  # asked again


def test_what_a_name_may_have_meant() -> None:
    with pytest.raises(UnknownModelError) as caught:
        made({"id": "me/model-1"}, {"id": "me/model-2"}).card("me/model-3")
    assert caught.value.hint == "Did you mean 'me/model-2' or 'me/model-1'?"
    with pytest.raises(UnknownModelError) as caught:
        made({"id": "me/Model"}).card("me/model")
    assert (caught.value.hint, caught.value.model) == ("Ids are case-sensitive: write 'me/Model'.", "me/model")


SUCCESSORS: dict[str, tuple[dict[str, str], str | None]] = {
    # name: (id: its replacement, for the retired ones; the id that replaces "a", "x" answers)
    "one that answers": ({"a": "x"}, "x"),
    "by way of others": ({"a": "b", "b": "c", "c": "x"}, "x"),
    "none": ({"a": ""}, None),
    "one that nobody knows": ({"a": "y"}, None),
    "none in the end": ({"a": "b", "b": ""}, None),
    "itself": ({"a": "a"}, None),
    "one that leads back": ({"a": "b", "b": "a"}, None),
    "one that leads round": ({"a": "b", "b": "c", "c": "b"}, None),
}


@pytest.mark.parametrize("name", SUCCESSORS)
def test_the_model_that_replaces_a_retired_one(name: str) -> None:
    replaced, successor = SUCCESSORS[name]
    rows = [{"id": id_, "status": "retired", "replacement": by or None} for id_, by in replaced.items()]
    catalog = made(*rows, {"id": "x"})
    found = catalog.successor(catalog.card("a"))
    assert (found.id if found else None) == successor


def test_a_catalog_shows_its_size_and_date() -> None:
    assert repr(made({"id": "me/m"}, version="2026-11-20")) == "<Catalog of 1 models, version 2026-11-20>"
    assert repr(Catalog.empty()) == "<Catalog of 0 models, version unknown>"
    assert CATALOG.version in repr(CATALOG)


def test_what_is_in_it() -> None:
    catalog = made({"id": "me/m", "aliases": ("m",)})
    assert ("me/m" in catalog, "m" in catalog, "x" in catalog, 5 in catalog) == (True, True, False, False)
    assert catalog.get("x") is None
    assert [card.id for card in catalog] == ["me/m"]


def test_overrides_as_a_mapping() -> None:
    catalog = made({"id": "me/m", "price": {"input": 1, "output": 2}}, version="1")
    changed = catalog.with_overrides({"model": {"id": "me/m", "price": {"output": 3}, "reasoning": {"mode": "always"}}})
    card = changed.card("me/m")
    assert card.price is not None
    assert (card.price.input, card.price.output) == (Decimal(1), Decimal(3))
    assert card.reasoning.mode == "always"
    assert (changed.version, changed.card("me/m").name) == ("1", "M")
    assert catalog.with_overrides({}).card("me/m") == catalog.card("me/m")
    unpriced = catalog.with_overrides({"model": ({"id": "me/m", "price": None},)}).card("me/m")
    assert unpriced.price is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"models": []}, "overrides: there is no table 'models'."),
        ({"b": 1, "a": 1, "model": []}, "overrides: there is no table 'a'."),
        ({"model": [{"id": 5}]}, "overrides: every [[model]] needs an id."),
        ({"model": [{"id": "me/m", "price": 5}]}, "overrides: me/m: price: Input should be"),
        ({"model": [{"id": "me/m", "price": {"input": 1}}]}, "overrides: me/m: price.output: Field required."),
    ],
)
def test_a_mapping_that_makes_no_sense(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made({"id": "me/m"}).with_overrides(overrides)
    assert caught.value.message.startswith(message)
