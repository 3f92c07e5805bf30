"""What is counted: prompts and tools as they would be sent, and a size for those that could not be."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from wandb_inference.langchain.counting import countable, countable_tool

THOUGHT = AIMessage("a", additional_kwargs={"reasoning_content": "r"})
ODD = HumanMessage([{"type": "hologram", "data": "x"}])


def test_messages_as_they_would_be_sent() -> None:
    assert countable([HumanMessage("h"), THOUGHT]) == [
        {"role": "user", "content": "h"},
        {"role": "assistant", "content": "a", "reasoning": "r"},
    ]
    assert countable([THOUGHT, HumanMessage("h")])[0]["reasoning"] == "r"
    assert countable([THOUGHT], "none") == [{"role": "assistant", "content": "a"}]


def test_what_cannot_be_sent_counts_as_its_text() -> None:
    shown = "[{'type': 'hologram', 'data': 'x'}]"
    assert countable([ODD]) == [{"role": "user", "content": shown}]
    assert countable([HumanMessage("h"), ODD, THOUGHT], "none") == [
        {"role": "user", "content": "h"},
        {"role": "user", "content": shown},
        {"role": "assistant", "content": "a"},
    ]


@pytest.mark.parametrize(
    ("tool", "counted"),
    [
        (5, {"tool": "5"}),
        ({"type": "x"}, {"tool": "{'type': 'x'}"}),
        ({"type": "web_search"}, {"tool": "{'type': 'web_search'}"}),
    ],
)
def test_tools(tool: Any, counted: dict[str, Any]) -> None:
    assert countable_tool(tool) == counted


class City(TypedDict):
    """A city."""

    name: NotRequired[str]


@pytest.mark.parametrize("tool", [City, {"name": "f", "inputSchema": {"type": "object", "properties": {}}}])
def test_every_kind_of_tool_is_counted_with_its_definition(tool: Any) -> None:
    assert countable_tool(tool)["type"] == "function"


def test_a_function_is_counted_with_its_definition() -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    assert countable_tool(weather)["function"]["name"] == "weather"
