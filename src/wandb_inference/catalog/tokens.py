"""How many tokens a prompt has, about: from its bytes, without a tokenizer, a download or a request."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from wandb_inference.catalog.card import Modality
from wandb_inference.chat import ChatOptions, ChatRequest

BYTES_PER_TOKEN = 3.2  # measured over English, JSON and Japanese against cl100k (2026-11-20); long on the safe side
_TOKENS_PER_MESSAGE = 4  # role and delimiters of a chat template
_IMAGE_TOKENS = 1000  # no bound is known; a usual figure for one picture

MEDIA_BOUND = 16_384
"""Tokens of one picture, at most: an assumption (what Qwen's processors allow by default), not a fact of all models."""
_MESSAGE_BOUND = 32  # role, name, delimiters
_TEMPLATE_BOUND = 2048  # the longest system turns that templates add by themselves, with instructions for tools


def estimate_tokens(request: ChatRequest) -> int:
    """Return about how many tokens the prompt has, tools and pictures included."""
    return Measured(request).estimate


def estimate_of(text: str) -> int:
    """Return about how many tokens a text has."""
    return int(_bytes(text) / BYTES_PER_TOKEN)


class Measured:
    """A call, and what is known of its size: measured when first asked for, once for all models."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.options: ChatOptions = request.options
        self._messages = request.messages

    @cached_property
    def media(self) -> tuple[tuple[str, Modality], ...]:
        """(field, kind) of every part that is not text."""
        return tuple(_media(self._messages))

    @cached_property
    def estimate(self) -> int:
        """Tokens of the prompt, about."""
        size = sum(map(_bytes, self._texts)) + sum(map(_bytes, _thoughts(self._messages)))
        size += sum(len(json.dumps(tool, default=str)) for tool in self.options.tools or ())
        images = sum(1 for _, kind in self.media if kind == "image")
        return int(size / BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(self._messages) + _IMAGE_TOKENS * images

    @cached_property
    def bound(self) -> int:
        """Tokens of the prompt, at most: no tokenizer makes more of a text than it has bytes.

        Tools and other structured parts count twice, as JSON in ASCII: templates may indent and escape them. What a
        template adds is bounded by what is usual; so is a picture, whose tokens no source bounds for all models.
        """
        options = self.options
        size = sum(
            len(text.encode("utf-8", "surrogatepass")) for message in self._messages for text in _strings(message)
        )
        structured = [options.tools, options.response_format, options.extra_body]
        structured += [message.get("tool_calls") for message in self._messages]
        size += 2 * sum(len(json.dumps(part, default=str)) for part in structured if part)
        return size + _TEMPLATE_BOUND + _MESSAGE_BOUND * len(self._messages) + MEDIA_BOUND * len(self.media)

    @cached_property
    def words(self) -> int:
        """Tokens of the prompt, at least: no tokenizer of the hosted families joins words across white space."""
        return sum(len(text.split()) for text in self._texts)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(_texts(self._messages))


class TokenEstimator:
    """Estimates prompts, and learns each model's tokenizer and chat template from what the service counted.

    A straight line for each model, ``tokens = base + rate x estimate``, by least squares over its latest calls; prompts
    with pictures are left out, whose tokens depend on their pixels. Thread-safe.

    >>> estimator, request = TokenEstimator(), ChatRequest("m", [{"role": "user", "content": "word " * 100}])
    >>> before = estimator.estimate(request)
    >>> for _ in range(20):
    ...     estimator.learn(request, 101)
    >>> before, estimator.estimate(request)
    (160, 101)
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._lock = Lock()

    def estimate(self, request: ChatRequest) -> int:
        """Return about how many tokens the prompt has for this model."""
        return self.adjusted(request.model, estimate_tokens(request))

    def adjusted(self, model: str, estimate: int) -> int:
        """Return about how many tokens a prompt has for this model, which has so many by its bytes."""
        line = self._lines.get(model)
        return estimate if line is None else line.at(estimate)

    def learn(self, request: ChatRequest | Measured, counted: int) -> None:
        """Take note of how many tokens the service counted in a prompt."""
        call = request if isinstance(request, Measured) else Measured(request)
        if counted and not call.media:
            with self._lock:
                self._lines.setdefault(call.request.model, _Line()).add(call.estimate, counted)


class _Line:
    """A ridge regression that forgets: the line follows a template that changes."""

    _KEPT = 0.95  # of the weight of earlier calls, with each new one
    # What holds the line until calls say otherwise: a base near 0 (give or take 200 tokens) and a rate near 1 (give or
    # take 0.2), where single prompts are off by 5 % and 5 tokens.
    _HOLD_BASE, _HOLD_RATE = (0.05 / 200) ** 2, (0.05 / 0.2) ** 2

    def __init__(self) -> None:
        self._sums = [0.0] * 5
        self._line = 0.0, 1.0  # base, rate; replaced as a whole, so that readers need no lock

    def at(self, estimate: int) -> int:
        base, rate = self._line
        return max(1, int(base + rate * estimate + 0.5))

    def add(self, x: int, y: int) -> None:
        weight = 1 / (x + 100) ** 2
        new = (weight, weight * x, weight * y, weight * x * x, weight * x * y)
        self._sums = [self._KEPT * s + t for s, t in zip(self._sums, new, strict=True)]
        w, wx, wy, wxx, wxy = self._sums
        w, wxx, wxy = w + self._HOLD_BASE, wxx + self._HOLD_RATE, wxy + self._HOLD_RATE
        rate = min(max((w * wxy - wx * wy) / (w * wxx - wx * wx), 0.2), 5.0)
        self._line = (wy - rate * wx) / w, rate


_KINDS: dict[str, Modality] = {
    "image_url": "image",
    "image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "file": "file",
}


def _parts(message: Mapping[str, Any]) -> Sequence[Any]:
    content = message.get("content")
    return content if isinstance(content, list | tuple) else ()


def _media(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Modality]]:
    for i, message in enumerate(messages):
        content = message.get("content")
        for j, part in enumerate(() if isinstance(content, str) else _parts(message)):
            kind = _KINDS.get(str(part.get("type"))) if isinstance(part, Mapping) else None
            if kind is not None:
                yield f"messages[{i}].content[{j}]", kind


def _strings(value: Any) -> Iterator[str]:
    """Yield every text within a message, wherever it stands; media are no text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, Mapping) and str(value.get("type")) not in _KINDS:
        for name, item in value.items():
            if name != "tool_calls":  # counted with what is structured
                yield from _strings(item)


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        for part in () if isinstance(content, str) else _parts(message):
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            yield f"{function.get('name') or ''} {function.get('arguments') or ''}"


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _thoughts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the reasoning that chat templates keep: that of turns since the user spoke last."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return
        if isinstance(message.get("reasoning"), str):
            yield message["reasoning"]
