"""How the service says no.

The words for 400 are those of vLLM 0.32 (recorded), the others those of the service's error pages (read 2026-11-20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVICE_ERRORS: dict[int, tuple[str, str, str]] = {
    # (message, code, type) by status
    401: ("Authentication failed", "invalid_api_key", "invalid_request_error"),
    402: (
        "You exceeded your current quota, please check your plan and billing details",
        "insufficient_quota",
        "insufficient_quota",
    ),
    403: ("Country, region, or territory not supported", "forbidden", "invalid_request_error"),
    404: ("The requested resource was not found", "not_found", "invalid_request_error"),
    422: ("The request could not be processed", "unprocessable_entity", "invalid_request_error"),
    429: ("Concurrency limit reached for requests", "rate_limit_exceeded", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request", "server_error", "server_error"),
    503: ("The engine is currently overloaded, please try again later", "overloaded", "server_error"),
}


class RefusedError(Exception):
    """The request is answered with this status and body."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, dict(headers or {})


def refused(status: int, message: str | None = None, headers: Mapping[str, str] | None = None) -> RefusedError:
    """Return the service's own error for this status."""
    words, code, kind = SERVICE_ERRORS.get(status, ("The request failed", str(status), "error"))
    return RefusedError(status, {"error": {"code": code, "message": message or words, "type": kind}}, headers)


def bad_request(message: str, param: str | None = None, kind: str = "BadRequestError") -> RefusedError:
    """Return vLLM's 400."""
    return RefusedError(400, {"error": {"message": message, "type": kind, "param": param, "code": 400}})


def invalid(kind: str, loc: str, msg: str, given: Any) -> RefusedError:
    """Return vLLM's 400 for a field of the wrong type or shape."""
    detail = {"type": kind, "loc": loc, "msg": msg, "input": given}
    return bad_request(f"1 validation error:\n  {detail}", loc, "Bad Request")
