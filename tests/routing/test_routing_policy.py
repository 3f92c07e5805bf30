"""Policies as they are written, and what a routing request means under them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from cards import card

from wandb_inference import Catalog, ChatOptions, ChatRequest, ConfigurationError, Entry, Policy, RequestReviewError
from wandb_inference.routing import resolve
from wandb_inference.routing.policy import entries, is_auto, served

HELLO = [{"role": "user", "content": "Hello"}]


def call(model: Any = "auto", **options: Any) -> ChatRequest:
    return ChatRequest(model, HELLO, ChatOptions(**options))


LISTS: dict[str, tuple[Any, list[Entry]]] = {
    # name: (a list as it is written, its entries)
    "an id": ("me/m", [Entry("me/m")]),
    "an entry": (Entry("me/m", {"seed": 7}), [Entry("me/m", {"seed": 7})]),
    "a mapping": (
        {"model": "me/m", "settings": {"seed": 7}, "headers": {"x": "y"}, "max_retries": 0},
        [Entry("me/m", {"seed": 7}, {"x": "y"}, 0)],
    ),
    "a mapping of the least": ({"model": "me/m"}, [Entry("me/m", {}, {}, None)]),
    "a list of all of them": (["a", Entry("b"), {"model": "c"}], [Entry("a"), Entry("b"), Entry("c")]),
    "a tuple": (("a", "a"), [Entry("a"), Entry("a")]),
}


@pytest.mark.parametrize("name", LISTS)
def test_list(name: str) -> None:
    written, expected = LISTS[name]
    assert list(entries(written)) == expected
    policy = Policy(models=written)
    assert (list(policy.listed), policy.ranking) == (expected, "ordered")


NO_LISTS: dict[str, tuple[Any, str]] = {
    # name: (what is written, what is said of it)
    "nothing": ([], "[] is no list of models. Name one, or leave it out for all of them."),
    "a set": ({"me/m"}, "{'me/m'} is no list of models."),
    "a number": (5, "5 is no list of models."),
    "a number in it": ([5], "5 is no model. An id, or a mapping with headers, max_retries, model, settings."),
    "a mapping without a model": ([{"settings": {}}], "a mapping with settings is no model."),
    "a mapping whose model is none": ([{"model": None}], "a mapping with model is no model."),
    "a mapping with more": ([{"model": "m", "key": "secret"}], "a mapping with model, key is no model."),
    "a choice": (["auto"], "'auto' stands in a list. It stands alone; a list is in order."),
    "a choice by cost": (["me/m", Entry("AUTO:cheapest")], "'AUTO:cheapest' stands in a list."),
    "settings that do not exist": ([Entry("me/m", {"top": 1})], "settings of me/m: "),
}


@pytest.mark.parametrize("name", NO_LISTS)
def test_no_list(name: str) -> None:
    written, said = NO_LISTS[name]
    with pytest.raises(ConfigurationError) as caught:
        entries(written)
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "auto"),
    [
        ("auto", True),
        ("AUTO", True),
        ("auto:cheapest", True),
        ("Auto:x", True),
        ("automatic", False),
        ("me/auto", False),
    ],
)
def test_which_names_ask_for_a_choice(name: str, auto: bool) -> None:
    assert is_auto(name) is auto


SETTINGS: dict[str, tuple[dict[str, Any], ChatOptions, ChatOptions]] = {
    # name: (settings of an entry, options of the call, options of the call to this model)
    "none": ({}, ChatOptions(seed=7, extra_body={"n": 2}), ChatOptions(seed=7, extra_body={"n": 2})),
    "they win": ({"seed": 1}, ChatOptions(seed=7, n=2), ChatOptions(seed=1, n=2)),
    "lengths among more fields": (
        {"extra_body": {"max_completion_tokens": 5, "n": 2, "top_k": 3}},
        ChatOptions(max_tokens=9),
        ChatOptions(max_tokens=5, n=2, extra_body={"top_k": 3}),
    ),
    "nothing but lengths": ({"extra_body": {"max_tokens": 5}}, ChatOptions(), ChatOptions(max_tokens=5)),
    "lengths of nothing": (
        {"extra_body": {"max_tokens": None, "top_k": 3}},
        ChatOptions(max_tokens=9),
        ChatOptions(max_tokens=9, extra_body={"max_tokens": None, "top_k": 3}),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    settings, given, expected = SETTINGS[name]
    assert Entry("me/m", settings).options(given) == expected


def test_an_entry_shows_no_keys() -> None:
    assert "secret" not in repr(Entry("me/m", headers={"x": "secret"}))


def test_a_policy_that_says_nothing() -> None:
    policy = Policy()
    assert (policy.listed, policy.order, policy.ranking) == ((), None, "balanced")
    assert (policy.max_cost, policy.max_input_price, policy.max_output_price, policy.max_first_token) == (None,) * 4
    assert (policy.fit, policy.min_output, policy.sticky, policy.on_retired) == (False, 256, True, "error")
    assert (policy.deny, policy.escalate, policy.aliases) == (frozenset(), frozenset(), {})


def test_a_policy_is_written_in_short() -> None:
    policy = Policy(max_cost="0.05", max_input_price=1, max_output_price=0.1, deny="me/m", escalate=["empty"])
    assert (policy.max_cost, policy.max_input_price, policy.max_output_price) == (
        Decimal("0.05"),
        Decimal(1),
        Decimal("0.1"),
    )
    assert (policy.deny, policy.escalate) == (frozenset({"me/m"}), frozenset({"empty"}))
    assert Policy(models="me/m", order="cheapest").ranking == "cheapest"


@pytest.mark.parametrize("name", ["cheapest", "fastest", "balanced", "ordered"])
def test_every_order_has_its_name(name: Any) -> None:
    assert Policy(order=name).ranking == name
    assert resolve(call(f"auto:{name}"), Policy())[1].ranking == name


@pytest.mark.parametrize("answer", ["length", "schema", "refusal", "empty"])
def test_every_answer_that_may_not_be_enough_has_its_name(answer: Any) -> None:
    assert Policy(escalate=frozenset({answer})).escalate == {answer}


NO_POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    # name: (what is written, what is said of it)
    "an order": (
        {"order": "best"},
        "order='best' does not exist. One of cheapest, fastest, balanced, ordered, or a function.",
    ),
    "an answer": (
        {"escalate": {"slow", "rude", "empty"}},
        "escalate='rude' does not exist. Of length, schema, refusal, empty.",
    ),
    "no answers": ({"escalate": None}, "escalate=None is no set of names. Leave it out for none."),
    "no ids": ({"deny": 3}, "deny=3 is no set of names."),
    "a redirection": ({"on_retired": "swap"}, "on_retired='swap' does not exist. error or redirect."),
    "a cost": ({"max_cost": "much"}, "'much' is no amount for max_cost."),
    "an input price": ({"max_input_price": -1}, "-1 is no amount for max_input_price."),
    "an output price": ({"max_output_price": True}, "True is no amount for max_output_price."),
}


@pytest.mark.parametrize("name", NO_POLICIES)
def test_no_policy(name: str) -> None:
    written, said = NO_POLICIES[name]
    with pytest.raises(ConfigurationError) as caught:
        Policy(**written)
    assert str(caught.value).startswith(said)


def by_length(request: ChatRequest) -> Any:
    """A policy's function: few tokens to the cheapest, some to a list, many to one."""
    tokens = request.options.max_tokens or 0
    return "auto:cheapest" if tokens < 10 else ["me/a", Entry("me/b")] if tokens < 100 else "me/large"


