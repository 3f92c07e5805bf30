"""A schema beside tools as one more tool: what is sent, and how the answer comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import EVERY_WAY, KEY, Run, ask

from wandb_inference import Catalog, ChatRequest, Choice, Completion, StreamEnd, StreamStart, ToolCall, collect
from wandb_inference._schema_tool import SchemaTool
from wandb_inference.chat import TextDelta, ToolCallDelta
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
