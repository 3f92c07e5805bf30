"""Schemas and tools, whatever users write them in, as JSON Schema: what they say is sent, and answers are held to it.

A dict goes as it is. A class goes as pydantic describes it, with its ``$defs``, so that it may hold itself.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, TypeAlias, get_args, get_origin
from urllib.parse import unquote

import typing_extensions
from langchain_core.tools import BaseTool, Tool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from wandb_inference.errors import ConfigurationError
from wandb_inference.langchain.typed_dicts import with_twins
from wandb_inference.routing.outcome import fits

Schema: TypeAlias = Any
"""A dict (JSON Schema, or one of the shapes that OpenAI, Anthropic, Bedrock and MCP wrap it in), a pydantic class,
TypedDict, dataclass, ``Enum``, or any other type that pydantic knows, such as ``list[Movie]`` and ``Movie | Book``."""

WRAPPED = "answer"
"""The one property of the object that stands for a value where only an object will do."""

_ANNOTATIONS = {"title", "name", "description", "default", "examples", "strict", "$schema", "$id", "$comment"}
_ANNOTATIONS |= {"$defs", "definitions"}
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME = 64
_FORMS = 'It is a JSON schema such as {"type": "object", "properties": {…}}, or {"name": …, "schema": {…}}.'


@dataclass(frozen=True, slots=True)
class Described:
    """A schema, and how to read an answer that should be of it."""

    name: str
    json_schema: Mapping[str, Any]
    read: Callable[[Any], Any] = field(repr=False)
    """Takes decoded JSON. Raises ``ValueError``: it is not of this schema."""
    makes_instances: bool = False
    """Whether reading makes something else of an answer than the dicts and lists that it came in."""
    description: str = ""
    strict: bool | None = None
    """As the schema says itself, in OpenAI's shapes."""
    is_wrapped: bool = False

    @property
    def is_object(self) -> bool:
        """Whether the schema says at its root that every instance is an object."""
        implied = "object" if "properties" in self.json_schema else None
        return bool(self.json_schema.get("type", implied) == "object")

    def as_object(self) -> Described:
        """Return the same, or, where it is no object, the schema of an object that holds it as its one property."""
        if self.is_object:
            return self
        shared = {key: self.json_schema[key] for key in ("$schema", "$defs", "definitions") if key in self.json_schema}
        inner = _moved({key: value for key, value in self.json_schema.items() if key not in shared})
        wrapped = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], **shared}
        return replace(self, json_schema=wrapped, is_wrapped=True)

    @property
    def function(self) -> dict[str, Any]:
        """Name, description and parameters, as a tool has them."""
        about = {"description": self.description} if self.description else {}
        schema = self.as_object().json_schema
        parameters = {key: value for key, value in schema.items() if key not in ("title", "description")}
        return {"name": self.name, **about, "parameters": parameters}

    def whole(self, decoded: Any) -> Any:
        """Return what an answer means. Raises ``ValueError``: it is not of this schema."""
        if not self.is_wrapped:
            return self.read(decoded)
        if not isinstance(decoded, Mapping) or WRAPPED not in decoded:
            raise ValueError(f"it has no field {WRAPPED!r}")
        return self.read(decoded[WRAPPED])

    def part(self, decoded: Any) -> Any:
        """Return what the beginning of an answer means so far; ``None`` or ``ValueError`` when nothing yet."""
        if self.makes_instances:
            return self.whole(decoded)
        return decoded.get(WRAPPED) if self.is_wrapped and isinstance(decoded, Mapping) else decoded


def _moved(schema: Any) -> Any:
    """Return a schema that is a property now: its references to its own root follow it."""
    if isinstance(schema, Mapping):
        return {key: _moved_to(value) if key == "$ref" else _moved(value) for key, value in schema.items()}
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


def _moved_to(ref: Any) -> Any:
    own = ref == "#" or (str(ref).startswith("#/") and not str(ref).startswith(("#/$defs/", "#/definitions/")))
    return f"#/properties/{WRAPPED}{ref[1:]}" if own else ref


