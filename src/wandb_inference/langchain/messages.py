"""LangChain messages to the wire: nothing is dropped silently, what cannot be sent is refused by name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Literal, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from wandb_inference.errors import RequestReviewError

Replay: TypeAlias = Literal["all", "since_last_human", "none"]
"""``since_last_human`` keeps the reasoning of a running tool loop, and leaves out that of earlier turns."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME = 64

# Parts of an assistant's turn that travel in other fields of the message, or that only their provider can read.
_ELSEWHERE = {
    "tool_use",
    "function_call",
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "redacted_thinking",
}
_MEDIA = {"image", "image_url", "audio", "input_audio", "audio_url", "video", "video_url", "file", "document", "media"}


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
    shown: list[dict[str, Any]] = []  # media of assistant turns and tool results, for a user turn after them
    for position, message in enumerate(messages):
        kind = _kind(type(message))
        if shown and kind not in (ToolMessage, FunctionMessage) and not _holds_results(message):
            wire.append(_pictures(shown))
            shown = []
        where = f"messages[{position}]"
        if kind is AIMessage:
            turn, media = _assistant(cast("AIMessage", message), where)
            shown += media
            if position < replayed_from:
                turn.pop("reasoning", None)
            wire.append(turn)
        elif kind is ToolMessage or kind is FunctionMessage:
            texts, media = _split(_parts(message.content, where))
            id_ = message.tool_call_id if isinstance(message, ToolMessage) else _called(wire, message.name)
            wire.append({"role": "tool", "tool_call_id": id_, "content": "\n".join(texts)})
            shown += media
        elif kind is not None:
            wire += _turn(message, kind, where, shown)
            shown = []
        else:
            raise _unsendable(where, f"a {type(message).__name__}", "Use one of the current message classes.")
    if shown:
        wire.append(_pictures(shown))
    return wire


@cache
def _kind(of: type[BaseMessage]) -> type[BaseMessage] | None:
    """Return which class of message this is one of; asked once a class, since isinstance of an ABC takes its time."""
    kinds = (AIMessage, ToolMessage, HumanMessage, SystemMessage, ChatMessage, FunctionMessage)
    return next((kind for kind in kinds if issubclass(of, kind)), None)


def _replayed_from(messages: Sequence[BaseMessage], replay: Replay) -> int:
    """Return the position of the first message that may go back with its reasoning."""
    if replay == "all":
        return 0
    if replay == "none":
        return len(messages)
    humans = (i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], HumanMessage))
    return next((i for i in humans if not _holds_only_results(messages[i])), 0)


def _holds_results(message: BaseMessage) -> bool:
    return isinstance(message.content, list) and any(_is_result(block) for block in message.content)


def _holds_only_results(message: BaseMessage) -> bool:
    return _holds_results(message) and all(map(_is_result, message.content))