RESOLVED: dict[str, tuple[ChatRequest, Policy, str, list[str], str]] = {
    # name: (call, policy, the model that is asked for then, the list, the order)
    "a model": (call("me/m"), Policy(), "me/m", [], "balanced"),
    "a choice": (call(), Policy(), "auto", [], "balanced"),
    "in any case": (call("AUTO:cheapest"), Policy(), "auto", [], "cheapest"),
    "the cheapest, as others say": (call("auto:floor"), Policy(), "auto", [], "cheapest"),
    "the fastest, as others say": (call("auto:nitro"), Policy(order="cheapest"), "auto", [], "fastest"),
    "with an order of the policy": (call(), Policy(order="fastest"), "auto", [], "fastest"),
    "with our name before it": (call("wandb/me/m"), Policy(), "me/m", [], "balanced"),
    "with our other name before it": (call("wandb_inference/auto:cheapest"), Policy(), "auto", [], "cheapest"),
    "with both": (call("wandb/wandb_inference/me/m"), Policy(), "me/m", [], "balanced"),
    "by an alias": (call("quick"), Policy(aliases={"quick": "wandb/auto:fastest"}), "auto", [], "fastest"),
    "from a list": (call(), Policy(models=["me/a", "me/b"]), "auto", ["me/a", "me/b"], "ordered"),
    "from a list, by cost": (
        call("auto:cheapest"),
        Policy(models=["me/a", "me/b"]),
        "auto",
        ["me/a", "me/b"],
        "cheapest",
    ),
    "a model before the list": (
        call("me/m"),
        Policy(models=["me/a", "me/b"], order="cheapest"),
        "me/m",
        ["me/m", "me/a", "me/b"],
        "ordered",
    ),
    "a model of the list before the others": (
        call("me/b"),
        Policy(models=["me/a", "me/b", "me/c"]),
        "me/b",
        ["me/b", "me/a", "me/c"],
        "ordered",
    ),
    "a list in place of a model": (call(["me/a", "me/b"]), Policy(), "auto", ["me/a", "me/b"], "ordered"),
    "a list in place of a model, and of the policy's": (
        call(["me/a"]),
        Policy(models="me/x"),
        "auto",
        ["me/a"],
        "ordered",
    ),
    "a function's choice": (call(max_tokens=5), Policy(models=by_length), "auto", [], "cheapest"),
    "a function's list": (call("me/b", max_tokens=50), Policy(models=by_length), "auto", ["me/a", "me/b"], "ordered"),
    "a function's model": (call(max_tokens=500), Policy(models=by_length), "me/large", [], "balanced"),
    "a function in place of a model": (call(by_length), Policy(), "auto", [], "cheapest"),
    "a function, told of lengths among more fields": (
        call(extra_body={"max_completion_tokens": 50}),
        Policy(models=by_length),
        "auto",
        ["me/a", "me/b"],
        "ordered",
    ),
    "a model among more fields": (call(extra_body={"model": "me/m"}), Policy(), "me/m", [], "balanced"),
}


