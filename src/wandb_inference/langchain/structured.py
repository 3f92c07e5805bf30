"""Structured output: the schema as the request carries it, and what reads the answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.runnables import AddableDict, Runnable, RunnableGenerator
from langchain_core.utils.json import parse_json_markdown

from wandb_inference.chat import ToolCall
from wandb_inference.langchain.results import read_call
from wandb_inference.langchain.schemas import Described, Schema, describe
from wandb_inference.routing.outcome import JSON_TYPES

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]


def response_format(schema: Schema | Described, *, strict: bool | None = None) -> dict[str, Any]:
    """Return the request's ``response_format``.

    Raises:
        ConfigurationError: it is no schema.
    """
    described = schema if isinstance(schema, Described) else describe(schema)
    about = {"description": described.description} if described.description else {}
    # The service documents strict=True (docs.wandb.ai, JSON schema outputs); vLLM enforces the schema either way.
    held = (described.strict is not False) if strict is None else strict
    wrapped = {"name": described.name, **about, "schema": dict(described.json_schema), "strict": held}
    return {"type": "json_schema", "json_schema": wrapped}


def as_format(given: Any) -> dict[str, Any] | None:
    """Return what a call names as its ``response_format``: a format as it is, a schema of any kind as a format.

    Raises:
        ConfigurationError: it is neither.
    """
    kind = given.get("type") if isinstance(given, Mapping) else None
    if given is None or (isinstance(kind, str) and kind not in JSON_TYPES):
        return cast("dict[str, Any] | None", given)
    return response_format(given)


def instruction(described: Described) -> str:
    """Return what describes the schema to the model: JSON mode itself asks for any JSON."""
    schema = json.dumps(described.function["parameters"], ensure_ascii=False)
    return f"Answer with one JSON object and nothing else. It satisfies this JSON schema:\n{schema}"


def instructed(messages: list[BaseMessage], text: str) -> list[BaseMessage]:
    """Return the messages with the text at the end of their system turn."""
    first = messages[0] if messages else None
    if not isinstance(first, SystemMessage) and getattr(first, "role", None) not in ("system", "developer"):
        return [SystemMessage(text), *messages]
    system = cast("BaseMessage", first)
    content = system.content
    whole = f"{content}\n\n{text}" if isinstance(content, str) else [*content, {"type": "text", "text": f"\n\n{text}"}]
    return [system.model_copy(update={"content": whole}), *messages[1:]]


def with_instruction(model: BaseChatModel, text: str, prompt: LanguageModelInput) -> list[BaseMessage]:
    """Return a prompt with the text in its system turn."""
    return instructed(model._convert_input(prompt).to_messages(), text)  # noqa: SLF001 (langchain-core has no other)


def reader_of(
    described: Described | None, *, called: bool, include_raw: bool, others: Collection[str] = ()
) -> Runnable[Any, Any]:
    """Return what reads the answer: dicts for JSON schemas and TypedDicts, instances for every other type.

    With ``include_raw``, ``{"raw", "parsed", "parsing_error"}``, which never raises for what the model wrote. Of a
    stream, it hands out what can be read so far, and at the end the whole.

    Args:
        described: the schema; ``None`` for any JSON.
        called: whether the answer is a call of the tool that stands for the schema.
        include_raw: whether the message comes along.
        others: names of the tools beside the schema, of which one may be called instead.
    """
    reading = partial(_Reading, described, called=called, include_raw=include_raw, others=frozenset(others))
    return RunnableGenerator(partial(_read, reading), partial(_aread, reading))


def _read(reading: Callable[[], _Reading], messages: Iterator[AIMessage]) -> Iterator[Any]:
    one = reading()
    for message in messages:
        yield from one.feed(message)
    yield from one.close()


async def _aread(reading: Callable[[], _Reading], messages: AsyncIterator[AIMessage]) -> AsyncIterator[Any]:
    one = reading()
    async for message in messages:
        for part in one.feed(message):
            yield part
    for part in one.close():
        yield part


class _Parts(AddableDict):
    """What ``include_raw`` hands out: messages add up, and of what is read so far, the last counts."""

    def __add__(self, other: Mapping[str, Any]) -> _Parts:
        raw = {"raw": self["raw"] + other["raw"]} if "raw" in self and "raw" in other else {}
        return _Parts({**self, **other, **raw})

    def __radd__(self, other: Mapping[str, Any]) -> _Parts:
        return _Parts(other) + self


class _Reading:
    """Reads one answer. langchain-core's own parsers end a stream in silence when its answer does not fit."""

    def __init__(
        self, described: Described | None, *, called: bool, include_raw: bool, others: frozenset[str] = frozenset()
    ) -> None:
        self._described, self._include_raw, self._others = described, include_raw, others
        self._tool = described.name if described is not None and called else None
        self._answer: AIMessage | None = None
        self._shown: Any = None

    def feed(self, message: AIMessage) -> Iterator[Any]:
        answer: Any = message if self._answer is None else self._answer + message
        self._answer = answer
        if self._include_raw:
            yield _Parts(raw=message)
        if isinstance(message, AIMessageChunk) and message.chunk_position != "last":
            part = None
            with suppress(Exception):  # of validators of the user's own, too: it is not whole yet
                part = self._part(answer)
            # LangChain adds up what a stream hands out, where it can: parts of a list would stand there several times.
            if self._include_raw or not hasattr(part, "__add__"):
                yield from self._show(part)

    def close(self) -> Iterator[Any]:
        if self._answer is None:
            return
        if not self._include_raw:
            yield from self._show(self._whole(self._answer), always=self._shown is None)
            return
        try:
            yield from self._show(self._whole(self._answer), always=True)
            yield _Parts(parsing_error=None)
        except Exception as e:  # noqa: BLE001 (validators of the user's own raise what they like)
            yield _Parts(parsed=None, parsing_error=e)

    def _show(self, parsed: Any, *, always: bool = False) -> Iterator[Any]:
        if always or (parsed is not None and parsed != self._shown):
            self._shown = parsed
            yield _Parts(parsed=parsed) if self._include_raw else parsed

    def _part(self, answer: AIMessage) -> Any:
        if self._tool is None:
            decoded = parse_json_markdown(answer.text)
        else:
            decoded = next(call["args"] for call in answer.tool_calls if call["name"] == self._tool)
        return decoded if self._described is None else self._described.part(decoded)

    def _whole(self, answer: AIMessage) -> Any:
        _refuse_what_is_no_answer(answer)
        wanted = self._tool is None and bool(answer.text)
        own = [call["args"] for call in answer.tool_calls if call["name"] == self._tool]
        if not wanted and not own:
            if answer.invalid_tool_calls:
                raise _unreadable(answer)
            called = [call["name"] for call in answer.tool_calls]
            if called and self._others.issuperset(called):
                return None  # other tools were called instead
            if called:
                raise _parser_error(f"The model calls {called}, and none of the tools is called so.", answer)
            what = f"call of {self._tool}" if self._tool else "JSON"
            raise _parser_error(f"There is no {what} in the answer: {_instead(answer)}.", answer)
        try:
            decoded = own[0] if own else _decoded(answer.text)
            return decoded if self._described is None else self._described.whole(decoded)
        except (ValueError, RecursionError) as e:
            named = "JSON" if self._described is None else self._described.name
            raise _parser_error(f"The answer is not {named}: {e}", answer) from e


