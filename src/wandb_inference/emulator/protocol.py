"""Read a request the way the service does, and refuse what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from wandb_inference.catalog import Catalog, ModelCard
from wandb_inference.emulator.refusal import bad_request, invalid, refused

MAX_LOGPROBS = 20
MAX_STOPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was understood and accepted."""

    card: ModelCard
    messages: Sequence[Mapping[str, Any]]
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    """The function definitions, unwrapped."""
    tool_choice: str = "none"
    """``none``, ``auto``, ``required`` or ``name:<tool>``."""
    parallel: bool = True
    response_format: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] | bool = True
    top_logprobs: int | None = None
    """``None``: no log probabilities asked for."""
    thinking: bool = False
    include_reasoning: bool = True
    effort: str | None = None
    cache_salt: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read(content: bytes, catalog: Catalog) -> Call:
    """Return the call in this body.

    Raises:
        RefusedError: the service would not take it.
    """
    try:
        body = json.loads(content)
    except ValueError as e:
        position = getattr(e, "pos", 0)
        raise invalid("json_invalid", f"body.{position}", "JSON decode error", "{}") from e
    if not isinstance(body, dict):
        raise invalid("model_attributes_type", "body", "Input should be a valid dictionary", type(body).__name__)
    for name in ("model", "messages"):
        if name not in body:
            raise invalid("missing", f"body.{name}", "Field required", f"<dict of {len(body)} items>")
    card = catalog.get(body["model"]) if isinstance(body["model"], str) else None
    if card is None or card.id != body["model"] or not card.servable:
        raise refused(404)
    messages = _messages(body, card)
    stream = _typed(body, "stream", bool) or False
    options = _typed(body, "stream_options", dict)
    if options is not None and not stream:
        raise bad_request(
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)", "stream_options"
        )
    tools, choice = _tools(body)
    kind, schema = _response_format(body)
    thinking, effort = _thinking(body, card)
    return Call(
        card=card,
        messages=messages,
        stream=stream,
        include_usage=bool((options or {}).get("include_usage")),
        continuous_usage=bool((options or {}).get("continuous_usage_stats")),
        max_tokens=_max_tokens(body, card),
        n=_ranged(body, "n", int, 1) or 1,
        stop=_stop(body),
        seed=_typed(body, "seed", int),
        tools=tools,
        tool_choice=choice,
        parallel=_typed(body, "parallel_tool_calls", bool) is not False,
        response_format=kind,
        schema=schema,
        top_logprobs=_logprobs(body),
        thinking=thinking,
        include_reasoning=_typed(body, "include_reasoning", bool) is not False,
        effort=effort,
        cache_salt=str(body.get("cache_salt") or ""),
        raw=_sampled(body),
    )


def check_window(call: Call, prompt_tokens: int) -> None:
    """Refuse a call that does not fit the model's context window.

    Raises:
        RefusedError: in the words of vLLM.
    """
    window = call.card.context_window
    if window is None:
        return
    asked = call.max_tokens or 0
    text = f"This model's maximum context length is {window} tokens. However, "
    if prompt_tokens >= window:
        raise bad_request(
            f"{text}your prompt contains at least {prompt_tokens} input tokens, which exceeds this limit even without "
            f"any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, "
            f"value={prompt_tokens})",
            "input_tokens",
        )
    if prompt_tokens + asked > window:
        raise bad_request(
            f"{text}you requested {asked} output tokens and your prompt contains at least {prompt_tokens} input "
            f"tokens, for a total of at least {asked + prompt_tokens} tokens. Please reduce the length of the input "
            f"prompt or the number of requested output tokens. (parameter=input_tokens, value={prompt_tokens})",
            "input_tokens",
        )


