"""What constructors take: as wide as what runs, for type checkers and at run time, and refused in words of ours."""

from __future__ import annotations

import ast
import inspect
import runpy
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from wandb_inference import Budget, Client, ConfigurationError, Policy, Timeouts
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.langchain.options import renamed
from wandb_inference.langchain.parameters import Parameters
from wandb_inference.routing import policy

KEY = "sk-" + "k" * 40
MODEL = "openai/gpt-oss-20b"


def made(**given: Any) -> ChatWandbInference:
    return ChatWandbInference(**{"model": MODEL, "api_key": KEY, **given})


def test_what_users_write_runs() -> None:
    users = runpy.run_path(str(Path(__file__).parents[1] / "typed" / "users.py"))
    assert len(users["MODELS"]) > 20
    assert {type(one) for one in users["MODELS"]} == {ChatWandbInference}


def test_the_parameters_are_the_fields_and_their_other_spellings() -> None:
    names = set(Parameters.__annotations__)
    assert set(renamed(dict.fromkeys(names))) - {"include_usage"} == set(ChatWandbInference.model_fields)
    assert names >= {"model_name", "wandb_api_key", "request_timeout", "stop_sequences", "reasoning_effort"}


def test_the_constructor_of_a_policy_takes_its_fields() -> None:
    tree = ast.parse(inspect.getsource(policy))
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Policy")
    (init,) = (node for node in ast.walk(found) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    assert [argument.arg for argument in init.args.kwonlyargs] == [field.name for field in fields(Policy)]


TAKEN: dict[str, tuple[dict[str, Any], str, Any]] = {
    # name: (what is given, field, what it holds)
    "one stop": ({"stop": "END"}, "stop", ["END"]),
    "stops in a tuple": ({"stop": ("a", "b")}, "stop", ["a", "b"]),
    "seconds": ({"timeout": 5}, "timeout", 5),
    "connect and read": ({"timeout": (1, 2)}, "timeout", Timeouts(connect=1, read=2, stall=2)),
    "read for ever": ({"timeout": (1, None)}, "timeout", Timeouts(connect=1, read=None, stall=None)),
    "httpx's four": ({"timeout": (1, 2, 3, 4)}, "timeout", Timeouts(connect=1, read=2, stall=2)),
    "httpx's": ({"timeout": httpx.Timeout(5, connect=1)}, "timeout", Timeouts(connect=1, read=5, stall=5)),
    "ours": ({"timeout": Timeouts(stall=3)}, "timeout", Timeouts(stall=3)),
    "no timeout": ({"timeout": None}, "timeout", None),
    "a cost as a float": ({"max_cost": 0.01}, "max_cost", Decimal("0.01")),
    "a cost as text": ({"max_cost": "0.01"}, "max_cost", Decimal("0.01")),
    "a cost as an int": ({"max_cost": 1}, "max_cost", Decimal(1)),
    "a key": ({"api_key": KEY}, "api_key", SecretStr(KEY)),
    "a list of models": ({"model": ["a", "b"]}, "model", "auto"),
    "a tuple of models": ({"model": ("a", "b")}, "model", "auto"),
    "another spelling": ({"model_name": "a", "model": None}, "model", "a"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name: str) -> None:
    given, field, held = TAKEN[name]
    given = {"model": MODEL, "api_key": KEY, **given}
    assert getattr(ChatWandbInference(**{k: v for k, v in given.items() if v is not None}), field) == held


@pytest.mark.parametrize("budget", ["5.00", 5, 5.0, Decimal(5), Budget(5)])
def test_a_budget(budget: Any) -> None:
    held = made(budget=budget).budget
    assert held is not None
    assert held.limit == 5
    assert (held is budget) == isinstance(budget, Budget)
    assert Budget.of(None) is None
    assert Client(api_key=KEY, budget=budget)._core.budget.limit == 5  # type: ignore[union-attr]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # name: (what is given, what is said)
    "no model": ({"model": ...}, "model is missing."),
    "a temperature in words": ({"temperature": "hot"}, "temperature does not fit: it must be a valid number"),
    "half a token": ({"max_tokens": 1.5}, "max_tokens does not fit: it must be a valid integer"),
    "a mode that does not exist": ({"review": "loud"}, "review does not fit: it must be 'strict', 'warn' or 'off'."),
    "stops that are no text": ({"stop": [5]}, "stop does not fit: it must be a valid string."),
    "a stop of a number": ({"stop": 5}, "stop does not fit: it must be a valid list."),
    "a timeout in words": ({"timeout": "soon"}, "timeout='soon' is no timeout."),
    "a negative timeout": ({"timeout": -1}, "timeout=-1 is no timeout."),
    "a timeout of nothing": ({"timeout": float("nan")}, "timeout=nan is no timeout."),
    "a timeout that is true": ({"timeout": True}, "timeout=True is no timeout."),
    "a negative wait": ({"timeout": Timeouts(stall=-1)}, "is no timeout."),
    "fewer retries than none": ({"max_retries": -1}, "max_retries does not fit: it must be greater than or equal to 0"),
    "three timeouts": ({"timeout": (1, 2, 3)}, "timeout=(1, 2, 3) is no timeout."),
    "a timeout of words": ({"timeout": ("a", "b")}, "timeout=('a', 'b') is no timeout."),
    "a cost in words": ({"max_cost": "cheap"}, "'cheap' is no amount for max_cost."),
    "a budget in words": ({"budget": "much"}, "'much' is no amount"),
    "a budget of a list": ({"budget": [5]}, "[5] is no amount"),
    "a policy of a dict": ({"policy": {"deny": []}}, "policy does not fit: it must be an instance of Policy."),
    "a key of a number": ({"api_key": 5}, "api_key does not fit: "),
    "a client of another kind": (
        {"http_client": httpx.AsyncClient()},
        "http_client does not fit: it must be an httpx.Client, not AsyncClient.",
    ),
    "headers of a text": ({"default_headers": KEY}, "default_headers does not fit: it must be a valid dictionary."),
    "a transport that does not exist": ({"transport": "pigeon"}, "transport does not fit: it must be "),
    "an order that does not exist": ({"model": "auto", "policy": "auto:best"}, "policy does not fit: "),
    "nonsense in a dict": ({"logit_bias": {"a": "b"}}, "logit_bias does not fit: it must be a valid number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words_of_ours(name: str) -> None:
    given, said = REFUSED[name]
    given = {"model": MODEL, "api_key": KEY, **given}
    with pytest.raises(ConfigurationError) as caught:
        ChatWandbInference(**{k: v for k, v in given.items() if v is not ...})
    assert not isinstance(caught.value, ValidationError)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert "validation error" not in str(caught.value)


def test_the_signature_and_the_descriptions_are_for_people() -> None:
    signature = str(inspect.signature(ChatWandbInference))
    assert "0x" not in signature
    assert "function" not in signature.replace("logprobs", "")
    assert [name for name, field in ChatWandbInference.model_fields.items() if not field.description] == []
