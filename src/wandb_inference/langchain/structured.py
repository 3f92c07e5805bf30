"""Structured output: the schema as the request carries it, and the parser that reads the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import is_dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import TypeAdapter, ValidationError

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
Schema: TypeAlias = dict[str, Any] | type


def function_of(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Return name, description and parameters of a schema, whatever it is written in."""
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


def instructed(messages: list[BaseMessage], schema: Schema) -> list[BaseMessage]:
    """Return the messages with the schema described in the system turn: JSON mode itself asks for any JSON."""
    described = json.dumps(function_of(schema).get("parameters", {}), ensure_ascii=False)
    text = f"Answer with one JSON object and nothing else. It satisfies this JSON schema:\n{described}"
    if messages and isinstance(messages[0], SystemMessage) and isinstance(messages[0].content, str):
        return [SystemMessage(f"{messages[0].content}\n\n{text}"), *messages[1:]]
    return [SystemMessage(text), *messages]


def parser_of(schema: Schema | None, method: Method) -> Runnable[Any, Any]:
    """Return what reads the answer: instances of a pydantic class or dataclass, dicts for every other schema."""
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: BaseOutputParser[Any]
    if method == "function_calling" and schema is not None:
        parser = (
            PydanticToolsParser(tools=[schema], first_tool_only=True)
            if is_class
            else JsonOutputKeyToolsParser(key_name=function_of(schema)["name"], first_tool_only=True)
        )
    else:
        parser = PydanticOutputParser(pydantic_object=schema) if is_class else JsonOutputParser()
    reader = RunnableGenerator(_whole, _awhole) | parser
    return reader | RunnableLambda(partial(_instance, TypeAdapter(schema))) if is_dataclass(schema) else reader


def _instance(adapter: TypeAdapter[Any], fields: Any) -> Any:
    """Return an instance of the dataclass.

    Raises:
        OutputParserException: the fields are not those of the class.
    """
    try:
        return adapter.validate_python(fields)
    except ValidationError as e:
        raise OutputParserException(f"The answer is none of these: {e}", llm_output=json.dumps(fields)) from e


def with_raw(
    model: Runnable[LanguageModelInput, Any], parser: Runnable[Any, Any]
) -> Runnable[LanguageModelInput, dict[str, Any]]:
    """Return a chain of ``{"raw", "parsed", "parsing_error"}`` that never raises for what the model wrote."""
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _whole(messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
    for message in messages:
        _refuse_truncated(message)
        yield message


async def _awhole(messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
    async for message in messages:
        _refuse_truncated(message)
        yield message


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