def _typed(body: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = body.get(name)
    right = isinstance(value, kind) and not (kind is not bool and isinstance(value, bool))
    if value is None or right:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    words = {int: "integer", float: "number", bool: "boolean", dict: "dictionary", list: "list", str: "string"}[kind]
    raise invalid(f"{words}_type", f"body.{name}", f"Input should be a valid {words}", value)


def _ranged(body: Mapping[str, Any], name: str, kind: type[Any], low: float) -> Any:
    value = _typed(body, name, kind)
    if value is not None and value < low:
        raise bad_request(f"{name} must be at least {low}, got {value}. (parameter={name}, value={value})", name)
    return value


def _sampled(body: Mapping[str, Any]) -> Mapping[str, Any]:
    temperature = _typed(body, "temperature", float)
    if temperature is not None and temperature < 0:
        raise bad_request(
            f"temperature must be non-negative, got {temperature}. (parameter=temperature, value={temperature})",
            "temperature",
        )
    top_p = _typed(body, "top_p", float)
    if top_p is not None and not 0 < top_p <= 1:
        raise bad_request(f"top_p must be in (0, 1], got {top_p}. (parameter=top_p, value={top_p})", "top_p")
    for name in ("frequency_penalty", "presence_penalty"):
        value = _typed(body, name, float)
        if value is not None and not -2 <= value <= 2:  # noqa: PLR2004 (the documented range)
            raise bad_request(f"{name} must be in [-2, 2], got {value}.", name)
    return body


def _messages(body: Mapping[str, Any], card: ModelCard) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = _typed(body, "messages", list)
    if not messages:
        raise bad_request("Cannot apply chat template to an empty conversation. Provide at least one message.")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise invalid("missing", f"body.messages.{i}.role", "Field required", str(message)[:80])
        content = message.get("content")
        if not isinstance(content, str | list | None):
            raise invalid(
                "string_type", f"body.messages.{i}.content", "Input should be a valid string", str(content)[:80]
            )
        for j, part in enumerate(content if isinstance(content, list) else ()):
            loc = f"body.messages.{i}.content.{j}"
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise invalid("model_attributes_type", loc, "Input should be a valid content part", str(part)[:80])
            _part(part, loc, card)
    _pairs(messages)
    return messages


_MEDIA = {"image_url": "image", "input_audio": "audio", "audio_url": "audio", "video_url": "video", "file": "file"}


def _part(part: Mapping[str, Any], loc: str, card: ModelCard) -> None:
    kind = part["type"]
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise invalid("missing", f"{loc}.text", "Field required", str(part)[:80])
    elif kind in _MEDIA:
        if _MEDIA[kind] not in card.input:
            raise bad_request(
                f"{card.id} is not a multimodal model" if card.input == ("text",) else f"{kind} not supported"
            )
        url = part.get(kind, {}).get("url") if kind == "image_url" and isinstance(part.get(kind), dict) else None
        if kind == "image_url" and not (
            isinstance(url, str) and url.startswith(("data:image/", "http://", "https://"))
        ):
            raise bad_request("Invalid image_url: it must be a data URL or an http(s) URL.", "messages")
    else:
        raise bad_request(f"Unknown part type: {kind}", "messages")


def _pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse tool results that answer no call: vLLM's chat templates fail on them, one way or another."""
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
                raise invalid(
                    "model_type", f"body.messages.{i}.tool_calls", "Input should be a valid tool call", str(call)
                )
            open_calls.add(str(call.get("id")))
        if message["role"] == "tool" and str(message.get("tool_call_id")) not in open_calls:
            raise bad_request(
                f"messages[{i}]: tool_call_id {message.get('tool_call_id')!r} answers no tool call.", "messages"
            )


def _max_tokens(body: Mapping[str, Any], card: ModelCard) -> int | None:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    value: int | None = _ranged(body, name, int, 1)
    window = card.context_window
    if value is not None and window is not None and value > window:
        raise bad_request(
            f"{name}={value} cannot be greater than max_model_len={window}. Please request fewer output tokens. "
            f"(parameter={name}, value={value})",
            name,
        )
    return value


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None or isinstance(stop, str):
        return (stop,) if stop else ()
    if not isinstance(stop, list) or not all(isinstance(s, str) for s in stop):
        raise invalid("string_type", "body.stop", "Input should be a valid string", str(stop)[:80])
    if len(stop) > MAX_STOPS:
        raise invalid(
            "too_long",
            "body.stop",
            f"List should have at most {MAX_STOPS} items after validation, not {len(stop)}",
            stop,
        )
    return tuple(stop)


def _logprobs(body: Mapping[str, Any]) -> int | None:
    asked, top = _typed(body, "logprobs", bool), _typed(body, "top_logprobs", int)
    if top and not asked:
        raise bad_request(
            "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)", "top_logprobs"
        )
    if top is not None and not 0 <= top <= MAX_LOGPROBS:
        raise bad_request(
            f"Requested sample logprobs of {top}, which is greater than max allowed: {MAX_LOGPROBS} "
            f"(parameter=logprobs, value={top})",
            "logprobs",
        )
    return (top or 0) if asked else None


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], str]:
    tools, choice = _typed(body, "tools", list), body.get("tool_choice")
    if tools == []:
        raise bad_request(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. "
            "(parameter=tools)",
            "tools",
        )
    if not tools:
        if choice not in (None, "none"):
            raise bad_request("When using `tool_choice`, `tools` must be set. (parameter=tool_choice)", "tool_choice")
        return (), "none"
    functions = []
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise invalid("missing", f"body.tools.{i}.function.name", "Field required", str(tool)[:80])
        functions.append(function)
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        if name not in {f["name"] for f in functions}:
            raise bad_request(
                "The tool specified in `tool_choice` does not match any of the specified `tools` "
                "(parameter=tool_choice)",
                "tool_choice",
            )
        return tuple(functions), f"name:{name}"
    if choice not in (None, "none", "auto", "required"):
        raise bad_request(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported. '
            "(parameter=tool_choice)",
            "tool_choice",
        )
    return tuple(functions), choice or "auto"


def _response_format(body: Mapping[str, Any]) -> tuple[Literal["text", "json_object", "json_schema"], Any]:
    given = _typed(body, "response_format", dict) or {"type": "text"}
    kind = given.get("type")
    if kind == "json_schema":
        wrapper = given.get("json_schema")
        if not isinstance(wrapper, dict):
            raise bad_request(
                "When response_format type is 'json_schema', the 'json_schema' field must be provided. "
                "(parameter=response_format)",
                "response_format",
            )
        return "json_schema", wrapper.get("schema", True)
    if kind in ("text", "json_object"):
        return kind, True
    raise invalid(
        "literal_error",
        "body.response_format.type",
        "Input should be 'text', 'json_object' or 'json_schema'",
        kind,
    )


def _thinking(body: Mapping[str, Any], card: ModelCard) -> tuple[bool, str | None]:
    known, effort = card.reasoning, _typed(body, "reasoning_effort", str)
    if known.mode != "switchable":
        return known.mode == "always", effort
    kwargs = _typed(body, "chat_template_kwargs", dict) or {}
    said = [kwargs[key] for key in known.switch if key in kwargs]
    on = bool(said[0]) if said else known.on_by_default
    return on and effort != "none", effort
