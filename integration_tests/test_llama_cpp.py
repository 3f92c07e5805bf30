"""A llama-server's answers through the core and both doors: what leaves them is what the server sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from llama_cpp import KEY, MODEL, Server
from llama_cpp_ways import EVERY_WAY, OPTIONS, WHOLE, Way, messages

from wandb_inference import ChatOptions, ChatRequest, Client
from wandb_inference.errors import BadRequestError

pytestmark = [
    pytest.mark.usefixtures("over", "own_litellm"),
    pytest.mark.filterwarnings("ignore"),  # LiteLLM itself warns of much
]

HELLO, SUM, COUNT = "Hello!", "Think carefully: what is 12 plus 30?", "Count from 1 to 20."


def sent(llama: Server, way: Way, prompt: str, **options: Any) -> dict[str, Any]:
    """Return what the server sends for a prompt, whole or in a stream, added up here."""
    body = {"messages": messages(prompt), **OPTIONS, **options}
    if not way.streamed:
        answer = llama.whole(**body)
        (choice,) = answer["choices"]
        message, logprobs = choice["message"], (choice.get("logprobs") or {}).get("content", [])
        return parts(answer["usage"], choice["finish_reason"], [message], logprobs)
    events = llama.events(stream_options={"include_usage": True}, **body)
    choices = [choice for event in events for choice in event["choices"]]
    logprobs = [token for choice in choices for token in (choice.get("logprobs") or {}).get("content", [])]
    return parts(events[-1]["usage"], choices[-1]["finish_reason"], [choice["delta"] for choice in choices], logprobs)


def parts(usage: Any, finish_reason: str, deltas: Iterable[Any], logprobs: list[Any]) -> dict[str, Any]:
    return {
        "text": "".join(delta.get("content") or "" for delta in deltas),
        "reasoning": "".join(delta.get("reasoning_content") or "" for delta in deltas),
        "finish_reason": finish_reason,
        "tokens": (usage["prompt_tokens"], usage["completion_tokens"]),
        "logprobs": [(token["token"], len(token["top_logprobs"])) for token in logprobs],
    }


def received(way: Way, llama: Server, prompt: str, **options: Any) -> dict[str, Any]:
    """Return the same of an answer that came through a door."""
    answer = way.ask(llama.url, prompt, **options)
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "tokens": answer.tokens,
        "logprobs": [(token["token"], len(token["top_logprobs"])) for token in answer.logprobs],
    }


@EVERY_WAY
def test_an_answer_and_its_reasoning(way: Way, llama: Server) -> None:
    answer = received(way, llama, SUM)
    assert answer == sent(llama, way, SUM)
    assert answer["text"]
    assert answer["reasoning"]
    assert answer["finish_reason"] == "stop"
    assert "think>" not in answer["text"] + answer["reasoning"]


@EVERY_WAY
def test_reasoning_that_is_cut_is_no_text(way: Way, llama: Server) -> None:
    answer = received(way, llama, SUM, max_tokens=6)
    assert answer == sent(llama, way, SUM, max_tokens=6)
    assert answer["reasoning"]
    assert (answer["text"], answer["finish_reason"]) == ("", "length")


@EVERY_WAY
def test_reasoning_off(way: Way, llama: Server) -> None:
    answer = way.ask(llama.url, SUM, reasoning=False)
    assert answer.text
    assert answer.reasoning == ""


@EVERY_WAY
def test_llama_server_reads_earlier_reasoning_under_one_name_only(way: Way, llama: Server) -> None:
    # The doors write it as vLLM reads it; the core's messages leave as they are.
    thought = {"reasoning_content": "The user says hello, and I will greet them."}
    turn = {"role": "assistant", "content": "Hello! How can I help you today?"}
    turns = [*messages(HELLO), turn | thought, *messages(SUM)]
    read = turns if way.door == "core" else [*messages(HELLO), turn, *messages(SUM)]
    answer = way.ask(llama.url, turns)
    assert answer.text
    assert answer.tokens[0] == llama.whole(messages=read, max_tokens=1)["usage"]["prompt_tokens"]


@EVERY_WAY
def test_log_probabilities(way: Way, llama: Server) -> None:
    given = {"logprobs": True, "top_logprobs": 2}
    answer = received(way, llama, HELLO, **given)
    assert answer == sent(llama, way, HELLO, **given)
    tokens = [token for token, _ in answer["logprobs"]]
    assert answer["text"] in "".join(tokens)
    assert {number for _, number in answer["logprobs"]} == {2}


@WHOLE
def test_llama_server_has_no_log_probabilities_without_alternatives(way: Way, llama: Server) -> None:
    assert way.ask(llama.url, HELLO, logprobs=True, top_logprobs=0).logprobs == []


@EVERY_WAY
@pytest.mark.parametrize("stop", [["5"], ["7", "x", "y", "z", "5"]], ids=["one", "five, where vLLM takes four"])
def test_stop(stop: list[str], way: Way, llama: Server) -> None:
    answer = received(way, llama, COUNT, stop=stop)
    arrives = stop[:4] if way.door in ("sdk", "router") else stop  # LiteLLM lets four through
    assert answer == sent(llama, way, COUNT, stop=arrives)
    assert answer["text"].endswith(", ")
    assert answer["finish_reason"] == "stop"


def test_as_many_answers_as_there_are_slots(llama: Server) -> None:
    with Client(base_url=llama.url, api_key=KEY) as client:
        two = client.chat(ChatRequest(MODEL, messages(HELLO), ChatOptions(**OPTIONS, n=2)))
        with pytest.raises(BadRequestError, match="1 <= value <= 2"):
            client.chat(ChatRequest(MODEL, messages(HELLO), ChatOptions(**OPTIONS, n=3)))
    assert [choice.index for choice in two.choices] == [0, 1]
    assert all(choice.text and choice.reasoning for choice in two.choices)
