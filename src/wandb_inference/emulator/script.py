"""What the emulator is told to do: replies and faults, from Python or from a fenced block in the prompt."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

FaultKind: TypeAlias = Literal[
    "status",  # answer with `status` of the service's error table
    "slow_start",  # wait `seconds` before the first byte, then answer well
    "stall",  # fall silent for `seconds` after `after` events, then close
    "cut",  # drop the connection after `after` events
    "error_event",  # report an error inside the 200 stream after `after` events, as vLLM does when its engine dies
    "malformed",  # send an event (or a body) that is no JSON
    "split_utf8",  # write every byte of the stream by itself; a good answer
    "no_done",  # leave out the final [DONE]; a good answer
    "no_finish",  # end without a finish reason
    "empty",  # 200 with no events (or no body)
]


def _check(right: bool, problem: str) -> None:
    if not right:
        raise ValueError(problem)


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call to answer with: ``ToolUse("get_weather", {"city": "Paris"})``."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    """An object, or the JSON text itself (which may be broken on purpose)."""

    def __post_init__(self) -> None:
        _check(isinstance(self.name, str), f"name {self.name!r} is no string")
        _check(isinstance(self.arguments, Mapping | str), f"arguments {self.arguments!r} are no object and no text")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to give: ``Reply("Bonjour")``, ``Reply(tool_calls=(ToolUse("get_weather", {"city": "Paris"}),))``."""

    text: str = ""
    reasoning: str = ""
    """Sent only while the model's reasoning is on."""
    tool_calls: tuple[ToolUse, ...] = ()
    finish_reason: str | None = None
    """``None``: what follows from the answer (``stop``, ``length``, ``tool_calls``)."""
    usage: Mapping[str, Any] | None = None
    """Counts to report as they are, such as ``{"prompt_tokens": 137, …}``; ``None``: the emulator's own."""

    def __post_init__(self) -> None:
        _check(isinstance(self.text, str), f"text {self.text!r} is no string")
        _check(isinstance(self.reasoning, str), f"reasoning {self.reasoning!r} is no string")
        for call in self.tool_calls:
            _check(isinstance(call, ToolUse), f"tool call {call!r} is no ToolUse")
        _check(self.usage is None or isinstance(self.usage, Mapping), f"usage {self.usage!r} is no object of counts")


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to fail: ``Fault(status=429, retry_after=1)``, ``Fault("cut", after=3)``, ``Fault("stall", seconds=5)``."""

    kind: FaultKind = "status"
    """``status``: an error instead of an answer. ``slow_start``: silent for ``seconds`` before a good answer. In a
    stream, after ``after`` events: ``stall`` (silent for ``seconds``), ``cut`` (the connection ends), ``error_event``
    (an error inside the 200). ``malformed``: no JSON. ``empty``: no events. ``no_finish``: no finish reason. Good
    answers all the same: ``split_utf8`` (every byte alone), ``no_done`` (no ``[DONE]``)."""
    status: int = 500
    """For the kind ``status``."""
    message: str | None = None
    """``None``: the service's own words for that status."""
    retry_after: float | str | None = None
    """Sent as the ``retry-after`` header: seconds, or a date."""
    after: int = 3
    """Events sent before a stream fails."""
    seconds: float = 3600.0
    """How long to be slow or silent."""

    def __post_init__(self) -> None:
        _check(self.kind in get_args(FaultKind), f"kind {self.kind!r} is none of {', '.join(get_args(FaultKind))}")
        _check(self.status in range(400, 600), f"status {self.status!r} is no error status")
        _check(isinstance(self.after, int), f"after {self.after!r} is no number of events")
        _check(isinstance(self.seconds, int | float), f"seconds {self.seconds!r} is no number")


Step: TypeAlias = Reply | Fault


def checked(steps: Iterable[Any]) -> list[Step]:
    """Return the steps.

    Raises:
        TypeError: one of them is none.
    """
    steps = list(steps)
    for step in steps:
        if not isinstance(step, Reply | Fault):
            raise TypeError(f"{step!r} is no step of a script: steps are Reply(…) and Fault(…), one argument each.")
    return steps


_FENCE = re.compile(r"```emulator\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chaos:
    """Random faults, the same ones for the same seed and the same order of requests."""

    seed: int = 0
    rate: float = 0.1
    """Share of the requests that fail."""
    faults: tuple[Fault, ...] = (
        Fault(status=429, retry_after=0),
        Fault(status=500),
        Fault(status=503),
        Fault("cut"),
        Fault("error_event"),
        Fault("malformed"),
        Fault("no_finish"),
    )

    def step(self, number: int) -> Fault | None:
        """Return the fault for request number ``number``, or ``None`` to answer it well."""
        draw = random.Random(f"{self.seed}:{number}")  # noqa: S311 (chaos, not secrets)
        return draw.choice(self.faults) if draw.random() < self.rate else None


def prompted(text: str) -> tuple[Step, ...]:
    r"""Return the steps of an ``emulator`` block in a prompt, one JSON object a line; () when there is none.

    >>> prompted('Hi\n```emulator\n{"fault": "status", "status": 429}\n{"text": "better"}\n```')[1].text
    'better'

    Raises:
        ValueError: a line is not a step.
    """
    block = _FENCE.search(text)
    return tuple(_step(line) for line in block[1].splitlines() if line.strip()) if block else ()


def _step(line: str) -> Step:
    try:
        row = json.loads(line)
        if "fault" in row:
            return Fault(**{"kind": row.pop("fault"), **row})
        calls = tuple(ToolUse(**call) for call in row.pop("tool_calls", ()))
        return Reply(**row, tool_calls=calls)
    except (ValueError, TypeError, AttributeError) as e:
        names = ", ".join(f.name for f in (*fields(Reply), *fields(Fault)))
        raise ValueError(f"The line {line!r} of the emulator block is no step: {e}. Fields: fault, {names}.") from e
