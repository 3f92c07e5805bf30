"""Schemas and tools, whatever users write them in, as JSON Schema: what they say is sent, and answers are held to it.

A dict goes as it is. A class goes as pydantic describes it, with its ``$defs``, so that it may hold itself.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial, wraps
from typing import Annotated, Any, TypeAlias, get_args, get_origin
from urllib.parse import unquote

import typing_extensions
from langchain_core.tools import BaseTool, Tool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from wandb_inference.errors import ConfigurationError
from wandb_inference.langchain.messages import wire_name
from wandb_inference.langchain.typed_dicts import with_twins
from wandb_inference.routing.outcome import fits

Schema: TypeAlias = Any
"""A dict (JSON Schema, or one of the shapes that OpenAI, Anthropic, Bedrock and MCP wrap it in), a pydantic class,
TypedDict, dataclass, ``Enum``, or any other type that pydantic knows, such as ``list[Movie]`` and ``Movie | Book``."""

WRAPPED = "answer"
"""The one property of the object that stands for a value where only an object will do."""

_LAZY = (Iterable, Iterator, Generator)
_ANNOTATIONS = {"title", "name", "description", "default", "examples", "strict", "$schema", "$id", "$comment"}
_ANNOTATIONS |= {"$defs", "definitions"}
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
    source: Any = field(default=None, repr=False)
    """What it was written as."""

    def __reduce__(self) -> tuple[Any, ...]:
        # What pydantic makes of a class cannot be pickled; the class can.
        return _again, (self.source, self.name, self.is_wrapped)

    @property
    def is_object(self) -> bool:
        """Whether the schema says at its root that every instance is an object."""
        implied = "object" if "properties" in self.json_schema else None
        return bool(self.json_schema.get("type", implied) == "object")

    def as_object(self) -> Described:
        """Return the same, or, where it is no object, the schema of an object that holds it as its one property."""
        rooted = replace(self, json_schema=_rooted(self.json_schema))
        if rooted.is_object:
            return rooted
        at_the_root = ("$schema", "$id", "$defs", "definitions")
        moved: dict[str, Any] = _moved(self.json_schema)
        shared = {key: moved.pop(key) for key in at_the_root if key in moved}
        wrapped = {"type": "object", "properties": {WRAPPED: moved}, "required": [WRAPPED], **shared}
        return replace(self, json_schema=wrapped, is_wrapped=True)

    @property
    def function(self) -> dict[str, Any]:
        """Name, description, parameters, and whether they are strict, as a tool has them."""
        about = {"description": self.description} if self.description else {}
        held = {} if self.strict is None else {"strict": self.strict}
        schema = self.json_schema if self.is_wrapped else self.as_object().json_schema
        parameters = {key: value for key, value in schema.items() if key not in ("title", "description")}
        return {"name": self.name, **about, "parameters": parameters, **held}

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


def _again(source: Any, name: str, is_wrapped: bool) -> Described:
    described = replace(describe(source), name=name)
    return described.as_object() if is_wrapped else described


def describe(schema: Schema) -> Described:
    """Return a schema as JSON Schema.

    Raises:
        ConfigurationError: it is no schema, or one that any answer fits.
    """
    return replace(_describe(schema), source=schema)


def _describe(schema: Schema) -> Described:
    origin: Any = get_origin(schema)
    if origin in _LAZY:  # of which pydantic reads nothing before somebody asks
        schema = list[get_args(schema)[0]]  # type: ignore[misc]  # at run time
    if isinstance(schema, Mapping):
        return _of_mapping(schema)
    if isinstance(schema, BaseTool) or inspect.isroutine(schema):
        return _of_mapping(to_tool(schema))
    with _said_of(schema):
        if isinstance(schema, type) and is_basemodel_subclass(schema) and not hasattr(schema, "model_json_schema"):
            old: Any = schema  # pydantic 1
            return _described(old.schema(), name=old.__name__, read=old.parse_obj, makes_instances=True)
        adapter: TypeAdapter[Any] = TypeAdapter(with_twins(schema))
        found = dict(_rooted(adapter.json_schema(schema_generator=_WithoutFieldTitles)))
    if is_dataclass(schema) and not str(schema.__doc__).startswith(f"{_name_of(schema)}("):  # as Python makes it
        found = {"description": inspect.getdoc(schema), **found}  # which pydantic says from 2.11 on
    if _is_typed_dict(schema):  # the JSON itself comes back, as LangChain has it
        return _described(found, name=_name_of(schema), read=partial(_checked, adapter, found))
    return _described(found, name=_name_of(schema), read=partial(_made, adapter), makes_instances=True)


def _checked(adapter: TypeAdapter[Any], schema: Mapping[str, Any], value: Any) -> Any:
    known = _jsonschema() is not None
    adapter.validate_json(json.dumps(value), strict=not known)  # what JSON is, pydantic sees less exactly
    return _held_to(schema, value) if known else value


def _made(adapter: TypeAdapter[Any], value: Any) -> Any:
    return adapter.validate_json(json.dumps(value))


def _described(schema: Mapping[str, Any], *, name: str, read: Callable[[Any], Any], **told: Any) -> Described:
    if _ANNOTATIONS.issuperset(schema):
        raise ConfigurationError(f"There is no schema in {_short(schema)}: any answer would fit.", hint=_FORMS)
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigurationError(f"The schema {name} is no JSON: {e}.", hint=_FORMS) from e
    told["description"] = told.get("description") or str(_rooted(schema).get("description") or "")
    return Described(wire_name(name) or "Answer", schema, read, **told)


def _is_typed_dict(schema: Any) -> bool:
    return typing_extensions.is_typeddict(get_origin(schema) or schema)


def _name_of(schema: Any) -> str:
    if get_origin(schema) is Annotated:
        return _name_of(get_args(schema)[0])
    named = isinstance(schema, type) and not get_args(schema)
    return str(schema.__name__) if named else re.sub(r"[\w.<>]*\.", "", str(schema))  # without the modules


class _WithoutFieldTitles(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names: they say nothing more, and cost tokens."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False


def _rooted(schema: Mapping[str, Any], seen: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return a schema whose root is no reference into its definitions, as that of a class which holds itself is."""
    ref = str(schema.get("$ref", ""))
    shared, name = (*ref.split("/")[1:], "", "")[:2]
    definitions = schema.get(shared) if shared in ("$defs", "definitions") and ref not in seen else None
    if not isinstance(definitions, Mapping) or not isinstance(definitions.get(name), Mapping):
        return schema
    root = {**definitions[name], **{key: value for key, value in schema.items() if key not in ("$ref", shared)}}
    if json.dumps(ref) not in json.dumps([root, definitions], default=str):  # nobody else needs it
        definitions = {key: value for key, value in definitions.items() if key != name}
    return _rooted({**root, shared: definitions} if definitions else root, (*seen, ref))


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
    try:
        schema = json.loads(json.dumps(schema or {}))  # a copy, whose tuples are lists
    except (TypeError, ValueError, RecursionError) as e:
        raise ConfigurationError(f"The schema is no JSON: {e}.", hint=_FORMS) from e
    try:
        _check(schema)
    except RecursionError as e:
        raise ConfigurationError("The schema is nested too deep.", hint="Name its parts under $defs.") from e
    return _described(
        schema,
        name=str(about.get("name") or _rooted(schema).get("title") or schema.get("name") or "Answer"),
        read=partial(_held_to, schema),
        description=str(about.get("description") or ""),
        strict=held if isinstance(held := about.get("strict"), bool) else None,
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
    missing = next((ref for ref in _references(schema) if not _holds(schema, ref)), None)
    if missing is not None:
        hint = "Put it under $defs; nobody fetches it from elsewhere."
        raise ConfigurationError(f"The schema refers to {missing!r}, which is not in it.", hint=hint)
    jsonschema = _jsonschema()
    if jsonschema is None:
        return
    try:
        # Without formats: patterns are those of JavaScript, of which Python reads most.
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema, format_checker=None)
    except jsonschema.SchemaError as e:
        where = "/".join(map(str, e.absolute_path))
        raise ConfigurationError(f"The schema is none{where and f', at {where}'}: {e.message}.", hint=_FORMS) from None


