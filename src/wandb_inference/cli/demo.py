"""The demo: LangChain over W&B Inference in four parts, live or on the emulator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel, Field, SecretStr, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference


def show(model: str, *, force_emulator: bool = False) -> None:
    """Run the four parts, against the service if the environment has a key, else against an emulator made for it."""
    console = Console(highlight=False)
    live = bool(os.environ.get("WANDB_API_KEY")) and not force_emulator
    if live:
        chat = ChatWandbInference(model=model)
        console.rule(f"[bold]{escape(model)}[/] at {escape(chat.settings.base_url)}")
        _parts(console, chat)
        return
    emulator = Emulator(token_delay=0.02)
    with emulator as url:
        chat = ChatWandbInference(model=model, base_url=url, api_key=SecretStr(emulator.api_key))
        console.rule(f"[bold]{escape(model)}[/] on the local emulator")
        console.print("No model answers here, an emulator of the service does. With WANDB_API_KEY set, it is live.\n")
        _parts(console, chat)


def _parts(console: Console, chat: ChatWandbInference) -> None:
    bill = Bill()
    try:
        for number, (title, part) in enumerate(_PARTS.items(), 1):
            console.print(f"[bold cyan]{number}. {title}[/]")
            bill.part = title
            part(console, chat, bill)
            console.print()
        console.print(f"[bold cyan]{len(_PARTS) + 1}. Tokens and cost[/]")
        console.print(bill.table())
    finally:
        chat.close()


def _chain(console: Console, chat: ChatWandbInference, bill: Bill) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("human", "{question}")])
    chain = prompt | chat
    thinking = False
    for chunk in chain.stream({"question": "Why do programs have names?"}, {"callbacks": [bill]}):
        thought = chunk.additional_kwargs.get("reasoning_content")
        if thought:
            console.print(thought, end="", style="dim", markup=False, soft_wrap=True)
            thinking = True
        if chunk.text:
            if thinking:
                console.print()
                thinking = False
            console.print(chunk.text, end="", markup=False, soft_wrap=True)
    console.print()


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}, 21 °C."


def _agent(console: Console, chat: ChatWandbInference, bill: Bill) -> None:
    agent = chat.bind_tools([get_weather])
    messages: list[BaseMessage] = [HumanMessage("What is the weather in Paris and Warsaw?")]
    console.print(f"user   {messages[0].text}", markup=False)
    for _turn in range(4):
        answer = agent.invoke(messages, {"callbacks": [bill]})
        messages.append(answer)
        if not answer.tool_calls:
            console.print(f"model  {answer.text}", markup=False)
            return
        for call in answer.tool_calls:
            console.print(f"model  calls {call['name']}({_arguments(call['args'])})", markup=False)
            try:
                result = get_weather.invoke(call)
            except ValidationError as e:  # a live model may get the arguments wrong; it is told, and may mend them
                result = ToolMessage(f"Wrong arguments: {e}", tool_call_id=call["id"], status="error")
            console.print(f"tool   {result.text}", markup=False)
            messages.append(result)
    console.print("model  wanted more than four turns", markup=False)


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


class Movie(BaseModel):
    """A movie."""

    title: str
    year: int = Field(ge=1888, le=2100)
    genres: list[str]


def _structured(console: Console, chat: ChatWandbInference, bill: Bill) -> None:
    chain = chat.with_structured_output(Movie, include_raw=True)
    answer = chain.invoke("Describe the movie 'Metropolis' of 1927 for a catalog.", {"callbacks": [bill]})
    console.print(repr(answer["parsed"] or answer["parsing_error"]), markup=False)


_PARTS = {"A chain, streamed": _chain, "An agent with a tool": _agent, "Structured output": _structured}


class Bill(BaseCallbackHandler):
    """Writes down what each call took; LangChain calls it at the end of every one."""

    def __init__(self) -> None:
        self.part = ""
        self.rows: list[tuple[str, AIMessage]] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Keep the message of a finished call."""
        for generations in response.generations:
            message = generations[0].message if isinstance(generations[0], ChatGeneration) else None
            if isinstance(message, AIMessage):
                self.rows.append((self.part, message))

    def table(self) -> Table:
        """Return one row a call, and the sum."""
        table = Table(show_footer=True)
        total = sum(message.response_metadata.get("cost", 0.0) for _, message in self.rows)
        columns: Sequence[tuple[str, str]] = (
            ("call", f"{len(self.rows)} calls"),
            ("input", self._sum("input_tokens")),
            ("cached", ""),
            ("output", self._sum("output_tokens")),
            ("reasoning", ""),
            ("USD", f"{total:.8f}"),
        )
        for name, footer in columns:
            table.add_column(name, footer=footer, justify="left" if name == "call" else "right")
        for part, message in self.rows:
            usage: Any = message.usage_metadata or {}
            cost = message.response_metadata.get("cost")
            table.add_row(
                part,
                str(usage.get("input_tokens", "?")),
                str(usage.get("input_token_details", {}).get("cache_read", "?")),
                str(usage.get("output_tokens", "?")),
                str(usage.get("output_token_details", {}).get("reasoning", "?")),
                "?" if cost is None else f"{cost:.8f}",
            )
        return table

    def _sum(self, name: str) -> str:
        usages: list[Any] = [message.usage_metadata or {} for _, message in self.rows]
        return str(sum(usage.get(name, 0) for usage in usages))
