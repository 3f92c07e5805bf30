"""The emulator, spoken to with httpx and json alone: not through the client it is there to test."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from wandb_inference.catalog import Catalog
from wandb_inference.emulator import Chaos, Emulator, Fault, Reply, ToolUse, app
from wandb_inference.emulator.refusal import SERVICE_ERRORS

MODEL, SEES, OFF = "openai/gpt-oss-20b", "Qwen/Qwen3.8-27B", "meta-llama/Llama-3.1-8B-Instruct"
KEY = {"Authorization": "Bearer emulator-key"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def post(
    emulator: Emulator, content: Any = "Hello", *, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **body}
    body = {key: value for key, value in body.items() if value is not ...}
    return httpx.post(f"{emulator.url}/chat/completions", json=body, headers=KEY if headers is None else headers)


def message(emulator: Emulator, content: Any = "Hello", **body: Any) -> dict[str, Any]:
    response = post(emulator, content, **body)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"], "usage": response.json()["usage"]}


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    lines = response.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    # name: (body, status, words)
    "unknown id": ({"model": "no/such"}, 404, "The requested resource was not found"),
    "retired id": ({"model": "Qwen/Qwen3.6-27B"}, 404, "The requested resource was not found"),
    "an alias is no id": ({"model": "gpt-oss-20b"}, 404, "The requested resource was not found"),
    "case matters": ({"model": "OpenAI/gpt-oss-20b"}, 404, "The requested resource was not found"),
    "no messages": ({"messages": ...}, 400, "Field required"),
    "empty messages": ({"messages": []}, 400, "empty conversation"),
    "message without role": ({"messages": [{"content": "x"}]}, 400, "role"),
    "content of a wrong type": ({"messages": [{"role": "user", "content": 5}]}, 400, "valid string"),
    "unknown part": ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, 400, "Unknown part type: smell"),
    "image to a text model": ({"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "not a multimodal model"),
    "orphan tool result": (
        {"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]},
        400,
        "answers no tool call",
    ),
    "temperature": ({"temperature": -5}, 400, "temperature must be non-negative"),
    "temperature type": ({"temperature": "hot"}, 400, "valid number"),
    "top_p": ({"top_p": 0}, 400, "top_p"),
    "max_tokens zero": ({"max_tokens": 0}, 400, "max_tokens must be at least 1, got 0"),
    "max_tokens type": ({"max_tokens": True}, 400, "valid integer"),
    "max_tokens too large": ({"max_tokens": 10**6}, 400, "cannot be greater than max_model_len=131072"),
    "n zero": ({"n": 0}, 400, "n must be at least 1, got 0"),
    "seed type": ({"seed": "x"}, 400, "valid integer"),
    "many stops": ({"stop": ["a"] * 5}, 400, "at most 4 items"),
    "empty tools": ({"tools": []}, 400, "`tools` must not be an empty array"),
    "choice without tools": ({"tool_choice": "required"}, 400, "`tools` must be set"),
    "choice any": ({"tools": [WEATHER], "tool_choice": "any"}, 400, "Invalid value for `tool_choice`: any!"),
    "choice unknown": (
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        400,
        "does not match any of the specified `tools`",
    ),
    "response format": ({"response_format": {"type": "yaml"}}, 400, "'text', 'json_object' or 'json_schema'"),
    "schema missing": ({"response_format": {"type": "json_schema"}}, 400, "'json_schema' field must be provided"),
    "schema nonsense": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}}},
        400,
        "Grammar error: Invalid type: nonsense",
    ),
    "stream options": ({"stream_options": {"include_usage": True}}, 400, "Stream options can only be defined"),
    "top_logprobs alone": ({"top_logprobs": 2}, 400, "`logprobs` must be set to true"),
    "top_logprobs large": ({"logprobs": True, "top_logprobs": 500}, 400, "greater than max allowed: 20"),
    "a bad emulator block": ({"messages": [{"role": "user", "content": "```emulator\nx\n```"}]}, 400, "is no step"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_refused(name: str, stream: bool, emulator: Emulator) -> None:
    body, status, words = REFUSED[name]
    asked: dict[str, Any] = {"stream": True} if stream and "stream_options" not in body else {}
    response = post(emulator, **asked, **body)
    assert response.status_code == status
    assert words in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "Missing bearer authentication in header"),
        ({"Authorization": "Basic abc"}, "Missing bearer authentication in header"),
        ({"Authorization": "Bearer wrong"}, "Authentication failed"),
    ],
)
def test_key(headers: dict[str, str], words: str, emulator: Emulator) -> None:
    response = post(emulator, headers=headers)
    assert (response.status_code, response.json()["error"]["message"]) == (401, words)
    assert httpx.get(f"{emulator.url}/models", headers=headers).status_code == 401


def test_a_project_that_does_not_exist_is_a_wrong_key() -> None:
    emulator = Emulator(projects=["team/known"])
    with emulator:
        assert post(emulator, headers={**KEY, "OpenAI-Project": "team/known"}).status_code == 200
        assert post(emulator, headers={**KEY, "OpenAI-Project": "team/other"}).status_code == 401
        assert post(emulator).status_code == 200


@pytest.mark.parametrize(("body", "words"), [(b'{"model":', "JSON decode error"), (b"[1,2]", "valid dictionary")])
def test_bad_json(body: bytes, words: str, emulator: Emulator) -> None:
    response = httpx.post(f"{emulator.url}/chat/completions", content=body, headers=KEY)
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]


def test_other_paths(emulator: Emulator) -> None:
    assert httpx.get(f"{emulator.url}/nothing").json() == {"detail": "Not Found"}
    response = httpx.get(f"{emulator.url}/chat/completions")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})


def test_models(emulator: Emulator) -> None:
    rows = httpx.get(f"{emulator.url}/models", headers=KEY).json()["data"]
    assert {row["id"] for row in rows} == {c.id for c in Catalog.bundled() if c.status == "active"}
    assert all((row["created"], row["owned_by"], row["object"]) == (0, "system", "model") for row in rows)


def test_echo_is_deterministic(emulator: Emulator) -> None:
    first, second = (message(emulator, "Hello there") for _ in range(2))
    assert first["content"] == second["content"] == "You said: Hello there"
    with Emulator() as url:
        other = httpx.post(
            f"{url}/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}]},
            headers=KEY,
        ).json()
    assert other["choices"][0]["message"]["content"] == first["content"]


def test_seed_and_n(emulator: Emulator) -> None:
    by_seed = [message(emulator, seed=seed)["content"] for seed in (0, 1, 1)]
    assert by_seed[1] == by_seed[2] != by_seed[0]
    choices = post(emulator, n=3).json()["choices"]
    assert [c["index"] for c in choices] == [0, 1, 2]
    assert len({c["message"]["content"] for c in choices}) == 3


def test_stop_and_max_tokens(emulator: Emulator) -> None:
    stopped = post(emulator, "one two three", model=OFF, stop=["two", "three"]).json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"], stopped["stop_reason"]) == (
        "You said: one ",
        "stop",
        "two",
    )
    cut = message(emulator, "one two three", model=OFF, max_tokens=3)
    assert (cut["content"], cut["finish_reason"], cut["usage"]["completion_tokens"]) == ("You said:", "length", 3)
    thought = message(emulator, "one two three", max_tokens=3)
    assert (thought["content"], thought["finish_reason"]) == (None, "length")
    assert thought["reasoning"]


THINKING: list[tuple[str, dict[str, Any], bool]] = [
    (MODEL, {}, True),
    (MODEL, {"chat_template_kwargs": {"enable_thinking": False}}, True),  # it has no switch
    (OFF, {"chat_template_kwargs": {"enable_thinking": True}}, False),
    ("google/gemma-4-31B-it", {}, False),
    ("google/gemma-4-31B-it", {"chat_template_kwargs": {"enable_thinking": True}}, True),
    ("deepseek-ai/DeepSeek-V4.1-Flash", {}, True),
    ("deepseek-ai/DeepSeek-V4.1-Flash", {"chat_template_kwargs": {"thinking": False}}, False),
    ("zai-org/GLM-5.2", {"reasoning_effort": "none"}, False),
]


@pytest.mark.parametrize(("model", "body", "thinks"), THINKING)
def test_reasoning(model: str, body: dict[str, Any], thinks: bool, emulator: Emulator) -> None:
    answer = message(emulator, model=model, **body)
    assert bool(answer["reasoning"]) is thinks
    assert bool(answer["usage"]["completion_tokens_details"]["reasoning_tokens"]) is thinks
    streamed = chunks(post(emulator, model=model, stream=True, **body))
    text = "".join(c["choices"][0]["delta"].get("reasoning") or "" for c in streamed)
    assert text == (answer["reasoning"] or "")


def test_effort_changes_the_length(emulator: Emulator) -> None:
    low, high = (message(emulator, reasoning_effort=effort)["reasoning"] for effort in ("low", "high"))
    assert len(low) < len(high)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "both"])
def test_reasoning_field(field: Any) -> None:
    emulator = Emulator(reasoning_field=field)
    with emulator:
        answer = message(emulator)
    assert {"reasoning", "reasoning_content"} & set(answer) == (
        {"reasoning", "reasoning_content"} if field == "both" else {field}
    )


TOOLS: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    # name: (prompt, body, calls, finish reason)
    "auto, asked for": ("What is the weather in Paris?", {}, ['get_weather{"city": "Paris"}'], "tool_calls"),
    "auto, not asked for": ("Tell me a story.", {}, [], "stop"),
    "none": ("What is the weather in Paris?", {"tool_choice": "none"}, [], "stop"),
    "required": ("Tell me a story.", {"tool_choice": "required"}, ['get_weather{"city": "a city"}'], "tool_calls"),
    "named": (
        "What is the weather in Paris?",
        {"tool_choice": {"type": "function", "function": {"name": "get_time"}}},
        ["get_time{}"],
        "stop",  # as vLLM ends named calls
    ),
    "parallel": (
        "What is the weather in Paris and Warsaw?",
        {},
        ['get_weather{"city": "Paris"}', 'get_weather{"city": "Warsaw"}'],
        "tool_calls",
    ),
    "not parallel": (
        "What is the weather in Paris and Warsaw?",
        {"parallel_tool_calls": False},
        ['get_weather{"city": "Paris"}'],
        "tool_calls",
    ),
}


@pytest.mark.parametrize("name", TOOLS)
def test_tools(name: str, emulator: Emulator) -> None:
    prompt, body, calls, finish = TOOLS[name]
    answer = message(emulator, prompt, tools=[WEATHER, CLOCK], **body)
    functions = [call["function"] for call in answer.get("tool_calls", ())]
    assert [f["name"] + f["arguments"] for f in functions] == calls
    assert answer["finish_reason"] == finish
    whole: dict[int, str] = {}
    for chunk in chunks(post(emulator, prompt, tools=[WEATHER, CLOCK], stream=True, **body)):
        for call in chunk["choices"][0]["delta"].get("tool_calls") or ():
            function = call["function"]
            whole[call["index"]] = whole.get(call["index"], "") + function.get("name", "") + function["arguments"]
    assert list(whole.values()) == calls


def test_a_tool_result_is_answered(emulator: Emulator) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ]
    assert message(emulator, messages=messages, tools=[WEATHER])["content"] == "The tool says: sunny"


def test_json_modes(emulator: Emulator) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer", "minimum": 1900}}, "required": ["year"]}
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert json.loads(message(emulator, "the year 1927", response_format=format_)["content"]) == {"year": 1927}
    loose = {"type": "json_object"}
    assert set(json.loads(message(emulator, "keys 'a' and 'b'", response_format=loose)["content"])) == {"a", "b"}


def test_logprobs(emulator: Emulator) -> None:
    content = post(emulator, "Hi", model=OFF, logprobs=True, top_logprobs=3).json()["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == "You said: Hi"
    assert all(len(entry["top_logprobs"]) == 3 and entry["logprob"] <= 0 for entry in content)
    streamed = chunks(post(emulator, "Hi", model=OFF, logprobs=True, top_logprobs=3, stream=True))
    again = [e for c in streamed for e in (c["choices"][0]["logprobs"] or {}).get("content", ())]
    assert again == content


def test_usage_counts_and_caches(emulator: Emulator) -> None:
    prompt = f"{random.Random(1).random()} llamas " * 30
    first, second = (message(emulator, prompt)["usage"] for _ in range(2))
    assert first["prompt_tokens"] == second["prompt_tokens"] > 100
    assert first["total_tokens"] == first["prompt_tokens"] + first["completion_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert 0 < second["prompt_tokens_details"]["cached_tokens"] < second["prompt_tokens"]
    salted = message(emulator, prompt, cache_salt="mine")["usage"]
    assert salted["prompt_tokens_details"]["cached_tokens"] == 0
    longer = message(emulator, "x" * 5000 + prompt)["usage"]
    assert longer["prompt_tokens_details"]["cached_tokens"] == 0  # another beginning


@pytest.mark.parametrize("asked", [True, False])
def test_stream_shape(asked: bool, emulator: Emulator) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    response = post(emulator, "Hi", stream=True, n=2, **options)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    events = chunks(response)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    finals = [c for e in events for c in e["choices"] if c["finish_reason"]]
    assert [(c["index"], c["finish_reason"]) for c in finals] == [(0, "stop"), (1, "stop")]
    assert [e for e in events if "usage" in e] == (events[-1:] if asked else [])
    assert events[-1]["choices"] == ([] if asked else events[-1]["choices"])


def test_continuous_usage_grows(emulator: Emulator) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [
        e["usage"]["completion_tokens"]
        for e in chunks(post(emulator, stream=True, stream_options=options))
        if "usage" in e
    ]
    assert counts == sorted(counts)
    assert len(counts) > 5


def test_window(emulator: Emulator) -> None:
    response = post(emulator, "word " * 140_000)
    assert response.status_code == 400
    error = response.json()["error"]
    found = re.search(r"maximum context length is 131072 tokens.*at least (\d+) input tokens", error["message"])
    assert found is not None
    assert int(found[1]) > 140_000
    assert error["param"] == "input_tokens"
    both = post(emulator, "word " * 100, max_tokens=131_000).json()["error"]["message"]
    assert "you requested 131000 output tokens" in both


@pytest.mark.parametrize("status", SERVICE_ERRORS)
def test_every_status_of_the_table(status: int, emulator: Emulator) -> None:
    emulator.script(Fault(status=status, retry_after=7), Fault(status=status, message="mine"))
    response = post(emulator)
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    words, code, kind = SERVICE_ERRORS[status]
    assert response.json() == {"error": {"message": words, "code": code, "type": kind}}
    assert post(emulator).json()["error"]["message"] == "mine"
    assert post(emulator).status_code == 200


def test_script_from_the_prompt(emulator: Emulator) -> None:
    lines = '{"fault": "status", "status": 429, "retry_after": 0}\n{"text": "better", "finish_reason": "length"}'
    block = f"```emulator\n{lines}\n```"
    assert post(emulator, f"Hi {block}").status_code == 429
    answers = [message(emulator, f"Hi {block}") for _ in range(2)]
    assert [(a["content"], a["finish_reason"]) for a in answers] == [("better", "length")] * 2  # the last line stays
    calls = '```emulator\n{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}\n```'
    (call,) = message(emulator, calls, tools=[WEATHER])["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}


def test_script_as_a_function() -> None:
    def decide(call: Any) -> Reply | Fault | None:
        if call.card.id == SEES:
            return Fault(status=503)
        return Reply(f"{len(call.messages)} messages") if call.max_tokens == 77 else None

    emulator = Emulator(script=decide)
    with emulator:
        assert post(emulator, model=SEES).status_code == 503
        assert message(emulator, max_tokens=77)["content"] == "1 messages"
        assert message(emulator)["content"] == "You said: Hello"


def test_broken_arguments_on_purpose(emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=(ToolUse("get_weather", '{"city": '),)))
    (call,) = message(emulator, tools=[WEATHER])["tool_calls"]
    assert call["function"]["arguments"] == '{"city": '


@pytest.mark.parametrize("stream", [False, True])
def test_counts_as_told(stream: bool, emulator: Emulator) -> None:
    told = {"prompt_tokens": 137, "completion_tokens": 53, "total_tokens": 190}
    emulator.script(Reply("x", usage=told))
    extra: Any = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = post(emulator, **extra).text
    rows = [json.loads(line[6:]) for line in body.splitlines() if line[6:] not in ("", "[DONE]")] if stream else None
    assert (rows[-1] if rows else json.loads(body))["usage"] == told


def test_chaos_is_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        emulator = Emulator(chaos=Chaos(seed, 0.5, (Fault(status=500), Fault(status=429))))
        with emulator:
            return [post(emulator).status_code for _ in range(20)]

    first = statuses(1)
    assert first == statuses(1) != statuses(2)
    assert {200, 500, 429} == set(first)


def test_in_flight() -> None:
    emulator = Emulator(max_in_flight=1, latency=1.0)
    with (
        emulator,
        httpx.stream(
            "POST",
            f"{emulator.url}/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True},
            headers=KEY,
        ) as held,
    ):
        crowded = post(emulator)
        assert crowded.status_code == 429
        assert "concurrency limit reached for requests: openai/gpt-oss-20b" in crowded.json()["error"]["message"]
        assert post(emulator, model=OFF).status_code == 200  # the limit is a model's own
        held.read()
        assert post(emulator).status_code == 200


def test_requests_are_remembered_without_showing_the_key(emulator: Emulator) -> None:
    post(emulator, "Hi")
    (seen,) = emulator.requests
    assert (seen.method, seen.path, seen.json()["messages"][0]["content"]) == ("POST", "/v1/chat/completions", "Hi")
    assert "emulator-key" not in repr(seen)
    emulator.reset()
    assert emulator.requests == ()


def test_a_taken_port() -> None:
    with Emulator() as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            Emulator(port=port).start()


def test_two_runs_of_one_emulator() -> None:
    emulator = Emulator()
    for _ in range(2):
        with emulator:
            assert post(emulator).status_code == 200


def test_everything_it_samples_for_tools_is_valid(emulator: Emulator) -> None:
    schema = {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 2, "uniqueItems": True},
            "priority": {"enum": ["low", "high"]},
            "when": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": r"^\d{4}-\d{2}$"}]},
        },
        "required": ["to", "priority"],
    }
    tool = {"type": "function", "function": {"name": "send", "parameters": schema}}
    (call,) = message(emulator, "Write to 'ann'", tools=[tool], tool_choice="required")["tool_calls"]
    Draft202012Validator(schema).validate(json.loads(call["function"]["arguments"]))


DEEP: dict[str, bytes] = {
    # name: body
    "the body": b"[" * 5_000,
    "a field": b'{"model": "openai/gpt-oss-20b", "messages": [], "x": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    "a message": b'{"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": '
    + b"[" * 5_000
    + b"]" * 5_000
    + b"}]}",
}


@pytest.mark.parametrize("name", DEEP)
def test_a_request_that_is_nested_too_deep(name: str, emulator: Emulator) -> None:
    response = httpx.post(f"{emulator.url}/chat/completions", content=DEEP[name], headers=KEY, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_a_request_that_is_too_long(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LARGEST", 100_000)
    response = httpx.post(f"{emulator.url}/chat/completions", content=b"x" * 200_000, headers=KEY, timeout=60)
    assert response.status_code == 413
    assert emulator.requests == ()
