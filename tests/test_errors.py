"""What handlers may rely on: the tree, the facts of each error, and that none of them shows a key."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from wandb_inference import ChatRequest, Completion, Finding, Policy, errors
from wandb_inference.catalog import Catalog
from wandb_inference.errors import InferenceError, Reply, StatusError, key_pattern, overflow_message, request_id_of
from wandb_inference.routing import plan

TREE: dict[str, tuple[str, bool]] = {
    # class: (base, whether the same request may succeed when sent again)
    "ConfigurationError": ("InferenceError", False),
    "UnknownModelError": ("InferenceError", False),
    "RequestReviewError": ("InferenceError", False),
    "BudgetExceededError": ("InferenceError", False),
    "NoCandidateError": ("InferenceError", False),
    "TransportError": ("InferenceError", True),
    "ConnectionFailedError": ("TransportError", True),
    "TimedOutError": ("TransportError", True),
    "QueueTimeoutError": ("TimedOutError", False),
    "StreamInterruptedError": ("TransportError", True),
    "StatusError": ("InferenceError", False),
    "BadRequestError": ("StatusError", False),
    "ContextLengthError": ("BadRequestError", False),
    "AuthenticationError": ("StatusError", False),
    "QuotaExceededError": ("StatusError", False),
    "AccessDeniedError": ("StatusError", False),
    "NotFoundError": ("StatusError", False),
    "RateLimitedError": ("StatusError", True),
    "ServerError": ("StatusError", True),
    "OverloadedError": ("ServerError", True),
    "MalformedResponseError": ("InferenceError", False),
}
VALUE_ERRORS = {"ConfigurationError", "UnknownModelError", "RequestReviewError", "NoCandidateError"}


@pytest.mark.parametrize("name", TREE)
def test_the_tree_is_as_drawn(name: str) -> None:
    base, again = TREE[name]
    cls = getattr(errors, name)
    assert cls.__bases__[0] is getattr(errors, base)
    assert cls.retryable is again
    assert issubclass(cls, ValueError) is (name in VALUE_ERRORS)
    assert name in (errors.__doc__ or "")


def test_the_tree_is_drawn_whole() -> None:
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(TREE) | {"InferenceError"}


REPLY = Reply(429, {"x-request-id": "r", "cf-ray": "ray"}, b'{"error": "slow"}')
FINDING = Finding("context_window", "messages", "error", "too long", 10, 20)
PLAN = plan(ChatRequest("m", [{"role": "user", "content": "Hello"}]), Catalog.empty(), Policy())
MADE: dict[str, tuple[InferenceError, dict[str, Any]]] = {
    # name: (error, its facts)
    "the least": (InferenceError("no"), {"message": "no", "hint": "", "partial": None, "route": None}),
    "with a hint": (InferenceError("No.", hint="Try again."), {"message": "No.", "hint": "Try again."}),
    "unknown model": (
        errors.UnknownModelError("no", model="m", suggestions=["a", "b"], replacement="c", hint="h"),
        {"model": "m", "suggestions": ("a", "b"), "replacement": "c", "hint": "h"},
    ),
    "unknown model, the least": (
        errors.UnknownModelError("no", model="m"),
        {"model": "m", "suggestions": (), "replacement": None, "hint": ""},
    ),
    "review": (
        errors.RequestReviewError("no", model="m", findings=[FINDING], hint="h"),
        {"model": "m", "findings": (FINDING,), "hint": "h", "is_overflow": True},
    ),
    "review, the least": (
        errors.RequestReviewError("no", model="m", findings=()),
        {"findings": (), "hint": "", "is_overflow": False},
    ),
    "budget": (
        errors.BudgetExceededError(limit=Decimal(1), spent=Decimal(0), reserved=Decimal(0), needed=Decimal(2)),
        {"limit": Decimal(1), "spent": Decimal(0), "reserved": Decimal(0), "needed": Decimal(2)},
    ),
    "no candidate": (errors.NoCandidateError("no", plan=PLAN, hint="h"), {"plan": PLAN, "hint": "h"}),
    "no candidate, the least": (errors.NoCandidateError("no", plan=PLAN), {"hint": ""}),
    "transport": (errors.TimedOutError("no"), {"sent": True, "partial": None}),
    "status": (
        StatusError("no", hint="h", status_code=429, code="c", param="p", retry_after=2.0, response=REPLY),
        {
            "status_code": 429,
            "code": "c",
            "param": "p",
            "retry_after": 2.0,
            "response": REPLY,
            "hint": "h",
            "request_id": "r",
        },
    ),
    "status, the least": (
        StatusError("no", status_code=500),
        {"hint": "", "code": None, "param": None, "retry_after": None, "response": None, "request_id": None},
    ),
    "context length": (
        errors.ContextLengthError("no", status_code=400),
        {"status_code": 400, "limit": None, "prompt_tokens": None},
    ),
}


def facts_of(error: InferenceError, names: Any) -> dict[str, Any]:
    return {name: getattr(error, name) for name in names}


@pytest.mark.parametrize("name", MADE)
def test_facts(name: str) -> None:
    error, facts = MADE[name]
    assert facts_of(error, facts) == facts
    assert error.args == (error.message,)
    assert str(error) == (f"{error.message} {error.hint}" if error.hint else error.message)


@pytest.mark.parametrize("name", [name for name in MADE if "candidate" not in name])
@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 (our own)
def test_another_process_gets_the_same_error(name: str, copied: Any) -> None:
    error, facts = MADE[name]
    twin = copied(error)
    assert type(twin) is type(error)
    assert (str(twin), twin.args) == (str(error), error.args)
    assert facts_of(twin, facts) == facts


def test_what_was_added_later_goes_to_another_process_too() -> None:
    error = errors.StreamInterruptedError("no")
    error.partial, error.route, error.sent = Completion(id="c"), {"requested": "m"}, False
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert (twin.partial, twin.route, twin.sent) == (error.partial, error.route, False)


SPENT: dict[str, tuple[dict[str, str], str, str, str]] = {
    # name: (amounts, message, hint's end, name of the budget)
    "nothing spent": (
        {"limit": "1", "spent": "0", "reserved": "0", "needed": "1.50"},
        "The call may cost 1.5 USD, and the budget has 1 of 1 left (0 spent, 0 reserved by calls in flight).",
        "or raise the budget.",
        "",
    ),
    "calls in flight": (
        {"limit": "1.00", "spent": "0.2", "reserved": "0.3", "needed": "0.6"},
        "The call may cost 0.6 USD, and the budget 'team' has 0.5 of 1 left "
        "(0.2 spent, 0.3 reserved by calls in flight).",
        "or come again when calls in flight have ended.",
        "team",
    ),
    "overspent, in small change": (
        {"limit": "0.0000001", "spent": "0.0000002", "reserved": "0", "needed": "0.0000003"},
        "The call may cost 0.0000003 USD, and the budget has -0.0000001 of 0.0000001 left "
        "(0.0000002 spent, 0 reserved by calls in flight).",
        "or raise the budget.",
        "",
    ),
}


@pytest.mark.parametrize("name", SPENT)
def test_a_budget_says_what_is_left(name: str) -> None:
    amounts, message, hint, called = SPENT[name]
    named = {"name": called} if called else {}
    error = errors.BudgetExceededError(**{key: Decimal(value) for key, value in amounts.items()}, **named)  # type: ignore[arg-type]  # by name
    assert error.message == message
    assert error.hint.endswith(hint)


@pytest.mark.parametrize(
    ("code", "severity", "overflow"),
    [("context_window", "error", True), ("context_window", "warning", False), ("max_tokens", "error", False)],
)
def test_whether_a_prompt_is_too_long(code: str, severity: Any, overflow: bool) -> None:
    findings = [Finding("tools", "tools", "error", "no"), Finding(code, "x", severity, "no")]
    assert errors.RequestReviewError("no", model="m", findings=findings).is_overflow is overflow


@dataclass
class Why:
    code: str


@dataclass
class Held:
    rejected: tuple[Why, ...]


@dataclass
class Made:
    candidates: tuple[Held, ...]


@pytest.mark.parametrize(
    ("reasons", "overflow"),
    [
        ([], False),
        ([["tools"]], False),
        ([["context_window"]], True),
        ([["tools"], ["context_window"]], True),  # one would take a shorter one
        ([["context_window", "tools"]], False),  # a shorter one would not be taken either
    ],
)
def test_whether_a_shorter_prompt_would_have_a_candidate(reasons: list[list[str]], overflow: bool) -> None:
    made = Made(tuple(Held(tuple(map(Why, codes))) for codes in reasons))
    assert errors.NoCandidateError("no", plan=made).is_overflow is overflow


def test_a_reply_in_the_form_that_handlers_know() -> None:
    assert REPLY.json() == {"error": "slow"}
    assert Reply(200, {}, b"caf\xe9").text == "caf\ufffd"
    assert (Reply(200).headers, Reply(200).content) == ({}, b"")
    with pytest.raises(ValueError, match="Expecting value"):
        Reply(200, {}, b"<html>").json()


@pytest.mark.parametrize(
    ("headers", "id_"),
    [({}, None), ({"x-request-id": "r"}, "r"), ({"cf-ray": "c"}, "c"), ({"x-request-id": "", "cf-ray": "c"}, "c")],
)
def test_the_id_to_quote(headers: dict[str, str], id_: str | None) -> None:
    assert request_id_of(headers) == id_
    assert StatusError("no", status_code=500, response=Reply(500, headers)).request_id == id_


SHORT, LONG = "12345678", "abcdefghijklmnopqrst"  # 8 characters, and 20
KEYS: dict[str, tuple[str, str, str]] = {
    # name: (key, text, the text without it)
    "a short one": (SHORT, f"key {SHORT}, twice {SHORT}", "key ***, twice ***"),
    "a short one that goes on": (SHORT, f"key {SHORT}9 x", "key ***9 x"),
    "the beginning of a short one may be a word": (SHORT, "key 1234567 x", "key 1234567 x"),
    "one that is a word": ("1234567", "key 1234567 x", "key 1234567 x"),
    "a long one": (LONG, f"key {LONG} x", "key *** x"),
    "a long one that was cut": (LONG, "key abcdefgh", "key ***"),
    "a long one that was cut, and marked": (LONG, "key abcdefghij... x", "key *** x"),
    "a long one that was cut before it can be told": (LONG, "key abcdefg x", "key abcdefg x"),
    "one of 19 is no long one": (LONG[:19], "key abcdefgh x", "key abcdefgh x"),
    "its characters mean nothing else": ("a.c(e)g*", "key a.c(e)g* abcdefgh", "key *** abcdefgh"),
    "a long one whose characters mean nothing else": (
        "a.c(e)g*ijklmnopqrst",
        "key a.c(e)g* abcdefghi",
        "key *** abcdefghi",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_blotted_out_wherever_it_was_repeated(name: str) -> None:
    key, text, clean = KEYS[name]
    error = StatusError(text, hint=text, status_code=401)
    error.redact(key)
    assert (error.message, error.hint, error.args, str(error)) == (clean, clean, (clean,), f"{clean} {clean}")
    assert error.response is None


def test_where_a_key_ends_can_be_set() -> None:
    pattern = key_pattern(LONG, rest="[a-z]", shortest=10)
    assert pattern is not None
    assert re.sub(pattern, "*", "abcdefghijK abcdefghi") == "*K abcdefghi"
    assert key_pattern("1234567") is None


@pytest.mark.parametrize(("key", "hidden"), [(SHORT, True), (LONG, True), (SHORT[:7], False)])
def test_nor_does_a_response_show_it(key: str, hidden: bool) -> None:
    response = Reply(401, {"x": f"Bearer {key}", "y": "z"}, b"key " + key.encode())
    error = StatusError("no", status_code=401, response=response)
    error.redact(key)
    shown = "***" if hidden else key
    assert error.response == Reply(401, {"x": f"Bearer {shown}", "y": "z"}, f"key {shown}".encode())


OVERFLOWS: dict[str, tuple[tuple[Any, ...], str]] = {
    # name: (window, prompt, answer, how the prompt is known; the words)
    "all numbers": (
        (100, 96, 5, "at least "),
        "the prompt is too long. This model's maximum context length is 100 tokens. However, you requested 5 output "
        "tokens and your prompt contains at least 96 input tokens",
    ),
    "no answer": (
        (100000, 110000),
        "the prompt is too long. This model's maximum context length is 100000 tokens. However, your prompt contains "
        "110000 input tokens",
    ),
    "no prompt": ((100,), "the prompt is too long. This model's maximum context length is 100 tokens"),
    "nothing": ((None,), "the prompt is too long. This model's maximum context length is exceeded"),
    "a doubt": (
        (100, 96, None, "about "),
        "the prompt may be too long. This model's maximum context length is 100 tokens. However, your prompt contains "
        "about 96 input tokens",
    ),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_overflow(name: str) -> None:
    figures, words = OVERFLOWS[name]
    assert overflow_message(*figures) == words
