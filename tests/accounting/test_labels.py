"""Labels of calls: how they are given, and which of two count."""

from __future__ import annotations

from typing import Any

import pytest

from wandb_inference import Labels, labels
from wandb_inference.accounting import current_labels

GIVEN: dict[str, tuple[dict[str, Any], Labels]] = {
    # name: (as given, as kept)
    "nothing": ({}, Labels()),
    "texts": (
        {"session": "s", "tags": {"a": "b"}, "parent": "p", "trace": "t"},
        Labels("s", {"a": "b"}, "p", "t"),
    ),
    "no texts": ({"session": 7, "tags": {1: 2}, "parent": 8, "trace": 0}, Labels("7", {"1": "2"}, "8", "0")),
    "empty ones are none": ({"session": "", "parent": "", "trace": ""}, Labels()),
    "names alone": ({"tags": ["a", "b"]}, Labels(tags={"a": "", "b": ""})),
    "one name": ({"tags": "draft"}, Labels(tags={"draft": ""})),
}


@pytest.mark.parametrize("name", GIVEN)
def test_given(name: str) -> None:
    given, kept = GIVEN[name]
    assert Labels.of(**given) == kept


ONE, OTHER = Labels("s", {"a": "1", "b": "2"}, "p", "t"), Labels("s2", {"b": "3", "c": "4"}, "p2", "t2")
TOGETHER: dict[str, tuple[Labels, Labels, Labels]] = {
    # name: (one, another, the one over the other)
    "both say all": (ONE, OTHER, Labels("s", {"b": "2", "c": "4", "a": "1"}, "p", "t")),
    "the one says nothing": (Labels(), OTHER, OTHER),
    "the other says nothing": (ONE, Labels(), ONE),
    "each says something": (
        Labels("s", parent="p"),
        Labels(trace="t", tags={"a": "b"}),
        Labels("s", {"a": "b"}, "p", "t"),
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_one_over_another(name: str) -> None:
    one, another, both = TOGETHER[name]
    assert one.over(another) == both


def test_blocks_add_to_those_around_them_and_end() -> None:
    assert current_labels() == Labels()
    with labels(session="s", tags={"a": 1}, trace="t"):
        with labels(tags=["b"], session="inner"):
            assert current_labels() == Labels("inner", {"a": "1", "b": ""}, None, "t")
        assert current_labels() == Labels("s", {"a": "1"}, None, "t")
    assert current_labels() == Labels()


def test_a_block_that_fails_ends_too() -> None:
    with pytest.raises(KeyError), labels(session="s"):
        raise KeyError
    assert current_labels() == Labels()
