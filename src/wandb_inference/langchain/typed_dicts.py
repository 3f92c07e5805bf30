"""TypedDicts as pydantic reads them, with LangChain's way to describe their fields.

pydantic takes those of ``typing`` from Python 3.12 on only, and knows neither ``Annotated[T, default, "description"]``
nor ``Args:`` in a docstring. A twin of each has both.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NotRequired, Required, TypeVar, Union, get_args, get_origin

import typing_extensions
from pydantic import ConfigDict, Field

_QUALIFIERS = (Required, NotRequired, typing_extensions.ReadOnly)
_Key = tuple[Any, ...]


def with_twins(annotation: Any) -> Any:
    """Return a type with every TypedDict in it replaced by one that pydantic reads."""
    return _Twins().of(annotation)


class _Twins:
    def __init__(self) -> None:
        self._made: dict[_Key, Any] = {}

    def of(self, annotation: Any, variables: Mapping[Any, Any] | None = None) -> Any:
        """Return the type without TypedDicts of the user's, its type variables filled in."""
        variables = variables or {}
        if isinstance(annotation, str | typing.ForwardRef):
            raise TypeError(f"{annotation!r} is the name of a type and not the type")
        if isinstance(annotation, TypeVar):
            return variables.get(annotation, annotation)
        if typing_extensions.is_typeddict(annotation):
            return self._twin(annotation, ())
        origin, args = get_origin(annotation), get_args(annotation)
        if origin is None or origin is Literal or not args:
            return annotation
        if origin is Annotated:
            return Annotated[self.of(args[0], variables), *args[1:]]
        args = tuple(self.of(arg, variables) for arg in args)
        if typing_extensions.is_typeddict(origin):
            return self._twin(origin, args)
        if origin is Union or origin is types.UnionType:
            return reduce(or_, args) if all(isinstance(arg, type) for arg in args) else Union[args]  # noqa: UP007 (of a tuple)
        copied = getattr(annotation, "copy_with", None)  # typing's own aliases: List[int] has no other way
        return copied(args) if copied else origin[args]

    def _twin(self, cls: Any, args: tuple[Any, ...]) -> Any:
        key = (cls, *args)
        if key in self._made:
            return self._made[key]
        make: Any = typing_extensions.TypedDict  # which type checkers take for a statement
        twin = make(cls.__name__, {})
        self._made[key] = twin  # before its fields, which may be of its own type
        twin.__module__ = cls.__module__
        twin.__name__ = twin.__qualname__ = "_".join([cls.__name__, *map(_name, args)])
        twin.__doc__, described = _described(cls)
        variables = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
        fields, required = {}, set(cls.__required_keys__)
        for name, hint in typing_extensions.get_type_hints(
            cls, localns={cls.__name__: cls}, include_extras=True
        ).items():
            annotation, about, optional = _read(hint, described.get(name))
            annotation = self.of(annotation, variables)
            fields[name] = Annotated[annotation, Field(**about)] if about else annotation
            if optional is not None:
                (required.discard if optional else required.add)(name)
        twin.__annotations__ = fields
        twin.__required_keys__ = frozenset(required)
        twin.__optional_keys__ = frozenset(fields) - required
        if getattr(cls, "__extra_items__", None) not in (None, getattr(typing_extensions, "NoExtraItems", None)):
            raise TypeError(f"{cls.__name__} has extra_items, which pydantic does not know")
        if getattr(cls, "__closed__", None):
            twin.__pydantic_config__ = ConfigDict(extra="forbid")
        if config := getattr(cls, "__pydantic_config__", None):
            twin.__pydantic_config__ = config
        return twin


def _name(of: Any) -> str:
    return str(getattr(of, "__name__", None) or of)


def _read(hint: Any, description: str | None) -> tuple[Any, dict[str, Any], bool | None]:
    """Return a field's type, what pydantic's ``Field`` says of it, and whether its annotation makes it optional."""
    about: dict[str, Any] = {"description": description} if description else {}
    optional: bool | None = None
    while True:
        origin = get_origin(hint)
        if origin in _QUALIFIERS:
            if origin is not typing_extensions.ReadOnly:
                optional = origin is NotRequired
            hint = get_args(hint)[0]
        elif origin is Annotated:
            hint, *metadata = get_args(hint)
            kept = list(metadata)
            if metadata[0] is ... or (len(metadata) > 1 and isinstance(metadata[1], str)):
                default, *told = metadata
                kept = told[1:] if told and isinstance(told[0], str) else told
                about |= {"description": told[0]} if told and isinstance(told[0], str) else {}
                if default is not ...:
                    about["json_schema_extra"], optional = {"default": default}, True
            elif isinstance(metadata[0], str):
                about["description"], kept = metadata[0], metadata[1:]
            if kept:
                inner, more, optional_inside = _read(hint, None)
                optional = optional if optional_inside is None else optional_inside
                return Annotated[inner, *kept], about | more, optional
        else:
            return hint, about, optional


_ARGS = re.compile(r"^Args:[ \t]*\n((?:[ \t]+.*\n?|\s*\n)*)", re.MULTILINE)
_ARG = re.compile(r"^(\w+)(?: \(.*?\))?:[ \t]*", re.MULTILINE)


def _described(cls: type) -> tuple[str | None, dict[str, str]]:
    """Return what a class is, and what its fields are, as its docstring says."""
    doc = cls.__doc__ and inspect.cleandoc(cls.__doc__)
    found = doc and _ARGS.search(doc)
    if not doc or not found:
        return doc or None, {}
    _, *parts = _ARG.split(inspect.cleandoc(found[1]))
    described = {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    return doc[: found.start()].strip() or None, described
