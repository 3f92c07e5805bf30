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

from wandb_inference.accounting import CONTENT, without_content
from wandb_inference.errors import ConfigurationError, key_pattern

Row: TypeAlias = "dict[str, Any]"
Redaction: TypeAlias = "Callable[[Row], Row | None]"
"""Returns the row to be kept; ``None``: none."""

BLOT = "***"
_KEYS = (
    r"\bwandb_v\d+_[\w\-]{8,}",
    r"\b[0-9a-f]{40}\b",  # W&B's older keys; commit ids look the same, and go, too
    r"\bsk-[\w\-]{16,}",
    r"\b(?:gsk_|hf_|xai-|lsv2_|gh[pousr]_|github_pat_|xox[abp]-|AIza)[\w\-]{16,}",
    r"\bAKIA[0-9A-Z]{16}\b",
)
_NAME = r"(?:x-)?(?:api[-_]?key|access[-_]?token|client[-_]?secret|authorization)"
_NAMED = (
    r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/\-]{8,}=*",
    rf"(?i)(\b{_NAME}\b\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!\s*(?:bearer|basic)\b)[^\s\"'&,;\\]{{6,}}",
    r"(://[^/\s:@]*:)[^/\s@]+(?=@)",
)
_SECRET_NAME = re.compile(r"(?i)(x-)?(api[-_]?key|authorization|access[-_]?token|client[-_]?secret|password|cookie)")


def mapped(value: Any, text: Callable[[str], Any], name: Callable[[str], str] = str) -> Any:
    """Return JSON with every text replaced, and with every name in its objects."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return [mapped(item, text, name) for item in value]
    if isinstance(value, dict):
        return {name(str(key)): mapped(part, text, name) for key, part in value.items()}
    return value


def _without_named(value: Any) -> Any:
    """Return JSON without the values that are called keys."""
    if isinstance(value, list | tuple):
        return [_without_named(item) for item in value]
    if isinstance(value, dict):
        return {
            name: BLOT if isinstance(part, str) and part and _SECRET_NAME.fullmatch(str(name)) else _without_named(part)
            for name, part in value.items()
        }
    return value


class Secrets:
    """Blots keys out: those it was told of, and what looks like one."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._learn(frozenset())

    def learn(self, secrets: Iterable[str]) -> None:
        """Blot these out from now on, too."""
        if not self._known.issuperset(secrets):
            self._learn(self._known.union(secrets))

    def _learn(self, known: frozenset[str]) -> None:
        self._known = known
        told = [pattern for secret in known if (pattern := key_pattern(secret, r"[\w.~+/=\-]"))]
        self._alone = re.compile("|".join([*sorted(told, key=len, reverse=True), *_KEYS]))
        self._named = [re.compile(pattern) for pattern in _NAMED]

    def clean(self, value: Any) -> Any:
        """Return JSON without keys."""
        return mapped(_without_named(value), self.text, self.text)

    def text(self, text: str) -> str:
        """Return a text without keys."""
        for pattern in self._named:
            text = pattern.sub(rf"\1{BLOT}", text)
        return self._alone.sub(BLOT, text)


_PARAMETERS = r"(?:;[^,;\s\"')]*)*"
_DATA_URL = re.compile(rf"data:([\w.+\-]+/[\w.+\-]+)?{_PARAMETERS};base64,([A-Za-z0-9+/=_\-]*)")


def without_media(value: Any) -> Any:
    """Return JSON with the bytes of pictures, sounds and files replaced by their type, size and digest."""
    if isinstance(value, list | tuple):
        return [without_media(item) for item in value]
    if not isinstance(value, dict):
        return _without_data(value) if isinstance(value, str) else value
    kept = {name: without_media(part) for name, part in value.items()}
    for name in ("data", "file_data"):  # as input_audio and file have them, without a type of their own
        if isinstance(kept.get(name), str) and (name == "file_data" or "format" in kept):
            kept[name] = _described(str(kept.get("format") or ""), kept[name])
    return kept


def _without_data(text: str) -> Any:
    if ";base64," not in text:
        return text
    whole = _DATA_URL.fullmatch(text)
    if whole:
        return _described(whole[1] or "", whole[2])
    return _DATA_URL.sub(lambda found: json.dumps(_described(found[1] or "", found[2])), text)


def _described(mime: str, data: str) -> dict[str, Any]:
    try:
        raw = base64.b64decode(data.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except (binascii.Error, ValueError):
        raw = data.encode()
    return {"mime": mime, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


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
        salt: of the digests.
    """

    def __init__(self, content: str | Callable[[Row], Row | None], redact: Iterable[Redaction], salt: bytes) -> None:
        self.secrets = Secrets()
        self._content, self._redact, self._salt = content, tuple(redact), salt

    def __call__(self, row: Row) -> Row | None:
        """Return what may be written; ``None``: nothing.

        Raises:
            Exception: one of the caller's own functions failed; ``fallback`` returns what may be written all the same.
        """
        row = self._without(without_media(row))
        kept: Row | None = self._content(row) if callable(self._content) else row
        for redaction in self._redact:
            if kept is None:
                return None
            kept = redaction(kept)
        return None if kept is None else self._finished(kept, self._mode)

    def fallback(self, row: Row, why: str) -> Row:
        """Return the row without what was said."""
        return self._finished(without_content(row), why)

    @property
    def _mode(self) -> str:
        return "callable" if callable(self._content) else self._content

    def _without(self, row: Row) -> Row:
        if self._content == "metadata":
            return without_content(row)
        if self._content == "hash":
            return hashed(row, self._salt)
        if isinstance(self._content, str) and self._content.startswith("truncate:"):
            limit = int(self._content.partition(":")[2])
            return {**row, **{name: truncated(row[name], limit) for name in (*CONTENT, "params")}}
        return row

    def _finished(self, row: Row, how: str) -> Row:
        return {**self.secrets.clean(row), "redaction": how}


def as_redaction(given: Any) -> Redaction:
    """Return a function of the row; of a pattern, the one that blots its matches out.

    Raises:
        ConfigurationError: it is neither a function nor a pattern.
    """
    if callable(given):
        return given  # type: ignore[no-any-return]
    try:
        blot = partial(re.compile(given).sub, BLOT)
    except (TypeError, re.error) as e:
        raise ConfigurationError(f"redact has {given!r}: {e}.", hint="Functions of the row, and patterns.") from e
    return lambda row: {name: mapped(part, blot, blot) for name, part in row.items()}
