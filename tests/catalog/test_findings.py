"""Each finding in full, at the very limit it is about, and what is no call at all."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from cards import card

from wandb_inference import Catalog, ChatOptions, ChatRequest, Finding, RequestReviewError, review
from wandb_inference.catalog import Measured, check_shape, findings

TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def call(content: Any = "Hello", **options: Any) -> ChatRequest:
    return ChatRequest("me/m", [{"role": "user", "content": content}], ChatOptions(**options))


def error(code: str, message: str, limit: Any = None, actual: Any = None, *, field: str | None = None) -> Finding:
    return Finding(code, field or code, "error", message, limit, actual)


def warning(code: str, message: str, limit: Any = None, actual: Any = None, *, field: str | None = None) -> Finding:
    return Finding(code, field or code, "warning", message, limit, actual)


def named(name: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


UNKNOWN: dict[str, Any] = {}
EFFORTS = {"mode": "switchable", "efforts": ("low", "high")}
FINDINGS: dict[str, tuple[dict[str, Any], ChatRequest, list[Finding]]] = {
    # name: (facts of the card, call, what it objects to)
    "nothing known": (UNKNOWN, call(tools=[TOOL], reasoning=True, max_tokens=10**9), []),
    # lifecycle
    "retired": (
        {"status": "retired", "retired_on": date(2026, 10, 1)},
        call(),
        [error("model_retired", "it was retired on 2026-10-01; every call to it gets HTTP 404", field="model")],
    ),
    "retired, nobody knows when": (
        {"status": "retired"},
        call(),
        [error("model_retired", "it was retired (date not known); every call to it gets HTTP 404", field="model")],
    ),
    "retired, as somebody noted": (
        {"status": "retired", "lifecycle_note": "gone in autumn"},
        call(),
        [error("model_retired", "it was retired (gone in autumn); every call to it gets HTTP 404", field="model")],
    ),
    "deprecated": (
        {"status": "deprecated", "retired_on": date(2027, 1, 1), "replacement": "me/n"},
        call(),
        [
            warning(
                "model_deprecated",
                "it will be retired on 2027-01-01; use me/n",
                date(2027, 1, 1),
                field="model",
            )
        ],
    ),
    "deprecated, and no more known": (
        {"status": "deprecated"},
        call(),
        [warning("model_deprecated", "it will be retired soon", field="model")],
    ),
    # abilities
    "a picture": (
        {"input": ("text", "audio")},
        call([{"type": "text", "text": "Look"}, IMAGE]),
        [
            error(
                "input_modality",
                "messages[0].content[1] is image input, the model reads text and audio only",
                ("text", "audio"),
                "image",
                field="messages[0].content[1]",
            )
        ],
    ),
    "a picture it sees": ({"input": ("text", "image")}, call([IMAGE]), []),
    "tools": ({"tools": False}, call(tools=[TOOL, TOOL]), [error("tools", "it cannot call tools", False, 2)]),
    "no tools": ({"tools": False}, call(tools=[]), []),
    "tools, perhaps": ({"tools": None}, call(tools=[TOOL]), []),
    "a schema": (
        {"structured_output": False},
        call(response_format={"type": "json_schema"}),
        [
            error(
                "structured_output",
                "it does not enforce a JSON schema; ask for json_object, or let a tool carry the schema",
                False,
                "json_schema",
                field="response_format",
            )
        ],
    ),
    "any JSON": ({"structured_output": False}, call(response_format={"type": "json_object"}), []),
    "a schema, perhaps": ({"structured_output": None}, call(response_format={"type": "json_schema"}), []),
    # the choice of a tool
    "its own choice": (UNKNOWN, call(tools=[TOOL], tool_choice="auto"), []),
    "its own choice of nothing": (UNKNOWN, call(tool_choice="auto"), []),
    "no call of nothing": (UNKNOWN, call(tool_choice="none"), []),
    "a call must be": (UNKNOWN, call(tools=[TOOL], tool_choice="required"), []),
    "a call must be, in other words": (UNKNOWN, call(tools=[TOOL], tool_choice="any"), []),
    "a tool by name": (UNKNOWN, call(tools=[{}, TOOL], tool_choice=named("f")), []),
    "a call of nothing": (
        UNKNOWN,
        call(tool_choice="any"),
        [error("tool_choice", "tool_choice='any' asks for a tool, and there are none", None, "any")],
    ),
    "another tool": (
        UNKNOWN,
        call(tools=[TOOL, named("g")], tool_choice=named("x")),
        [error("tool_choice", "tool_choice names 'x', which is none of the tools (f, g)", ("f", "g"), "x")],
    ),
    "no tool in particular": (
        UNKNOWN,
        call(tools=[TOOL], tool_choice={"function": "f"}),
        [error("tool_choice", "tool_choice names None, which is none of the tools (f)", ("f",))],
    ),
    "a choice that is none": (
        UNKNOWN,
        call(tools=[TOOL], tool_choice="f"),
        [
            error(
                "tool_choice",
                "tool_choice='f' is none of auto, none and required, and names no tool",
                ("auto", "none", "required"),
                "f",
            )
        ],
    ),
    # reasoning
    "reasoning": (
        {"reasoning": {"mode": "none"}},
        call(reasoning=True),
        [error("reasoning", "it does not reason", "none", True)],
    ),
    "an effort of none that has none": ({"reasoning": {"mode": "none"}}, call(reasoning="none"), []),
    "an effort": (
        {"reasoning": {"mode": "none", "efforts": ("low",)}},
        call(reasoning="low"),
        [error("reasoning", "it does not reason", "none", "low")],
    ),
    "reasoning that cannot be switched off": (
        {"reasoning": {"mode": "always"}},
        call(reasoning=False),
        [error("reasoning", "its reasoning cannot be switched off", "always", False)],
    ),
    "reasoning that can be less": (
        {"reasoning": {"mode": "always", "efforts": ("low", "high")}},
        call(reasoning="none"),
        [
            error(
                "reasoning",
                "its reasoning cannot be switched off; its effort can be set: low, high",
                "always",
                False,
            )
        ],
    ),
    "reasoning that is on": ({"reasoning": {"mode": "always"}}, call(reasoning=True), []),
    "one of its efforts": ({"reasoning": EFFORTS}, call(reasoning="high"), []),
    "another effort": (
        {"reasoning": EFFORTS},
        call(reasoning="max"),
        [
            warning(
                "reasoning_effort",
                "reasoning='max' is none of the effort levels it tells apart (low, high)",
                ("low", "high"),
                "max",
                field="reasoning",
            )
        ],
    ),
    "another effort of one that may not reason": ({"reasoning": {"efforts": ("low",)}}, call(reasoning="max"), []),
    "efforts that nobody knows": ({"reasoning": {"mode": "switchable"}}, call(reasoning="max"), []),
    "switched": ({"reasoning": EFFORTS}, call(reasoning=False), []),
    # max_tokens
    "no answer": (UNKNOWN, call(max_tokens=0), [error("max_tokens", "max_tokens=0 is less than 1", 1, 0)]),
    "the shortest answer": (UNKNOWN, call(max_tokens=1), []),
    "the longest answer": ({"output_limit": 4096, "context_window": 9000}, call(max_tokens=4096), []),
    "a longer answer": (
        {"output_limit": 4096, "context_window": 9000},
        call(max_tokens=4097),
        [error("max_tokens", "max_tokens=4,097 is too large: answers end at 4,096 tokens", 4096, 4097)],
    ),
    "an answer longer than the window": (
        {"output_limit": 9000, "context_window": 4096},
        call(max_tokens=4097),
        [
            error(
                "max_tokens",
                "max_tokens=4,097 is too large: prompt and answer together have 4,096 tokens",
                4096,
                4097,
            )
        ],
    ),
    "an answer that leaves no room for a prompt": (
        {"context_window": 1000},
        call("a b c", max_tokens=1000),
        [
            error(
                "max_tokens",
                "max_tokens=1,000 is too large: the window has 1,000 tokens, and the prompt has at least 3 of them",
                1000,
                3,
            )
        ],
    ),
    # the window
    "the last word that fits": ({"context_window": 4000}, call("a " * 1000, max_tokens=3000), []),
    "one word more, which is the answer's fault": (
        {"context_window": 4000},
        call("a " * 1001, max_tokens=3000),
        [
            error(
                "max_tokens",
                "max_tokens=3,000 is too large: the window has 4,000 tokens, and the prompt has at least 1,001 of them",
                4000,
                1001,
            )
        ],
    ),
    "one word more, which is the prompt's": (
        {"context_window": 3999},
        call("a " * 2000, max_tokens=2000),
        [
            error(
                "context_window",
                "the prompt is too long. This model's maximum context length is 3999 tokens. However, you requested "
                "2000 output tokens and your prompt contains at least 2000 input tokens",
                3999,
                2000,
                field="messages",
            )
        ],
    ),
    "a prompt of a whole window": ({"context_window": 2000}, call("a " * 2000), []),
    "a prompt that is longer": (
        {"context_window": 2000},
        call("a " * 2001),
        [
            error(
                "context_window",
                "the prompt is too long. This model's maximum context length is 2000 tokens. However, your prompt "
                "contains at least 2001 input tokens",
                2000,
                2001,
                field="messages",
            )
        ],
    ),
    # 3200 bytes are about 1000 tokens, and four more for the message
    "a prompt that fits, about": ({"context_window": 1004}, call("x" * 3200), []),
    "a prompt that does not, about": (
        {"context_window": 1003},
        call("x" * 3200),
        [
            warning(
                "context_window",
                "the prompt may be too long. This model's maximum context length is 1003 tokens. However, your prompt "
                "contains about 1004 input tokens",
                1003,
                1004,
                field="messages",
            )
        ],
    ),
    "prompt and answer that fit, about": ({"context_window": 1504}, call("x" * 3200, max_tokens=500), []),
    "prompt and answer that do not, about": (
        {"context_window": 1503},
        call("x" * 3200, max_tokens=500),
        [
            warning(
                "context_window",
                "the prompt may be too long. This model's maximum context length is 1503 tokens. However, you "
                "requested 500 output tokens and your prompt contains about 1004 input tokens",
                1503,
                1004,
                field="messages",
            )
        ],
    ),
    # sampling, at the limits that vLLM has
    "coldest": (UNKNOWN, call(temperature=0), []),
    "hot": (UNKNOWN, call(temperature=5.0), []),
    "too cold": (
        UNKNOWN,
        call(temperature=-0.5),
        [error("temperature", "temperature=-0.5 must be at least 0", (0, float("inf")), -0.5)],
    ),
    "all of them": (UNKNOWN, call(top_p=1), []),
    "a few of them": (UNKNOWN, call(top_p=1e-6), []),
    "none of them": (
        UNKNOWN,
        call(top_p=0),
        [error("top_p", "top_p=0 must be above 0 and at most 1", (1e-9, 1), 0)],
    ),
    "more than all of them": (
        UNKNOWN,
        call(top_p=1.5),
        [error("top_p", "top_p=1.5 must be above 0 and at most 1", (1e-9, 1), 1.5)],
    ),
    "penalties": (UNKNOWN, call(frequency_penalty=2, presence_penalty=-2), []),
    "penalties the other way": (UNKNOWN, call(frequency_penalty=-2, presence_penalty=2), []),
    "too high a penalty": (
        UNKNOWN,
        call(frequency_penalty=2.5, presence_penalty=-2.5),
        [
            error("frequency_penalty", "frequency_penalty=2.5 must be from -2 to 2", (-2, 2), 2.5),
            error("presence_penalty", "presence_penalty=-2.5 must be from -2 to 2", (-2, 2), -2.5),
        ],
    ),
    "too low a penalty": (
        UNKNOWN,
        call(frequency_penalty=-2.5, presence_penalty=2.5),
        [
            error("frequency_penalty", "frequency_penalty=-2.5 must be from -2 to 2", (-2, 2), -2.5),
            error("presence_penalty", "presence_penalty=2.5 must be from -2 to 2", (-2, 2), 2.5),
        ],
    ),
    "one answer": (UNKNOWN, call(n=1), []),
    "no answers": (UNKNOWN, call(n=0), [error("n", "n=0 must be at least 1", (1, float("inf")), 0)]),
    "logprobs": (UNKNOWN, call(logprobs=True, top_logprobs=2), []),
    "top_logprobs of nothing": (UNKNOWN, call(top_logprobs=0), []),
    "top_logprobs alone": (
        UNKNOWN,
        call(top_logprobs=2),
        [error("top_logprobs", "top_logprobs needs logprobs=True", None, 2)],
    ),
    "less than none": (
        UNKNOWN,
        call(logprobs=True, top_logprobs=-1),
        [error("top_logprobs", "top_logprobs=-1 must be at least 0", (0, float("inf")), -1)],
    ),
    "four stops": (UNKNOWN, call(stop=("a", "b", "c", "d")), []),
    "five stops": (
        UNKNOWN,
        call(stop=list("abcde")),
        [warning("stop", "5 stop strings; newer vLLM takes 4 at most", 4, 5)],
    ),
    "a stop of one string": (UNKNOWN, call(stop="abcde"), []),
    # types
    "text": (
        UNKNOWN,
        call(temperature="0.5", seed="7"),
        [
            error("temperature", "temperature='0.5' is no number", "number", "0.5"),
            error("seed", "seed='7' is no whole number", "whole number", "7"),
        ],
    ),
    "halves": (
        {"context_window": 10},
        call(max_tokens=1.5, n=1.5, top_logprobs=1.5, logprobs=True, seed=1.5),
        [
            error("n", "n=1.5 is no whole number", "whole number", 1.5),
            error("top_logprobs", "top_logprobs=1.5 is no whole number", "whole number", 1.5),
            error("max_tokens", "max_tokens=1.5 is no whole number", "whole number", 1.5),
            error("seed", "seed=1.5 is no whole number", "whole number", 1.5),
        ],
    ),
    "yes and no are no numbers": (
        UNKNOWN,
        call(top_p=True, max_tokens=False),
        [
            error("top_p", "top_p=True is no number", "number", True),
            error("max_tokens", "max_tokens=False is no whole number", "whole number", False),
        ],
    ),
    "whole numbers are numbers": (UNKNOWN, call(temperature=1, top_p=1, frequency_penalty=0, seed=-1), []),
    "a stop of none": (UNKNOWN, call(stop=5), [error("stop", "stop=5 is no list of strings", "list", 5)]),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_finding(name: str) -> None:
    facts, request, expected = FINDINGS[name]
    of = card(**facts)
    assert list(review(request, of)) == expected
    assert list(findings(Measured(request), of)) == expected


def test_models_that_take_the_call_stand_with_its_errors_only() -> None:
    request = call([IMAGE], stop=list("abcde"), max_tokens=10)
    sees = {"input": ("text", "image")}
    catalog = Catalog(
        [
            card(),
            card("me/also-blind"),
            card("me/sees", **sees),
            card("me/sees-for-now", **{**sees, "status": "deprecated"}),
            card("me/sees-perhaps", **{**sees, "status": "unconfirmed"}),
            card("me/terse", **{**sees, "output_limit": 5}),
            card("me/sees-too", **sees),
        ]
    )
    for asked in (request, Measured(request)):
        picture, stops = review(asked, catalog.card("me/m"), catalog)
        assert (picture.code, picture.alternatives) == ("input_modality", ("me/sees", "me/sees-too"))
        assert (stops.code, stops.alternatives) == ("stop", ())
    (stops,) = review(call(stop=list("abcde")), catalog.card("me/m"), catalog)
    assert stops.alternatives == ()


def test_a_model_is_no_alternative_to_itself() -> None:
    retired = card("me/old", status="retired")
    (finding,) = review(call(), retired, Catalog([retired, card("me/new")]))
    assert finding.alternatives == ("me/new",)


HELLO = [{"role": "user", "content": "Hello"}]
SHAPES: dict[str, tuple[Any, dict[str, Any], str]] = {
    # name: (messages, options, what is said; empty: nothing)
    "a call": (HELLO, {"tools": [TOOL], "response_format": {}, "extra_body": {}}, ""),
    "tuples": (tuple(HELLO), {"tools": (TOOL,)}, ""),
    "no messages": ([], {}, ""),
    "calls of tools": ([{"role": "assistant", "tool_calls": [{}]}, {"tool_calls": None}, {"tool_calls": ()}], {}, ""),
    "text": ("Hello", {}, "messages is no list of messages."),
    "one message": (HELLO[0], {}, "messages is no list of messages."),
    "a text among messages": ([*HELLO, "Hello"], {}, "messages is no list of messages."),
    "one tool": (HELLO, {"tools": TOOL}, "tools is no list of tools."),
    "names of tools": (HELLO, {"tools": ["f"]}, "tools is no list of tools."),
    "a format by name": (HELLO, {"response_format": "json"}, "response_format is no object."),
    "more fields in a list": (HELLO, {"extra_body": ["x"]}, "extra_body is no object."),
    "one call of a tool": ([*HELLO, {"tool_calls": {}}], {}, "messages[1].tool_calls is no list of calls."),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name: str) -> None:
    messages, options, said = SHAPES[name]
    request = ChatRequest("me/m", messages, ChatOptions(**options))
    if not said:
        check_shape(request)
        return
    with pytest.raises(RequestReviewError) as caught:
        check_shape(request)
    assert (caught.value.message, caught.value.model, caught.value.findings) == (f"me/m: {said}", "me/m", ())


def test_what_to_write_instead() -> None:
    with pytest.raises(RequestReviewError) as caught:
        check_shape(ChatRequest("m", "Hello"))  # type: ignore[arg-type]
    assert caught.value.hint == 'Messages are [{"role": "user", "content": "…"}].'
    with pytest.raises(RequestReviewError) as caught:
        check_shape(call(extra_body="x" * 500))
    assert caught.value.hint == "'" + "x" * 199
