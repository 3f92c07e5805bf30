"""What a server may say beside an answer's text, as one body and as a stream, for every reader to be held to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from support import MODEL, sse, whole

USAGE = {"prompt_tokens": 10, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 50}}


@dataclass(frozen=True)
class Said:
    """One answer, and what its readers should know of it."""

    text: str = "Hi"
    reasoning: str = ""
    refusal: str = ""
    finish: Any = "stop"
    message: dict[str, Any] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] | None = None
    """The ``incomplete_details`` to be told."""
    reason: str = "stop"
    """The finish reason to be told."""

    @property
    def fields(self) -> dict[str, Any]:
        """Those that have no name of ours, wherever they stand."""
        told = {**self.answer, **self.message, **self.choice}
        return {**{name: value for name, value in told.items() if value not in (None, [])}, **self._details}

    @property
    def _details(self) -> dict[str, Any]:
        return {} if self.details is None else {"incomplete_details": self.details}

    def body(self) -> bytes:
        """The answer as one body."""
        texts = {"content": self.text or None, "reasoning": self.reasoning or None, "refusal": self.refusal or None}
        choice = {"index": 0, "message": {"role": "assistant", **texts, **self.message}, "finish_reason": self.finish}
        body = {"id": "c-1", "created": 1, "model": MODEL, "choices": [{**choice, **self.choice}], "usage": USAGE}
        return json.dumps({**body, **self.answer}).encode()

    def whole(self) -> bytes:
        """The same over HTTP."""
        return whole(self.body())

    def chunks(self) -> list[dict[str, Any]]:
        """The answer in chunks: texts a character at a time, lists an item at a time, other fields in every chunk."""
        texts = {"content": self.text, "reasoning": self.reasoning, "refusal": self.refusal}
        deltas: list[dict[str, Any]] = [{name: letter} for name, text in texts.items() for letter in text]
        chunks = [self._chunk({"role": "assistant", "content": ""}, None), *(self._chunk(d, None) for d in deltas)]
        chunks.append(self._chunk({}, self.finish))
        for level, fields in (("answer", self.answer), ("choice", self.choice), ("message", self.message)):
            for name, value in fields.items():
                for number, chunk in enumerate(chunks):
                    place = {"answer": chunk, "choice": chunk["choices"][0], "message": chunk["choices"][0]["delta"]}
                    place[level][name] = value[number : number + 1] if isinstance(value, list) else value
        return [*chunks, {**self._chunk({}, None), "choices": [], "usage": USAGE}]

    def stream(self) -> bytes:
        """The same over HTTP."""
        return sse(*self.chunks())

    def _chunk(self, delta: dict[str, Any], finish: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c-1", "created": 1, "model": MODEL, "choices": [choice]}


SPENT = {"reason": "max_output_tokens", "output_tokens": 50, "reasoning_tokens": 50}
SAID = {
    "text": Said(),
    "a refusal": Said(text="", refusal="I cannot."),
    "a refusal beside text": Said(refusal="I cannot."),
    "a filter": Said(finish="content_filter", reason="content_filter"),
    "why vLLM stopped": Said(choice={"stop_reason": 128001}),
    "a stop string": Said(choice={"stop_reason": "END"}),
    "no reason to stop": Said(choice={"stop_reason": None, "token_ids": None}, answer={"kv_transfer_params": None}),
    "token ids": Said(choice={"token_ids": [1, 2, 3]}, answer={"prompt_token_ids": [9, 8]}),
    "logprobs of the prompt": Said(answer={"prompt_logprobs": [None, {"5": {"logprob": -0.5}}]}),
    "transfer parameters": Said(answer={"kv_transfer_params": {"remote": "a"}, "service_tier": "default"}),
    "fields of the message": Said(message={"annotations": [{"url": "u"}], "citations": ["a", "b"], "audio": None}),
    "fields everywhere": Said(message={"a": "x"}, choice={"b": "y"}, answer={"c": "z"}),
    "a finish reason of an object": Said(finish={"odd": 1}, reason='{"odd": 1}'),
    "a finish reason of a number": Said(finish=7, reason="7"),
    "reasoning took all": Said(text="", reasoning="Hm", finish="length", reason="length", details=SPENT),
    "hidden reasoning took all": Said(text="", finish="length", reason="length", details=SPENT),
    "cut, with text": Said(reasoning="Hm", finish="length", reason="length"),
    "nothing but reasoning, to its end": Said(text="", reasoning="Hm"),
}
