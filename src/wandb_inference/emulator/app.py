"""The emulator's HTTP side: two paths, the key, the script, the faults."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from wandb_inference.catalog import Catalog
from wandb_inference.emulator import brain, feeds, writing
from wandb_inference.emulator.protocol import Call, check_window, read
from wandb_inference.emulator.refusal import RefusedError, bad_request, refused
from wandb_inference.emulator.script import Chaos, Fault, Reply, Step, prompted
from wandb_inference.emulator.tokens import PrefixCache, prompt_pieces

_EPOCH = 1_767_225_600  # 2026-01-01: the clock of an emulator that answers the same every day
_KEPT = 1000  # requests remembered


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the emulator."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    content: bytes = b""

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.content)


class CutError(Exception):
    """Breaks the connection in the middle of a response."""


@dataclass(slots=True)
class Service:
    """The state behind the paths. Its methods are called from the server's thread and from tests."""

    api_key: str
    catalog: Catalog
    chaos: Chaos | None = None
    decide: Callable[[Call], Step | None] | None = None
    max_in_flight: int | None = None
    projects: Collection[str] | None = None
    latency: float = 0.0
    token_delay: float = 0.0
    reasoning_field: writing.ReasoningField = "reasoning"
    steps: deque[Step] = field(default_factory=deque)
    requests: deque[Seen] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _cache: PrefixCache = field(default_factory=PrefixCache)
    _in_flight: Counter[str] = field(default_factory=Counter)
    _prompted: Counter[str] = field(default_factory=Counter)
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a missing or wrong key, and a project that does not exist.

        Raises:
            RefusedError: in the service's words.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise refused(401, "Missing bearer authentication in header")
        project = headers.get("openai-project")
        if key != self.api_key or (self.projects is not None and project is not None and project not in self.projects):
            raise refused(401)

    def next_step(self, content: bytes) -> Step | None:
        """Return what the script, the prompt or chaos wants for this request; ``None``: a plain good answer."""
        with self._lock:
            self._number += 1
            if self.steps:
                return self.steps.popleft()
            steps = prompted(_last_user_text(content))
            if steps:
                number = self._prompted[repr(steps)]
                self._prompted[repr(steps)] += 1
                return steps[min(number, len(steps) - 1)]
            return self.chaos.step(self._number) if self.chaos else None

    def enter(self, model: str) -> None:
        """Take a place among the calls of a model that run at the same time.

        Raises:
            RefusedError: there is none left.
        """
        with self._lock:
            if self.max_in_flight is not None and self._in_flight[model] >= self.max_in_flight:
                raise refused(429, f"concurrency limit reached for requests: {model}-project limit reached")
            self._in_flight[model] += 1

    def leave(self, model: str) -> None:
        """Give the place back."""
        with self._lock:
            self._in_flight[model] -= 1

    def answer(self, call: Call, reply: Reply | None) -> writing.Answer:
        """Return everything to be written for a call.

        Raises:
            RefusedError: the prompt does not fit.
        """
        tokens = list(prompt_pieces(call.messages, call.tools))
        check_window(call, len(tokens))
        with self._lock:
            number = self._number
            cached = self._cache.hit(tokens, f"{call.card.id}\0{call.cache_salt}")
        digest = hashlib.blake2b(json.dumps(call.raw, sort_keys=True).encode() + b"%d" % number, digest_size=8)
        id_ = f"chatcmpl-{digest.hexdigest()}"
        window = call.card.context_window
        room = window - len(tokens) if window else None
        choices = (writing.speak(reply or brain.answer(call, i), call, id_, i, room) for i in range(call.n))
        counts = reply.usage if reply else None
        return writing.Answer(
            id_, _EPOCH + number, call, tuple(choices), len(tokens), cached, self.reasoning_field, counts
        )