def describe(schema: Schema) -> Described:
    """Return a schema as JSON Schema.

    Raises:
        ConfigurationError: it is no schema, or one that any answer fits.
    """
    if isinstance(schema, Mapping):
        return _of_mapping(schema)
    if isinstance(schema, BaseTool) or inspect.isroutine(schema):
        return _of_mapping(to_tool(schema))
    with _said_of(schema):
        if isinstance(schema, type) and is_basemodel_subclass(schema) and not hasattr(schema, "model_json_schema"):
            old: Any = schema  # pydantic 1
            return _described(old.schema(), name=old.__name__, read=old.parse_obj, makes_instances=True)
        adapter: TypeAdapter[Any] = TypeAdapter(with_twins(schema))
        found = _rooted(adapter.json_schema(schema_generator=_WithoutFieldTitles))
    if _is_typed_dict(schema):  # the JSON itself comes back, as LangChain has it
        return _described(found, name=_name_of(schema), read=partial(_checked, adapter))
    return _described(found, name=_name_of(schema), read=partial(_made, adapter), makes_instances=True)


def _checked(adapter: TypeAdapter[Any], value: Any) -> Any:
    adapter.validate_json(json.dumps(value), strict=True)
    return value


def _made(adapter: TypeAdapter[Any], value: Any) -> Any:
    return adapter.validate_json(json.dumps(value))


def _described(schema: Mapping[str, Any], *, name: str, read: Callable[[Any], Any], **told: Any) -> Described:
    if _ANNOTATIONS.issuperset(schema):
        raise ConfigurationError(f"There is no schema in {_short(schema)}: any answer would fit.", hint=_FORMS)
    told["description"] = told.get("description") or str(schema.get("description") or "")
    return Described(_NOT_IN_A_NAME.sub("_", name).strip("_")[:_MAX_NAME] or "Answer", schema, read, **told)


def _is_typed_dict(schema: Any) -> bool:
    return typing_extensions.is_typeddict(get_origin(schema) or schema)


def _name_of(schema: Any) -> str:
    named = isinstance(schema, type) and not get_args(schema)
    return str(schema.__name__) if named else re.sub(r"[\w.<>]*\.", "", str(schema))  # without the modules


