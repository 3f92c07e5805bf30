"""Keys are blotted out: those that were sent, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

from wandb_inference.errors import key_pattern

BLOT = "***"
_SHORT = 40  # characters
# Values are told from words by a digit in them.
_VALUE = re.compile(r"[^\s\"'&,;\\]*+")
_LAST_DIGIT = re.compile(r"[^\s\"'&,;\\]*\d")
_SHORTEST_VALUE = 6
_IS = r"[\"'\\]*+\s*+[:=]\s*+[\"'\\]*+"
_WORD = r"(?=[\w.~+/\-]*[\d=+/])[\w.~+/\-]{8,}+"


def _words(*words: str, after: str = r"\w") -> str:
    """Return a pattern of these words in any case, with nothing before them that ``after`` stands for.

    Their first letters come first, and then what must not stand before: where a pattern begins otherwise, or says
    ``(?i)``, re tries every place in a text.
    """
    by_first: dict[str, list[str]] = {}
    for word in words:
        by_first.setdefault(word[0], []).append(re.sub("[a-z]", _either, word[1:]))
    first, second = "".join(by_first), "".join({word[1] for word in words})
    rest = "|".join(f"(?<=[{one}{one.upper()}])(?:{'|'.join(others)})" for one, others in by_first.items())
    return rf"[{first}{first.upper()}](?=[{second}{second.upper()}])(?<!{after}.)(?:{rest})"


def _either(letter: re.Match[str]) -> str:
    return f"[{letter[0]}{letter[0].upper()}]"


# With anything before them (OPENAI_API_KEY).
_NAME = _words(
    *("api[-_]?key", "access[-_]?key", "access[-_]?token", "auth[-_]?token", "refresh[-_]?token"),
    *("client[-_]?secret", "secret[-_]?key", "secret", "passw(?:or)?d"),
    after="[A-Za-z0-9]",
)
# What keys of other services begin with, behind its first letter.
_BEHIND_FIRST = (
    r"(?<=g)(?:sk_|lpat-|h[pousr]_|ithub_pat_)|(?<=h)f_|(?<=n)pm_|(?<=x)(?:ai-|ox[abp]-|app-)|(?<=l)sv2_|(?<=A)Iza"
    r"|(?<=y)a29\."
)


def _without_values(lead: re.Pattern[str], text: str) -> str:
    """Return a text without the values that follow a lead."""
    kept: list[str] = []
    done = end = digit = 0  # what is kept until now; the value that was looked at last, and its last digit
    for found in lead.finditer(text):
        at = found.end()
        if at >= end:  # else it lies within that value, which is looked at once, however many leads are in it
            end, digit = _end(_VALUE, text, at), _end(_LAST_DIGIT, text, at)
        if found.start() >= done and end - at >= _SHORTEST_VALUE and digit > at:
            kept += (text[done:at], BLOT)
            done = end
    return "".join((*kept, text[done:]))


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where what is found at a place ends."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _without_web_tokens(text: str) -> str:
    # What is no token is taken, too, and put back: none can begin inside it, and nobody looks at it again.
    return _WEB_TOKEN.sub(lambda found: BLOT if found[1] else found[0], text)


def _without_private_keys(text: str) -> str:
    """Return a text without what stands between a beginning and the next end."""
    kept: list[str] = []
    done, begin = 0, -1
    for found in _PRIVATE_KEY.finditer(text):
        if found[1] == "BEGIN":
            begin = found.start() if begin < 0 else begin
        elif begin >= 0:
            kept += (text[done:begin], BLOT)
            done, begin = found.end(), -1
    return "".join((*kept, text[done:]))


_WEB_TOKEN = re.compile(r"e(?<!\w.)yJ[\w\-]{6,}+(\.[\w\-]{8,}+\.[\w\-]*+)?")
_PRIVATE_KEY = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----")


def _pattern(pattern: str, left: str = BLOT) -> Callable[[str], str]:
    return partial(re.compile(pattern).sub, left)


# Every pattern takes linear time. A match is taken whole; what may fail after a long way either cannot begin again on
# that way, or is one of the three above, which look at each character once.
_FINDERS: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
    # (what a text with a key has, in lower case: looked for first, because patterns are slow; what blots keys out)
    (("key", "token", "secret", "passw"), partial(_without_values, re.compile(_NAME + _IS))),
    (
        ("authorization",),
        partial(_without_values, re.compile(rf"{_words('authorization')}{_IS}(?:[A-Za-z]++\s++)?")),
    ),
    (
        ("bearer", "basic"),
        _pattern(rf"({_words('bearer', 'basic')}\s++)(?:{_WORD}|\w{{24,}}+)=*+", rf"\1{BLOT}"),
    ),
    (
        ("token=", "signature=", "sig=", "key=", "secret=", "password="),
        _pattern(
            r"(?i)([?&][\w\-]*(?:token|signature|sig|key|secret|password)=)[^&\s\"'#]{6,}+",
            rf"\1{BLOT}",
        ),
    ),
    (("://",), _pattern(r"(://[^/\s:@]*+:)[^/\s@]++(?=@)", rf"\1{BLOT}")),
    (("wandb_v",), _pattern(r"w(?<!\w.)andb_v\d++_[\w\-]{8,}+")),
    (("",), _pattern(r"[0-9a-f](?<!\w.)[0-9a-f]{39}\b")),  # W&B's older keys; commit ids look the same, and go, too
    (("sk-", "sk_", "rk-", "rk_"), _pattern(r"[sr](?<!\w.)k[-_][\w\-]{16,}+")),
    (("_", "-", "aiza", "ya29."), _pattern(rf"[Aghlnxy](?<!\w.)(?:{_BEHIND_FIRST})[\w\-]{{16,}}+")),
    (("akia", "asia"), _pattern(r"A(?<!\w.)[KS]IA[0-9A-Z]{16}\b")),
    (("eyj",), _without_web_tokens),  # JSON web tokens
    (("private key",), _without_private_keys),
)
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
        for signs, without in _FINDERS:
            if any(sign in lower for sign in signs):
                text = without(text)
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
