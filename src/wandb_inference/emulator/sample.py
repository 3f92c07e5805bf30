"""A value that satisfies a JSON schema, taken from the prompt where the prompt has something that fits."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping
from re import _parser  # type: ignore[attr-defined]  # the one that reads patterns as the standard library does
from typing import Any

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any] | bool

_FORMATS = {
    "date-time": "2026-01-01T12:00:00Z",
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEP = 4  # where an optional part is left out
_MAX_DEPTH = 24  # a schema may refer to itself; a value may not be endless


class BadSchemaError(ValueError):
    """The schema cannot be satisfied, or is no schema."""


def sample(schema: Schema, prompt: str = "", *, pick: int = 0) -> Any:
    """Return a value that satisfies the schema.

    Args:
        schema: a JSON schema; ``$ref`` into ``$defs`` is followed.
        prompt: quoted words, names and numbers in it are used where they fit.
        pick: which of several fitting words to take.

    Raises:
        BadSchemaError: the schema has an unknown type, or refers to nothing.
    """
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", prompt)]
    try:
        sampler = _Sampler(schema, words_of(prompt), numbers, pick)
        value = sampler.value(schema, "", 0)
        # multipleOf is left out: the validator divides floats, and 19.99 is no multiple of 0.01 to it.
        problems = (e for e in sampler.judge.iter_errors(value) if e.validator != "multipleOf")
        problem = next(problems, None)
    except BadSchemaError:
        raise
    except Exception as e:  # whatever a broken schema does to those who read it
        raise BadSchemaError(f"the schema cannot be read: {type(e).__name__}: {str(e)[:200]}") from e
    if problem is not None:
        raise BadSchemaError(f"found no value for this schema: {problem.message[:200]}")
    return value


def words_of(prompt: str) -> list[str]:
    """Return what looks like a value in a prompt: quoted text, else names behind a preposition, else proper names."""
    quoted = [a or b or c for a, b, c in re.findall(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"|「([^「」]+)」", prompt)]
    name = r"[A-ZÀ-ÖØ-Þ][\w.'-]*(?:,? [A-Z][\w.'-]*)*"
    behind = re.findall(rf"\b(?:in|for|of|at|to|about|named|called|from|on|and|or) ({name})", prompt)
    proper = [word for word in re.findall(rf"(?<=[\w,:] )({name})", prompt) if word not in behind]
    return list(dict.fromkeys(word.rstrip(".,?!") for word in (*quoted, *behind, *proper)))


class _Sampler:
    def __init__(self, root: Schema, words: list[str], numbers: list[float], pick: int) -> None:
        self._root, self._words, self._numbers, self._pick = root, words, numbers, pick
        self.judge = Draft202012Validator(root)

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            if schema is False:
                raise BadSchemaError(f"nothing satisfies the schema of {name or 'the value'}")
            return {} if depth == 0 else "anything"
        if depth > _MAX_DEPTH:
            raise BadSchemaError("the schema refers to itself without an end")
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(schema["enum"])
        default = schema.get("default")
        if default is not None and self.judge.evolve(schema=schema).is_valid(default):
            return default
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._alternative(
                    {k: v for k, v in schema.items() if k != key}, schema, schema[key], name, depth
                )
        return self._typed(schema, name, depth)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, name, depth),
            "string": lambda: self._string(schema, name),
            "integer": lambda: self._number(schema, whole=True),
            "number": lambda: self._number(schema, whole=False),
            "boolean": lambda: True,
            "null": lambda: None,
        }
        kind = schema.get("type") or (
            "object" if "properties" in schema else "array" if "items" in schema else "string"
        )
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind not in makers:
            raise BadSchemaError(f"Invalid type: {kind}")
        return makers[kind]()

    def _resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return the schema with ``$ref`` followed and ``allOf`` merged."""
        if "$ref" in schema:
            target: Any = self._root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                key = step.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, Mapping) or (key and key not in target):
                    raise BadSchemaError(f"{schema['$ref']} refers to nothing")
                target = target[key] if key else target
            if depth > _MAX_DEPTH or not isinstance(target, Mapping):
                raise BadSchemaError(f"{schema['$ref']} refers to itself")
            return self._resolved({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, depth + 1)
        if not schema.get("allOf"):
            return schema
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for part in (self._resolved(p, depth + 1) for p in schema["allOf"] if isinstance(p, Mapping)):
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, ()), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _alternative(
        self, rest: Mapping[str, Any], whole: Mapping[str, Any], options: list[Schema], name: str, depth: int
    ) -> Any:
        # The first alternative that is not null: an optional field that the prompt can fill is filled.
        real = [o for o in options if not (isinstance(o, Mapping) and o.get("type") == "null")]
        if len(real) < len(options) and ({} in real or depth > _DEEP):
            return None  # nothing rather than anything, which is what is left of some schemas that refer to themselves
        failed: BadSchemaError | None = None
        for option in real or options:
            try:
                value = self.value({**rest, "allOf": [*rest.get("allOf", ()), option]}, name, depth + 1)
                if self.judge.evolve(schema=whole).is_valid(value):
                    return value
            except BadSchemaError as e:
                failed = e
        if len(real) < len(options):
            return None
        raise failed or BadSchemaError("an empty list of alternatives")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        result: dict[str, Any] = {}
        for key, sub in properties.items():
            try:
                result[key] = self.value(sub, key, depth + 1)
            except BadSchemaError:
                if key in required:
                    raise
        extra = schema.get("additionalProperties", {})
        for key in required:
            if key not in result:
                result[key] = self.value(extra, key, depth + 1)
        number = 0
        while len(result) < schema.get("minProperties", 0):
            number += 1
            result[f"key{number}"] = self.value(extra, f"key{number}", depth + 1)
        return result

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        first = [self.value(sub, name, depth + 1) for sub in schema.get("prefixItems", ())]
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        items = schema.get("items", {})
        result = first
        size = min(max(least, 1), most)
        while len(result) < size and items is not False:
            next_one = _Sampler(self._root, self._words, self._numbers, self._pick + len(result))
            value = next_one.value(items, name, depth + 1)
            if schema.get("uniqueItems") and value in result:
                value = self._unlike(value, result, items, name, depth)
            result = [*result, value]
        return result

    def _unlike(self, value: Any, taken: list[Any], items: Schema, name: str, depth: int) -> Any:
        options = items.get("enum", ()) if isinstance(items, Mapping) else ()
        for number in range(len(taken) + 1):
            other = value
            if isinstance(value, bool):
                other = number % 2 == 0
            elif isinstance(value, int | float):
                other = value + number
            elif isinstance(value, str):
                other = f"{value}{number}"
            if options:
                other = options[number % len(options)]
            if other not in taken:
                return other
        raise BadSchemaError(f"no {len(taken) + 1} different items for {name or 'the list'} at depth {depth}")

    def _choice(self, options: list[Any]) -> Any:
        return next((o for o in options if o in self._words), options[self._pick % len(options)])

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength", math.inf)
        pattern = schema.get("pattern")

        def fits(text: str) -> bool:
            return least <= len(text) <= most and (not pattern or re.search(pattern, text) is not None)

        if schema.get("format") in _FORMATS and fits(_FORMATS[schema["format"]]):
            return _FORMATS[schema["format"]]
        candidates = [
            *self._words[self._pick :],
            *self._words[: self._pick],
            f"a {name.replace('_', ' ')}" if name else "text",
        ]
        fitting = next(filter(fits, candidates), None)
        if fitting is not None:
            return fitting
        base = matching(pattern) if pattern else candidates[-1]
        if not pattern:
            base = (base * (least // len(base) + 1))[: int(max(least, min(len(base), most)))]
        if not fits(base):
            raise BadSchemaError(f"found no text of {least} to {most} characters for the pattern {pattern!r}")
        return base

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        step = schema.get("multipleOf") or (1 if whole else None)
        low = schema.get("minimum", -math.inf)
        high = schema.get("maximum", math.inf)
        above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)

        def fits(number: float) -> bool:
            in_range = low <= number <= high and above < number < below
            return in_range and (step is None or math.isclose(number / step, round(number / step), abs_tol=1e-9))

        numbers = self._numbers[self._pick :] + self._numbers
        nearest = max(low, above) if math.isfinite(max(low, above)) else min(high, below)
        start = nearest if math.isfinite(nearest) else 0
        unit = step or 1
        grid = [(math.floor(start / unit) + offset) * unit for offset in (0, 1, 2, -1)]
        middle = (
            [(max(low, above) + min(high, below)) / 2]
            if math.isfinite(low + high) or math.isfinite(above + below)
            else []
        )
        found = next(filter(fits, [*numbers, 0, 1, *grid, *middle]), None)
        if found is None:
            raise BadSchemaError("no number satisfies the bounds")
        return int(found) if whole or float(found).is_integer() else float(found)


def matching(pattern: str) -> str:
    """Return a text that the regular expression matches.

    Raises:
        BadSchemaError: the expression is invalid, or uses what cannot be built from left to right.
    """
    try:
        return "".join(_text(op, value) for op, value in _parser.parse(pattern))
    except (re.error, KeyError, TypeError, IndexError) as e:
        raise BadSchemaError(f"cannot build a text for the pattern {pattern!r}: {e}") from e


_ALPHABET = string.ascii_lowercase + string.digits + string.ascii_uppercase + " -_."
_CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " ", "CATEGORY_NOT_DIGIT": "a"}


def _text(op: Any, value: Any) -> str:
    match str(op):
        case "LITERAL":
            return chr(value)
        case "NOT_LITERAL":
            return next(c for c in _ALPHABET if c != chr(value))
        case "ANY":
            return "a"
        case "AT":
            return ""
        case "IN":
            return _one_of(value)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, _, body = value
            return "".join(_text(o, v) for o, v in body) * (least or 0)
        case "SUBPATTERN":
            return "".join(_text(o, v) for o, v in value[-1])
        case "BRANCH":
            return "".join(_text(o, v) for o, v in value[1][0])
        case "CATEGORY":
            return _CATEGORIES[str(value)]
    raise KeyError(str(op))


def _one_of(members: Any) -> str:
    if str(members[0][0]) == "NEGATE":
        excluded = "".join(_one_of([m]) for m in members[1:])
        return next(c for c in _ALPHABET if c not in excluded)
    op, value = members[0]
    if str(op) == "RANGE":
        return chr(value[0])
    return _text(op, value)