_INSTANCES = {"default", "const", "enum", "examples"}  # what these hold is no schema
_BY_NAME = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}  # schemas, under any names


def _references(schema: Any, *, by_name: bool = False) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    for key, value in schema.items() if isinstance(schema, Mapping) else ():
        if key == "$ref" and isinstance(value, str):
            yield value
        elif by_name or key not in _INSTANCES:
            yield from _references(value, by_name=not by_name and key in _BY_NAME)


def _named(schema: Any) -> Iterator[str]:
    """Return the names under which parts of a schema may be referred to."""
    if isinstance(schema, Mapping):
        yield from (f"#{schema[key]}" for key in ("$anchor", "$dynamicAnchor") if isinstance(schema.get(key), str))
        if isinstance(schema.get("$id"), str):
            yield schema["$id"]
        schema = list(schema.values())
    for item in schema if isinstance(schema, list) else ():
        yield from _named(item)


def _holds(schema: Any, ref: str) -> bool:
    """Whether a reference can be followed; what lies in a part with an ``$id`` of its own is left to the validator."""
    names = set(_named(schema))
    if ref in names or ref.partition("#")[0] in names:
        return True
    return ref.startswith("#") and (_at(schema, ref) is not None or any(not name.startswith("#") for name in names))


def _at(schema: Any, ref: str) -> Any:
    """Return what a reference into the schema itself leads to; ``None`` when there is nothing."""
    root, *steps = ref.split("/")
    try:
        for step in steps:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            schema = schema[int(name) if isinstance(schema, list) else name]
    except (LookupError, TypeError, ValueError):
        return None
    return schema if root == "#" else None


