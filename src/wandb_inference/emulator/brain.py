"""What the emulator answers: the same to the same question, and of use to whoever tests against it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from wandb_inference.emulator.protocol import Call
from wandb_inference.emulator.refusal import bad_request
from wandb_inference.emulator.sample import BadSchemaError, sample, words_of
from wandb_inference.emulator.script import Reply, ToolUse

_OPENINGS = ("You said", "I heard", "You wrote")  # a seed picks one
_THOUGHTS = ("The user says {words} words.", " I will answer in one line.", " I have checked it twice.")
_DEPTH = {"minimal": 1, "low": 1, "medium": 2, "high": 3, "max": 3, "xhigh": 3}
_MAX_PARALLEL = 4


def answer(call: Call, choice: int = 0) -> Reply:
    """Return the answer to a call nobody scripted.

    Args:
        call: what was asked.
        choice: which of the ``n`` answers; each differs from the first.
    """
    prompt = last_text(call.messages, "user")
    reasoning = "".join(_THOUGHTS[: _DEPTH.get(call.effort or "medium", 2)]).format(words=len(prompt.split()))
    uses = _tool_uses(call, prompt)
    if uses:
        return Reply(reasoning=f"{reasoning} I call {uses[0].name}.", tool_calls=uses)
    return Reply(text=_text(call, prompt, choice), reasoning=reasoning)


def last_text(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """Return the text of the last message of this role; empty when there is none."""
    message: Mapping[str, Any] = next((m for m in reversed(messages) if m.get("role") == role), {})
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if part.get("type") == "text")


def _text(call: Call, prompt: str, choice: int) -> str:
    if call.response_format == "json_schema":
        return json.dumps(_sampled(call.schema, prompt, choice), ensure_ascii=False)
    if call.response_format == "json_object":
        described = _described(call.messages)
        if described is not None:
            return json.dumps(_sampled(described, prompt, choice), ensure_ascii=False)
        keys = dict.fromkeys(re.findall(r"['\"`](\w+)['\"`]", prompt)) or {"answer": None}
        return json.dumps({key: f"{key} of: {prompt[:40]}" for key in keys}, ensure_ascii=False)
    again = f" ({choice + 1})" if choice else ""
    results = _results(call.messages)
    if results:
        return f"The tool says: {'; '.join(results)}{again}"
    said = f"{_OPENINGS[(call.seed or 0) % len(_OPENINGS)]}: {prompt}{again}"
    media = [
        p for m in call.messages if isinstance(m.get("content"), list) for p in m["content"] if p.get("type") != "text"
    ]
    return f"{said} [{len(media)} x {media[0]['type']}]" if media else said


def _described(messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the JSON schema that the system turn describes, if it does."""
    text = last_text(messages, "system")
    start = text.find('{"')
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:]) if start >= 0 else (None, 0)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "properties" in found else None


def _results(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tools answered since the user spoke last."""
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        if message.get("role") == "tool":
            results.insert(0, last_text([message], "tool"))
    return results


def _tool_uses(call: Call, prompt: str) -> tuple[ToolUse, ...]:
    if call.tool_choice == "none":
        return ()
    if call.tool_choice == "auto" and call.response_format == "json_schema" and not _composes(call):
        return ()  # the schema's grammar holds from the first token on (vllm#39929)
    if call.tool_choice.startswith("name:"):
        function = next(f for f in call.tools if f["name"] == call.tool_choice.removeprefix("name:"))
        return (_use(function, prompt, 0),)
    # Forced to call something, it calls what has not answered yet: an agent's final tool gets its turn.
    has_results = bool(_results(call.messages))
    answered = call.messages if has_results else ()
    used = {c["function"].get("name") for message in answered for c in message.get("tool_calls") or ()}
    ranked = sorted(call.tools, key=lambda f: (f["name"] in used, -_kinship(f, prompt)))
    if call.tool_choice == "auto" and (not _kinship(ranked[0], prompt) or has_results):
        return ()
    named = [function for function in ranked if function["name"].lower() in prompt.lower()]
    if len(named) > 1 and call.parallel and not has_results:  # "ask the researcher and the writer"
        return tuple(_use(function, prompt, 0) for function in named[:_MAX_PARALLEL])
    best = ranked[0]
    # "the weather in Paris and Warsaw" is one call a city, if the tool takes exactly one text.
    properties = (best.get("parameters") or {}).get("properties") or {}
    texts = [key for key, sub in properties.items() if isinstance(sub, dict) and sub.get("type") == "string"]
    asked = len(words_of(prompt)) if len(properties) == len(texts) == 1 else 1
    number = min(max(asked, 1), _MAX_PARALLEL) if call.parallel else 1
    return tuple(_use(best, prompt, pick) for pick in range(number))


def _composes(call: Call) -> bool:
    """Whether the grammars of tools and schema are composed: for a strict tool, by parsers with a structural tag."""
    return not call.card.schema_as_tool and any(function.get("strict") for function in call.tools)


def _use(function: Mapping[str, Any], prompt: str, pick: int) -> ToolUse:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return ToolUse(function["name"], _sampled(schema, prompt, pick))


def _sampled(schema: Mapping[str, Any] | bool, prompt: str, pick: int) -> Any:
    try:
        return sample(schema, prompt, pick=pick)
    except BadSchemaError as e:
        raise bad_request(f"Grammar error: {e}") from e


def _kinship(function: Mapping[str, Any], prompt: str) -> int:
    """Return how many words a tool's name and description share with the prompt."""
    about = f"{re.sub(r'[_A-Z]', ' ', function['name'])} {function['name']} {function.get('description') or ''}"
    asked = {word for word in re.findall(r"\w+", prompt.lower()) if len(word) > 3}  # noqa: PLR2004 (skips articles)
    known = {word for word in re.findall(r"[^\W_]+", about.lower()) if len(word) > 3}  # noqa: PLR2004
    return len(asked & known) + (function["name"].lower() in prompt.lower()) * 10
