"""Where langchain-core lacks what its own convention needs.

Costs stand in ``usage_metadata``: core itself sets ``total_cost`` to 0 for an answer from its cache, and LangSmith
reads ``input_cost`` and ``output_cost``, too. But ``add_usage`` fails on every number that is no int: the second
answer that ``UsageMetadataCallbackHandler`` sees would be lost (langchain-core 1.8, langchain#36015). Here it adds.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module
from typing import Any

from langchain_core.messages import ai


def _adding_floats(theirs: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(theirs)
    def combine(
        left: dict[str, Any], right: dict[str, Any], op: Callable[[Any, Any], Any], **given: Any
    ) -> dict[str, Any]:
        costs = [name for name, value in {**left, **right}.items() if float in (type(value), type(left.get(name)))]
        whole = ({name: value for name, value in side.items() if name not in costs} for side in (left, right))
        return theirs(*whole, op, **given) | {name: op(left.get(name, 0), right.get(name, 0)) for name in costs}

    return combine


def _adds_floats() -> bool:
    usage: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "total_cost": 0.5}
    with suppress(ValueError):
        return bool(ai.add_usage(usage, usage).get("total_cost") == 1)
    return False


def _install() -> bool:
    """Let ``add_usage`` add costs; return whether it does now."""
    if not _adds_floats() and hasattr(ai, "_dict_int_op"):
        ai._dict_int_op = _adding_floats(ai._dict_int_op)  # noqa: SLF001 (there is no hook)
    return _adds_floats()


ADDS_COSTS = _install()
"""Whether costs may stand among the counts: else adding these up would fail."""


def _let_load() -> None:
    """Let ``load(…, allowed_objects=[ChatWandbInference])`` do: core takes a class by its own word from roots it knows.

    ``allowed_objects`` decides all the same: without it, no class of ours is made.
    """
    known = getattr(import_module("langchain_core.load.load"), "DEFAULT_NAMESPACES", None)
    if isinstance(known, list) and ROOT not in known:
        known.append(ROOT)


ROOT = "wandb_inference"
_let_load()
