"""The parts of messages, one by one: every medium, every provider's words for it, and what is no part at all."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from wandb_inference import RequestReviewError
from wandb_inference.langchain.messages import to_wire

LINK = "https://x.example/a"
SHOWN: dict[str, Any] = {"type": "text", "text": "Shown in the turns above:"}


def data(mime: str) -> str:
    return f"data:{mime};base64,AAAA"


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def video(url: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}}


def audio(format_: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": "AAAA", "format": format_}}


def file(url: str, name: str = "file") -> dict[str, Any]:
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def base64(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "base64": "AAAA", **fields}


def anthropic(kind: str, **source: Any) -> dict[str, Any]:
    return {"type": kind, "source": source}


PARTS: dict[str, tuple[Any, dict[str, Any]]] = {
    # name: (block, the part on the wire)
    "an image": (base64("image"), image(data("image/png"))),
    "an image of a kind": (base64("image", mime_type="image/jpeg"), image(data("image/jpeg"))),
    "an image's older data": ({"type": "image", "data": "AAAA"}, image(data("image/png"))),
    "an image with words": ({**image(LINK), "text": "words"}, image(LINK)),
    "Anthropic's image": (
        anthropic("image", type="base64", media_type="image/jpeg", data="AAAA"),
        image(data("image/jpeg")),
    ),
    "Anthropic's link to an image": (anthropic("image", type="url", url=LINK), image(LINK)),
    "sound": (base64("audio"), audio("wav")),
    "sound of a kind": (base64("audio", mime_type="audio/mp3"), audio("mp3")),
    "a link to sound": ({"type": "audio", "url": LINK}, {"type": "audio_url", "audio_url": {"url": LINK}}),
    "sound on the wire": (audio("wav"), audio("wav")),
    "a link to sound on the wire": (
        {"type": "audio_url", "audio_url": {"url": LINK}, "cache_control": {}},
        {"type": "audio_url", "audio_url": {"url": LINK}},
    ),
    "a film": (base64("video"), video(data("video/mp4"))),
    "a film on the wire": (video(LINK), video(LINK)),
    "a file": (base64("file"), file(data("application/pdf"))),
    "a file with a name": (base64("file", filename="a.pdf"), file(data("application/pdf"), "a.pdf")),
    "a file with a name among its extras": (
        base64("file", extras={"filename": "a.pdf"}),
        file(data("application/pdf"), "a.pdf"),
    ),
    "a file on the wire": ({"type": "file", "file": {"file_id": "f"}}, {"type": "file", "file": {"file_id": "f"}}),
    "Anthropic's document": (anthropic("document", type="base64", data="AAAA"), file(data("application/pdf"))),
    "Gemini's sound": ({"type": "media", "mime_type": "audio/wav", "data": "AAAA"}, audio("wav")),
    "Gemini's document": (
        {"type": "media", "mime_type": "application/pdf", "data": "AAAA"},
        file(data("application/pdf")),
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_part(name: str) -> None:
    block, part = PARTS[name]
    assert to_wire([HumanMessage([block])]) == [{"role": "user", "content": [part]}]


TEXTS: dict[str, tuple[list[Any], Any]] = {
    # name: (blocks, the content on the wire)
    "nothing": ([], ""),
    "a text of nothing": ([{"type": "text", "text": None}], ""),
    "text between images": (
        ["a", image(LINK), {"type": "text", "text": "b"}],
        [{"type": "text", "text": "a"}, image(LINK), {"type": "text", "text": "b"}],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str) -> None:
    blocks, content = TEXTS[name]
    assert to_wire([HumanMessage(blocks)]) == [{"role": "user", "content": content}]


@pytest.mark.parametrize(("name", "sent"), [("a" * 65, "a" * 64), ("Xavier X", "Xavier_X"), ("_a_", "a")])
def test_names(name: str, sent: str) -> None:
    assert to_wire([HumanMessage("h", name=name)]) == [{"role": "user", "name": sent, "content": "h"}]


MADE = [
    *("image", "audio", "video", "file", "document"),
    *("image_url", "input_audio", "audio_url", "video_url", "media"),
]


@pytest.mark.parametrize("kind", MADE)
def test_what_a_model_made_is_shown_to_it_in_a_users_turn(kind: str) -> None:
    block = {"type": kind, "base64": "AAAA", kind: {"url": LINK, "data": "AAAA"}, "mime_type": "image/png"}
    for rest in ([], [HumanMessage("h")]):
        (answer, shown, *after) = to_wire([AIMessage([block]), *rest])
        assert answer == {"role": "assistant", "content": ""}
        assert shown["role"] == "user"
        assert shown["content"][0] == SHOWN
        assert len(shown["content"]) == 2
        assert len(after) == len(rest)


TURNS: dict[str, tuple[AIMessage, dict[str, Any]]] = {
    # name: (an assistant's message, its turn beside the role)
    "strings among blocks": (
        AIMessage(["a", {"type": "text", "text": "b"}, {"type": "output_text", "text": "c"}]),
        {"content": "abc"},
    ),
    "blocks of nothing": (AIMessage([{"type": "text", "text": None}, {"type": "refusal"}]), {"content": ""}),
    "pieces of calls": (AIMessage([{"type": "tool_call_chunk", "args": "{"}, "a"]), {"content": "a"}),
    "reasoning in two blocks": (
        AIMessage([{"type": "reasoning", "reasoning": "r"}, {"type": "thinking", "thinking": "s"}]),
        {"content": "", "reasoning": "rs"},
    ),
    "reasoning in two summaries": (
        AIMessage([{"type": "reasoning", "summary": [{"text": "r"}, {"text": ""}, {"text": "s"}]}]),
        {"content": "", "reasoning": "r\n\ns"},
    ),
    "reasoning in its content": (
        AIMessage([{"type": "reasoning", "content": [{"text": "r"}]}]),
        {"content": "", "reasoning": "r"},
    ),
    "reasoning of nothing": (AIMessage([{"type": "reasoning", "reasoning": 5}]), {"content": ""}),
    "reasoning of another form": (AIMessage("a", additional_kwargs={"reasoning_content": {"a": 1}}), {"content": "a"}),
    "a call behind a string": (
        AIMessage(["a", {"type": "tool_use", "id": "c", "name": "f", "input": {}}]),
        {"content": "a", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    ),
    "a standard call in the content only": (
        AIMessage([{"type": "tool_call", "id": "c", "name": "f", "args": {"a": 1}}]),
        {
            "content": "",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
    ),
    "calls without names or arguments": (
        AIMessage("", invalid_tool_calls=[invalid_tool_call(id="c", name=None, args=None, error=None)]),
        {"content": "", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "", "arguments": "{}"}}]},
    ),
    "a call whose arguments are empty": (
        AIMessage("", invalid_tool_calls=[invalid_tool_call(id="c", name="f", args="", error=None)]),
        {"content": "", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    ),
    "a call whose arguments are none": (
        AIMessage("", invalid_tool_calls=[invalid_tool_call(id="c", name="f", args='"ü"', error=None)]),
        {
            "content": "",
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"invalid_arguments": "\\"ü\\""}'},
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", TURNS)
def test_turn(name: str) -> None:
    message, turn = TURNS[name]
    assert to_wire([message]) == [{"role": "assistant", **turn}]


def result(content: Any = None, id_: str = "c") -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": id_}
    return block if content is None else {**block, "content": content}


def tool(content: str, id_: str = "c") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


RESULTS: dict[str, tuple[list[BaseMessage], list[dict[str, Any]]]] = {
    # name: (messages, turns)
    "a result of nothing": ([HumanMessage([result()])], [tool("")]),
    "a result in two texts": ([HumanMessage([result(["a", "b"])])], [tool("a\nb")]),
    "a result with a picture": (
        [HumanMessage([result(["a", image(LINK)])])],
        [tool("a"), {"role": "user", "content": [image(LINK)]}],
    ),
    "two results, a picture and words": (
        [HumanMessage([result(["a", image(LINK)]), "words", result("b", "d")])],
        [tool("a"), tool("b", "d"), {"role": "user", "content": [image(LINK), {"type": "text", "text": "words"}]}],
    ),
    "a tool's picture at the end": (
        [ToolMessage([image(LINK)], tool_call_id="c")],
        [tool(""), {"role": "user", "content": [SHOWN, image(LINK)]}],
    ),
    "a tool's picture before another answer": (
        [ToolMessage([image(LINK)], tool_call_id="c"), AIMessage("a")],
        [tool(""), {"role": "user", "content": [SHOWN, image(LINK)]}, {"role": "assistant", "content": "a"}],
    ),
    "a tool's picture before words": (
        [ToolMessage([image(LINK)], tool_call_id="c"), HumanMessage(["h"])],
        [tool(""), {"role": "user", "content": [SHOWN, image(LINK)]}, {"role": "user", "content": "h"}],
    ),
    "a tool's picture before other results": (
        [ToolMessage([image(LINK)], tool_call_id="c"), HumanMessage([result("b", "d")])],
        [tool(""), tool("b", "d"), {"role": "user", "content": [SHOWN, image(LINK)]}],
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results(name: str) -> None:
    messages, turns = RESULTS[name]
    assert to_wire(messages) == turns


def thinks(thought: str) -> AIMessage:
    return AIMessage(
        "a",
        additional_kwargs={"reasoning_content": thought},
        tool_calls=[tool_call(id=thought, name="f", args={})],
    )


LOOPS: dict[str, tuple[list[BaseMessage], list[str]]] = {
    # name: (messages, the reasoning that goes back since the human spoke last)
    "no human": ([thinks("a"), thinks("b")], ["a", "b"]),
    "a human first": ([HumanMessage("h"), thinks("a")], ["a"]),
    "a human last": ([thinks("a"), HumanMessage("h")], []),
    "a human between": ([thinks("a"), HumanMessage("h"), thinks("b"), thinks("c")], ["b", "c"]),
    "a human's blocks": ([thinks("a"), HumanMessage([{"type": "text", "text": "h"}]), thinks("b")], ["b"]),
    "results are no human": ([HumanMessage("h"), thinks("a"), HumanMessage([result("r")]), thinks("b")], ["a", "b"]),
    "results and words are": ([HumanMessage("h"), thinks("a"), HumanMessage([result("r"), "h"]), thinks("b")], ["b"]),
    "nothing but results": ([thinks("a"), HumanMessage([result("r")]), thinks("b")], ["a", "b"]),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str) -> None:
    messages, kept = LOOPS[name]
    wire = to_wire(messages, "since_last_human")
    assert [turn["reasoning"] for turn in wire if "reasoning" in turn] == kept


def circular() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> Any:
    value: Any = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [object(), circular()], ids=["no JSON", "circular"])
def test_blocks_that_are_no_json(value: Any) -> None:
    with pytest.raises(
        RequestReviewError, match=r"messages\[0\]\.content\[0\]: what is no JSON cannot be sent"
    ) as caught:
        to_wire([AIMessage([{"type": "search", "value": value}])])
    assert (caught.value.model, caught.value.findings) == ("", ())


def test_arguments_too_deep_for_json() -> None:
    message = AIMessage("", tool_calls=[tool_call(id="c", name="f", args={})])
    message.tool_calls[0]["args"] = deep()
    with pytest.raises(RequestReviewError, match=r"messages\[0\]\.tool_calls: what is no JSON cannot be sent"):
        to_wire([message])


@pytest.mark.parametrize("content", [{}, {"base64": 5}, {"base64": "a!b"}, {"base64": "/w=="}])
def test_a_text_document_without_text(content: dict[str, Any]) -> None:
    with pytest.raises(RequestReviewError, match="a text-plain block without text cannot be sent") as caught:
        to_wire([HumanMessage([{"type": "text-plain", **content}])])
    assert caught.value.hint == "Give its text, or UTF-8 as base64."
