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
from wandb_inference.errors import ConfigurationError

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
_SHORTEST = 8  # a shorter key may be a word
_REAL = 20  # of longer ones their beginning suffices: an excerpt may end inside it


class Secrets:
    """Blots keys out: those it was told of, and what looks like one."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._learn(frozenset())

    def learn(self, secrets: Iterable[str]) -> None:
        """Blot these out from now on, too."""
        new = {secret for secret in secrets if len(secret) >= _SHORTEST} - self._known
        if new:
            self._learn(self._known | new)

    def _learn(self, known: frozenset[str]) -> None:
        self._known = known
        told = [re.escape(k[:_SHORTEST]) + r"[\w.~+/=\-]*" if len(k) >= _REAL else re.escape(k) for k in known]
        told += [re.escape(k) for k in known if len(k) >= _REAL]  # first, whole: it may hold other characters
        self._alone = re.compile("|".join([*sorted(told, key=len, reverse=True), *_KEYS]))
        self._named = [re.compile(pattern) for pattern in _NAMED]

    def clean(self, value: Any) -> Any:
        """Return JSON without keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {
                self.text(str(name)): BLOT
                if isinstance(part, str) and part and _SECRET_NAME.fullmatch(str(name))
                else self.clean(part)
                for name, part in value.items()
            }
        return value

    def text(self, text: str) -> str:
        """Return a text without keys."""
        for pattern in self._named:
            text = pattern.sub(rf"\1{BLOT}", text)
        return self._alone.sub(BLOT, text)


_PARAMETERS = r"(?:;[^,;\s\"')]*)*"
_DATA_URL = re.compile(rf"data:([\w.+\-]+/[\w.+\-]+)?{_PARAMETERS};base64,([A-Za-z0-9+/=_\-]*)")


def without_media(value: Any) -> Any:
    """Return JSON with the bytes of pictures, sounds and files replaced by their type, size and digest."""
    if isinstance(value, str):
        if ";base64," not in value:
            return value
        whole = _DATA_URL.fullmatch(value)
        if whole:
            return _described(whole[1] or "", whole[2])
        return _DATA_URL.sub(lambda found: json.dumps(_described(found[1] or "", found[2])), value)
    if isinstance(value, list):
        return [without_media(item) for item in value]
    if isinstance(value, dict):
        for name in ("data", "file_data"):
            data = value.get(name)
            if (
                isinstance(data, str)
                and not data.startswith(("data:", "http"))
                and ("format" in value or name != "data")
            ):
                rest = {key: without_media(part) for key, part in value.items() if key != name}
                return {**rest, name: _described(str(value.get("format") or ""), data)}
        return {name: without_media(part) for name, part in value.items()}
    return value


def _described(mime: str, data: str) -> dict[str, Any]:
    try:
        raw = base64.b64decode(data.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except (binascii.Error, ValueError):
        raw = data.encode()
    return {"mime": mime, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def truncated(value: Any, limit: int) -> Any:
    """Return JSON whose texts have so many characters at most, and say what is missing."""
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}…[{len(value) - limit} more]"
    if isinstance(value, list):
        return [truncated(item, limit) for item in value]
    if isinstance(value, dict):
        return {name: truncated(part, limit) for name, part in value.items()}
    return value


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
        return None if kept is None else self._finished(kept, self._said)

    def fallback(self, row: Row, why: str) -> Row:
        """Return the row without what was said."""
        return self._finished(without_content(row), why)

    @property
    def _said(self) -> str:
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
    if isinstance(given, str | re.Pattern):
        return partial(_substituted, re.compile(given))
    raise ConfigurationError(f"redact has {given!r}.", hint="Functions of the row, and patterns.")


def _substituted(pattern: re.Pattern[str], value: Any) -> Any:
    if isinstance(value, str):
        return pattern.sub(BLOT, value)
    if isinstance(value, list):
        return [_substituted(pattern, item) for item in value]
    if isinstance(value, dict):
        return {name: _substituted(pattern, part) for name, part in value.items()}
    return value
