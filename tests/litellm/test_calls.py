"""LiteLLM's arguments as a call of ours, a row an argument."""

from __future__ import annotations

from typing import Any

import pytest
from cards import card

from wandb_inference import Budget, Catalog, ChatOptions, ChatRequest, ConfigurationError, Labels, Policy
from wandb_inference.litellm.calls import to_asked, to_labels, to_wire, without_unsupported

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def asked(**params: Any) -> Any:
    return to_asked("me/m", HELLO, params, None)


OPTIONS: dict[str, tuple[dict[str, Any], ChatOptions]] = {
    # name: (parameters, the options they mean)
    "none": ({}, ChatOptions()),
    "named alike": ({"temperature": 0.0, "stop": ["a"]}, ChatOptions(temperature=0.0, stop=["a"])),
    "named otherwise": ({"max_completion_tokens": 5}, ChatOptions(max_tokens=5)),
    "null": ({"temperature": None}, ChatOptions()),
    "other fields of the body": ({"top_k": 3}, ChatOptions(extra_body={"top_k": 3})),
    "fields in extra_body": ({"extra_body": {"top_k": 3, "seed": 7}}, ChatOptions(seed=7, extra_body={"top_k": 3})),
    "extra_body wins": ({"seed": 1, "extra_body": {"seed": 7}}, ChatOptions(seed=7)),
    "extra_body of nothing": ({"extra_body": None}, ChatOptions()),
    "what LiteLLM keeps for itself": (
        {
            "stream": True,
            "stream_options": {},
            "num_retries": 3,
            "drop_params": True,
            "allowed_openai_params": ["user"],
            "metadata": {"a": 1},
        },
        ChatOptions(),
    ),
    "an effort": ({"reasoning_effort": "low"}, ChatOptions(reasoning="low")),
    "an effort of the responses API": ({"reasoning_effort": {"effort": "low"}}, ChatOptions(reasoning="low")),
    "no effort": ({"reasoning_effort": "disable"}, ChatOptions(reasoning=False)),
    "the effort that it has": ({"reasoning_effort": "default"}, ChatOptions()),
    "reasoning in our words": ({"reasoning": True}, ChatOptions(reasoning=True)),
    "thinking": ({"thinking": {"type": "enabled"}}, ChatOptions(reasoning=True)),
    "no thinking": ({"thinking": {"type": "disabled"}}, ChatOptions(reasoning=False)),
    "thinking in a word": ({"thinking": "enabled"}, ChatOptions()),
    "LiteLLM's words in our name for them": ({"reasoning": "default", "seed": 7}, ChatOptions(seed=7)),
    "our word before thinking": (
        {"reasoning": True, "thinking": {"type": "disabled"}},
        ChatOptions(reasoning=True),
    ),
    "an effort before thinking": (
        {"reasoning_effort": "low", "thinking": {"type": "disabled"}},
        ChatOptions(reasoning="low"),
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str) -> None:
    params, options = OPTIONS[name]
    assert asked(**params).request == ChatRequest("me/m", HELLO, options)


def test_what_concerns_the_connection() -> None:
    bare = asked()
    assert (bare.project, bare.review, bare.policy, bare.budget) == (None, "strict", None, None)
    assert (bare.max_retries, bare.headers) == (2, {})
    budget = Budget(1)
    given = {"project": "a/b", "review": "warn", "budget": budget, "max_retries": 0}
    full = to_asked("me/m", HELLO, given, {"x": "secret"})
    assert (full.project, full.review, full.budget, full.max_retries, full.headers) == (
        *("a/b", "warn", budget, 0),
        {"x": "secret"},
    )
    assert "secret" not in repr(full)
    assert full.request.options == ChatOptions()


def test_terms_of_a_policy() -> None:
    own = Policy(order="cheapest", fit=True)
    assert asked(policy=own).policy is own
    assert asked(max_cost="0.05").policy == Policy(max_cost="0.05")
    assert asked(policy=own, order="fastest", models=["me/a"]).policy == Policy(
        order="fastest", models=["me/a"], fit=True
    )
    assert asked(extra_body={"max_cost": 1}).policy == Policy(max_cost="1")
    assert asked(aliases={"a": "b"}).request.options.extra_body == {"aliases": {"a": "b"}}  # no term of a call


BUDGETS: dict[str, tuple[Any, tuple[str, ...] | None, Any]] = {
    # name: (tokens, the model's levels, reasoning)
    "none": (0, ("low", "medium", "high"), "low"),
    "little": (1024, ("low", "medium", "high"), "low"),
    "more": (2048, ("low", "medium", "high"), "medium"),
    "in between": (4095, ("low", "medium", "high"), "medium"),
    "much": (4096, ("low", "medium", "high"), "high"),
    "very much": (100_000, ("low", "medium", "high"), "high"),
    "as a number of another kind": (4096.0, ("low", "high"), "high"),
    "most, of other levels": (16_384, ("low", "high", "max"), "max"),
    "less than the lowest level": (10, ("high", "max"), "high"),
    "less than the next level": (2048, ("low", "high", "max"), "low"),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_is_a_level(name: str) -> None:
    tokens, levels, reasoning = BUDGETS[name]
    knows = card(reasoning={"mode": "always", "efforts": levels})
    params = {"thinking": {"type": "enabled", "budget_tokens": tokens}}
    assert to_asked("me/m", HELLO, params, None, knows).request.options == ChatOptions(reasoning=reasoning)


@pytest.mark.parametrize("levels", [None, ()])
def test_a_budget_that_a_model_has_no_levels_for(levels: Any) -> None:
    params = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    for knows in (None, card(reasoning={"mode": "switchable", "efforts": levels})):
        with pytest.warns(UserWarning, match="budget_tokens=2048 only switches it on"):
            made = to_asked("me/m", HELLO, params, None, knows)
        assert made.request.options == ChatOptions(reasoning=True)
    # A model that cannot reason refuses the call when it is reviewed.
    assert to_asked("me/m", HELLO, params, None, card(reasoning={"mode": "none"})).request.options.reasoning is True


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # name: (parameters, what is said)
    "more fields in a list": (
        {"extra_body": ["a"]},
        "extra_body=['a'] is no object. Fields of the request body, by name.",
    ),
    "functions": ({"functions": [TOOL]}, "functions is OpenAI's old form. Write tools and tool_choice."),
    "a function's call": (
        {"function_call": "auto"},
        "function_call is OpenAI's old form. Write tools and tool_choice.",
    ),
    "a budget of thinking in words": (
        {"thinking": {"type": "enabled", "budget_tokens": "much"}},
        "budget_tokens='much' is no number. Write how many tokens of thinking.",
    ),
    "a ceiling, misspelt": ({"max_costs": 1}, "There is no parameter 'max_costs'. Did you mean 'max_cost'?"),
    "a budget, misspelt": ({"buget": 1}, "There is no parameter 'buget'. Did you mean 'budget'?"),
    "a project, misspelt": ({"projct": "a/b"}, "There is no parameter 'projct'. Did you mean 'project'?"),
    "a review that does not exist": ({"review": "no"}, "review='no' does not exist. strict, warn, off."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    params, said = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        asked(**params)
    assert str(caught.value) == said


def test_null_is_nothing_also_of_the_old_form() -> None:
    assert asked(functions=None, function_call=None).request.options == ChatOptions()


LABELS: dict[str, tuple[dict[str, Any], Labels]] = {
    # name: (LiteLLM's parameters, labels)
    "none": ({}, Labels()),
    "ids": ({"litellm_call_id": "c", "litellm_trace_id": "t"}, Labels(parent="c", trace="t")),
    "a session": ({"litellm_session_id": "s"}, Labels("s")),
    "a session of the metadata": ({"litellm_session_id": "s", "metadata": {"session_id": "m"}}, Labels("m")),
    "tags": ({"metadata": {"tags": ["a", "b"]}}, Labels(tags={"a": "", "b": ""})),
    "tags in a tuple": ({"metadata": {"tags": ("a",)}}, Labels(tags={"a": ""})),
    "tags that are none": ({"metadata": {"tags": "ab"}}, Labels()),
    "metadata that is none": ({"metadata": "x"}, Labels()),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels(name: str) -> None:
    params, labels = LABELS[name]
    assert to_labels(params) == labels


URL = "data:image/png;base64,AAAA"
WIRE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (message, as vLLM takes it)
    "a user's": ({"role": "user", "content": "Hi", "name": "Ann"}, {"role": "user", "content": "Hi", "name": "Ann"}),
    "a developer's": ({"role": "developer", "content": "Hi"}, {"role": "system", "content": "Hi"}),
    "a tool's": (
        {"role": "tool", "content": "5", "tool_call_id": "c", "cache_control": {"type": "ephemeral"}},
        {"role": "tool", "content": "5", "tool_call_id": "c"},
    ),
    "nulls": (
        {"role": "assistant", "content": None, "tool_calls": None, "name": None, "function_call": None},
        {"role": "assistant", "content": ""},
    ),
    "no calls": ({"role": "assistant", "content": "Hi", "tool_calls": []}, {"role": "assistant", "content": "Hi"}),
    "calls": (
        {"role": "assistant", "tool_calls": [{"id": "c"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]},
    ),
    "an assistant's name": (
        {"role": "assistant", "content": "Hi", "name": "Bot"},
        {"role": "assistant", "content": "Hi", "name": "Bot"},
    ),
    "reasoning": (
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
    ),
    "reasoning under its newer name": (
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
    ),
    "reasoning under both": (
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "reasoning": "x"},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
    ),
    "Anthropic's thoughts": (
        {"role": "assistant", "content": "Hi", "thinking_blocks": [{"thinking": "H"}, {}, {"thinking": "m"}]},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
    ),
    "thoughts beside reasoning": (
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "thinking_blocks": [{"thinking": "x"}]},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
    ),
    "reasoning of another form": (
        {"role": "assistant", "content": "Hi", "reasoning_content": {"a": 1}},
        {"role": "assistant", "content": "Hi"},
    ),
    "no thoughts": (
        {"role": "assistant", "content": "Hi", "thinking_blocks": None},
        {"role": "assistant", "content": "Hi"},
    ),
    "a user's thoughts": (
        {"role": "user", "content": "Hi", "reasoning_content": "Hm"},
        {"role": "user", "content": "Hi"},
    ),
    "parts": (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": URL},
                {"type": "image_url", "image_url": {"url": URL, "detail": "low", "format": "png"}},
                {"type": "image_url", "image_url": {"url": URL, "detail": None}},
                "odd",
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": URL}},
                {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": URL}},
                "odd",
            ],
        },
    ),
    "no parts": ({"role": "user", "content": []}, {"role": "user", "content": ""}),
}


@pytest.mark.parametrize("name", WIRE)
def test_wire(name: str) -> None:
    message, wire = WIRE[name]
    assert to_wire(message) == wire


def test_a_message_of_the_old_form() -> None:
    with pytest.raises(ConfigurationError, match="function_call is OpenAI's old form of a message") as caught:
        to_wire({"role": "assistant", "function_call": {"name": "f"}})
    assert caught.value.hint == "Write tool_calls."


CATALOG = Catalog(
    [
        card("me/plain", tools=False, structured_output=False, reasoning={"mode": "none"}),
        card("me/able", tools=True, structured_output=True, reasoning={"mode": "switchable"}, output_limit=5),
    ]
)
WHOLE = ChatOptions(
    tools=[TOOL],
    tool_choice="auto",
    parallel_tool_calls=False,
    response_format={"type": "json_schema"},
    reasoning=True,
    max_tokens=9,
)


@pytest.mark.parametrize(
    ("model", "options", "left", "gone"),
    [
        ("you/x", WHOLE, WHOLE, ()),
        ("me/able", WHOLE, WHOLE, ()),
        (
            "me/plain",
            WHOLE,
            ChatOptions(max_tokens=9),
            ("tools", "tool_choice", "parallel_tool_calls", "reasoning", "response_format"),
        ),
        ("me/plain", ChatOptions(tools=[TOOL]), ChatOptions(), ("tools",)),
        ("me/plain", ChatOptions(reasoning=False), ChatOptions(reasoning=False), ()),
    ],
)
def test_what_a_model_cannot_do_is_dropped(
    model: str, options: ChatOptions, left: ChatOptions, gone: tuple[str, ...]
) -> None:
    assert without_unsupported(ChatRequest(model, HELLO, options), CATALOG) == (ChatRequest(model, HELLO, left), gone)