def _is_result(block: Any) -> bool:
    """Whether a block is Anthropic's answer of a tool, which stands in a human's turn."""
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _turn(
    message: BaseMessage, kind: type[BaseMessage], where: str, shown: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a user's or system's turn; Anthropic's tool results, which are parts of it, become turns before it.

    What is still to be ``shown`` of earlier turns follows those results, in the same turn as their own media.
    """
    role = "user" if kind is HumanMessage else "system" if kind is SystemMessage else cast("ChatMessage", message).role
    turn: dict[str, Any] = {"role": role, **_named(message)}
    if isinstance(message.content, str):
        return [{**turn, "content": message.content}]
    results: list[Any] = [block for block in message.content if _is_result(block)]
    own = [block for block in message.content if not _is_result(block)]
    wire: list[dict[str, Any]] = []
    media = list(_pictures(shown)["content"]) if shown else []
    for result in results:
        texts, pictures = _split(_parts(result.get("content") or "", where))
        wire.append({"role": "tool", "tool_call_id": result.get("tool_use_id"), "content": "\n".join(texts)})
        media += pictures
    parts = [*media, *_parts(own, where)]
    if parts or not results:
        only_text = len(parts) == 1 and parts[0]["type"] == "text"
        wire.append({**turn, "content": parts[0]["text"] if only_text else parts or ""})
    return wire


def _named(message: BaseMessage) -> dict[str, str]:
    """Return who speaks, as the wire has it: the histories of several agents say so, and chat templates read it."""
    name = wire_name(message.name or "")
    return {"name": name} if name else {}


def wire_name(name: str) -> str:
    """Return a name in the letters that the wire allows; empty when it has none of them."""
    return _NOT_IN_A_NAME.sub("_", name).strip("_")[:_MAX_NAME]


def _assistant(message: AIMessage, where: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an assistant's turn, whichever provider wrote it, and the media in it."""
    content = message.content
    texts, thoughts, media = [content] if isinstance(content, str) else [], [], []
    for number, block in enumerate(() if isinstance(content, str) else content):
        if isinstance(block, str):
            texts.append(block)
            continue
        kind = block.get("type")
        if kind in ("text", "output_text", "refusal"):
            texts.append(str(block.get("text") or block.get("refusal") or ""))
        elif kind in ("reasoning", "thinking", "reasoning_content"):
            thoughts.append(_thought(block))
        elif kind in _MEDIA:
            media.append(_part(block, f"{where}.content[{number}]"))
        elif kind not in _ELSEWHERE:
            texts.append(_json(block, f"{where}.content[{number}]"))  # shown rather than lost
    if not any(texts) and isinstance(refusal := message.additional_kwargs.get("refusal"), str):
        texts = [refusal]
    # "" rather than null: some chat templates print null as "None" (vllm#54337).
    wire: dict[str, Any] = {"role": "assistant", **_named(message), "content": "".join(texts)}
    # One place only: after a v1 stream the same reasoning stands in the blocks and in additional_kwargs.
    extra = message.additional_kwargs
    thought = "".join(thoughts) or (extra and (extra.get("reasoning_content") or _thought(extra.get("reasoning"))))
    if isinstance(thought, str) and thought:
        wire["reasoning"] = thought
    calls = _tool_calls(message, where)
    if calls:
        wire["tool_calls"] = calls
    return wire, media


def _thought(block: Any) -> str:
    """Return the text of a reasoning block: of ours, OpenAI's (a list of summaries), Anthropic's or Bedrock's."""
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping):
        for key in ("reasoning", "thinking", "text", "reasoning_content", "summary", "content"):
            if block.get(key):
                return _thought(block[key])
    if isinstance(block, list):
        return "\n\n".join(filter(None, map(_thought, block)))
    return ""


def _tool_calls(message: AIMessage, where: str) -> list[dict[str, Any]]:
    """Return the calls of a turn, which one place of the message owns: what was taken out there does not go back."""
    if message.tool_calls or message.invalid_tool_calls:
        calls = [_call(c["id"], c["name"], _json(c["args"], f"{where}.tool_calls")) for c in message.tool_calls]
        # Calls that did not parse stay pairable with their error results; their arguments travel as valid JSON,
        # because older vLLM answers 400 to anything else.
        return calls + [_call(c["id"], c["name"], _valid(c["args"])) for c in message.invalid_tool_calls]
    old = message.additional_kwargs.get("function_call")
    if isinstance(old, Mapping):  # OpenAI's old form, which has no ids
        number = "".join(filter(str.isdigit, where))
        arguments = old.get("arguments")
        text = arguments if isinstance(arguments, str | None) else _json(arguments, f"{where}.additional_kwargs")
        return [_call(f"call_{number}", old.get("name"), _valid(text))]
    if isinstance(message.content, str) or "tool_calls" in message.model_fields_set:
        return []  # where somebody has emptied it, the blocks do not count
    calls = []
    for block in message.content:
        if isinstance(block, dict) and block.get("type") in (
            "tool_use",
            "function_call",
            "tool_call",
            "invalid_tool_call",
        ):
            arguments = block.get("input") or block.get("args") or block.get("arguments") or {}
            text = arguments if isinstance(arguments, str) else _json(arguments, f"{where}.content")
            calls.append(_call(block.get("call_id") or block.get("id"), block.get("name"), _valid(text)))
    return calls


