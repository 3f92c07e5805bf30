"""Standard content blocks of our messages (``message.content_blocks``, ``output_version="v1"``, v3 events).

Without a translator of its own, langchain-core numbers streamed blocks by itself and merges a tool call into the
reasoning before it. The string indexes below keep text, reasoning and each call apart in any interleaving; an index
that begins with ``lc_`` is one that langchain-core merges by.
"""

from __future__ import annotations

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from wandb_inference.langchain.provider import PROVIDER


def content_blocks(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a whole message: reasoning, text, tool calls."""
    return _blocks(message, _calls(message))


def chunk_blocks(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a piece of a message, each with the index it is merged by."""
    if chunk.chunk_position == "last" and (chunk.tool_calls or chunk.invalid_tool_calls):
        return _blocks(chunk, _calls(chunk), indexed=True)
    calls: list[types.ContentBlock] = []
    for call in chunk.tool_call_chunks:
        block = types.ToolCallChunk(type="tool_call_chunk", id=call["id"], name=call["name"], args=call["args"])
        block["index"] = f"lc_tc_{call['index']}"
        calls.append(block)
    return _blocks(chunk, calls, indexed=True)


def _calls(message: AIMessage) -> list[types.ContentBlock]:
    calls: list[types.ContentBlock] = [
        types.ToolCall(type="tool_call", id=call["id"], name=call["name"], args=call["args"])
        for call in message.tool_calls
    ]
    calls += message.invalid_tool_calls
    return calls


def _blocks(message: AIMessage, calls: list[types.ContentBlock], *, indexed: bool = False) -> list[types.ContentBlock]:
    if not isinstance(message.content, str):
        raise NotImplementedError  # blocks already, or a message somebody edited: langchain-core's own reading holds
    blocks: list[types.ContentBlock] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        thought = types.ReasoningContentBlock(type="reasoning", reasoning=reasoning)
        if indexed:
            thought["index"] = "lc_reasoning"
        blocks.append(thought)
    if message.content:
        text = types.TextContentBlock(type="text", text=message.content)
        if indexed:
            text["index"] = "lc_text"
        blocks.append(text)
    return blocks + calls


register_translator(PROVIDER, content_blocks, chunk_blocks)
