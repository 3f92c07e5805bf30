"""Sampled values satisfy their schema; an independent validator is the judge."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from wandb_inference.emulator.sample import BadSchemaError, matching, sample, words_of

NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}, "v": {"type": "integer"}},
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "const": {"const": 5},
    "enum": {"enum": ["a", "b"]},
    "nullable": {"type": ["null", "string"]},
    "exclusive bounds": {"type": "integer", "exclusiveMinimum": -1000, "exclusiveMaximum": 1000},
    "narrow floats": {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.2},
    "negative": {"type": "integer", "maximum": -5},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 50},
    "lengths": {"type": "string", "minLength": 30, "maxLength": 31},
    "short": {"type": "string", "maxLength": 2},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{3}-\d+(x|y)?$"},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "minItems": 2},
    "unique": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "uniqueItems": True},
    "unique enum": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    "unique booleans": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True},
    "a default that is none": {"type": "integer", "default": "x"},
    "a format that is too long": {"type": "string", "format": "date-time", "maxLength": 5},
    "oneOf that overlaps": {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 10}]},
    "anyOf beside properties": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "anyOf": [{"properties": {"b": {"type": "string"}}, "required": ["b"]}],
    },
    "itself or nothing": {"type": "object", "properties": {"child": {"anyOf": [{}, {"type": "null"}]}}},
    "a part that refers to its neighbour": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"anyOf": [{"$ref": "#/properties/a"}, {"type": "null"}]}},
    },
    "the root again, or nothing": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    "no items": {"type": "array", "maxItems": 0},
    "ref": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}},
    "pointer": {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
    "allOf": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]},
    "oneOf": {"oneOf": [{"type": "string", "minLength": 3}, {"type": "integer"}]},
    "required but undescribed": {"type": "object", "required": ["a"]},
    "minProperties": {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
    "nothing": {},
    "format": {"type": "string", "format": "date-time"},
    "nested": {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "null"}}}}},
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("prompt", ["", "Book 'Metropolis' in Paris for 3 at 17.5, or -40 or b"])
@pytest.mark.parametrize("pick", [0, 1, 5])
def test_sample_satisfies(name: str, prompt: str, pick: int) -> None:
    Draft202012Validator(SCHEMAS[name]).validate(sample(SCHEMAS[name], prompt, pick=pick))


numbers = st.integers(-50, 50)
leaves = st.one_of(
    st.just({"type": "boolean"}),
    st.builds(lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)}, numbers, numbers),
    st.builds(lambda a, b: {"type": "number", "minimum": min(a, b), "maximum": max(a, b)}, numbers, numbers),
    st.builds(
        lambda a, b: {"type": "string", "minLength": min(a, b), "maxLength": max(a, b)},
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    st.builds(lambda xs: {"enum": xs}, st.lists(st.text(), min_size=1, unique=True)),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda i, n: {"type": "array", "items": i, "minItems": n}, inner, st.integers(0, 3)),
        st.builds(
            lambda p: {"type": "object", "properties": p, "required": list(p)},
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(schemas, st.text(max_size=60))
def test_any_schema_any_prompt(schema: dict[str, Any], prompt: str) -> None:
    Draft202012Validator(schema).validate(sample(schema, prompt))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        [r"\d+", r"[a-z]{2,5}", r"^(foo|bar)-\w\s?$", r"[^x]y*", r"a.c", r"\D\d", r"(ab){3}", r"^$", r"x{0,3}z"]
    )
)
def test_matching(pattern: str) -> None:
    assert re.search(pattern, matching(pattern)) is not None


def test_cents() -> None:
    schema = {"type": "number", "multipleOf": 0.01, "minimum": 1}
    assert sample(schema, "It costs 19.99") == 19.99


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "if": {"$ref": "#/nope"}, "then": {}}, "cannot be read"),
        ({"type": "nonsense"}, "Invalid type: nonsense"),
        ({"$ref": "#/$defs/none"}, "refers to nothing"),
        ({"$ref": "#"}, "refers to itself"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "nothing satisfies"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "bounds"),
        ({"type": "string", "pattern": "(?=x)y"}, "pattern"),
        (
            {
                **NODE,
                "$defs": {"n": {**NODE, "required": ["self"], "properties": {"self": {"$ref": "#/$defs/n"}}}},
                "required": ["next"],
                "properties": {"next": {"$ref": "#/$defs/n"}},
            },
            "itself",
        ),
    ],
)
def test_what_cannot_be_satisfied_says_so(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSchemaError, match=words):
        sample(schema)


def test_a_schema_that_may_end_ends() -> None:
    value = sample({**NODE, "$defs": {"n": NODE}})
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("What is the weather in San Francisco, CA?", ["San Francisco, CA"]),
        ("Compare Paris and Warsaw.", ["Warsaw", "Paris"]),
        ("Create a customer named '你好啊集团' (Hello Group)", ["你好啊集团"]),
        ('Say "hi there" to Ann', ["hi there", "Ann"]),
        ("It's the user's idea", []),
    ],
)
def test_words(prompt: str, words: list[str]) -> None:
    assert words_of(prompt)[: len(words)] == words