def _called(wire: Sequence[Mapping[str, Any]], name: str | None) -> str:
    """Return the id of the last call of a function, whose answer names nothing but the function."""
    calls = (call for turn in reversed(wire) for call in turn.get("tool_calls", ()))
    return str(next((call["id"] for call in calls if call["function"]["name"] == name), ""))


def _json(value: Any, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise _unsendable(where, "what is no JSON", f"{e}.") from e


def _call(id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": id_ or "", "type": "function", "function": {"name": name or "", "arguments": arguments}}


def _valid(arguments: str | None) -> str:
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except (ValueError, RecursionError):
        pass
    return json.dumps({"invalid_arguments": arguments}, ensure_ascii=False)


def _split(parts: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    return [p["text"] for p in parts if p["type"] == "text"], [p for p in parts if p["type"] != "text"]


def _pictures(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the user turn that shows what tools and models made: media are seen in user turns only (vllm#43203)."""
    return {"role": "user", "content": [{"type": "text", "text": "Shown in the turns above:"}, *parts]}


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    blocks = [content] if isinstance(content, str | dict) else content
    if not isinstance(blocks, list | tuple) or not all(isinstance(block, str | dict) for block in blocks):
        raise _unsendable(where, f"content of type {type(content).__name__}", "It is a text, or a list of blocks.")
    return [
        {"type": "text", "text": block} if isinstance(block, str) else _part(block, f"{where}.content[{number}]")
        for number, block in enumerate(blocks)
        if block != {"cachePoint": {"type": "default"}}  # Bedrock's cache_control, a block of its own
    ]


def _part(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return one content block as a wire part; only known fields are kept, so no cache_control travels."""
    kind = block.get("type")
    if kind in ("text", "input_text") or (kind is None and "text" in block):
        return {"type": "text", "text": str(block.get("text") or "")}
    if kind == "text-plain" or (kind == "file" and block.get("source_type") == "text"):
        return {"type": "text", "text": _plain(block, where)}
    if kind in ("image_url", "input_image"):
        image = block["image_url"] if isinstance(block.get("image_url"), dict) else {"url": block.get("image_url")}
        if not image.get("url"):
            raise _unsendable(where, "an image without a url", "Ids of uploaded files are not supported.")
        return {"type": "image_url", "image_url": {k: image[k] for k in ("url", "detail") if image.get(k)}}
    if kind in ("input_audio", "video_url", "audio_url"):
        if not block.get(kind):
            raise _unsendable(where, f"a block of type {kind} without {kind}", "It holds the url, or the data.")
        return {"type": kind, kind: block[kind]}
    if kind == "file" and isinstance(block.get("file"), dict):
        return {"type": "file", "file": block["file"]}
    if kind == "media":  # Gemini's
        kind = str(block.get("mime_type")).partition("/")[0]
        kind = kind if kind in _DEFAULT_MIME else "file"
    if kind in _DEFAULT_MIME:
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


def _encoded(block: Mapping[str, Any]) -> Any:
    """Return a block's data as base64; bytes are the file itself, unless they stand for it in the field ``base64``."""
    data = block.get("base64") or block.get("data")
    if not isinstance(data, bytes | bytearray | memoryview):
        return data
    data = bytes(data)
    if block.get("base64"):
        with suppress(ValueError):
            return base64.b64encode(base64.b64decode(data, validate=True)).decode()
    return base64.b64encode(data).decode()


def _media(kind: str, block: Mapping[str, Any], where: str) -> dict[str, Any]:
    data, mime = _encoded(block), str(block.get("mime_type") or _DEFAULT_MIME[kind])
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