class _WithoutFieldTitles(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names: they say nothing more, and cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose root is no bare reference, as that of a class which holds itself is."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    return {**schema["$defs"][name], "$defs": schema["$defs"]} if name in schema.get("$defs", ()) else schema


# Dicts


def _of_mapping(given: Mapping[str, Any]) -> Described:
    wrappers = ("json_schema", "function", "toolSpec")  # of response formats, of tools, and of Bedrock's tools
    about = next((given[key] for key in wrappers if isinstance(given.get(key), Mapping)), given)
    schema = _schema_in(about) if about is not given or "name" in given else None
    if (
        schema is None
        and about is given
        and given.get("type") not in ("json_schema", "json_object", "function", "text")
    ):
        schema, about = given, {}
    schema = {} if schema is None else schema
    _check(schema)
    return _described(
        schema,
        name=str(about.get("name") or schema.get("title") or schema.get("name") or "Answer"),
        read=partial(_held_to, schema),
        description=str(about.get("description") or ""),
        strict=about.get("strict"),
    )


def _schema_in(about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema that one of the wrapping shapes holds: OpenAI's two, Anthropic's, Bedrock's and MCP's."""
    for key in ("schema", "parameters", "input_schema", "inputSchema"):
        schema = about.get(key)
        if isinstance(schema, Mapping):
            return schema["json"] if key == "inputSchema" and isinstance(schema.get("json"), Mapping) else schema
    return None


def _check(schema: Mapping[str, Any]) -> None:
    """Raise unless this is a schema, and stands for itself."""
    try:
        json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigurationError(f"The schema is no JSON: {e}.", hint=_FORMS) from e
    missing = next((ref for ref in _references(schema) if not _holds(schema, ref)), None)
    if missing is not None:
        hint = "Put it under $defs; nobody fetches it from elsewhere."
        raise ConfigurationError(f"The schema refers to {missing!r}, which is not in it.", hint=hint)
    jsonschema = _jsonschema()
    if jsonschema is None:
        return
    try:
        jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as e:
        where = "/".join(map(str, e.absolute_path))
        raise ConfigurationError(f"The schema is none{where and f', at {where}'}: {e.message}.", hint=_FORMS) from None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    for item in schema if isinstance(schema, list) else ():
        yield from _references(item)


def _holds(schema: Any, ref: str) -> bool:
    """Whether a reference can be followed; those to an ``$anchor`` are left to the validator."""
    root, *steps = ref.split("/")
    try:
        for step in steps:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            schema = schema[int(name) if isinstance(schema, list) else name]
    except (LookupError, TypeError, ValueError):
        return False
    return root.startswith("#")


def _held_to(schema: Mapping[str, Any], value: Any) -> Any:
    """Return the value if it fits: wholly where jsonschema is installed, else its type and its required fields."""
    jsonschema = _jsonschema()
    if jsonschema is None:
        if not fits(value, schema):
            raise ValueError("its outermost type, or a required field, is not as the schema says")
        return value
    from referencing import Registry  # noqa: PLC0415 (jsonschema brings it)

    # A registry of its own keeps jsonschema from fetching references over the network.
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    problem = jsonschema.exceptions.best_match(validator(schema, registry=Registry()).iter_errors(value))
    if problem is not None:
        where = "/".join(map(str, problem.absolute_path))
        raise ValueError(f"{where}: {problem.message}" if where else problem.message)
    return value


def _jsonschema() -> Any:
    """Return the package, where it is installed."""
    try:
        import jsonschema  # noqa: PLC0415 (optional)
    except ImportError:
        return None
    return jsonschema


# Tools


def to_tool(tool: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a tool's definition as the wire has it.

    Args:
        tool: a function, pydantic class, TypedDict, dataclass, LangChain tool, JSON schema with a title, or a
            definition in OpenAI's, Anthropic's, Bedrock's or MCP's shape.
        strict: whether the server holds arguments to their schema, where the tool does not say so itself.

    Raises:
        ConfigurationError: it is no tool, or of a kind that only its own provider's servers run.
    """
    with _said_of(tool):
        function = _function_in(tool) if isinstance(tool, Mapping) else _function_of(tool)
    return {"type": "function", "function": function if strict is None else {"strict": strict, **function}}


def _function_of(tool: Any) -> dict[str, Any]:
    if isinstance(tool, BaseTool):
        if isinstance(tool, Tool) and not tool.args_schema:  # which takes one text
            return _function_in(convert_to_openai_tool(tool))
        schema = tool.tool_call_schema or {"type": "object", "properties": {}}
        about = {"description": tool.description} if tool.description else {}
        return {**_arguments(schema), "name": tool.name, **about}
    if isinstance(tool, type) or _is_typed_dict(tool):
        return _arguments(tool)
    name = tool.__name__
    model = create_schema_from_function(
        name, _readable(tool), filter_args=(), parse_docstring=True, include_injected=False
    )
    return {**_arguments(model), "name": name}


def _readable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose TypedDicts pydantic reads, to be looked at and never called."""
    hints = typing_extensions.get_type_hints(function, include_extras=True)
    twins = {name: with_twins(hint) for name, hint in hints.items()}
    if twins == hints:
        return function
    shown = wraps(function)(partial(function))
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=twins.get(name, p.annotation)) for name, p in signature.parameters.items()]
    vars(shown).update(__annotations__=twins, __signature__=signature.replace(parameters=parameters))
    return shown


def _arguments(schema: Schema) -> dict[str, Any]:
    described = describe(schema)
    if not described.is_object:
        raise ConfigurationError(f"{_short(schema)} is no object, and a tool takes arguments by name.")
    return described.function


def _function_in(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") == "function" and isinstance(given.get("function"), Mapping):
        return dict(given["function"])
    about = given.get("toolSpec", given)
    if given.get("type") not in (None, "function", "custom", "object"):
        raise ConfigurationError(
            f"A tool of type {given['type']!r} cannot be sent: it runs on another provider's servers.",
            hint="Give a function, a pydantic class, a LangChain tool, or a definition of type 'function'.",
        )
    if "name" not in about:
        if "title" not in given:
            raise ConfigurationError("A JSON schema needs a title to be a tool.", hint="It becomes the tool's name.")
        return _arguments(given)
    parameters, told = _schema_in(about), ("name", "description", "strict")
    return {
        **{key: about[key] for key in told if about.get(key) is not None},
        **({} if parameters is None else {"parameters": dict(parameters)}),
    }


@contextmanager
def _said_of(given: Any) -> Iterator[None]:
    """Raise what pydantic and langchain-core say of a type as an error of ours."""
    try:
        yield
    except ConfigurationError:
        raise
    except (PydanticUserError, TypeError, ValueError, NameError, AttributeError, KeyError, RecursionError) as e:
        why = str(e).strip().partition("\n")[0].rstrip(".")
        raise ConfigurationError(f"{_short(given)} cannot be written as a JSON schema: {why}.") from e


def _short(given: Any) -> str:
    return str(getattr(given, "__name__", None) or repr(given))[:100]
