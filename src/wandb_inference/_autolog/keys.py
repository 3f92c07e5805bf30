"""Keys are blotted out: those that were sent, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from wandb_inference.errors import key_pattern

BLOT = "***"
_SHORT = 40  # characters
# Names of what is secret, with anything before them (OPENAI_API_KEY). Values are told from words by a digit in them.
_NAME = (
    r"(?<![A-Za-z0-9])(?:[A-Za-z0-9]+[-_])*"
    r"(?:api[-_]?key|access[-_]?key|secret[-_]?key|(?:access|auth|refresh)[-_]?token|client[-_]?secret|secret|passw(?:or)?d)"
)
_IS = r"[\"'\\]*\s*[:=]\s*[\"'\\]*"
_VALUE = r"(?=[^\s\"'&,;\\]*\d)[^\s\"'&,;\\]{6,}"
_WORD = r"(?=[\w.~+/\-]*[\d=+/])[\w.~+/\-]{8,}"
_PREFIXES = r"gsk_|hf_|npm_|xai-|lsv2_|glpat-|gh[pousr]_|github_pat_|xox[abp]-|xapp-|AIza|ya29\."
_PATTERNS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # (what a text with a match has, in lower case: looked for first, because patterns are slow; pattern; what is left)
    (("key", "token", "secret", "passw"), rf"(?i)({_NAME}{_IS}){_VALUE}", rf"\1{BLOT}"),
    (("authorization",), rf"(?i)(\bauthorization{_IS}(?:[a-z]+\s+)?){_VALUE}", rf"\1{BLOT}"),
    (("bearer", "basic"), rf"(?i)(\b(?:bearer|basic)\s+)(?:{_WORD}|\w{{24,}})=*", rf"\1{BLOT}"),
    (
        ("token=", "signature=", "sig=", "key=", "secret=", "password="),
        r"(?i)([?&][\w\-]*(?:token|signature|sig|key|secret|password)=)[^&\s\"'#]{6,}",
        rf"\1{BLOT}",
    ),
    (("://",), r"(://[^/\s:@]*:)[^/\s@]+(?=@)", rf"\1{BLOT}"),
    (("wandb_v",), r"\bwandb_v\d+_[\w\-]{8,}", BLOT),
    (("",), r"\b[0-9a-f]{40}\b", BLOT),  # W&B's older keys; commit ids look the same, and go, too
    (("sk-", "sk_", "rk-", "rk_"), r"\b(?:sk|rk)[-_][\w\-]{16,}", BLOT),
    (("_", "-", "aiza", "ya29."), rf"\b(?:{_PREFIXES})[\w\-]{{16,}}", BLOT),
    (("akia", "asia"), r"\bA[KS]IA[0-9A-Z]{16}\b", BLOT),
    (("eyj",), r"\beyJ[\w\-]{6,}\.[\w\-]{8,}\.[\w\-]*", BLOT),  # JSON web tokens
    (("private key",), r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----", BLOT),
)
_COMPILED = [(signs, re.compile(pattern), left) for signs, pattern, left in _PATTERNS]
_SECRET_NAME = re.compile(
    r"(?i)(?:.*[-_])?(?:api[-_]?key|access[-_]?key|secret[-_]?key|(?:access|auth|refresh)[-_]?token|client[-_]?secret"
    r"|authorization|password|passwd|secret|cookie)"
)


def mapped(value: Any, text: Callable[[str], Any], name: Callable[[str], str] = str) -> Any:
    """Return JSON with every text replaced, and with every name in its objects."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return [mapped(item, text, name) for item in value]
    if isinstance(value, dict):
        return {name(str(key)): mapped(part, text, name) for key, part in value.items()}
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
        told = [p for secret in known if (p := key_pattern(secret, r"[\w.~+/=\-]", shortest=12))]
        self._short = lru_cache(4096)(self._without_keys)  # most are names and words of ours, which come again
        self._told = re.compile("|".join(sorted(told, key=len, reverse=True)) or r"(?!)")

    def clean(self, value: Any) -> Any:
        """Return JSON without keys."""
        return mapped(_without_named(value), self.text, self.text)

    def text(self, text: str) -> str:
        """Return a text without keys."""
        return self._without_keys(text) if len(text) > _SHORT else self._short(text)

    def _without_keys(self, text: str) -> str:
        lower = text.lower()
        for signs, pattern, left in _COMPILED:
            if any(sign in lower for sign in signs):
                text = pattern.sub(left, text)
        return self._told.sub(BLOT, text)


def _without_named(value: Any) -> Any:
    """Return JSON without the texts that are called keys."""
    if isinstance(value, list | tuple):
        return [_without_named(item) for item in value]
    if isinstance(value, dict):
        return {
            name: _blotted(part) if _SECRET_NAME.fullmatch(str(name)) else _without_named(part)
            for name, part in value.items()
        }
    return value


def _blotted(value: Any) -> Any:
    """Return a secret as it may be shown; an object is none, but the schema of one."""
    if isinstance(value, list | tuple):
        return [_blotted(item) for item in value]
    return BLOT if isinstance(value, str) and value else _without_named(value)
