"""LangChain messages to the wire: nothing is dropped silently, what cannot be sent is refused by name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from wandb_inference.errors import RequestReviewError

Replay: TypeAlias = Literal["all", "since_last_human", "none"]
"""``since_last_human`` keeps the reasoning of a running tool loop, and leaves out that of earlier turns."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME = 64

# Parts of an assistant's turn that travel in other fields of the message.
_ELSEWHERE = {
    "tool_use",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "reasoning",
    "thinking",
    "redacted_thinking",
}


def to_wire(messages: Sequence[BaseMessage], replay: Replay = "all") -> list[dict[str, Any]]:
    """Return the messages in OpenAI wire shape.

    Args:
        messages: the conversation.
        replay: which assistant turns go back with their reasoning.

    Raises:
        RequestReviewError: a message or a content block has no place there; the error names it.
    """
    wire: list[dict[str, Any]] = []
    replayed_from = _replayed_from(messages, replay)
    seen_by_tools: list[dict[str, Any]] = []  # pictures of tool results, for the user turn that follows them
    for position, message in enumerate(messages):
        if seen_by_tools and not isinstance(message, ToolMessage):
            wire.append(_pictures(seen_by_tools))
            seen_by_tools = []
        where = f"messages[{position}]"
        if isinstance(message, AIMessage):
            turn = _assistant(message)
            if position < replayed_from:
                turn.pop("reasoning", None)
            wire.append(turn)
        elif isinstance(message, ToolMessage):
            texts, media = _split(_parts(message.content, where))
            wire.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": "\n".join(texts)})
            seen_by_tools += media
        elif isinstance(message, HumanMessage | SystemMessage | ChatMessage):
            wire += _turn(message, where)
        else:
            raise _unsendable(where, f"a {type(message).__name__}", "Use one of the current message classes.")
    if seen_by_tools:
        wire.append(_pictures(seen_by_tools))
    return wire


def _replayed_from(messages: Sequence[BaseMessage], replay: Replay) -> int:
    """Return the position of the first message that may go back with its reasoning."""
    if replay == "all":
        return 0
    if replay == "none":
        return len(messages)
    return next((i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], HumanMessage)), 0)


def _turn(message: HumanMessage | SystemMessage | ChatMessage, where: str) -> list[dict[str, Any]]:
    """Return a user's or system's turn; Anthropic's tool results, which are parts of it, become turns before it."""
    role = "user" if isinstance(message, HumanMessage) else "system"
    if isinstance(message, ChatMessage):
        role = message.role
    turn: dict[str, Any] = {"role": role}
    name = _NOT_IN_A_NAME.sub("_", message.name or "").strip("_")[:_MAX_NAME]
    if name and role in ("user", "system"):
        turn["name"] = name
    if isinstance(message.content, str):
        return [{**turn, "content": message.content}]
    results = [block for block in message.content if isinstance(block, dict) and block.get("type") == "tool_result"]
    own = [block for block in message.content if block not in results]
    wire: list[dict[str, Any]] = []
    media: list[dict[str, Any]] = []
    for result in results:
        texts, pictures = _split(_parts(result.get("content") or "", where))
        wire.append({"role": "tool", "tool_call_id": result.get("tool_use_id"), "content": "\n".join(texts)})
        media += pictures
    parts = [*media, *_parts(own, where)]
    if parts or not results:
        only_text = len(parts) == 1 and parts[0]["type"] == "text"
        wire.append({**turn, "content": parts[0]["text"] if only_text else parts or ""})
    return wire


def _assistant(message: AIMessage) -> dict[str, Any]:
    blocks = [message.content] if isinstance(message.content, str) else message.content
    texts, reasoning = [], []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") == "text":
            texts.append(block.get("text") or "")
        elif block.get("type") in ("reasoning", "thinking"):
            reasoning.append(block.get("reasoning") or block.get("thinking") or "")
        elif block.get("type") not in _ELSEWHERE:
            texts.append(json.dumps(block, ensure_ascii=False))  # foreign history: shown rather than lost
    # "" rather than null: some chat templates print null as "None" (vllm#54337).
    wire: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    # One place only: after a v1 stream the same reasoning stands in the blocks and in additional_kwargs.
    thought = "".join(reasoning) or message.additional_kwargs.get("reasoning_content")
    if isinstance(thought, str) and thought:
        wire["reasoning"] = thought
    calls = _tool_calls(message)
    if calls:
        wire["tool_calls"] = calls
    return wire


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    calls = [_call(c["id"], c["name"], json.dumps(c["args"], ensure_ascii=False)) for c in message.tool_calls]
    # Calls that did not parse stay pairable with their error results; their arguments travel as valid JSON,
    # because older vLLM answers 400 to anything else.
    calls += [_call(c["id"], c["name"], _valid(c["args"])) for c in message.invalid_tool_calls]
    known = {call["id"] for call in calls}
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("id") not in known:
            calls.append(
                _call(block.get("id"), block.get("name"), json.dumps(block.get("input") or {}, ensure_ascii=False))
            )
    return calls


