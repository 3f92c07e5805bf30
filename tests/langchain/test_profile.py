"""Cards as LangChain's model profiles."""

from __future__ import annotations

from datetime import date
from typing import Any

from cards import card
from langchain_core.language_models import ModelProfile

from wandb_inference.langchain.profile import CardProfile, to_profile, to_profile_of_all

# What any model of the service is, and what none is; newer langchain-core has fields for more of it than older.
ALWAYS: dict[str, Any] = {
    **dict.fromkeys(("open_weights", "text_inputs", "text_outputs", "temperature"), True),
    **dict.fromkeys(("image_outputs", "audio_outputs", "video_outputs"), False),
    "last_updated": "2026-11-20",
    "name": "M",
    "status": "active",
}
SIGHT = ("image_inputs", "image_url_inputs", "image_tool_message")
FILES = ("pdf_inputs", "pdf_tool_message", "attachment")
HEARING = ("audio_inputs", "video_inputs")
CALLS = ("tool_calling", "tool_choice", "tool_call_streaming")


def expected(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ALWAYS, **facts}.items() if name in ModelProfile.__annotations__}


def test_what_is_not_known_is_absent() -> None:
    found = to_profile(card())
    assert isinstance(found, CardProfile)
    assert found == expected(**dict.fromkeys((*SIGHT, *FILES, *HEARING), False))


def test_all_that_is_known() -> None:
    whole = card(
        context_window=1000,
        output_limit=500,
        released=date(2026, 1, 2),
        input=("text", "image", "audio", "video", "file"),
        tools=True,
        structured_output=False,
        reasoning={"mode": "always", "efforts": ("low", "high")},
    )
    assert to_profile(whole) == expected(
        max_input_tokens=1000,
        max_output_tokens=500,
        release_date="2026-01-02",
        structured_output=False,
        reasoning_output=True,
        reasoning_effort_levels=["low", "high"],
        **dict.fromkeys((*SIGHT, *FILES, *HEARING, *CALLS), True),
    )


def test_each_sense_is_its_own() -> None:
    for modality, names in {"image": SIGHT, "file": FILES, "audio": HEARING[:1], "video": HEARING[1:]}.items():
        found: Any = to_profile(card(input=("text", modality)))
        assert {name for name in (*SIGHT, *FILES, *HEARING) if found.get(name)} == {
            name for name in names if name in ModelProfile.__annotations__
        }


def test_a_model_that_does_not_reason() -> None:
    assert to_profile(card(reasoning={"mode": "none"}))["reasoning_output"] is False


def test_what_some_of_them_can() -> None:
    cards = [
        card("a", context_window=1000, tools=False, output_limit=9, reasoning={"mode": "none"}),
        card("b", context_window=500, tools=True, input=("text", "image"), reasoning={"mode": "always"}),
        card("c", context_window=700, tools=False),
    ]
    found: Any = to_profile_of_all(cards)
    assert isinstance(found, CardProfile)
    assert (found["max_input_tokens"], found["max_output_tokens"]) == (1000, 9)
    assert (found["tool_calling"], found["image_inputs"], found["reasoning_output"]) == (True, True, True)
    assert (found["audio_inputs"], found["image_outputs"], found["text_inputs"]) == (False, False, True)
    assert not {"name", "status", "last_updated"} & set(found)  # of none in particular
    assert to_profile_of_all([]) == {}
