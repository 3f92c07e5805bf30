"""What is left out of a row before it touches the disk."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from wandb_inference._autolog.keys import BLOT, Secrets, mapped
from wandb_inference.accounting import COLUMNS, CONTENT, without_content
from wandb_inference.errors import ConfigurationError

Row: TypeAlias = "dict[str, Any]"
Redaction: TypeAlias = "Callable[[Row], Row | None]"
"""Returns the row to be kept; ``None``: none."""

# Also as encoders break it into lines, escape it in URLs, or write it inside JSON.
_DATA = re.compile(r"(?i)(?:[A-Za-z0-9+/=_\-]++|%[0-9A-Fa-f]{2}|\\?[\r\n]|\\[rn/])*+")
_DATA_URL = re.compile(r"[dD][aA][tT][aA]:([\w.+\-]++\\?/[\w.+\-]++)?(?=;)")
_PARAMETERS = re.compile(r"[^,\s\"')]*+")
_IN_BASE64 = ";base64"
_TYPED = ("format", "media_type", "mime_type")  # names of the type of the data beside them


def without_media(value: Any) -> Any:
    """Return JSON with the bytes of pictures, sounds and files replaced by their type, size and digest."""
    if isinstance(value, list | tuple):
        return [without_media(item) for item in value]
    if not isinstance(value, dict):
        return _without_data(value) if isinstance(value, str) else value
    kept = {name: without_media(part) for name, part in value.items()}
    mime = next((str(kept[name]) for name in _TYPED if kept.get(name)), None)
    for name in ("data", "file_data", "base64"):  # as sounds, files and other APIs' pictures have them
        if isinstance(kept.get(name), str) and (name == "file_data" or mime is not None):
            kept[name] = _described(mime or "", kept[name])
    return kept


def _without_data(text: str) -> Any:
    if f"{_IN_BASE64}," not in text.lower():
        return text
    kept: list[str] = []
    done = seen = 0
    for url in _DATA_URL.finditer(text):
        if url.start() < seen:
            continue
        seen = comma = _PARAMETERS.match(text, url.end()).end()  # type: ignore[union-attr]  # it may be empty
        if text[comma : comma + 1] != "," or text[comma - len(_IN_BASE64) : comma].lower() != _IN_BASE64:
            continue  # nor can another URL that begins before
        seen = _DATA.match(text, comma + 1).end()  # type: ignore[union-attr]  # as above
        shown = _described(url[1] or "", text[comma + 1 : seen])
        if url.start() == 0 and seen == len(text):
            return shown
        kept += (text[done : url.start()], json.dumps(shown))
        done = seen
    return "".join((*kept, text[done:]))


def _described(mime: str, data: str) -> dict[str, Any]:
    told = re.sub(r"\\[rn]|[\s\\]", "", unquote(data)).translate({ord("-"): "+", ord("_"): "/"})
    try:
        raw = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        raw = data.encode()
    return {"mime": mime.replace("\\", "").lower(), "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def truncated(value: Any, limit: int) -> Any:
    """Return JSON whose texts have so many characters at most, and say what is missing."""
    return mapped(value, lambda text: text if len(text) <= limit else f"{text[:limit]}…[{len(text) - limit} more]")


def hashed(row: Mapping[str, Any], salt: bytes) -> Row:
    """Return the row with digests instead of what was said: who repeats what can be seen, but not what it is."""

    def digest(value: Any) -> str | None:
        told = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return f"sha256:{hashlib.sha256(salt + told.encode('utf-8', 'surrogatepass')).hexdigest()}" if told else None

    messages = [{"role": str(message.get("role")), "sha256": digest(message)} for message in row.get("messages") or ()]
    answer = {name: digest(row[name]) for name in ("content", "reasoning") if row.get(name)}
    calls = [{"name": call["name"], "sha256": digest(call["arguments"])} for call in row.get("tool_calls") or ()]
    return {**without_content(row), "messages": messages, **answer, "tool_calls": calls or None}


class Redactor:
    """Everything that happens to a row before it is written.

    Args:
        content: ``full``, ``metadata``, ``hash``, ``truncate:N`` or a function of the row.
        redact: more functions of the row, in order.
        patterns: whose matches are blotted out, in every row.
        salt: of the digests.
    """

    def __init__(
        self,
        content: str | Callable[[Row], Row | None],
        redact: Iterable[Redaction],
        patterns: Iterable[re.Pattern[str]],
        salt: bytes,
    ) -> None:
        self.secrets = Secrets()
        self._mode = "callable" if callable(content) else content
        self._functions = [*([content] if callable(content) else ()), *redact]
        self._patterns, self._salt = tuple(patterns), salt

    def __call__(self, row: Row) -> Row | None:
        """Return what may be written; ``None``: nothing.

        Raises:
            Exception: one of the caller's own functions failed; ``fallback`` returns what may be written all the same.
        """
        kept: Row | None = self._without(self._clean(without_media(row)))  # keys first: half of one would be left
        for function in self._functions:
            kept = None if kept is None else function(kept)
        if kept is not None and self._functions:  # which may have put anything there
            kept = self._clean(without_media(kept))
        return None if kept is None else kept | {"redaction": self._mode}

    def wants(self, row: Row) -> bool:
        """Return whether the caller's own functions, if there are any, keep a row. Raises: as they do."""
        return not self._functions or self(row) is not None

    def fallback(self, row: Row, why: str) -> Row:
        """Return the row without what was said."""
        return self._clean(without_content(row)) | {"redaction": why}

    def _without(self, row: Row) -> Row:
        if self._mode == "metadata":
            return without_content(row)
        if self._mode == "hash":
            return hashed(row, self._salt)
        if self._mode.startswith("truncate:"):
            limit = int(self._mode.partition(":")[2])
            return {**row, **{name: truncated(row[name], limit) for name in (*CONTENT, "params")}}
        return row

    def _clean(self, row: Row) -> Row:
        ours = {name: self.secrets.clean(row[name]) for name in row if name in COLUMNS}  # whose names are no secrets
        cleaned: Row = ours | self.secrets.clean({name: row[name] for name in row if name not in COLUMNS})
        for pattern in self._patterns:
            blot = partial(_in_pieces, pattern)
            cleaned = {name: mapped(part, blot, blot) for name, part in cleaned.items()}
        return cleaned


_PIECE = 10_000  # characters; a user's pattern may take time that grows with the square of its text


def _in_pieces(pattern: re.Pattern[str], text: str) -> str:
    """Blot matches out of pieces of a text, which end behind a line or a word where they can."""
    kept, begin = [], 0
    while len(text) - begin > _PIECE:
        last = max(text.rfind(sign, begin + _PIECE // 2, begin + _PIECE) for sign in "\n ")
        end = last + 1 if last >= 0 else begin + _PIECE
        kept.append(pattern.sub(BLOT, text[begin:end]))
        begin = end
    return "".join((*kept, pattern.sub(BLOT, text[begin:])))


def as_pattern(given: Any) -> re.Pattern[str]:
    """Return a pattern.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return re.compile(given)
    except (TypeError, re.error) as e:
        raise ConfigurationError(f"redact has {given!r}: {e}.", hint="Functions of the row, and patterns.") from e