def _held_to(schema: Mapping[str, Any], value: Any) -> Any:
    """Return the value if it fits: wholly where jsonschema is installed, else its type and its required fields."""
    jsonschema = _jsonschema()
    if jsonschema is None:
        if not fits(value, schema):
            raise ValueError("its outermost type, or a required field, is not as the schema says")
        return value
    from referencing import Registry  # noqa: PLC0415 (jsonschema brings it)
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 (as above)

    # A registry of its own keeps jsonschema from fetching references over the network.
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        problem = jsonschema.exceptions.best_match(validator(schema, registry=Registry()).iter_errors(value))
    except re.error as e:
        if not fits(value, schema):
            raise ValueError(f"its pattern cannot be read here ({e}), and its outermost type is another") from e
        return value
    except (OverflowError, Unresolvable) as e:
        raise ValueError(f"it cannot be held to the schema: {e}") from e
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
        schema = tool.tool_call_schema
        if isinstance(schema, Mapping) and _ANNOTATIONS.issuperset(schema):
            schema = {"type": "object", "properties": {}}  # it takes none
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
    if not _is_object(described.json_schema, described.json_schema):
        raise ConfigurationError(f"{_short(schema)} is no object, and a tool takes arguments by name.")
    # A union of objects stays as it is: this tool is the user's own, who reads its arguments.
    return replace(described, json_schema=_rooted(described.json_schema), is_wrapped=True).function


def _is_object(schema: Any, root: Mapping[str, Any], seen: tuple[str, ...] = ()) -> bool:
    """Whether every instance of a schema is an object, wherever it says so."""
    if not isinstance(schema, Mapping):
        return False
    if "type" in schema or "properties" in schema:
        return bool(schema.get("type", "object") == "object")
    ref = str(schema.get("$ref", ""))
    if ref.startswith("#/") and ref not in seen:
        return _is_object(_at(root, ref), root, (*seen, ref))
    either = schema.get("anyOf") or schema.get("oneOf") or ()
    inner = partial(_is_object, root=root, seen=seen)
    return any(map(inner, schema.get("allOf") or ())) or (bool(either) and all(map(inner, either)))


def _function_in(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") == "function" and isinstance(given.get("function"), Mapping):
        if not given["function"].get("name"):
            raise ConfigurationError(f"The tool {_short(given)} has no name.", hint="The model calls it by its name.")
        return dict(given["function"])
    about = given.get("toolSpec", given)
    if given.get("type") not in (None, "function", "object"):
        raise ConfigurationError(
            f"A tool of type {given['type']!r} cannot be sent: it runs on another provider's servers.",
            hint="Give a function, a pydantic class, a LangChain tool, or a definition of type 'function'.",
        )
    if "name" not in about:
        if "title" not in given:
            raise ConfigurationError("A JSON schema needs a title to be a tool.", hint="It becomes the tool's name.")
        return _arguments(given)
    told = {key: about[key] for key in ("name", "description", "strict") if about.get(key) is not None}
    parameters = _schema_in(about)
    if parameters is None and (given := about.get("parameters")) is not None:
        parameters = _arguments(given)["parameters"]  # a class, say
    elif parameters is None and not {*told, "type"}.issuperset(about):
        parameters = {key: value for key, value in about.items() if key not in told}
        if not _is_object(parameters, parameters):
            raise ConfigurationError(f"The tool {told['name']} has no parameters among {sorted(parameters)}.")
    return {**told, **({} if parameters is None else {"parameters": dict(parameters)})}


@contextmanager
def _said_of(given: Any) -> Iterator[None]:
    """Raise what pydantic and langchain-core say of a type as an error of ours."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as e:  # of pydantic, langchain-core, and whatever a user's class runs when it is described
        why = str(e).strip().partition("\n")[0].rstrip(".")
        raise ConfigurationError(f"{_short(given)} cannot be written as a JSON schema: {why}.") from e


def _short(given: Any) -> str:
    return str(getattr(given, "__name__", None) or repr(given))[:100]
