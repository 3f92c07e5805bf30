"""Retries, decided without a clock, a network or a pause."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from wandb_inference import ConnectionFailedError, InferenceError, QueueTimeoutError, RetryPolicy, TimedOutError
from wandb_inference._exchange import (
    Acquire,
    HttpRequest,
    Place,
    Progress,
    Send,
    Steps,
    Timeouts,
    Wait,
    exchange,
)
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
)

NOW = 1_795_000_000.0  # Wed, 18 Nov 2026 11:06:40 GMT
OK = Reply(200)
REQUEST = HttpRequest("POST", "http://x/v1/chat/completions", {"authorization": "Bearer key-1"})


def run(*outcomes: Any, retry: RetryPolicy | None = None, chance: float = 1.0) -> tuple[Any, list[float], int]:
    """Play these outcomes; return (result or exception, pauses, requests sent)."""
    steps: Steps[object] = exchange(
        REQUEST,
        model="m",
        retry=retry or RetryPolicy(),
        clock=lambda: NOW,
        chance=lambda: chance,
    )
    waiting, sent = list(outcomes), 0
    pauses: list[float] = []
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value, pauses, sent
        except InferenceError as e:
            return e, pauses, sent
        if isinstance(step, Wait):
            pauses.append(step.seconds)
            outcome = None
        else:
            assert isinstance(step, Send)
            assert step.request is REQUEST
            sent += 1
            outcome = waiting.pop(0)


def reply(status: int, message: str = "no", **headers: str) -> Reply:
    return Reply(
        status, {k.replace("_", "-"): v for k, v in headers.items()}, b'{"error":{"message":"%b"}}' % message.encode()
    )


def test_a_good_answer_at_once() -> None:
    assert run(OK) == (OK, [], 1)


def test_pauses_double_and_are_capped() -> None:
    result, pauses, sent = run(*[reply(500)] * 9, retry=RetryPolicy(max_retries=7))
    assert isinstance(result, ServerError)
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    assert sent == 8


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_chance_spreads_the_pauses(chance: float) -> None:
    _, pauses, _ = run(reply(500), OK, chance=chance)
    assert pauses == [0.5 * (0.5 + chance / 2)]


@pytest.mark.parametrize(
    ("outcome", "tries"),
    [
        (reply(400), 1),
        (reply(401), 1),
        (reply(402), 1),
        (reply(403), 1),
        (reply(404), 1),
        (reply(408), 3),
        (reply(422), 1),
        (reply(429), 3),
        (reply(500), 3),
        (reply(502), 3),
        (reply(503), 3),
        (reply(307), 1),
        (ConnectionFailedError("no"), 3),
        (TimedOutError("no"), 3),
    ],
    ids=lambda x: str(getattr(x, "status_code", x)),
)
def test_what_is_tried_again(outcome: Any, tries: int) -> None:
    result, _, sent = run(*[outcome] * 3)
    assert isinstance(result, InferenceError)
    assert sent == tries
    assert run(*[outcome], retry=RetryPolicy(max_retries=0))[2] == 1


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "Wed, 18 Nov 2026 11:06:50 GMT"}, 10.0),
        ({"retry_after": "Wed, 18 Nov 2020 11:06:50 GMT"}, 0.0),
        ({"retry_after": "-5"}, 0.0),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": ""}, 0.5),
        ({"retry_after": "nan"}, 0.5),
        ({"retry_after": "inf"}, 0.5),
    ],
)
def test_retry_after(headers: dict[str, str], pause: float) -> None:
    result, pauses, _ = run(reply(429, **headers), OK)
    assert result == OK
    assert pauses == [pause]


def test_a_retry_after_beyond_patience_raises_at_once_and_is_told() -> None:
    result, pauses, sent = run(reply(429, retry_after="3600"))
    assert isinstance(result, RateLimitedError)
    assert (result.retry_after, pauses, sent) == (3600, [], 1)


def test_a_request_shows_no_key() -> None:
    assert "key-1" not in repr(REQUEST)


SERVICE: list[tuple[int, str, type[StatusError]]] = [
    # What the service's error pages say (read 2026-11-20)
    (401, "Missing bearer authentication in header", AuthenticationError),
    (401, "Authentication failed", AuthenticationError),
    (402, "You exceeded your current quota, please check your plan and billing details", QuotaExceededError),
    (429, "You exceeded your current quota, please check your plan and billing details", QuotaExceededError),
    (403, "Country, region, or territory not supported", AccessDeniedError),
    (403, "The inference gateway is not enabled for your organization", AccessDeniedError),
    (404, "The requested resource was not found", NotFoundError),
    (422, "temperature out of range", BadRequestError),
    (429, "Concurrency limit reached for requests", RateLimitedError),
    (
        429,
        'rate_limit_exceeded: "concurrency limit reached for requests: zai-org/GLM-5.2-project limit"',
        RateLimitedError,
    ),
    (429, "W&B Inference isn't available for personal accounts", AccessDeniedError),
    (500, "The server had an error while processing your request", ServerError),
    (503, "The engine is currently overloaded, please try again later", OverloadedError),
    (504, "Gateway Timeout", ServerError),
]


@pytest.mark.parametrize(("status", "message", "cls"), SERVICE)
@pytest.mark.parametrize("shape", ["object", "string", "detail", "list", "text", "html"])
def test_every_row_of_the_services_table_in_every_shape(
    status: int, message: str, cls: type[StatusError], shape: str
) -> None:
    body = {
        "object": json.dumps({"error": {"message": message, "code": "some_code", "type": "t", "param": None}}),
        "string": json.dumps({"error": message}),
        "detail": json.dumps({"detail": message}),
        "list": json.dumps({"detail": [{"loc": ["body", "temperature"], "msg": message}]}),
        "text": message,
        "html": f"<html><body><h1>{message}</h1></body></html>",
    }[shape]
    answer = Reply(status, {"x-request-id": "r-1"}, body.encode())
    error, _, _ = run(answer, retry=RetryPolicy(max_retries=0))
    assert type(error) is cls
    assert message in str(error)
    assert (error.status_code, error.request_id, error.response) == (status, "r-1", answer)
    assert error.hint


OVERFLOWS = [
    # (message, type, limit, prompt tokens)
    (
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens",
        "",
        2048,
        2049,
    ),
    (
        "This model's maximum context length is 2048 tokens. However, your request has 9011 input tokens. None",
        "",
        2048,
        9011,
    ),
    (
        "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2000 in the messages, "
        "100 in the completion).",
        "",
        2048,
        2000,
    ),
    (
        "This model's maximum context length is 2048 tokens. However, your prompt contains 99999 characters",
        "",
        2048,
        None,
    ),
    ("The decoder prompt (length 3000) is longer than the maximum model length of 2048.", "", 2048, 3000),
    (
        "The prompt (length 2000) plus the number of requested output tokens (100) is longer than the maximum model "
        "length of 2048",
        "",
        2048,
        2000,
    ),
    ("Input length (3000) exceeds model's maximum context length (2048).", "", 2048, 3000),
    (
        "'max_tokens' or 'max_completion_tokens' is too large: 100. This model's maximum context length is 2048 tokens "
        "and your request has 2000 input tokens (100 > 2048 - 2000).",
        "",
        2048,
        2000,
    ),
    ("the request exceeds the available context size", "exceed_context_size_error", 2048, 3000),
]


@pytest.mark.parametrize(("message", "kind", "limit", "prompt"), OVERFLOWS)
def test_every_phrasing_of_an_overflow(message: str, kind: str, limit: int, prompt: int | None) -> None:
    fields = {"n_ctx": 2048, "n_prompt_tokens": 3000} if kind else {}
    body = json.dumps({"error": {"message": message, "type": kind or "BadRequestError", **fields}})
    error, _, _ = run(Reply(400, {}, body.encode()))
    assert type(error) is ContextLengthError
    assert (error.limit, error.prompt_tokens) == (limit, prompt)


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 2048 "
        "tokens and your request has 13 input tokens (100000 > 2048 - 13).",
    ],
)
def test_too_large_an_answer_is_not_the_prompts_fault(message: str) -> None:
    error, _, _ = run(reply(400, message))
    assert type(error) is BadRequestError


def test_a_pause_that_is_too_long_is_told() -> None:
    error, pauses, sent = run(Reply(429, {"retry-after": "3600"}))
    assert (pauses, sent) == ([], 1)
    assert error.hint == "It asks to wait 3600 s, longer than max_retry_after=60: come back then."


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        # connect, read, stall: reasoning models take minutes, connections and pauses do not
        (None, Timeouts(10, 600, 120)),
        (5, Timeouts(10, 5, 5)),
        (0.5, Timeouts(10, 0.5, 0.5)),
        (Timeouts(1, 2, 3), Timeouts(1, 2, 3)),
        (Timeouts(None, None, None), Timeouts(None, None, None)),
    ],
)
def test_a_timeout_of_one_number_or_none(timeout: Any, expected: Timeouts) -> None:
    assert Timeouts.of(timeout) == expected


@pytest.mark.parametrize(("stream", "seconds"), [(False, 2), (True, 3)])
def test_how_long_an_answer_may_be_silent(stream: bool, seconds: float) -> None:
    assert HttpRequest("POST", "http://x", {}, timeouts=Timeouts(1, 2, 3), stream=stream).silence == seconds


def test_a_request_for_a_listing_has_no_body_and_is_read_whole() -> None:
    request = HttpRequest("GET", "http://x/v1/models", {})
    assert (request.content, request.stream, request.timeouts) == (b"", False, Timeouts.of(None))


def test_a_request_shows_nothing_that_was_said() -> None:
    assert "secret" not in repr(HttpRequest("POST", "http://x", {}, b"secret"))


class Log(Progress):
    """What an exchange reports and asks of its driver, in order."""

    def __init__(self, places: Any = None) -> None:
        self.places = places
        self.lines: list[Any] = []

    def sent(self) -> None:
        self.lines.append("sent")

    def failed(self, error: InferenceError) -> None:
        self.lines.append(type(error).__name__)

    def pauses(self, seconds: float) -> None:
        self.lines.append(seconds)

    def opened(self, place: Place) -> None:
        assert isinstance(place, OnePlace)
        self.lines.append("opened")


PLACES: Any = object()


class OnePlace:
    """A place, and how it was given back."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def accepted(self) -> None:
        self.log.lines.append("accepted")

    def rests(self) -> None: ...

    def resumes(self) -> None: ...

    def release(self, *, refused: bool = False) -> None:
        self.log.lines.append("refused" if refused else "released")