def _call(id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": id_ or "", "type": "function", "function": {"name": name or "", "arguments": arguments}}


def _valid(arguments: str | None) -> str:
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except ValueError:
        pass
    return json.dumps({"invalid_arguments": arguments}, ensure_ascii=False)


def _split(parts: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    return [p["text"] for p in parts if p["type"] == "text"], [p for p in parts if p["type"] != "text"]


def _pictures(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the user turn that shows what tools returned: models see media in user turns only (vllm#43203)."""
    return {"role": "user", "content": [{"type": "text", "text": "Returned by the tools above:"}, *parts]}


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    blocks = [content] if isinstance(content, str | dict) else content
    return [
        {"type": "text", "text": block} if isinstance(block, str) else _part(block, f"{where}.content[{number}]")
        for number, block in enumerate(blocks)
    ]


def _part(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return one content block as a wire part; only known fields are kept, so no cache_control travels."""
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": str(block.get("text") or "")}
    if kind == "text-plain":
        return {"type": "text", "text": _plain(block, where)}
    if kind == "image_url":
        image = block["image_url"] if isinstance(block.get("image_url"), dict) else {"url": block.get("image_url")}
        return {"type": "image_url", "image_url": {k: image[k] for k in ("url", "detail") if image.get(k)}}
    if kind in ("input_audio", "video_url", "audio_url"):
        return {"type": kind, kind: block.get(kind)}
    if kind == "file" and isinstance(block.get("file"), dict):
        return {"type": "file", "file": block["file"]}
    if kind in ("image", "audio", "video", "file", "document"):
        flat = _flat(block)
        return _part(flat, where) if flat["type"] == "text" else _media(str(kind), flat, where)
    raise _unsendable(
        where,
        f"a content block of type {kind!r}",
        "Types that can: text, text-plain, image, image_url, audio, input_audio, video, file.",
    )


def _unsendable(where: str, what: str, hint: str) -> RequestReviewError:
    return RequestReviewError(f"{where}: {what} cannot be sent.", model="", findings=(), hint=hint)


def _plain(block: Mapping[str, Any], where: str) -> str:
    """Return the text of a text document, which may come encoded."""
    if isinstance(block.get("text"), str):
        return str(block["text"])
    try:
        return base64.b64decode(block["base64"], validate=True).decode()
    except (KeyError, TypeError, ValueError) as e:
        raise _unsendable(where, "a text-plain block without text", "Give its text, or UTF-8 as base64.") from e


def _flat(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an Anthropic block (``source: {type, media_type, data | url}``) with LangChain's field names."""
    source = block.get("source")
    if not isinstance(source, Mapping):
        return block
    if source.get("type") == "text":
        return {"type": "text", "text": source.get("data")}
    return {
        "type": block["type"],
        "url": source.get("url"),
        "base64": source.get("data"),
        "mime_type": source.get("media_type"),
    }


_DEFAULT_MIME = {
    "image": "image/png",
    "audio": "audio/wav",
    "video": "video/mp4",
    "file": "application/pdf",
    "document": "application/pdf",
}


def _media(kind: str, block: Mapping[str, Any], where: str) -> dict[str, Any]:
    data, mime = block.get("base64") or block.get("data"), str(block.get("mime_type") or _DEFAULT_MIME[kind])
    url = block.get("url") or (f"data:{mime};base64,{data}" if data else None)
    if not url:
        raise _unsendable(
            where, f"the {kind}", "It needs a url or base64 data; ids of uploaded files are not supported."
        )
    if kind in ("image", "video"):
        return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
    if kind == "audio" and data:
        return {
            "type": "input_audio",
            "input_audio": {"data": data, "format": mime.rpartition("/")[2].removeprefix("x-")},
        }
    if kind == "audio":
        return {"type": "audio_url", "audio_url": {"url": url}}
    name = block.get("filename") or (block.get("extras") or {}).get("filename") or "file"
    return {"type": "file", "file": {"filename": name, "file_data": url}}
