"""Faults strike as told, and steps that are none are refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse

KEY = {"Authorization": "Bearer emulator-key"}


def post(url: str, **body: Any) -> httpx.Response:
    given = {"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": "x"}], **body}
    return httpx.post(f"{url}/chat/completions", json=given, headers=KEY, timeout=60)


@pytest.mark.parametrize("kind", ["cut", "error_event", "malformed", "no_finish"])
@pytest.mark.parametrize("after", [0, 1, 1000])
def test_a_fault_strikes_short_answers_too(kind: Any, after: int, emulator: Emulator) -> None:
    emulator.script(Fault(kind, after=after))
    try:
        text = post(emulator.url, stream=True, max_tokens=1).text
    except httpx.RemoteProtocolError:
        assert kind == "cut"
        return
    assert kind != "cut"
    broken = {"error_event": "EngineCore", "malformed": '"chatcmpl-\n', "no_finish": ""}[kind]
    assert broken in text
    assert ('"finish_reason":"length"' not in text) == (kind in ("error_event", "no_finish"))


def test_a_function_may_ask_to_wait() -> None:
    emulator = Emulator(script=lambda _: Fault(status=429, retry_after=7))
    with emulator as url:
        assert post(url).headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fault("nope"), "none of status, slow_start"),  # type: ignore[arg-type]
        (lambda: Fault(status=200), "no error status"),
        (lambda: Fault(status="429"), "no error status"),  # type: ignore[arg-type]
        (lambda: Reply(5), "no string"),  # type: ignore[arg-type]
        (lambda: Reply(usage=5), "no object of counts"),  # type: ignore[arg-type]
    ],
)
def test_a_step_that_is_none(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "line", ['{"fault": "nope"}', '{"fault": "status", "status": "429"}', '{"text": 5}', "5", "[]"]
)
def test_a_prompted_step_that_is_none(line: str, emulator: Emulator) -> None:
    messages = [{"role": "user", "content": f"```emulator\n{line}\n```"}]
    assert post(emulator.url, messages=messages).status_code == 400


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "("},
        {"type": "object", "properties": []},
        {"type": "array", "contains": {"const": 5}, "items": {"type": "string"}, "minItems": 1},
        {"not": {}},
    ],
)
def test_a_schema_it_cannot_satisfy_is_refused_rather_than_broken(schema: Any, emulator: Emulator) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = post(emulator.url, response_format=format_)
    assert response.status_code == 400
    assert "Grammar error" in response.json()["error"]["message"]


def test_forced_to_call_it_gives_every_tool_its_turn(emulator: Emulator) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "final_answer")]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Use get_weather"}]
    names = []
    for _ in range(2):
        answer = post(emulator.url, messages=messages, tools=tools, tool_choice="required").json()["choices"][0][
            "message"
        ]
        (call,) = answer["tool_calls"]
        names.append(call["function"]["name"])
        messages += [answer, {"role": "tool", "tool_call_id": call["id"], "content": "done"}]
    assert names == ["get_weather", "final_answer"]


def test_answers_end_where_the_window_does(emulator: Emulator) -> None:
    response = post(
        emulator.url,
        model="meta-llama/Llama-3.3-70B-Instruct",
        messages=[{"role": "user", "content": "word " * 100_000}],
    )
    body = response.json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["total_tokens"] <= 128_001


@pytest.mark.parametrize("step", ["hello", Fault, {"text": "x"}, [Fault()]])
def test_what_is_no_step_is_refused_at_once(step: Any) -> None:
    with pytest.raises(TypeError, match="is no step of a script"):
        Emulator().script(step)
    with pytest.raises(TypeError, match="is no step of a script"):
        Emulator(script=[step])


WRONG: Any = [
    lambda make=Reply: make(tool_calls=({"name": "f"},)),
    lambda make=ToolUse: make("f", 5),
    lambda make=ToolUse: make(5),
]


@pytest.mark.parametrize("made", WRONG)
def test_replies_of_wrong_parts(made: Any) -> None:
    with pytest.raises(ValueError, match=r"(is|are) no "):
        made()
