"""Everything that can go wrong, as one tree. Every message says what failed, for which model, and what to do next.

::

    InferenceError                    message, hint, retryable, partial
    ├─ ConfigurationError             no key; project not "team/project"; unusable base URL   (also a ValueError)
    ├─ UnknownModelError              .model, .suggestions, .replacement for retired ids      (also a ValueError)
    ├─ RequestReviewError             .findings                                               (also a ValueError)
    ├─ BudgetExceededError            .limit, .spent, .reserved, .needed, .waited
    ├─ NoCandidateError               .plan: why every model was rejected                     (also a ValueError)
    ├─ TransportError
    │  ├─ ConnectionFailedError       retryable
    │  ├─ TimedOutError               retryable
    │  │  └─ QueueTimeoutError        no place among the calls that the model takes at a time
    │  └─ StreamInterruptedError      retryable; .partial holds what had arrived
    ├─ StatusError                    status_code, code, request_id, retry_after, response
    │  ├─ BadRequestError             400, 413, 422
    │  │  └─ ContextLengthError       .limit, .prompt_tokens
    │  ├─ AuthenticationError         401: bad key, or a team/project that does not exist
    │  ├─ QuotaExceededError          402
    │  ├─ AccessDeniedError           403, and the 429 for personal accounts
    │  ├─ NotFoundError               404: unknown, mistyped or retired id
    │  ├─ RateLimitedError            429                retryable
    │  └─ ServerError                 5xx, 408           retryable
    │     └─ OverloadedError          503                retryable
    └─ MalformedResponseError         the body was not what the protocol promises
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wandb_inference.chat import Completion


class Problem(Protocol):
    """What handlers ask a finding of the review; the catalog's ``Finding`` is one."""

    @property
    def code(self) -> str:
        """What kind of objection it is."""
        ...

    @property
    def severity(self) -> str:
        """``error`` or ``warning``."""
        ...

    @property
    def message(self) -> str:
        """What is wrong, with the field, the limit and the actual value."""
        ...


class InferenceError(Exception):
    """Base of all errors of this package."""

    retryable: bool = False
    """Whether the same request may succeed when sent again."""

    partial: Completion | None = None
    """What had arrived when a stream failed; ``None`` when nothing had."""

    route: Mapping[str, Any] | None = None
    """The attempts that were made, and the plan they followed; ``None`` when nothing was sent."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What to do next."""

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take keywords, which pickle does not know; worker processes hand errors back pickled.
        return restored, (type(self), self.args, dict(self.__dict__))

    def redact(self, secret: str) -> None:
        """Blot the key out wherever the service repeated it."""
        if pattern := key_pattern(secret):
            self.message, self.hint = re.sub(pattern, "***", self.message), re.sub(pattern, "***", self.hint)
            self.args = (self.message,)


_SHORTEST_SECRET = 8  # blotting out a shorter word would mangle messages
_REAL_SECRET = 20  # real keys have 40 characters and more


def key_pattern(secret: str, rest: str = r"\S", shortest: int = 8) -> str | None:
    """Return a pattern that finds a key, also where it is cut; ``None`` of what is too short to be told from a word.

    Args:
        secret: the key.
        rest: what may follow its beginning.
        shortest: characters of the beginning of a long one that are told from a word.
    """
    if len(secret) < _SHORTEST_SECRET:
        return None
    # Of a real key its beginning suffices: an excerpt may end inside it. Of a short one that may be a word.
    beginning = re.escape(secret[:shortest] if len(secret) >= _REAL_SECRET else secret)
    return f"{re.escape(secret)}|{beginning}{rest}*"


