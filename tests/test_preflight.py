"""What a caller hears of a call before it is sent, and what the catalog adds to the service's own words."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from cards import card

from wandb_inference import (
    BadRequestError,
    Catalog,
    ChatOptions,
    ChatRequest,
    ConfigurationError,
    InferenceError,
    NotFoundError,
    RequestReviewError,
    TimedOutError,
    UnknownModelError,
)
from wandb_inference._preflight import explain, preflight, retired
from wandb_inference.catalog import Measured, ReviewMode, ReviewWarning

IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


SEES = {"input": ("text", "image")}
CATALOG = Catalog(
    [
        card("me/plain", aliases=("plain",), output_limit=100),
        *(card(f"me/sees-{n}", **SEES) for n in range(1, 8)),
        card("me/old", status="retired", replacement="me/older"),
        card("me/older", status="retired", replacement="me/plain"),
        card("me/last", family="last", status="retired"),
        card("me/lost", family="g", status="retired"),
        card("me/replaced", family="g", status="retired", replacement="me/lost"),
        *(card(f"me/g-{n}", family="g", **SEES) for n in (1, 2)),
        card("me/g-soon", family="g", status="deprecated", **SEES),
    ]
)


def call(model: str = "me/plain", content: Any = "Hello", **options: Any) -> Measured:
    return Measured(ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(**options)))


def heard(of: Measured, mode: ReviewMode) -> tuple[str | None, list[str]]:
    """Return the id of the card, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = preflight(of, CATALOG, mode)
    assert all(warning.category is ReviewWarning for warning in caught)
    assert all(warning.filename == __file__ for warning in caught)  # whoever called is shown
    return found.id if found else None, [str(warning.message) for warning in caught]


STOPS = "me/plain: 5 stop strings; newer vLLM takes 4 at most."
SIGHT = "me/plain: messages[0].content[0] is image input, the model reads text only."
GONE = "me/old: it was retired (date not known); every call to it gets HTTP 404."
MEANT = "me/plane is not in the catalog; did you mean 'me/plain'?"
HEARD: dict[str, tuple[Measured, ReviewMode, str | None, list[str]]] = {
    # name: (call, mode, the card, warnings)
    "nothing to say": (call(), "strict", "me/plain", []),
    "nothing to say, to an alias": (call("plain"), "strict", "me/plain", []),
    "a doubt": (call(stop=list("abcde")), "strict", "me/plain", [STOPS]),
    "a doubt, and no worse": (call(stop=list("abcde")), "warn", "me/plain", [STOPS]),
    "a doubt that nobody wants to hear": (call(stop=list("abcde")), "off", "me/plain", []),
    "an error": (call(content=[IMAGE]), "warn", "me/plain", [SIGHT]),
    "an error and a doubt": (call(content=[IMAGE], stop=list("abcde")), "warn", "me/plain", [SIGHT, STOPS]),
    "an error that nobody wants to hear": (call(content=[IMAGE]), "off", "me/plain", []),
    "a retired model": (call("me/old"), "warn", "me/old", [GONE]),
    "a retired model that nobody wants to hear of": (call("me/old"), "off", "me/old", []),
    "an unknown model": (call("you/x"), "strict", None, []),
    "an unknown model with a name like another": (call("me/plane"), "strict", None, [MEANT]),
    "that, and no worse": (call("me/plane"), "warn", None, [MEANT]),
    "that, and nobody wants to hear": (call("me/plane"), "off", None, []),
}


@pytest.mark.parametrize("name", HEARD)
def test_heard(name: str) -> None:
    of, mode, id_, said = HEARD[name]
    assert heard(of, mode) == (id_, said)


def refused(of: Measured) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        preflight(of, CATALOG, "strict")
    return caught.value


def test_a_call_that_cannot_succeed_is_refused_with_all_that_is_wrong() -> None:
    error = refused(call(content=[IMAGE, IMAGE], max_tokens=101, stop=list("abcde")))
    assert isinstance(error, RequestReviewError)
    assert error.message == (
        "me/plain cannot take this call: messages[0].content[0] is image input, the model reads text only; "
        "messages[0].content[1] is image input, the model reads text only; "
        "max_tokens=101 is too large: answers end at 100 tokens."
    )
    assert error.hint == (
        "Models that take it: me/sees-1, me/sees-2, me/sees-3, me/sees-4, me/sees-5. "
        "Nothing was sent; review='off' sends it anyway."
    )
    assert error.model == "me/plain"
    assert [f.code for f in error.findings] == ["input_modality", "input_modality", "max_tokens", "stop"]


