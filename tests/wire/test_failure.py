"""What an error response becomes: its class, its words, its pause, and what it says of the context window."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support import grows_linearly

from wandb_inference._wire import failure
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

STATUSES: list[tuple[int, type[StatusError], bool, str]] = [
    # (status, class, whether to try again, words of the hint)
    (301, StatusError, False, "base_url"),
    (400, BadRequestError, False, "Correct what the message names"),
    (401, AuthenticationError, False, "key"),
    (402, QuotaExceededError, False, "billing"),
    (403, AccessDeniedError, False, "administrator"),
    (404, NotFoundError, False, "wandb-inference models"),
    (405, StatusError, False, "base_url"),
    (408, ServerError, True, "Try again."),
    (413, BadRequestError, False, "smaller request"),
    (422, BadRequestError, False, "Correct what the message names"),
    (429, RateLimitedError, True, "max_retries"),
    (499, StatusError, False, "base_url"),
    (500, ServerError, True, "Try again in a minute."),
    (502, ServerError, True, "Try again in a minute."),
    (503, OverloadedError, True, "another model"),
    (529, ServerError, True, "Try again in a minute."),
]


@pytest.mark.parametrize(("status", "cls", "again", "words"), STATUSES)
def test_status(status: int, cls: type[StatusError], again: bool, words: str) -> None:
    error = failure(model="m", status=status, reply=Reply(status, {}, b'{"error": {"message": "no"}}'))
    assert (type(error), error.status_code, error.retryable) == (cls, status, again)
    assert error.message == f"m: no (HTTP {status})."
    assert words in error.hint


@pytest.mark.parametrize("case", [str.lower, str.upper])
@pytest.mark.parametrize("status", [400, 403, 429, 500])
@pytest.mark.parametrize(
    ("words", "cls", "hint"),
    [
        ("You exceeded your current quota, please check", QuotaExceededError, "billing"),
        ("W&B Inference isn't available for personal accounts", AccessDeniedError, "project='team/project'"),
        ("Not Found", NotFoundError, "base_url, which usually ends in /v1"),
    ],
)
def test_words_count_for_more_than_the_status(
    words: str, cls: type[StatusError], hint: str, status: int, case: Any
) -> None:
    error = failure(model="m", status=status, body={"error": {"message": case(words)}})
    assert (type(error), error.status_code) == (cls, status)
    assert hint in error.hint


def test_not_found_is_about_the_path_only_where_it_stands_alone() -> None:
    error = failure(model="m", status=404, body={"error": {"message": "The model m was not found"}})
    assert "base_url" not in error.hint


CODES: dict[str, tuple[dict[str, Any], int, str | None]] = {
    # name: (the error of a 200 answer or stream, the status it is read as, its code)
    "a number": ({"code": 429}, 429, "429"),
    "a number as text": ({"code": "503"}, 503, "503"),
    "the first of the errors": ({"code": 400}, 400, "400"),
    "the last of the errors": ({"code": 599}, 599, "599"),
    "no status": ({"code": 600}, 500, "600"),
    "nor that": ({"code": 399}, 500, "399"),
    "no digits": ({"code": "4x0"}, 500, "4x0"),
    "a long number": ({"code": 4000}, 500, "4000"),
    "a status beside an unknown code": ({"code": "strange", "status": 404}, 404, "strange"),
    "a type beside an unknown code": ({"code": "strange", "type": "NotFoundError"}, 404, "strange"),
    "code before status before type": ({"code": 400, "status": 404, "type": "server_error"}, 400, "400"),
    "status before type": ({"status": 404, "type": "server_error"}, 404, "server_error"),
    "the type, where there is no code": ({"code": None, "type": "rate_limit_exceeded"}, 429, "rate_limit_exceeded"),
    "the type, where the code is empty": ({"code": "", "type": "overloaded"}, 503, "overloaded"),
    "a known code before a known type": ({"code": "server_error", "type": "NotFoundError"}, 500, "server_error"),
    "another": ({"code": "InternalServerError", "type": "overloaded"}, 500, "InternalServerError"),
    "code zero is a code": ({"code": 0, "type": "overloaded"}, 503, "0"),
    "nothing": ({}, 500, None),
    # the names that vLLM, the gateway and OpenAI's imitators use
    "BadRequestError": ({"type": "BadRequestError"}, 400, "BadRequestError"),
    "invalid_request_error": ({"type": "invalid_request_error"}, 400, "invalid_request_error"),
    "invalid_api_key": ({"code": "invalid_api_key"}, 401, "invalid_api_key"),
    "authentication_error": ({"type": "authentication_error"}, 401, "authentication_error"),
    "NotFoundError": ({"type": "NotFoundError"}, 404, "NotFoundError"),
    "context_length_exceeded": ({"code": "context_length_exceeded"}, 400, "context_length_exceeded"),
    "insufficient_quota": ({"code": "insufficient_quota"}, 402, "insufficient_quota"),
    "forbidden": ({"code": "forbidden"}, 403, "forbidden"),
    "not_found": ({"code": "not_found"}, 404, "not_found"),
    "unprocessable_entity": ({"code": "unprocessable_entity"}, 422, "unprocessable_entity"),
    "RateLimitError": ({"type": "RateLimitError"}, 429, "RateLimitError"),
    "server_error": ({"type": "server_error"}, 500, "server_error"),
    "InternalServerError": ({"type": "InternalServerError", "code": "x"}, 500, "x"),
    "Internal Server Error": ({"type": "Internal Server Error"}, 500, "Internal Server Error"),
}


@pytest.mark.parametrize("name", CODES)
def test_the_status_of_an_error_that_came_with_status_200(name: str) -> None:
    fields, status, code = CODES[name]
    error = failure(model="m", body={"error": {"message": "no", **fields}})
    assert (error.status_code, error.code, error.response, error.retry_after) == (status, code, None, None)


BODIES: dict[str, tuple[Any, str, str | None, str | None]] = {
    # name: (body, words of the error, its code, the field it names)
    "OpenAI's": ({"error": {"message": "no", "code": "c", "param": "n"}}, "no", "c", "n"),
    "OpenAI's, without a field": ({"error": {"message": "no", "type": "t", "param": None}}, "no", "t", None),
    "a field that is no name": ({"error": {"message": "no", "param": 5}}, "no", None, None),
    "an error of one string": ({"error": "no"}, "no", None, None),
    "vLLM's older form": ({"object": "error", "message": "no", "code": 400, "param": "n"}, "no", "400", "n"),
    "an error of one string, with a code beside it": ({"error": "no", "code": "c", "param": "n"}, "no", "c", "n"),
    "FastAPI's": ({"detail": "no"}, "no", None, None),
    "FastAPI's list": (
        {"detail": [{"loc": ["body", "n"], "msg": "no"}, {"loc": "x", "msg": "nor"}, "this"]},
        "body.n: no; x: nor; this",
        None,
        None,
    ),
    "a list without messages": (
        {"detail": [{"loc": ["n"], "type": "t"}]},
        "n: {'loc': ['n'], 'type': 't'}",
        None,
        None,
    ),
    "a detail in an object": ({"detail": {"message": "no", "code": "c"}}, "no", "c", None),
    "a message in an object": ({"message": {"message": "no", "code": "c"}}, "no", "c", None),
    "an error with a detail": ({"error": {"detail": "no"}}, "no", None, None),
    "an object of its own": ({"error": {"ü": 1}}, '{"ü": 1}', None, None),
    "nothing of these": ({"x": 1}, '{"x": 1}', None, None),
    "an empty error beside a detail": ({"error": "", "detail": "no"}, "no", None, None),
    "error before detail before message": ({"message": "c", "detail": "b", "error": "a"}, "a", None, None),
    "detail before message": ({"message": "c", "detail": "b"}, "b", None, None),
    "a string": ("no", "no", None, None),
    "a number": (5, "5", None, None),
}


@pytest.mark.parametrize("name", BODIES)
def test_body(name: str) -> None:
    body, words, code, param = BODIES[name]
    reply = Reply(418, {}, json.dumps(body).encode())
    for error in (failure(model="m", status=418, body=body), failure(model="m", status=418, reply=reply)):
        assert error.message == f"m: {words} (HTTP 418)."
        assert (error.code, error.param) == (code, param)


TEXTS: dict[str, tuple[bytes, str]] = {
    # name: (body that is no JSON, words of the error)
    "a page of a gateway": (b"<html>\n  <b>Bad</b>\r\n\t gateway</html>", "a web page, 'Bad gateway'"),
    "nothing": (b"", "no reason given"),
    "null": (b"null", "no reason given"),
    "no UTF-8": (b"caf\xe9", "caf\ufffd"),
    "500 characters": (b"x" * 500, "x" * 500),
    "more": (b"x" * 500 + b"y", "x" * 500),
    "JSON too deep to read": (b"[" * 100_000, "[" * 500),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_body_that_is_no_json(name: str) -> None:
    content, words = TEXTS[name]
    error = failure(model="m", status=502, reply=Reply(502, {}, content))
    assert error.message == f"m: {words} (HTTP 502)."


def test_a_body_that_was_read_already_counts() -> None:
    error = failure(
        model="m", status=400, reply=Reply(400, {"x-request-id": "r"}, b'{"error": "a"}'), body={"error": "b"}
    )
    assert error.message == "m: b (HTTP 400)."
    assert error.request_id == "r"


PAUSES: dict[str, tuple[dict[str, str], float | None]] = {
    # name: (headers, seconds)
    "none": ({}, None),
    "seconds": ({"retry-after": "3"}, 3),
    "milliseconds": ({"retry-after-ms": "1500"}, 1.5),
    "both": ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
    "milliseconds that are none": ({"retry-after": "9", "retry-after-ms": "soon"}, 9),
    "endless milliseconds": ({"retry-after": "9", "retry-after-ms": "inf"}, 9),
    "in the past": ({"retry-after": "-5"}, 0),
    "a date": ({"retry-after": "Wed, 18 Nov 2026 11:06:50 GMT"}, 10),
    "a date in the past": ({"retry-after": "Wed, 18 Nov 2020 11:06:50 GMT"}, 0),
    "words": ({"retry-after": "soon"}, None),
    "a zone that no clock has": ({"retry-after": "Thu, 01 Jan 1970 00:00:00 +99999999999999"}, None),
    "a year that no calendar has": ({"retry-after": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, None),
    "more digits than a number has": ({"retry-after": "9" * 5_000}, None),
    "no number": ({"retry-after": "nan"}, None),
}


@pytest.mark.parametrize("name", PAUSES)
def test_pause(name: str) -> None:
    headers, seconds = PAUSES[name]
    error = failure(model="m", status=429, reply=Reply(429, headers, b"{}"), now=NOW)
    assert error.retry_after == seconds


def overflow(message: str, **fields: Any) -> StatusError:
    return failure(model="m", status=400, body={"error": {"message": message, **fields}})


WINDOWS: dict[str, tuple[str, dict[str, Any], int | None, int | None]] = {
    # name: (words, fields beside them, window, tokens of the prompt)
    "at least": (
        "This model's maximum context length is 100 tokens. However, you requested 5 output tokens and your prompt "
        "contains at least 96 input tokens, for a total of at least 101 tokens.",
        {},
        100,
        96,
    ),
    "exact": (
        "This model's maximum context length is 100 tokens.\nHowever, your request has 120 input tokens.",
        {},
        100,
        120,
    ),
    "in the messages": (
        "This model's maximum context length is 100 tokens. However, you requested 130 tokens (120 in the messages, "
        "10 in the completion).",
        {},
        100,
        120,
    ),
    "in the prompt": (
        "This model's maximum context length is 100 tokens. However, you requested 130 tokens (120 in the prompt, "
        "10 in the completion).",
        {},
        100,
        120,
    ),
    "characters": ("MAXIMUM CONTEXT LENGTH IS 100 TOKENS, your prompt contains 999 characters", {}, 100, None),
    "passed": (
        "You passed 96 input tokens and requested 5 output tokens. However, the model's context length is only 100 "
        "tokens",
        {},
        100,
        96,
    ),
    "decoder prompt": (
        "The decoder prompt (length 120) is longer than the maximum model length of 100.",
        {},
        100,
        120,
    ),
    "decoder prompt without a length": (
        "The decoder prompt (length 120) is longer than the maximum model length.",
        {},
        None,
        120,
    ),
    "transformers": ("Input length (120) exceeds model's maximum context length (100).", {}, 100, 120),
    "transformers, the model": ("input length (120) exceeds the model maximum context length (100)", {}, 100, 120),
    "llama-server": (
        "the request exceeds the available context size, try increasing it",
        {"type": "exceed_context_size_error", "n_ctx": 100, "n_prompt_tokens": 120},
        100,
        120,
    ),
    "llama-server, in other words": ("no", {"type": "exceed_context_size_error", "n_ctx": 100}, 100, None),
    "a code only": ("too long", {"code": "context_length_exceeded"}, None, None),
    "numbers in words": ("too long", {"code": "context_length_exceeded", "n_ctx": "100"}, None, None),
    "the window is the answer's, and the prompt's part is not known": (
        "This model's maximum context length is 100 tokens. However, you requested 99 output tokens.",
        {},
        100,
        None,
    ),
    "the prompt's bound is small, and so is the answer": (
        "This model's maximum context length is 100 tokens. However, you requested 99 output tokens and your prompt "
        "contains at least 2 input tokens.",
        {},
        100,
        2,
    ),
    "as large as the answer": (
        "This model's maximum context length is 100 tokens. However, you requested 120 tokens (60 in the messages, "
        "60 in the completion).",
        {},
        100,
        60,
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_prompt_that_does_not_fit(name: str) -> None:
    words, fields, limit, prompt = WINDOWS[name]
    error = overflow(words, **fields)
    assert isinstance(error, ContextLengthError)
    assert (error.limit, error.prompt_tokens) == (limit, prompt)
    assert error.hint.startswith("Shorten the conversation")
    standard = re.findall(r"this model's maximum context length is (\d+ tokens|exceeded)", error.message, re.IGNORECASE)
    assert standard == ["exceeded" if limit is None else f"{limit} tokens"]


@pytest.mark.parametrize(
    "words",
    [
        "temperature must be at least 0",
        "my_context_length_exceeded is no parameter",
        "This model's maximum context length is 100 tokens. However, you requested 130 tokens (60 in the messages, "
        "70 in the completion).",
        "This model's maximum context length is 100 tokens. However, you requested 100 output tokens and your prompt "
        "contains at least 1 input tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 99. This model's maximum context length is 100 tokens "
        "and your request has 13 input tokens (99 > 100 - 13).",
        "max_tokens is too large: 400. This model's maximum context length is 100 tokens.",
        "This model's maximum context length is 100 tokens. You requested 101 output tokens.",
    ],
)
def test_an_answer_that_does_not_fit_is_another_fault(words: str) -> None:
    assert type(overflow(words)) is BadRequestError


def test_numbers_that_nobody_can_read() -> None:
    many = "9" * 5_000
    error = overflow(
        f"This model's maximum context length is {many} tokens. However, your request has {many} input tokens."
    )
    assert isinstance(error, ContextLengthError)
    assert (error.limit, error.prompt_tokens) == (None, None)


@pytest.mark.parametrize(
    "part",
    [
        *("maximum context length is 1 tokens ", "maximum context length is ", "passed 1 input tokens ", "passed 1"),
        *(
            "prompt (length 1) ",
            "input length (1) ",
            "requested 1 ",
            "tokens is too large: 1",
            "1",
            "1 in the ",
            "<h1>",
        ),
        *("<title>", "<", "<a", "ray id: ", "ray id:      ", " ", "\n", "error code: 1"),
    ],
)
def test_a_long_error_is_read_in_time_that_grows_with_it(part: str) -> None:
    def work(size: int) -> None:
        text = part * (size // len(part))
        overflow(text)
        failure(model="m", status=502, reply=Reply(502, {}, text.encode()), now=NOW)

    assert grows_linearly(work)


@pytest.mark.parametrize("status", [413, 422])
def test_any_refusal_of_a_request_may_be_about_the_window(status: int) -> None:
    error = failure(model="m", status=status, body={"error": {"code": "context_length_exceeded", "message": "no"}})
    assert (type(error), error.status_code) == (ContextLengthError, status)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_no_other_error_is(status: int) -> None:
    error = failure(model="m", status=status, body={"error": {"code": "context_length_exceeded", "message": "no"}})
    assert not isinstance(error, ContextLengthError)


@pytest.mark.parametrize("text", ["Not Found", "File Not Found"])
def test_a_path_that_is_not_there_is_no_model(text: str) -> None:
    error = failure(model="m", status=404, body={"error": {"message": text}})
    assert "That is no model but a path: check base_url" in error.hint
