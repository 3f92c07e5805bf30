"""TypedDicts as pydantic is shown them: what is required, what is said of fields, and what they hold."""

from __future__ import annotations

import typing
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
import typing_extensions
from pydantic import ConfigDict, Field, TypeAdapter

from wandb_inference.langchain.typed_dicts import with_twins

T = TypeVar("T")
U = TypeVar("U")


class Film(typing.TypedDict):
    """A film.

    Longer than this.

    Args:
        title: how it is
            called.
        year (int): when it was made.
        nobody: what is no field.
    """

    title: str
    year: typing_extensions.NotRequired[int]


class Partial(typing.TypedDict, total=False):
    title: typing_extensions.Required[str]
    year: int


class Told(typing.TypedDict):
    both: Annotated[str, ..., "described"]
    default: Annotated[int, 5, "described"]
    nothing: Annotated[str | None, None, "described"]
    word: Annotated[str, "described"]
    bare: Annotated[str, ...]
    bound: Annotated[int, Field(ge=1, description="described")]
    all: Annotated[int, ..., "described", Field(ge=1)]
    read_only: typing_extensions.ReadOnly[Annotated[str, "described"]]
    maybe: typing_extensions.NotRequired[Annotated[int, Field(ge=1)]]
    inside: Annotated[typing_extensions.NotRequired[int], Field(ge=1)]
    number: Annotated[int, 5]


class Documented(typing.TypedDict):
    """
    Args:
        a: by the docstring.
        b: by the docstring.
    """

    a: int
    b: Annotated[int, ..., "by the annotation"]


class Pair(typing.TypedDict, Generic[T, U]):
    first: T
    both: dict[str, tuple[T, U]]


class Longer(Film):
    minutes: int


class Tree(typing.TypedDict):
    kids: list[Tree]
    twin: Tree | None


class Sealed(typing_extensions.TypedDict, closed=True):
    a: int


class Configured(typing.TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # as pydantic reads it
    a: int


class Undocumented(typing.TypedDict):
    a: int


def schema(of: Any) -> dict[str, Any]:
    return TypeAdapter(with_twins(of)).json_schema()


FIELDS: dict[str, tuple[Any, str, dict[str, Any], bool]] = {
    # name: (type, field, what is said of it, whether it is required)
    "described by the docstring, on two lines": (Film, "title", {"description": "how it is called."}, True),
    "described by the docstring, with a type": (Film, "year", {"description": "when it was made."}, False),
    "Required": (Partial, "title", {}, True),
    "not total": (Partial, "year", {}, False),
    "...": (Told, "both", {"description": "described"}, True),
    "a default": (Told, "default", {"description": "described", "default": 5}, False),
    "None": (Told, "nothing", {"description": "described", "default": None}, False),
    "a word": (Told, "word", {"description": "described"}, True),
    "... alone": (Told, "bare", {}, True),
    "pydantic's": (Told, "bound", {"description": "described", "minimum": 1}, True),
    "both ways": (Told, "all", {"description": "described", "minimum": 1}, True),
    "ReadOnly": (Told, "read_only", {"description": "described"}, True),
    "NotRequired around Annotated": (Told, "maybe", {"minimum": 1}, False),
    "NotRequired inside Annotated": (Told, "inside", {"minimum": 1}, False),
    "a number that says nothing": (Told, "number", {}, True),
    "the docstring": (Documented, "a", {"description": "by the docstring."}, True),
    "the annotation before the docstring": (Documented, "b", {"description": "by the annotation"}, True),
    "inherited": (Longer, "year", {}, False),
    "its own": (Longer, "minutes", {}, True),
}


@pytest.mark.parametrize("name", FIELDS)
def test_field(name: str) -> None:
    of, field, said, required = FIELDS[name]
    found = schema(of)
    shown = {k: v for k, v in found["properties"][field].items() if k not in ("type", "title", "anyOf")}
    assert shown == said
    assert (field in found["required"]) is required


@pytest.mark.parametrize(
    ("of", "description"),
    [(Film, "A film.\n\nLonger than this."), (Documented, None), (Undocumented, None), (Longer, None)],
)
def test_description(of: Any, description: str | None) -> None:
    assert schema(of).get("description") == description


HELD: dict[str, tuple[Any, Any, Any]] = {
    # name: (type, what it holds, what it does not)
    "in a list": (list[Film], [{"title": "a"}], [{}]),
    "in typing's list": (typing.List[Film], [{"title": "a"}], [{}]),  # noqa: UP006 (what users write)
    "in a dict": (dict[str, Film], {"a": {"title": "a"}}, {"a": {}}),
    "in a tuple": (tuple[Film, int], [{"title": "a"}, 1], [{}, 1]),
    "or nothing": (Film | None, None, {}),
    "or nothing, as it was written": (typing.Optional[Film], None, {}),  # noqa: UP045 (as above)
    "or another": (Film | Sealed, {"a": 1}, {}),
    "annotated": (Annotated[Film, "about it"], {"title": "a"}, {}),
    "in what is annotated": (Annotated[list[Film], Field(min_length=1)], [{"title": "a"}], []),
    "a generic one": (Pair[int, str], {"first": 1, "both": {"a": [1, "a"]}}, {"first": 1, "both": {"a": ["a", "a"]}}),
    "a generic one of others": (Pair[Film, Sealed], {"first": {"title": "a"}, "both": {}}, {"first": {}, "both": {}}),
    "a generic one of nothing": (Pair, {"first": 1, "both": {}}, {"first": 1}),
    "two of a kind": (
        dict[str, Pair[int, int] | Pair[str, int]],
        {"a": {"first": "a", "both": {}}},
        {"a": {"first": 1.5}},
    ),
    "of itself": (Tree, {"kids": [{"kids": [], "twin": None}], "twin": None}, {"kids": [{"kids": []}], "twin": None}),
    "closed": (Sealed, {"a": 1}, {"a": 1, "b": 2}),
    "configured": (Configured, {"a": 1}, {"a": 1, "b": 2}),
    "no TypedDict": (list[int], [1], ["a"]),
    "a literal": (Literal["a", "b"], "a", "c"),
    "a bare list": (list, [1], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_held(name: str) -> None:
    of, held, refused = HELD[name]
    adapter = TypeAdapter(with_twins(of))
    assert adapter.dump_python(adapter.validate_python(held), mode="json") == held
    with pytest.raises(ValueError, match="validation error"):
        adapter.validate_python(refused)


def test_a_type_without_them_stays_as_it_is() -> None:
    for of in (int, list[int], Literal["a"], dict[str, int] | None, Annotated[int, Field(ge=1)], Any):
        assert with_twins(of) == of


def test_one_that_is_defined_inside_a_function() -> None:
    class Inner(typing.TypedDict):
        more: list[Inner]  # type: ignore[misc]  # mypy's limit

    assert schema(Inner)["$defs"]["Inner"]["properties"]["more"]["items"] == {"$ref": "#/$defs/Inner"}