def test_a_call_with_one_fault() -> None:
    error = refused(call(max_tokens=101))
    assert error.message == "me/plain cannot take this call: max_tokens=101 is too large: answers end at 100 tokens."
    assert error.hint.startswith("Models that take it: me/sees-1, ")


def test_a_call_that_nobody_takes() -> None:
    error = refused(call(max_tokens=0, n=0))
    assert error.message == "me/plain cannot take this call: max_tokens=0 is less than 1; n=0 must be at least 1."
    assert error.hint == "Nothing was sent; review='off' sends it anyway."


@pytest.mark.parametrize("options", [{}, {"max_tokens": "5"}, {"stop": 5}], ids=str)
def test_a_retired_model_is_refused_with_what_to_use(options: dict[str, Any]) -> None:
    error = refused(call("me/old", **options))
    assert isinstance(error, UnknownModelError)
    assert error.message == (
        "me/old is not served any more: it was retired (date not known); every call to it gets HTTP 404."
    )
    assert (error.hint, error.replacement) == ("Use me/plain instead.", "me/plain")


@pytest.mark.parametrize("mode", ["strict", "warn", "off"])
def test_a_call_that_names_no_model(mode: ReviewMode) -> None:
    with pytest.raises(ConfigurationError, match="names no model"):
        preflight(call(""), CATALOG, mode)


RETIRED: dict[str, tuple[str, str, tuple[str, ...], str | None]] = {
    # name: (the retired model, hint, suggestions, replacement)
    "replaced, by way of another": ("me/old", "Use me/plain instead.", ("me/plain",), "me/plain"),
    "its replacement is retired": (
        "me/replaced",
        "Its replacement, me/lost, is retired, too; of the same family: me/g-1, me/g-2.",
        ("me/g-1", "me/g-2"),
        None,
    ),
    "no replacement": (
        "me/lost",
        "No replacement is named; of the same family: me/g-1, me/g-2.",
        ("me/g-1", "me/g-2"),
        None,
    ),
    "the last of its family": (
        "me/last",
        "No replacement is named; `wandb-inference models` lists the active ones.",
        (),
        None,
    ),
}


@pytest.mark.parametrize("name", RETIRED)
def test_what_to_use_instead(name: str) -> None:
    model, hint, suggestions, replacement = RETIRED[name]
    error = retired(CATALOG.card(model), CATALOG)
    assert (error.message, error.model) == (f"{model} is not served any more.", model)
    assert (error.hint, error.suggestions, error.replacement) == (hint, suggestions, replacement)


EXPLAINED: dict[str, tuple[InferenceError, str, str]] = {
    # name: (error, the model that was asked for, what is said then)
    "the network failed": (TimedOutError("Too slow."), "me/plain", "me/plain: Too slow."),
    "the network failed, as it says": (TimedOutError("me/plain: Too slow."), "me/plain", "me/plain: Too slow."),
    "a retired model": (
        NotFoundError("No.", hint="Check.", status_code=404),
        "me/old",
        "No. me/old is not served any more. Use me/plain instead.",
    ),
    "a mistyped model": (
        NotFoundError("No.", hint="Check.", status_code=404),
        "me/plane",
        "No. Did you mean 'me/plain'? Check.",
    ),
    "an unknown model": (NotFoundError("No.", hint="Check.", status_code=404), "you/x", "No. Check."),
    "a model that should be there": (NotFoundError("No.", hint="Check.", status_code=404), "me/plain", "No. Check."),
    "anything else": (BadRequestError("No.", hint="Check.", status_code=400), "me/old", "No. Check."),
}


@pytest.mark.parametrize("model", ["me/old", "me/plane", "you/x"])
def test_a_path_that_is_not_there_says_nothing_of_a_model(model: str) -> None:
    error = NotFoundError("No.", hint="Check.", status_code=404)
    error.is_path = True
    explain(error, model, CATALOG)
    assert str(error) == "No. Check."


@pytest.mark.parametrize("name", EXPLAINED)
def test_explained(name: str) -> None:
    error, model, said = EXPLAINED[name]
    explain(error, model, CATALOG)
    assert str(error) == said