def followed(*outcomes: Any, places: bool) -> list[Any]:
    """Play these outcomes; return what happened, in order. A class of exception is thrown into the exchange."""
    log = Log(PLACES if places else None)
    steps: Steps[object] = exchange(
        REQUEST, model="m", retry=RetryPolicy(max_retries=1), clock=lambda: NOW, chance=lambda: 1.0, progress=log
    )
    waiting = list(outcomes)
    outcome: Any = None
    with suppress(StopIteration, InferenceError, KeyboardInterrupt):
        while True:
            step = steps.throw(outcome) if isinstance(outcome, type) else steps.send(outcome)
            if isinstance(step, Acquire):
                assert step == Acquire(PLACES, REQUEST.timeouts.read)
                outcome = OnePlace(log)
                log.lines.append("place")
            else:
                outcome = waiting.pop(0) if isinstance(step, Send) else None
    return log.lines


STREAM = object()  # whatever a transport calls an open response
FOLLOWED: dict[str, tuple[list[Any], list[Any]]] = {
    # name: (outcomes, what a call with places goes through; one without goes through the same but for them)
    "an answer": ([OK], ["place", "sent", "released"]),
    "a stream keeps its place": ([STREAM], ["place", "sent", "accepted", "opened"]),
    "too many calls": (
        [reply(429), OK],
        ["place", "sent", "refused", "RateLimitedError", 0.5, "place", "sent", "released"],
    ),
    "a failure of the service": (
        [reply(500), STREAM],
        ["place", "sent", "released", "ServerError", 0.5, "place", "sent", "accepted", "opened"],
    ),
    "a failure of the network": (
        [ConnectionFailedError("no"), TimedOutError("no")],
        [
            *("place", "sent", "released", "ConnectionFailedError", 0.5),
            *("place", "sent", "released", "TimedOutError"),
        ],
    ),
    "a fault of the request": ([reply(400)], ["place", "sent", "released", "BadRequestError"]),
    "given up while it is sent": ([KeyboardInterrupt], ["place", "sent", "released"]),
}


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize("places", [True, False])
def test_every_try_takes_a_place_and_gives_it_back(name: str, places: bool) -> None:
    outcomes, expected = FOLLOWED[name]
    of_places = () if places else ("place", "released", "refused", "accepted", "opened")
    assert followed(*outcomes, places=places) == [line for line in expected if line not in of_places]


