"""A web page where JSON belongs, in one line: what firewalls, gateways and login pages in front of a service send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

_READ = 20_000  # characters; what a page is stands at its beginning
_SHOWN = 200
_TITLE = re.compile(r"<title[^<>]{0,300}>([^<]{0,500})", re.IGNORECASE)
_HEADING = re.compile(r"<h1[^<>]{0,300}>(.{0,1000}?)</h1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,1000}>")
_RAY = re.compile(r"\bray id:?\s{0,20}([0-9a-f]{16})\b", re.IGNORECASE)
_CODE = re.compile(r"\b\d{3,4}\b")


def is_page(text: str) -> bool:
    """Whether this is a web page, or XML: nothing that a service says of a call begins like one."""
    return text[:_READ].lstrip("\ufeff \t\r\n").startswith("<")


def page_line(text: str, headers: Mapping[str, str] | None = None) -> str:
    """Return what a page says of itself, by its title and heading, with Cloudflare's ray id where there is one."""
    text = text[:_READ]
    title, heading = (_words(found[1]) if (found := p.search(text)) else "" for p in (_TITLE, _HEADING))
    if title and not _CODE.search(title) and heading not in title:
        title = f"{title}: {heading}"  # "Attention Required! | Cloudflare": "Sorry, you have been blocked"
    plain = _words(text)
    title = "" if title.lower() == "error" else title  # Express's: "Cannot POST /v1/chat/completions" is in the body
    shown = (title or heading or plain)[:_SHOWN]
    in_text = _RAY.search(plain)
    ray = (headers or {}).get("cf-ray") or (in_text and in_text[1])
    return f"a web page, {shown!r}" + (f", ray id {ray}" if ray else "")


def _words(html: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", html)).split())