@pytest.mark.parametrize("name", RESOLVED)
def test_resolved(name: str) -> None:
    request, policy, model, listed, ranking = RESOLVED[name]
    found, under = resolve(request, policy)
    assert (found.model, [entry.model for entry in under.listed], under.ranking) == (model, listed, ranking)


def test_an_entry_that_is_named_keeps_its_settings() -> None:
    own = Entry("me/b", {"seed": 7})
    _, policy = resolve(call("me/b"), Policy(models=["me/a", own]))
    assert policy.listed == (own, Entry("me/a"))


OPTIONS: dict[str, tuple[ChatRequest, ChatRequest]] = {
    # name: (call, as it goes on)
    "as it was": (call("me/m", n=2), call("me/m", n=2)),
    "the model, found among more fields": (
        call(extra_body={"model": "me/m", "top_k": 3}),
        call("me/m", extra_body={"top_k": 3}),
    ),
    "nothing but the model there": (call(extra_body={"model": "me/m"}), call("me/m")),
    "a model that is none": (call("me/m", extra_body={"model": 5}), call("me/m", extra_body={"model": 5})),
    "lengths, found among more fields": (
        call("me/m", n=1, extra_body={"n": 2, "max_tokens": 5, "top_k": 3}),
        call("me/m", n=2, max_tokens=5, extra_body={"top_k": 3}),
    ),
    "other fields": (call("me/m", extra_body={"top_k": 3}), call("me/m", extra_body={"top_k": 3})),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_bears_on_the_bill_is_put_in_its_place(name: str) -> None:
    given, expected = OPTIONS[name]
    assert resolve(given, Policy())[0] == expected


def test_an_order_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="'auto:best' asks for an order that does not exist") as caught:
        resolve(call("auto:best"), Policy())
    assert caught.value.hint == "auto:cheapest, auto:fastest, auto:balanced, auto:ordered."


def test_no_call() -> None:
    with pytest.raises(RequestReviewError, match="messages is no list of messages"):
        resolve(ChatRequest("auto", "Hello"), Policy())  # type: ignore[arg-type]


def test_the_callers_own_stays_as_it_was() -> None:
    request, policy = call("me/m", extra_body={"model": "me/n", "n": 2}), Policy(models=["me/a"])
    resolve(request, policy)
    assert request == call("me/m", extra_body={"model": "me/n", "n": 2})
    assert policy == Policy(models=["me/a"])


CATALOG = Catalog(
    [
        card("me/m", aliases=("m",)),
        card("me/old", status="retired", replacement="me/m"),
        card("me/lost", status="retired"),
    ]
)
SERVED: dict[str, tuple[Entry, str, str, str | None]] = {
    # name: (entry, what to do with retired models, the model that is asked, the id of its card)
    "as it is": (Entry("me/m"), "error", "me/m", "me/m"),
    "an alias": (Entry("m"), "redirect", "m", "me/m"),
    "unknown": (Entry("you/x"), "redirect", "you/x", None),
    "retired": (Entry("me/old"), "error", "me/old", "me/old"),
    "retired and replaced": (Entry("me/old", {"seed": 7}), "redirect", "me/m", "me/m"),
    "retired for good": (Entry("me/lost"), "redirect", "me/lost", "me/lost"),
}


@pytest.mark.parametrize("name", SERVED)
def test_served(name: str) -> None:
    entry, retired, model, id_ = SERVED[name]
    found, of = served(entry, CATALOG, Policy(on_retired=retired))  # type: ignore[arg-type]  # a row's
    assert (found.model, found.settings, of.id if of else None) == (model, entry.settings, id_)
