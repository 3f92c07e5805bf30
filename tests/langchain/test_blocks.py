"""Messages of ours as standard content blocks, whole and in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from wandb_inference.langchain.blocks import chunk_blocks, content_blocks

THOUGHT = {"reasoning_content": "Hm"}
CALL = tool_call(name="f", args={"a": 1}, id="1")
SPOILT = invalid_tool_call(name="g", args="{", id="2", error="no JSON")
REASONING: dict[str, Any] = {"type": "reasoning", "reasoning": "Hm"}
TEXT: dict[str, Any] = {"type": "text", "text": "Hi"}

WHOLE: dict[str, tuple[AIMessage, list[Any]]] = {
    # name: (message, its blocks)
    "nothing": (AIMessage(""), []),
    "text": (AIMessage("Hi"), [TEXT]),
    "reasoning": (AIMessage("", additional_kwargs=THOUGHT), [REASONING]),
    "all of it": (
        AIMessage("Hi", additional_kwargs=THOUGHT, tool_calls=[CALL], invalid_tool_calls=[SPOILT]),
        [REASONING, TEXT, CALL, SPOILT],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str) -> None:
    message, blocks = WHOLE[name]
    assert content_blocks(message) == blocks


FRAGMENT = tool_call_chunk(name="f", args='{"a"', id="1", index=3)
PIECES: dict[str, tuple[AIMessageChunk, list[Any]]] = {
    # name: (piece of a message, its blocks)
    "text and reasoning have indexes of their own": (
        AIMessageChunk(content="Hi", additional_kwargs=THOUGHT),
        [{**REASONING, "index": "lc_reasoning"}, {**TEXT, "index": "lc_text"}],
    ),
    "and so has each call": (
        AIMessageChunk(content="", tool_call_chunks=[FRAGMENT]),
        [{"type": "tool_call_chunk", "id": "1", "name": "f", "args": '{"a"', "index": "lc_tc_3"}],
    ),
    "the last one has whole calls": (
        AIMessageChunk(content="Hi", tool_call_chunks=[{**FRAGMENT, "args": '{"a": 1}'}], chunk_position="last"),
        [{**TEXT, "index": "lc_text"}, CALL],
    ),
    "the last one has spoilt calls": (
        AIMessageChunk(content="", tool_call_chunks=[{**FRAGMENT, "args": "]"}], chunk_position="last"),
        [invalid_tool_call(name="f", args="]", id="1", error=None)],
    ),
    "the last one has no calls": (AIMessageChunk(content="Hi", chunk_position="last"), [{**TEXT, "index": "lc_text"}]),
    "nothing": (AIMessageChunk(content=""), []),
}


@pytest.mark.parametrize("name", PIECES)
def test_piece(name: str) -> None:
    chunk, blocks = PIECES[name]
    assert chunk_blocks(chunk) == blocks


def test_a_message_of_blocks_is_langchains_to_read() -> None:
    with pytest.raises(NotImplementedError):
        content_blocks(AIMessage([TEXT]))


def test_langchain_asks_for_them() -> None:
    message = AIMessage("Hi", additional_kwargs=THOUGHT, response_metadata={"model_provider": "wandb"})
    assert message.content_blocks == [REASONING, TEXT]
    chunk = AIMessageChunk(content="", tool_call_chunks=[FRAGMENT], response_metadata={"model_provider": "wandb"})
    assert [block.get("index") for block in chunk.content_blocks] == ["lc_tc_3"]
