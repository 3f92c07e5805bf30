"""Structured output: the schema as the request carries it, and the parser that reads the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import AddableDict, Runnable, RunnableGenerator
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter, ValidationError

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
Schema: TypeAlias = dict[str, Any] | type


def function_of(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return name, description and parameters of a schema, whatever it is written in."""
    if isinstance(schema, dict) and not {"title", "name", "function"} & set(schema):
        schema = {"title": "Answer", **schema}
    if is_dataclass(schema):  # which langchain-core would read as a function: no nested ones, no field descriptions
        schema = {"title": schema.__name__, **TypeAdapter(schema).json_schema()}
    function: dict[str, Any] = convert_to_openai_tool(schema, strict=strict)["function"]
    return function


def response_format(schema: Schema | None, method: Method, *, strict: bool | None) -> dict[str, Any]:
    """Return the request's ``response_format``."""
    if method == "json_mode" or schema is None:
        return {"type": "json_object"}
    function = function_of(schema)
    described = {"description": function["description"]} if function.get("description") else {}
    # The service documents strict=True (docs.wandb.ai, JSON schema outputs); vLLM enforces the schema either way.
    wrapped = {
        "name": function["name"],
        **described,
        "schema": function.get("parameters", {}),
        "strict": strict is not False,
    }
    return {"type": "json_schema", "json_schema": wrapped}


def instruction(schema: Schema) -> str:
    """Return what describes the schema to the model: JSON mode itself asks for any JSON."""
    described = json.dumps(function_of(schema).get("parameters", {}), ensure_ascii=False)
    return f"Answer with one JSON object and nothing else. It satisfies this JSON schema:\n{described}"


def instructed(messages: list[BaseMessage], text: str) -> list[BaseMessage]:
    """Return the messages with the text at the end of their system turn."""
    if messages and isinstance(messages[0], SystemMessage) and isinstance(messages[0].content, str):
        return [SystemMessage(f"{messages[0].content}\n\n{text}"), *messages[1:]]
    return [SystemMessage(text), *messages]


def reader_of(schema: Schema | None, method: Method, *, include_raw: bool) -> Runnable[Any, Any]:
    """Return what reads the answer: instances of a pydantic class or dataclass, dicts for every other schema.

    With ``include_raw``, ``{"raw", "parsed", "parsing_error"}``, which never raises for what the model wrote. Of a
    stream, it hands out what can be read so far, and at the end the whole.
    """
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    tool = function_of(schema)["name"] if method == "function_calling" and schema is not None else None
    parser: BaseOutputParser[Any]
    if tool is not None:
        parser = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)
            if is_class
            else JsonOutputKeyToolsParser(key_name=tool, first_tool_only=True)
        )
    else:
        parser = PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()
    adapter = TypeAdapter(schema) if is_dataclass(schema) else None

    def read(messages: Iterator[AIMessage]) -> Iterator[Any]:
        reading = _Reading(parser, adapter, tool, include_raw=include_raw)
        for message in messages:
            yield from reading.feed(message)
        yield from reading.close()

    async def aread(messages: AsyncIterator[AIMessage]) -> AsyncIterator[Any]:
        reading = _Reading(parser, adapter, tool, include_raw=include_raw)
        async for message in messages:
            for part in reading.feed(message):
                yield part
        for part in reading.close():
            yield part

    return RunnableGenerator(read, aread)


class _Reading:
    """Reads one answer. langchain-core's own parsers end a stream in silence when its answer does not fit."""

    def __init__(
        self, parser: BaseOutputParser[Any], adapter: TypeAdapter[Any] | None, tool: str | None, *, include_raw: bool
    ) -> None:
        self._parser, self._adapter, self._tool, self._include_raw = parser, adapter, tool, include_raw
        self._answer: AIMessage | None = None
        self._shown: Any = None

    def feed(self, message: AIMessage) -> Iterator[Any]:
        answer: Any = message if self._answer is None else self._answer + message
        self._answer = answer
        if self._include_raw:
            yield AddableDict(raw=message)
        if isinstance(message, AIMessageChunk) and message.chunk_position != "last" and self._adapter is None:
            with suppress(OutputParserException, ValidationError):
                yield from self._show(self._parse(answer, partial=True))

    def close(self) -> Iterator[Any]:
        if self._answer is None:
            return
        if not self._include_raw:
            yield from self._show(self._whole(self._answer), always=self._shown is None)
            return
        try:
            yield from self._show(self._whole(self._answer), always=True)
            yield AddableDict(parsing_error=None)
        except Exception as e:  # noqa: BLE001 (validators of the user's own raise what they like)
            yield AddableDict(parsed=None, parsing_error=e)

    def _show(self, parsed: Any, *, always: bool = False) -> Iterator[Any]:
        if always or (parsed is not None and parsed != self._shown):
            self._shown = parsed
            yield AddableDict(parsed=parsed) if self._include_raw else parsed

    def _parse(self, answer: AIMessage, *, partial: bool = False) -> Any:
        if self._tool is not None:  # other tools may stand beside the schema
            own = [call for call in answer.tool_calls if call["name"] == self._tool]
            answer = AIMessage(answer.content, tool_calls=own, invalid_tool_calls=answer.invalid_tool_calls)
        return self._parser.parse_result([ChatGeneration(message=answer)], partial=partial)

    def _whole(self, answer: AIMessage) -> Any:
        _refuse_truncated(answer)
        called = {call["name"] for call in answer.tool_calls}
        if called and (self._tool not in called if self._tool else not answer.text):
            return None  # other tools were called instead
        parsed = self._parse(answer)
        if self._adapter is None:
            return parsed
        try:
            return self._adapter.validate_python(parsed)
        except ValidationError as e:
            raise OutputParserException(f"The answer does not fit: {e}", llm_output=str(answer.content)) from e


def _refuse_truncated(message: AIMessage) -> None:
    """Say that an answer was cut, instead of complaining about the JSON it left behind.

    Raises:
        OutputParserException: the answer ended at ``max_tokens``.
    """
    if message.response_metadata.get("finish_reason") != "length":
        return
    usage = message.usage_metadata
    spent = f" after {usage['output_tokens']} tokens" if usage else ""
    thought = usage.get("output_token_details", {}).get("reasoning") if usage else None
    raise OutputParserException(
        f"The answer was cut{spent}{f', {thought} of them reasoning' if thought else ''}, so its JSON is incomplete: "
        "raise max_tokens, or ask for less.",
        llm_output=str(message.content),
    )
