"""Error bodies to exceptions: one table for the statuses, one for what vLLM says of its context window.

Facts: the service's error pages (https://docs.wandb.ai/support/inference, read 2026-11-20), and the bodies of
vLLM 0.14 and 0.32, llama-server, transformers and LiteLLM's proxy as recorded or noted on 2026-11-21.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from wandb_inference.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    NotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    Reply,
    ServerError,
    StatusError,
    overflow_message,
)

_CORRECT = "Correct what the message names; not every model takes every parameter."
_BY_STATUS: dict[int, tuple[type[StatusError], str]] = {
    400: (BadRequestError, _CORRECT),
    401: (
        AuthenticationError,
        "Check the key (https://wandb.ai/settings), and the team and project: a wrong one gets the same status.",
    ),
    402: (QuotaExceededError, "Credits are used up or the monthly cap is reached: see the billing page of your team."),
    403: (AccessDeniedError, "Ask the organisation's administrator to enable inference, or call from another region."),
    404: (NotFoundError, "Model ids are case-sensitive; `wandb-inference models` lists them."),
    408: (ServerError, "Try again."),
    413: (BadRequestError, "Send a smaller request."),
    422: (BadRequestError, _CORRECT),
    429: (RateLimitedError, "Lower the number of calls in flight, or raise max_retries."),
    503: (OverloadedError, "Try again in a minute, or another model."),
}
_SERVER = (ServerError, "Try again in a minute.")
_OTHER = (StatusError, "Check base_url.")

_BY_PHRASE: tuple[tuple[re.Pattern[str], type[StatusError], str], ...] = (
    # Statuses changed over time (quota was 429 before 2025-10-23), the wording did not.
    (re.compile("exceeded your current quota", re.IGNORECASE), *_BY_STATUS[402]),
    (
        re.compile("isn't available for personal accounts", re.IGNORECASE),
        AccessDeniedError,
        "Name a team's project: project='team/project'.",
    ),
    (  # a framework's bare "Not Found" is about the path, and llama-server's "File Not Found"
        re.compile("^(?:file )?not found$", re.IGNORECASE),
        NotFoundError,
        "That is no model but a path: check base_url, which usually ends in /v1.",
    ),
)

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

_LIMIT, _PROMPT = r"(?P<limit>\d+)", r"(?P<prompt>\d+)"
_HOW = r"(?P<how>at least |about )?"
_CONTEXT = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # vLLM: "your prompt contains (at least) K input tokens", "your request has K input tokens",
        # "you requested N tokens (K in the messages, …)", "… contains K characters" (no token count then)
        rf"maximum context length is {_LIMIT} tokens.*?(?:contains|has) {_HOW}{_PROMPT} input tokens",
        rf"maximum context length is {_LIMIT} tokens.*?\({_PROMPT} in the (?:messages|prompt)",
        rf"maximum context length is (?:{_LIMIT} tokens|exceeded)",
        # "You passed K input tokens and requested M output tokens. However, the model's context length is only N"
        rf"passed {_PROMPT} input tokens.*?context length is only {_LIMIT} tokens",
        rf"prompt \(length {_PROMPT}\).*?longer than the maximum model length(?: of {_LIMIT})?",
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
    if body is None and reply is not None:
        try:
            body = reply.json()
        except (ValueError, RecursionError):
            body = " ".join(reply.text.split())[:500]  # HTML of a gateway, plain text of a crash
    error, text = _error_of(body)
    code = error.get("code") if error.get("code") not in (None, "") else error.get("type")
    if status is None:
        status = _status_of(error)
    cls, hint = next(((c, h) for phrase, c, h in _BY_PHRASE if phrase.search(text)), (None, ""))
    if cls is None:
        cls, hint = _BY_STATUS.get(status, _SERVER if status >= 500 else _OTHER)  # noqa: PLR2004 (an HTTP status)
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
    return failed


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
    except (KeyError, TypeError, ValueError):
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
    limit, prompt = (int(numbers[k]) if numbers.get(k) else None for k in ("limit", "prompt"))
    found = _ASKED.search(text)
    if found:
        asked = int(found["output"] or found["completion"])
        # Newer vLLM states the prompt as a lower bound only; then a max_tokens that fills the window alone is at fault,
        # else the larger part is: a shorter conversation would not mend a larger answer.
        exact = prompt is not None and not numbers.get("how")
        answers_fault = asked > (prompt or 0) if exact else limit is not None and asked >= limit
        if answers_fault:
            return None
    return _integer(error.get("n_ctx"), limit), _integer(error.get("n_prompt_tokens"), prompt)


def _integer(value: Any, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) else otherwise
