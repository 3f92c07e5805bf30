"""The names of LangChain's parameters, and what they are on the wire; names that do not exist are refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from wandb_inference.chat import ChatOptions
from wandb_inference.errors import ConfigurationError

OPTIONS = frozenset(field.name for field in fields(ChatOptions))

TERMS = frozenset({"policy", "budget", "max_cost"})
"""Which model a call may go to, and what it may cost."""

CALL_OPTIONS = OPTIONS - {"include_usage"} | {"model", "stream_usage"} | TERMS
"""What a single call may name."""

HOSTS_OWN = frozenset({"stream", "ls_structured_output_format", "structured_output_format"})
"""What LangChain obeys itself, and hands on all the same."""

_OTHER_SPELLINGS = {
    "model_name": "model",
    "wandb_api_key": "api_key",
    "request_timeout": "timeout",
    "stop_sequences": "stop",
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "include_usage": "stream_usage",
}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters under our names for them, whatever else they are."""
    return {_OTHER_SPELLINGS.get(name, name): value for name, value in values.items()}


def canonical(values: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the parameters under our names for them.

    Raises:
        ConfigurationError: one of them does not exist; the closest name is suggested.
    """
    known = set(known)
    ours = renamed(values)
    unknown = sorted(set(ours) - known)
    if unknown:
        alike = difflib.get_close_matches(unknown[0], known, n=1)
        raise ConfigurationError(
            f"There is no parameter {unknown[0]!r}.",
            hint=(f"Did you mean {alike[0]!r}? " if alike else "")
            + "Further fields of the request body go into extra_body={…}.",
        )
    return ours


def typed(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the options of a call as the model's fields of these names would hold them.

    Raises:
        ConfigurationError: a value is of the wrong type.
    """
    return {name: _typed(name, value, fields) for name, value in values.items()}


def _typed(name: str, value: Any, fields: Mapping[str, FieldInfo]) -> Any:
    if name == "stop" and isinstance(value, str):
        return [value]
    if name not in fields or value is None:
        return value
    try:
        annotation: Any = fields[name].annotation
        return _adapter(annotation).validate_python(value)
    except ValidationError as e:
        problem = e.errors(include_input=False, include_url=False)[0]["msg"]
        raise ConfigurationError(f"{name}={value!r} does not fit: {problem}.", hint="Nothing was sent.") from None


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))


def to_tool_choice(choice: str | bool | Mapping[str, Any] | None, names: list[str]) -> str | dict[str, Any] | None:
    """Return LangChain's ``tool_choice`` as the wire has it; ``None`` leaves it to the service.

    Raises:
        ConfigurationError: it names none of the tools.
    """
    if choice is None or choice is False:
        return None
    if choice is True or choice in ("any", "required"):
        return "required"
    if isinstance(choice, Mapping) and choice.get("type") in ("any", "auto", "none"):  # Anthropic's
        return to_tool_choice(choice["type"], names)
    if isinstance(choice, Mapping):
        name = (choice.get("function") or {}).get("name") or choice.get("name")
    elif choice in ("auto", "none"):
        return str(choice)
    else:
        name = choice
    if name not in names:
        raise ConfigurationError(f"tool_choice names {name!r}, which is none of the tools.", hint=f"They are: {names}.")
    return {"type": "function", "function": {"name": name}}
