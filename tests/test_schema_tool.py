"""A schema beside tools as one more tool: what is sent, and how the answer comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import EVERY_WAY, KEY, Run, ask

from wandb_inference import (
    Catalog,
    ChatOptions,
    ChatRequest,
    Choice,
    Completion,
    StreamEnd,
    StreamEvent,
    StreamStart,
    ToolCall,
    collect,
)
from wandb_inference._schema_tool import SchemaTool
from wandb_inference.chat import LogprobsDelta, ReasoningDelta, TextDelta, ToolCallDelta
from wandb_inference.emulator import Emulator, Reply, ToolUse

GEMMA = "google/gemma-4-31B-it"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Report", "schema": SCHEMA}}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}


def asked(model: str = GEMMA, **options: Any) -> ChatRequest:
    return ask("What is the weather in Paris?", model=model, tools=[WEATHER], response_format=FORMAT, **options)


@pytest.mark.parametrize("run", EVERY_WAY)
def test_tools_are_called_and_the_answer_is_text(run: Run, emulator: Emulator) -> None:
    settings = {"base_url": emulator.url, "api_key": KEY}
    first = run(asked(), **settings)
    (call,) = first.tool_calls
    assert (call.name, first.text, first.finish_reason) == ("get_weather", "", "tool_calls")
    sent = emulator.requests[0].json()
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["get_weather", "Report"]
    assert (sent["tool_choice"], "response_format" in sent) == ("required", False)
    function = {"name": call.name, "arguments": call.arguments}
    turns = [
        *asked().messages,
        {"role": "assistant", "content": "", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    last = run(ChatRequest(GEMMA, turns, asked().options), **settings)
    assert set(json.loads(last.text)) == {"city"}
    assert (last.tool_calls, last.finish_reason) == ((), "stop")


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize(("model", "given"), [(GEMMA, False), ("openai/gpt-oss-20b", None)])
def test_without_it_the_format_suppresses_tools(model: str, given: Any, run: Run, emulator: Emulator) -> None:
    answer = run(asked(model, schema_as_tool=given), base_url=emulator.url, api_key=KEY)
    assert answer.tool_calls == ()  # as vLLM does it: vllm#39929
    assert set(json.loads(answer.text)) == {"city"}
    assert emulator.requests[0].json()["response_format"] == FORMAT


@pytest.mark.parametrize("run", EVERY_WAY)
def test_real_calls_stay_beside_the_answer(run: Run, emulator: Emulator) -> None:
    uses = (ToolUse("Report", {"city": "Rome"}), ToolUse("get_weather", {"city": "Oslo"}))
    emulator.script(Reply("", "", uses))
    answer = run(asked(), base_url=emulator.url, api_key=KEY)
    assert json.loads(answer.text) == {"city": "Rome"}
    assert [call.name for call in answer.tool_calls] == ["get_weather"]
    assert answer.finish_reason == "tool_calls"


NOT_NEEDED: dict[str, dict[str, Any]] = {
    "no tools": {"tools": None},
    "no schema": {"response_format": {"type": "json_object"}},
    "a tool must be called": {"tool_choice": "required"},
    "no tool may be called": {"tool_choice": "none"},
    "a named tool": {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "switched off": {"schema_as_tool": False},
}


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_when_it_is_not_needed(name: str) -> None:
    options = {"tools": [WEATHER], "response_format": FORMAT, **NOT_NEEDED[name]}
    assert SchemaTool.of(ask("x", model=GEMMA, **options), Catalog.bundled().card(GEMMA)) is None


def test_by_your_own_word_for_any_model() -> None:
    assert SchemaTool.of(asked("me/mine", schema_as_tool=True), None) is not None
    assert SchemaTool.of(asked("me/mine"), None) is None


def test_its_name_is_its_own() -> None:
    taken = {"type": "function", "function": {"name": "Report"}}
    tool = SchemaTool.of(asked(schema_as_tool=True), None)
    assert tool is not None
    assert SchemaTool(FORMAT["json_schema"], [taken]).name == "Report_"  # type: ignore[arg-type]
    assert asked().options.tools == [WEATHER]  # the caller's list is the caller's


def test_a_model_that_answers_twice() -> None:
    tool = SchemaTool(FORMAT["json_schema"], [WEATHER])  # type: ignore[arg-type]
    calls = tuple(ToolCall(str(n), "Report", '{"city": "Rome"}') for n in range(2))
    whole = tool.completion(Completion(choices=(Choice(tool_calls=calls, finish_reason="tool_calls"),)))
    deltas = [ToolCallDelta(n, call.arguments, call.id, call.name) for n, call in enumerate(calls)]
    streamed = collect(tool.events([StreamStart("", ""), TextDelta(""), *deltas, StreamEnd({0: "tool_calls"})]))
    for answer in (whole, streamed):
        assert (answer.text, answer.tool_calls, answer.finish_reason) == ('{"city": "Rome"}', (), "stop")


def restored(tool: SchemaTool, *events: Any) -> Completion:
    return collect(tool.events([StreamStart("", ""), *events, StreamEnd({0: "tool_calls"})]))


def test_the_name_may_come_late_or_never() -> None:
    late = [ToolCallDelta(0, "", "1"), ToolCallDelta(0, name="Report"), ToolCallDelta(0, '{"city": "Rome"}')]
    answer = restored(SchemaTool(FORMAT["json_schema"], [WEATHER]), *late)  # type: ignore[arg-type]
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ('{"city": "Rome"}', (), "stop")
    other = [ToolCallDelta(0, "", "1"), ToolCallDelta(0, name="get_weather"), ToolCallDelta(0, "{}")]
    answer = restored(SchemaTool(FORMAT["json_schema"], [WEATHER]), *other)  # type: ignore[arg-type]
    assert answer.tool_calls == (ToolCall("1", "get_weather", "{}"),)
    answer = restored(SchemaTool(FORMAT["json_schema"], [WEATHER]), ToolCallDelta(0, "{}", "1"))  # type: ignore[arg-type]
    assert answer.tool_calls == (ToolCall("1", "", "{}"),)


def test_what_is_written_beside_the_calls_is_reasoning() -> None:
    tool = SchemaTool(FORMAT["json_schema"], [WEATHER])  # type: ignore[arg-type]
    call = ToolCall("1", "Report", "{}")
    whole = tool.completion(Completion(choices=(Choice(text="Here it is:", tool_calls=(call,)),)))
    streamed = restored(tool, TextDelta("Here it is:"), ToolCallDelta(0, "{}", "1", "Report"))
    for answer in (whole, streamed):
        assert (answer.text, answer.reasoning) == ("{}", "Here it is:")


def test_a_server_that_calls_nothing_although_it_must() -> None:
    tool = SchemaTool(FORMAT["json_schema"], [WEATHER])  # type: ignore[arg-type]
    assert tool.completion(Completion(choices=(Choice(text='{"a": 1}'),))).text == '{"a": 1}'
    assert restored(tool, TextDelta('{"a"'), TextDelta(": 1}")).text == '{"a": 1}'


GIVES = "Gives the final answer; no other tool is called with it."
TOOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (the schema of a response format, the function that stands for it)
    "all of it": (
        {"name": "Report", "description": "A report.", "schema": SCHEMA, "strict": False},
        {"name": "Report", "description": f"A report. {GIVES}", "parameters": SCHEMA, "strict": True},
    ),
    "a schema alone": (
        {"schema": SCHEMA},
        {"name": "answer", "description": GIVES, "parameters": SCHEMA, "strict": True},
    ),
    "nothing": ({}, {"name": "answer", "description": GIVES, "parameters": {}, "strict": True}),
}


@pytest.mark.parametrize("name", TOOLS)
def test_what_is_sent(name: str) -> None:
    schema, function = TOOLS[name]
    format_ = {"type": "json_schema", "json_schema": schema}
    request = ask("x", model=GEMMA, tools=[WEATHER], response_format=format_, schema_as_tool=True, seed=7)
    tool = SchemaTool.of(request, None)
    assert tool is not None
    assert tool.request(request) == ChatRequest(
        GEMMA,
        request.messages,
        ChatOptions(
            tools=[WEATHER, {"type": "function", "function": function}],
            tool_choice="required",
            schema_as_tool=True,
            seed=7,
        ),
    )


@pytest.mark.parametrize("choice", [None, "auto"])
def test_a_choice_of_the_model_is_one_of_more(choice: Any) -> None:
    assert SchemaTool.of(asked(tool_choice=choice), Catalog.bundled().card(GEMMA)) is not None


def test_a_schema_that_is_missing() -> None:
    request = ask("x", tools=[WEATHER], response_format={"type": "json_schema"}, schema_as_tool=True)
    tool = SchemaTool.of(request, None)
    assert tool is not None
    assert tool.name == "answer"


def test_a_name_that_is_taken_twice() -> None:
    taken: list[dict[str, Any]] = [
        {"function": {"name": "answer"}},
        {"function": {"name": "answer_"}},
        {"type": "other"},
    ]
    assert SchemaTool({}, taken).name == "answer__"


def tool() -> SchemaTool:
    return SchemaTool({"name": "Report"}, [WEATHER])


EVENTS: dict[str, tuple[list[StreamEvent], list[StreamEvent]]] = {
    # name: (events as they come, one by one; those that are handed out)
    "the answer as it is written": (
        [ToolCallDelta(0, "", "1", "Report"), ToolCallDelta(0, "{"), ToolCallDelta(0, ""), ToolCallDelta(0, "}")],
        [TextDelta("{"), TextDelta("}")],
    ),
    "a call as it is written": (
        [ToolCallDelta(0, "{", "1", "get_weather"), ToolCallDelta(0, "}")],
        [ToolCallDelta(0, "{", "1", "get_weather"), ToolCallDelta(0, "}")],
    ),
    "a call whose name comes late": (
        [ToolCallDelta(0, "", "1"), ToolCallDelta(0, "", name="get_weather"), ToolCallDelta(0, "{}")],
        [ToolCallDelta(0, "", "1"), ToolCallDelta(0, "", name="get_weather"), ToolCallDelta(0, "{}")],
    ),
    "what is written beside": ([TextDelta("Hm.", 1)], [ReasoningDelta("Hm.", 1)]),
    "choices are apart": (
        [ToolCallDelta(0, "{", "1", "Report", 0), ToolCallDelta(0, "[", "2", "get_weather", 1), ToolCallDelta(0, "}")],
        [TextDelta("{"), ToolCallDelta(0, "[", "2", "get_weather", 1), TextDelta("}")],
    ),
    "an answer in another choice": ([ToolCallDelta(3, "{}", "1", "Report", 2)], [TextDelta("{}", 2)]),
    "everything else": (
        [StreamStart("", ""), ReasoningDelta("Hm."), LogprobsDelta(())],
        [StreamStart("", ""), ReasoningDelta("Hm."), LogprobsDelta(())],
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events(name: str) -> None:
    events, handed_out = EVENTS[name]
    of = tool()
    assert [restored for event in events for restored in of.events([event])] == handed_out


ENDS: dict[str, tuple[list[StreamEvent], dict[int, str], list[StreamEvent], dict[int, str]]] = {
    # name: (events before the end, its reasons, events that it brings, its reasons then)
    "an answer": ([ToolCallDelta(0, "{}", "1", "Report")], {0: "tool_calls"}, [], {0: "stop"}),
    "an answer that was cut": ([ToolCallDelta(0, "{", "1", "Report")], {0: "length"}, [], {0: "length"}),
    "a call": ([ToolCallDelta(0, "{}", "1", "get_weather")], {0: "tool_calls"}, [], {0: "tool_calls"}),
    "both": (
        [ToolCallDelta(0, "{}", "1", "Report"), ToolCallDelta(1, "{}", "2", "get_weather")],
        {0: "tool_calls"},
        [],
        {0: "tool_calls"},
    ),
    "an answer in one choice, a call in the other": (
        [ToolCallDelta(0, "{}", "1", "Report"), ToolCallDelta(0, "{}", "2", "get_weather", 1)],
        {0: "tool_calls", 1: "tool_calls"},
        [],
        {0: "stop", 1: "tool_calls"},
    ),
    "nothing called": ([TextDelta("a"), TextDelta("b")], {0: "stop"}, [TextDelta("ab")], {0: "stop"}),
    "nothing called in one choice": (
        [TextDelta("a", 1), TextDelta("b"), ToolCallDelta(0, "{}", "1", "Report")],
        {0: "tool_calls", 1: "stop"},
        [TextDelta("a", 1)],
        {0: "stop", 1: "stop"},
    ),
    "text beside a call": (
        [TextDelta("a"), ToolCallDelta(0, "{}", "1", "get_weather")],
        {0: "tool_calls"},
        [],
        {0: "tool_calls"},
    ),
    "a call that never had a name": (
        [ToolCallDelta(0, "{", "1"), ToolCallDelta(0, "}")],
        {0: "tool_calls"},
        [ToolCallDelta(0, "{", "1"), ToolCallDelta(0, "}")],
        {0: "tool_calls"},
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str) -> None:
    before, reasons, brought, then = ENDS[name]
    of = tool()
    of.events(before)
    assert of.events([StreamEnd(reasons, None, "fp")]) == [*brought, StreamEnd(then, None, "fp")]


CHOICES: dict[str, tuple[Choice, Choice]] = {
    # name: (a choice, the same with the answer as its text)
    "an answer": (
        Choice(tool_calls=(ToolCall("1", "Report", "{}"),), finish_reason="tool_calls"),
        Choice(text="{}", finish_reason="stop"),
    ),
    "an answer that was cut": (
        Choice(tool_calls=(ToolCall("1", "Report", "{"),), finish_reason="length"),
        Choice(text="{", finish_reason="length"),
    ),
    "a call": (
        Choice(text="Hm.", tool_calls=(ToolCall("1", "get_weather", "{}"),), finish_reason="tool_calls"),
        Choice(reasoning="Hm.", tool_calls=(ToolCall("1", "get_weather", "{}"),), finish_reason="tool_calls"),
    ),
    "both": (
        Choice(
            reasoning="So. ",
            text="Hm.",
            tool_calls=(ToolCall("1", "get_weather", "{}"), ToolCall("2", "Report", "[]")),
            finish_reason="tool_calls",
        ),
        Choice(
            text="[]",
            reasoning="So. Hm.",
            tool_calls=(ToolCall("1", "get_weather", "{}"),),
            finish_reason="tool_calls",
        ),
    ),
    "text": (Choice(text="a", finish_reason="stop"), Choice(text="a", finish_reason="stop")),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name: str) -> None:
    choice, restored_choice = CHOICES[name]
    answer = Completion(id="c", choices=(choice, choice))
    assert tool().completion(answer) == Completion(id="c", choices=(restored_choice, restored_choice))
