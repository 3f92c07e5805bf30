"""Error bodies to exceptions: one table for the statuses, one for what vLLM says of its context window.

Facts: the service's error pages (https://docs.wandb.ai/support/inference, read 2026-11-20), and the bodies of
vLLM 0.14 and 0.32, llama-server, transformers and LiteLLM's proxy as recorded or noted on 2026-11-21.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from wandb_inference._wire.page import is_page, page_line
from wandb_inference._wire.sse import SSEDecoder
from wandb_inference.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    InferenceError,
    NotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    Reply,
    ServerError,
    StatusError,
    overflow_message,
)

_AGAIN = "Try again in a minute."
_SOONER = "Stream the answer, or ask for fewer tokens."
_CORRECT = "Correct what the message names; not every model takes every parameter."
_PATH = "That is no model but a path: check base_url, which usually ends in /v1."
_BY_STATUS: dict[int, tuple[type[StatusError], str]] = {
    400: (BadRequestError, _CORRECT),
    401: (
        AuthenticationError,
        "Check the key (https://wandb.ai/settings), and the team and project: a wrong one gets the same status.",
    ),
    402: (QuotaExceededError, "Credits are used up or the monthly cap is reached: see the billing page of your team."),
    403: (AccessDeniedError, "Ask the organisation's administrator to enable inference, or call from another region."),
    404: (NotFoundError, "Model ids are case-sensitive; `wandb-inference models` lists them."),
    407: (StatusError, "The proxy asks for credentials: name it as http://user:password@host:port in HTTPS_PROXY."),
    408: (ServerError, "Try again."),
    413: (BadRequestError, "Send a smaller request."),
    422: (BadRequestError, _CORRECT),
    429: (RateLimitedError, "Lower the number of calls in flight, or raise max_retries."),
    503: (OverloadedError, "Try again in a minute, or another model."),
    504: (ServerError, f"A gateway stopped waiting for the answer. {_SOONER}"),
    511: (AccessDeniedError, "The network asks for a login first: open a browser."),
    # Cloudflare's own: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
    520: (ServerError, f"The service answered Cloudflare with something it cannot read. {_AGAIN}"),
    521: (ServerError, f"The service refuses Cloudflare's connections: it may be down. {_AGAIN}"),
    522: (ServerError, f"Cloudflare cannot connect to the service in time: it may be down or overloaded. {_AGAIN}"),
    523: (ServerError, f"Cloudflare finds no way to the service. {_AGAIN}"),
    524: (ServerError, f"The service took longer than Cloudflare waits for an answer to begin. {_SOONER}"),
    525: (ServerError, f"Cloudflare and the service cannot agree on TLS, which only its operator can mend. {_AGAIN}"),
    526: (ServerError, f"Cloudflare does not trust the service's certificate; only its operator can mend it. {_AGAIN}"),
    530: (ServerError, f"Cloudflare cannot resolve or reach the service's host. {_AGAIN}"),
}
_SERVER = (ServerError, _AGAIN)
_OTHER = (StatusError, "Check base_url.")

_BY_PHRASE: tuple[tuple[re.Pattern[str], type[StatusError], str], ...] = (
    # Statuses changed over time (quota was 429 before 2025-10-23), the wording did not.
    (re.compile("exceeded your current quota", re.IGNORECASE), *_BY_STATUS[402]),
    (
        re.compile("isn't available for personal accounts", re.IGNORECASE),
        AccessDeniedError,
        "Name a team's project: project='team/project'.",
    ),
    # A framework's bare "Not Found" is about the path, and so are llama-server's "File Not Found", Go's "404 page not
    # found", Express's "Cannot POST /…", OpenAI's "Invalid URL (POST /…)", Kong's and those of Kubernetes' ingress.
    (
        re.compile(
            r"^(?:(?:http |error )?404[:.]? ?)?(?:(?:file|page|path|route|url|endpoint|resource) )?not[ _]found[.!]?$"
            r"|^cannot (?:post|get) /|^(?:invalid|unknown request) url\b|^the requested url\b|^no route matched\b"
            r"|^default backend - 404$",
            re.IGNORECASE,
        ),
        NotFoundError,
        _PATH,
    ),
    (
        re.compile("^(?:upstream connect error|no healthy upstream)", re.IGNORECASE),
        OverloadedError,
        f"A proxy in front of the service (Envoy) cannot reach it. {_AGAIN}",
    ),
)

_FIREWALL = "A firewall in front of the service refused the call, not the service: the key is not the reason."
_BY_PAGE: dict[int, tuple[type[StatusError], str]] = {
    # Where a web page came instead of JSON, it was not the service that said so.
    401: (AuthenticationError, "A proxy in front of the service asks for a login of its own."),
    403: (AccessDeniedError, f"{_FIREWALL} Call from another network, or show the page's id to the service's support."),
    404: (NotFoundError, _PATH),
}
_CHALLENGE = re.compile("just a moment|checking your browser|you are human|security check", re.IGNORECASE)
_CHALLENGED = (AccessDeniedError, f"{_FIREWALL} It asks for a browser to pass its check: call from another network.")
_CLOUDFLARE = re.compile(r"^error code: 1\d{3}$")  # its pages for programs

_STATUS_OF_CODE = {
    "badrequesterror": 400,
    "invalid_request_error": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "notfounderror": 404,
    "context_length_exceeded": 400,
    "insufficient_quota": 402,
    "forbidden": 403,
    "not_found": 404,
    "unprocessable_entity": 422,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "server_error": 500,
    "internalservererror": 500,
    "internal server error": 500,
    "overloaded": 503,
}

_DIGITS = 15  # of a number of tokens, at most
_LIMIT, _PROMPT = r"(?P<limit>\d+)", r"(?P<prompt>\d+)"
_BETWEEN = r".{0,500}?"
_HOW = r"(?P<how>at least |about )?"
_CONTEXT = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # vLLM: "your prompt contains (at least) K input tokens", "your request has K input tokens",
        # "you requested N tokens (K in the messages, …)", "… contains K characters" (no token count then)
        rf"maximum context length is {_LIMIT} tokens{_BETWEEN}(?:contains|has) {_HOW}{_PROMPT} input tokens",
        rf"maximum context length is {_LIMIT} tokens{_BETWEEN}\({_PROMPT} in the (?:messages|prompt)",
        rf"maximum context length is (?:{_LIMIT} tokens|exceeded)",
        # "You passed K input tokens and requested M output tokens. However, the model's context length is only N"
        rf"passed {_PROMPT} input tokens{_BETWEEN}context length is only {_LIMIT} tokens",
        rf"prompt \(length {_PROMPT}\){_BETWEEN}longer than the maximum model length(?: of {_LIMIT})?",
        rf"input length \({_PROMPT}\) exceeds (?:the )?model'?s? maximum context length \({_LIMIT}\)",
        # llama-server; its numbers stand in fields of their own
        r"exceed_context_size_error|exceeds the available context size",
        r"\bcontext_length_exceeded\b",  # OpenAI's own code, which gateways imitate
    )
)
_STANDARD = re.compile(r"this model's maximum context length is (?:\d+ tokens|exceeded)", re.IGNORECASE)
_ASKED = re.compile(
    r"(?:tokens'? is too large: |requested )(?P<output>\d+)(?: output tokens|\. )"
    r"|(?P<completion>\d+) in the completion",
    re.IGNORECASE,
)


def failure(  # every part of an error response
    *,
    model: str,
    status: int | None = None,
    reply: Reply | None = None,
    body: Any = None,
    now: float = 0.0,
) -> StatusError:
    """Return the exception for an error response, or for an error object found in a 200 answer or stream.

    Args:
        model: the model asked for, to be named in the message.
        status: HTTP status; ``None`` takes it from the error's own code (500 if that says nothing).
        reply: the response, read to its end; its body is used when ``body`` is ``None``.
        body: the decoded body (``{"error": …}``, ``{"detail": …}``).
        now: Unix seconds, to turn a ``Retry-After`` date into a pause.
    """
    page = False
    if body is None and reply is not None:
        try:
            body = reply.json()
        except (ValueError, RecursionError):
            body, page = _text_of(reply)
    error, text = _error_of(body)
    if is_page(text):  # a proxy that wraps the page of the one behind it in JSON
        text, page = page_line(text, reply.headers if reply else None), True
    code = error.get("code") if error.get("code") not in (None, "") else error.get("type")
    if status is None:
        status = _status_of(error)
    cls, hint = _kind(status, text, page=page)
    overflow = _overflow(error, text) if issubclass(cls, BadRequestError) else None
    if overflow is not None:
        cls, hint = ContextLengthError, "Shorten the conversation, lower max_tokens, or take a model with more context."
        if not _STANDARD.search(text):  # by which frameworks recognise an overflow
            text = f"{text.rstrip('.')}: {overflow_message(*overflow)}"
    failed = cls(
        f"{model}: {text or 'no reason given'} (HTTP {status})" + ("." if hint else ""),
        hint=hint,
        status_code=status,
        code=None if code is None else str(code),
        param=error.get("param") if isinstance(error.get("param"), str) else None,
        retry_after=retry_after(reply.headers, now) if reply else None,
        response=reply,
    )
    if isinstance(failed, ContextLengthError) and overflow is not None:
        failed.limit, failed.prompt_tokens = overflow
    if isinstance(failed, NotFoundError):
        failed.is_path = hint == _PATH
    return failed


def _text_of(reply: Reply) -> tuple[Any, bool]:
    """Return what a body says that is no JSON, and whether it is a web page of somebody in front of the service."""
    text = reply.text
    if is_page(text):
        return page_line(text, reply.headers), True
    if reply.content.lstrip().startswith((b"data:", b"event:")):  # an error in the form of the stream asked for
        sse = SSEDecoder()
        with suppress(InferenceError, ValueError, RecursionError, IndexError):
            return json.loads((sse.feed(reply.content) + sse.close())[0]), False
    text = " ".join(text.split())[:500]
    return text, _CLOUDFLARE.match(text) is not None


def _kind(status: int, text: str, *, page: bool) -> tuple[type[StatusError], str]:
    """Return the class of an error, and what to do next."""
    if page and _CHALLENGE.search(text):
        return _CHALLENGED
    if page and status in _BY_PAGE:
        return _BY_PAGE[status]
    if found := next(((cls, hint) for phrase, cls, hint in _BY_PHRASE if phrase.search(text)), None):
        return found
    return _BY_STATUS.get(status, _SERVER if status >= 500 else _OTHER)  # noqa: PLR2004 (an HTTP status)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds the service asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if isfinite(seconds):
            return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now)
    except (KeyError, TypeError, ValueError, ArithmeticError, OSError):  # of a date that no calendar has
        return None


def _error_of(body: Any) -> tuple[Mapping[str, Any], str]:
    """Return the error's fields (if it has any) and its text, whichever shape the layer that failed gave it."""
    error = body
    if isinstance(body, Mapping):
        error = next((body[key] for key in ("error", "detail", "message") if body.get(key)), body)
    if isinstance(error, Mapping):
        message = error.get("message") or error.get("detail") or json.dumps(error, ensure_ascii=False)
        return error, str(message)
    if isinstance(error, list):  # FastAPI: [{"loc": ["body", "temperature"], "msg": "…"}]
        return {}, "; ".join(map(_detail, error))
    fields = body if isinstance(body, Mapping) else {}
    return fields, "" if error is None else str(error)