def build(service: Service) -> Starlette:
    """Return the ASGI application over this state."""

    async def models(request: Request) -> Response:
        await _seen(service, request)
        service.check_key(request.headers)
        rows = [
            {"id": card.id, "object": "model", "created": 0, "owned_by": "system", "root": card.id}
            for card in service.catalog
            if card.status in ("active", "deprecated")
        ]
        return JSONResponse({"object": "list", "data": rows})

    async def chat(request: Request) -> Response:
        content = await _seen(service, request)
        service.check_key(request.headers)
        try:
            step = service.next_step(content)
        except ValueError as e:
            raise bad_request(str(e)) from e
        _refuse(step)  # a status that is told to come comes whatever was asked
        call = await asyncio.to_thread(read, content, service.catalog)
        if step is None and service.decide is not None:
            step = service.decide(call)
            _refuse(step)
        fault = step if isinstance(step, Fault) else None
        service.enter(call.card.id)  # a place that is held until the last byte is written
        try:
            answer = await asyncio.to_thread(service.answer, call, step if isinstance(step, Reply) else None)
        except BaseException:
            service.leave(call.card.id)
            raise
        parts = _sse(answer, fault) if call.stream else _whole(answer, fault)
        headers = {"x-request-id": answer.id}
        media_type = "text/event-stream; charset=utf-8" if call.stream else "application/json"
        paced = _paced(request, service, parts, fault, call.card.id)
        return StreamingResponse(paced, media_type=media_type, headers=headers)

    async def on_refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)  # noqa: S101 (starlette's signature is wider than its behaviour)
        request_id = {"x-request-id": f"refused-{len(service.requests)}"}
        return JSONResponse(error.body, error.status, headers={**request_id, **error.headers})

    async def on_depth(request: Request, _: Exception) -> Response:
        return await on_refused(request, bad_request("The request is nested too deep."))

    async def on_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 (as above)
        return JSONResponse({"detail": error.detail}, error.status_code)

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            # What the service publishes about its models, on a host of its own and for everybody.
            Route("/inference/modelsdev/models", lambda _: JSONResponse(feeds.models(service.catalog))),
            Route("/inference/catalog/models", lambda _: JSONResponse(feeds.stages(service.catalog))),
        ],
        exception_handlers={RefusedError: on_refused, RecursionError: on_depth, HTTPException: on_http},
    )


def _refuse(step: Step | None) -> None:
    if isinstance(step, Fault) and step.kind == "status":
        headers = {} if step.retry_after is None else {"retry-after": str(step.retry_after)}
        raise refused(step.status, step.message, headers)


_LARGEST = 64 * 1024 * 1024  # bytes of a request; no source says what the service takes


async def _seen(service: Service, request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > _LARGEST:
            raise refused(413, "Request Entity Too Large")
    service.requests.append(Seen(request.method, request.url.path, dict(request.headers), bytes(content)))
    return bytes(content)


def _last_user_text(content: bytes) -> str:
    try:
        return brain.last_text(json.loads(content)["messages"], "user")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


def _whole(answer: writing.Answer, fault: Fault | None) -> Iterator[bytes]:
    content = json.dumps(writing.body(answer), ensure_ascii=False).encode()
    match fault.kind if fault else None:
        case "malformed":
            yield content[: len(content) // 2]
        case "empty":
            return
        case "cut" | "stall":
            yield content[: len(content) // 2]
            yield b""  # where the fault strikes
        case "error_event":
            yield json.dumps(_ENGINE_DIED).encode()
        case _:
            yield content


_ENGINE_DIED = {
    "error": {
        "message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "type": "InternalServerError",
        "param": None,
        "code": 500,
    }
}


def _sse(answer: writing.Answer, fault: Fault | None) -> Iterator[bytes]:
    kind, after = (fault.kind, fault.after) if fault else (None, 0)
    if kind == "empty":
        return
    events = list(writing.events(answer))
    after = min(after, len(events) - 1)  # a fault strikes short answers, too
    for number, event in enumerate(events):
        if number == after and kind in ("cut", "stall"):
            yield b""  # where the fault strikes
        elif number == after and kind == "error_event":
            yield _data(_ENGINE_DIED)
            break
        elif number == after and kind == "malformed":
            yield b'data: {"id": "chatcmpl-\n\n'
        elif number >= after and kind == "no_finish":
            return
        data = _data(event)
        yield from (data[i : i + 1] for i in range(len(data))) if kind == "split_utf8" else (data,)
    if kind != "no_done":
        yield b"data: [DONE]\n\n"


def _data(event: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _paced(
    request: Request, service: Service, parts: Iterable[bytes], fault: Fault | None, model: str
) -> AsyncIterator[bytes]:
    try:
        await _pause(request, service.latency + (fault.seconds if fault and fault.kind == "slow_start" else 0))
        for part in parts:
            if not part and fault and fault.kind == "stall":
                await _pause(request, fault.seconds)
                raise CutError
            if not part:
                raise CutError
            if await request.is_disconnected():
                return  # a client that has gone is written to no more
            yield part
            if service.token_delay:
                await asyncio.sleep(service.token_delay)
    finally:
        service.leave(model)


async def _pause(request: Request, seconds: float) -> None:
    """Wait, but not for a client that has gone."""
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0 and not await request.is_disconnected():  # noqa: ASYNC110
        # Starlette offers a question, no event, for a client that leaves.
        await asyncio.sleep(min(left, 0.05))
