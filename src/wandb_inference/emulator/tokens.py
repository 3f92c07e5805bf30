"""The emulator's own idea of tokens: enough to count, cut, cache and bill, and the same on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# A word and the space before it, in pieces of up to six letters; digits by threes; punctuation one by one; white space.
_PIECE = re.compile(r" ?[^\W\d_]{1,6}| ?\d{1,3}|[^\w\s]|_|\s+(?=\s)|\s")
IMAGE_TOKENS = 256
_PER_MESSAGE = 4
_BLOCK = 16  # tokens of one block of the prefix cache, as in vLLM


def pieces(text: str) -> list[str]:
    """Return the text as tokens; joined, they are the text again."""
    return _PIECE.findall(text)


def prompt_pieces(messages: Iterable[Mapping[str, Any]], tools: Iterable[Any] = ()) -> Iterator[str]:
    """Yield the tokens of a whole prompt, chat template and tool definitions included."""
    for tool in tools:
        yield from pieces(json.dumps(tool, ensure_ascii=False))
    for message in messages:
        yield from (f"<{message.get('role')}>",) * _PER_MESSAGE
        yield from pieces(str(message.get("reasoning") or ""))
        content = message.get("content")
        for part in content if isinstance(content, list) else ({"type": "text", "text": content or ""},):
            if part.get("type") == "text":
                yield from pieces(str(part.get("text") or ""))
            else:
                yield from (f"<{part.get('type')}>",) * IMAGE_TOKENS
        for call in message.get("tool_calls") or ():
            yield from pieces(json.dumps(call, ensure_ascii=False))


class PrefixCache:
    """Remembers the beginnings of prompts, block by block, and says how many tokens of a prompt it has seen before."""

    def __init__(self, blocks: int = 50_000) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._blocks = blocks

    def hit(self, tokens: list[str], salt: str) -> int:
        """Return the number of cached tokens of this prompt, and remember it."""
        digest = hashlib.blake2b(salt.encode(), digest_size=16)
        cached, matching = 0, True
        # The last token is always computed, so a prompt is never cached whole.
        for start in range(0, (len(tokens) - 1) // _BLOCK * _BLOCK, _BLOCK):
            digest.update("\0".join(tokens[start : start + _BLOCK]).encode("utf-8", "replace"))
            block = digest.digest()
            matching = matching and block in self._seen
            cached += _BLOCK if matching else 0
            self._seen[block] = None
            self._seen.move_to_end(block)
        while len(self._seen) > self._blocks:
            self._seen.popitem(last=False)
        return cached