def _detail(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    loc = item.get("loc")
    return f"{'.'.join(map(str, loc)) if isinstance(loc, list) else loc}: {item.get('msg', item)}"


def _status_of(error: Mapping[str, Any]) -> int:
    for value in (error.get("code"), error.get("status"), error.get("type")):
        text = str(value).lower()
        if len(text) == 3 and text.isdecimal() and 400 <= int(text) <= 599:  # noqa: PLR2004 (HTTP statuses)
            return int(text)
        if text in _STATUS_OF_CODE:
            return _STATUS_OF_CODE[text]
    return 500


def _overflow(error: Mapping[str, Any], text: str) -> tuple[int | None, int | None] | None:
    """Return (limit, prompt tokens) if this error says that the context window is too small, else ``None``."""
    subject = f"{error.get('type')} {error.get('code')} {text}"
    match = next(filter(None, (pattern.search(subject) for pattern in _CONTEXT)), None)
    if match is None:
        return None
    numbers = match.groupdict()
    limit, prompt = (_number(numbers.get(name)) for name in ("limit", "prompt"))
    found = _ASKED.search(text)
    asked = found and _number(found["output"] or found["completion"])
    if asked is not None:
        # Newer vLLM states the prompt as a lower bound only; then a max_tokens that fills the window alone is at fault,
        # else the larger part is: a shorter conversation would not mend a larger answer.
        exact = prompt is not None and not numbers.get("how")
        answers_fault = asked > (prompt or 0) if exact else limit is not None and asked >= limit
        if answers_fault:
            return None
    return _integer(error.get("n_ctx"), limit), _integer(error.get("n_prompt_tokens"), prompt)


def _number(digits: str | None) -> int | None:
    return int(digits) if digits and len(digits) <= _DIGITS else None


def _integer(value: Any, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) else otherwise
