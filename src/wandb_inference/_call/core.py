"""What all calls of a client share."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wandb_inference._call.late import LATE
from wandb_inference._exchange import HttpRequest, RetryPolicy, Timeouts
from wandb_inference._observers import OBSERVERS
from wandb_inference.accounting import Budget, CallRecord
from wandb_inference.catalog import Catalog, ReviewMode, TokenEstimator
from wandb_inference.errors import ConfigurationError, InferenceError
from wandb_inference.routing import Policy, Service


@dataclass(frozen=True, slots=True)
class Core:
    """What all calls of a client share."""

    base_url: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    catalog: Catalog
    review: ReviewMode
    retry: RetryPolicy
    timeouts: Timeouts
    policy: Policy
    budget: Budget | None
    service: Service
    estimator: TokenEstimator
    max_concurrency: int | None
    on_request: Callable[[HttpRequest], object] | None
    on_record: Callable[[CallRecord], object] | None
    entry: str

    def redact(self, error: InferenceError, *more: str) -> None:
        """Blot out every key that was sent, wherever the service repeated it; ``more``: beside the client's."""
        for secret in (*self.secrets, *more):
            error.redact(secret)

    def tell(
        self, record: CallRecord, begun: Mapping[int, Any], *, loudly: bool, secrets: tuple[str, ...] = ()
    ) -> None:
        """Tell of a call; ``loudly``: those who may take their time are told at once, and not by a thread."""
        OBSERVERS.end(record, (*self.secrets, *secrets), begun, in_destructor=not loudly)
        if self.on_record is None:
            return
        if loudly:
            _told(self.on_record, record)
        else:
            LATE.soon(partial(_told, self.on_record, record))

    def http(
        self, method: str, path: str, content: bytes = b"", *, stream: bool = False, headers: Any = None
    ) -> HttpRequest:
        """Return a request to the service; ``headers``: beside the client's."""
        own = {name.lower(): value for name, value in (headers or {}).items()}
        told = {**self.headers, **own, **({"accept": "text/event-stream"} if stream else {})}
        return HttpRequest(method, f"{self.base_url}{path}{self.query}", told, content, self.timeouts, stream)


def _told(on_record: Callable[[CallRecord], object], record: CallRecord) -> None:
    try:
        on_record(record)
    except Exception as e:  # noqa: BLE001 (an answer that was paid for is not lost for its record)
        warnings.warn(f"on_record failed: {type(e).__name__}: {e}", RuntimeWarning, stacklevel=3)


_SECRET = re.compile(r"auth|key|token|secret|cookie|signature|^sig$|passw", re.IGNORECASE)


def secrets_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return what no error may show of headers of the caller's own.

    Raises:
        ConfigurationError: one of them cannot be sent.
    """
    for name, value in headers.items():
        if not isinstance(value, str) or not value.isascii():
            raise ConfigurationError(f"The header {name!r} is no ASCII text.", hint="Leave it out, or encode it.")
    return secret_values(headers)


def secret_values(named: Mapping[str, str]) -> tuple[str, ...]:
    """Return what no error may show of headers, or of a query, by their names."""
    return tuple(part for name, value in named.items() if _SECRET.search(name) for part in _parts(name, str(value)))


def _parts(name: str, value: str) -> list[str]:
    """Return what is secret of a value: what follows its scheme; of cookies, the value of each."""
    if "cookie" in name.lower():
        return [cookie.partition("=")[2].strip() or cookie.strip() for cookie in value.split(";") if cookie.strip()]
    return value.split()[-1:]