def restored(cls: type[InferenceError], args: tuple[Any, ...], fields: dict[str, Any]) -> InferenceError:
    """Return the error that was pickled."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(fields)
    return error


class ConfigurationError(InferenceError, ValueError):
    """The client cannot be set up as asked: key, project or base URL."""


class UnknownModelError(InferenceError, ValueError):
    """The catalog has no active model of this name."""

    def __init__(
        self,
        message: str,
        *,
        model: str,
        suggestions: Sequence[str] = (),
        replacement: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.model = model
        self.suggestions = tuple(suggestions)
        """Ids that look alike, best first."""
        self.replacement = replacement
        """The model that the service recommends instead of a retired one."""


class RequestReviewError(InferenceError, ValueError):
    """The model's card says that this call cannot succeed; nothing was sent."""

    def __init__(self, message: str, *, model: str, findings: Sequence[Problem], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.model = model
        self.findings = tuple(findings)

    @property
    def is_overflow(self) -> bool:
        """Whether the prompt cannot fit the model's context window."""
        return any((finding.code, finding.severity) == ("context_window", "error") for finding in self.findings)


class BudgetExceededError(InferenceError):
    """The call may cost more than is left; nothing was sent. Amounts are in USD.

    A call that will fit when those in flight have ended waits for them, up to its timeout (``waited``: seconds).
    """

    def __init__(  # keywords, all of them
        self,
        *,
        limit: Decimal,
        spent: Decimal,
        reserved: Decimal,
        needed: Decimal,
        name: str = "",
        waited: float | None = None,
    ) -> None:
        which = f"the budget {name!r}" if name else "the budget"
        left = limit - spent - reserved
        cost, rest, whole, gone, held = (f"{usd.normalize():f}" for usd in (needed, left, limit, spent, reserved))
        waits = "" if waited is None else f" It waited {waited:.3g} s for them."
        super().__init__(
            f"The call may cost {cost} USD, and {which} has {rest} of {whole} left "
            f"({gone} spent, {held} reserved by calls in flight).{waits}",
            hint="Set a lower max_tokens, choose a cheaper model, or raise the budget"
            + ("; or come again when calls in flight have ended." if spent + needed <= limit else "."),
        )
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.needed = needed
        self.waited = waited
        """Seconds for calls in flight; ``None`` where waiting does not help, or was not asked for."""


class NoCandidateError(InferenceError, ValueError):
    """No model may take this call; nothing was sent."""

    def __init__(self, message: str, *, plan: Any, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.plan = plan
        """The ``Plan``, with the reasons against every model."""

    @property
    def is_overflow(self) -> bool:
        """Whether some model could take the call if its prompt were shorter."""
        return any([r.code for r in candidate.rejected] == ["context_window"] for candidate in self.plan.candidates)


class TransportError(InferenceError):
    """The network failed, not the service."""

    retryable = True

    sent: bool = True
    """Whether the request may have reached the service, which may then have worked, and billed, for nothing."""


class ConnectionFailedError(TransportError):
    """No connection, or it broke before an answer arrived."""


class TimedOutError(TransportError):
    """Connecting, waiting for the answer, or a pause inside a stream took longer than allowed."""


class QueueTimeoutError(TimedOutError):
    """No place was free, in the time that the call had, among those that its model takes; nothing was sent."""

    retryable = False
    sent = False


class StreamInterruptedError(TransportError):
    """The stream ended before the answer did. ``partial`` holds what had arrived."""


class MalformedResponseError(InferenceError):
    """The answer was not what the protocol promises."""


@dataclass(frozen=True)
class Reply:
    """A response that was read to its end, in the form error handlers of other libraries expect."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    content: bytes = b""

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the decoded body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.content)


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id under which the service knows a request, from the headers of its response."""
    return headers.get("x-request-id") or headers.get("cf-ray")


class StatusError(InferenceError):
    """The service answered with an error."""

    def __init__(  # one value a fact of the response
        self,
        message: str,
        *,
        hint: str = "",
        status_code: int,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        response: Reply | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status_code = status_code
        """HTTP status; for an error inside a stream, the status its code names."""
        self.code = code
        """The service's own code or type, such as ``invalid_api_key`` or ``BadRequestError``."""
        self.param = param
        """The request field the service names, if it names one."""
        self.retry_after = retry_after
        """Seconds the service asks to wait; ``None`` when it does not."""
        self.response = response
        """Status, headers and body, already read; ``None`` for an error inside a stream."""

    def redact(self, secret: str) -> None:
        """Blot the key out of the message, and of the response's headers and body."""
        super().redact(secret)
        if self.response is not None and len(secret) >= _SHORTEST_SECRET:
            headers = {name: value.replace(secret, "***") for name, value in self.response.headers.items()}
            content = self.response.content.replace(secret.encode(), b"***")
            self.response = Reply(self.response.status_code, headers, content)

    @property
    def request_id(self) -> str | None:
        """The id to quote to the service's support, when the response carried one."""
        return request_id_of(self.response.headers) if self.response else None


class BadRequestError(StatusError):
    """The service refused a parameter or a message."""


class ContextLengthError(BadRequestError):
    """Prompt and answer together do not fit the model's context window."""

    limit: int | None = None
    """The window in tokens, when the message states it."""
    prompt_tokens: int | None = None
    """The prompt in tokens, when the message states it (vLLM may state a lower bound)."""


def overflow_message(limit: int | None, prompt: int | None = None, requested: int | None = None, how: str = "") -> str:
    """Return the standard words for a prompt that does not fit, numbers without separators, as vLLM writes them.

    Frameworks shorten the conversation and try again where they find these words: CrewAI, Strands, deepagents and
    LiteLLM look for "this model's maximum context length is", langchain-openai for "prompt is too long".

    Args:
        limit: tokens of the window; ``None`` when nobody said.
        prompt: tokens of the prompt, if known.
        requested: tokens kept for the answer, if any.
        how: what the prompt's number is: ``"at least "``, ``"about "`` or exact.
    """
    parts = [f"you requested {requested} output tokens"] if requested else []
    parts += [f"your prompt contains {how}{prompt} input tokens"] if prompt is not None else []
    window = "exceeded" if limit is None else f"{limit} tokens"
    return (
        f"the prompt {'may be' if how == 'about ' else 'is'} too long. This model's maximum context length is {window}"
        + (f". However, {' and '.join(parts)}" if parts else "")
    )


class AuthenticationError(StatusError):
    """The key is wrong, or the team or project does not exist: the service does not tell them apart."""


class QuotaExceededError(StatusError):
    """Credits used up, or the monthly cap reached."""


class AccessDeniedError(StatusError):
    """The key is good, but the account, its organisation or its region may not use the service."""


class NotFoundError(StatusError):
    """No such model (unknown, mistyped or retired id), or a wrong base URL."""

    is_path: bool = False
    """Whether it is the path that is not there, and not the model: the base URL is wrong."""


class RateLimitedError(StatusError):
    """Too many requests in flight for this project, user and model."""

    retryable = True


class ServerError(StatusError):
    """The service failed."""

    retryable = True


class OverloadedError(ServerError):
    """The model's engine is overloaded for the moment."""