def test_no_place_in_time_is_the_end_of_the_call() -> None:
    steps: Steps[object] = exchange(
        REQUEST, model="m", retry=RetryPolicy(), clock=lambda: NOW, chance=lambda: 1.0, progress=Log(PLACES)
    )
    assert isinstance(next(steps), Acquire)
    error = QueueTimeoutError("no")
    with pytest.raises(QueueTimeoutError) as caught:
        steps.send(error)
    assert caught.value is error


@pytest.mark.parametrize(("status", "good"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_what_counts_as_an_answer(status: int, good: bool) -> None:
    result, _, _ = run(Reply(status), retry=RetryPolicy(max_retries=0))
    assert isinstance(result, Reply) is good


def test_a_driver_that_says_nothing_of_what_it_sent() -> None:
    with pytest.raises(TypeError, match="answers Send"):
        run(None)


def test_the_longest_pause_that_is_waited_for() -> None:
    assert run(reply(429, retry_after="60"), OK) == (OK, [60], 2)
    patient = RetryPolicy(max_retry_after=90)
    assert run(reply(429, retry_after="90"), OK, retry=patient) == (OK, [90], 2)
    error, _, _ = run(reply(429, retry_after="91"), retry=patient)
    assert error.hint == "It asks to wait 91 s, longer than max_retry_after=90: come back then."


def test_every_retry_has_its_own_pause() -> None:
    assert run(reply(500), reply(429, retry_after="3"), reply(500), OK, retry=RetryPolicy(max_retries=3)) == (
        OK,
        [0.5, 3, 2],
        4,
    )


def test_the_pauses_can_be_set() -> None:
    _, pauses, _ = run(*[reply(500)] * 5, retry=RetryPolicy(4, initial=0.1, ceiling=0.3))
    assert pauses == [0.1, 0.2, 0.3, 0.3]