_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def _decoded(text: str) -> Any:
    """Return the JSON that a text is, or that stands in its one fence. Raises ``ValueError``, ``RecursionError``."""
    fences = _FENCED.findall(text)
    # Control characters inside strings are common in model output and harmless.
    return json.loads(
        fences[0] if len(fences) == 1 and not text.lstrip().startswith(("{", "[")) else text, strict=False
    )


def _instead(answer: AIMessage) -> str:
    """Say what came in place of what was asked for."""
    if answer.text:
        return f"the model wrote {answer.text[:200]!r}"
    reasoned = answer.additional_kwargs.get("reasoning_content") or any(
        isinstance(block, Mapping) and block.get("type") == "reasoning" for block in answer.content
    )
    return "nothing but reasoning came" if reasoned else "nothing came"


def _unreadable(answer: AIMessage) -> OutputParserException:
    call = answer.invalid_tool_calls[0]
    wrong = read_call(ToolCall("", "", call["args"] or "")).get("error") or call["error"]
    return _parser_error(f"The call of {call['name']} cannot be read: {wrong}. It says {call['args']!r}.", answer)


def _parser_error(message: str, answer: AIMessage) -> OutputParserException:
    return OutputParserException(message, llm_output=str(answer.content))


def _refuse_what_is_no_answer(message: AIMessage) -> None:
    """Say that an answer was cut or refused, instead of complaining about the JSON that it is not.

    Raises:
        OutputParserException: it ended at ``max_tokens``, or the model or a filter refused it.
    """
    refusal, reason = message.additional_kwargs.get("refusal"), message.response_metadata.get("finish_reason")
    if refusal:
        raise _parser_error(f"The model refuses: {refusal}", message)
    if reason == "content_filter":
        raise _parser_error("A content filter stopped the answer.", message)
    if reason != "length":
        return
    usage = message.usage_metadata
    spent = f" after {usage['output_tokens']} tokens" if usage else ""
    thought = usage.get("output_token_details", {}).get("reasoning") if usage else None
    raise _parser_error(
        f"The answer was cut{spent}{f', {thought} of them reasoning' if thought else ''}, so its JSON is incomplete: "
        "raise max_tokens, or ask for less.",
        message,
    )
