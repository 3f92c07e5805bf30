"""Both clients over a real socket: the same cases, whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from support import EVERY_WAY, KEY, MODEL, STREAMED, WHOLE, Run, ask, chat_sync, one_connection, raw_server, sse

from wandb_inference import (
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    Catalog,
    ChatRequest,
    Client,
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    NotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    RequestReviewError,
    RetryPolicy,
    ReviewWarning,
    ServerError,
    StreamInterruptedError,
    TextDelta,
    TimedOutError,
    Timeouts,
    UnknownModelError,
)
from wandb_inference._streams import ChatStream
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse

pytestmark = pytest.mark.usefixtures("over")

IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


@pytest.mark.parametrize("run", EVERY_WAY)
def test_the_same_answer_every_way(run: Run, emulator: Emulator) -> None:
    emulator.script(Reply("Héllo 🙂", "Let me think.", (ToolUse("f", {"a": "ü"}),)))
    completion = run(
        ask("Hi", tools=[{"type": "function", "function": {"name": "f"}}]), base_url=emulator.url, api_key=KEY
    )
    assert (completion.text, completion.reasoning) == ("Héllo 🙂", "Let me think.")
    (call,) = completion.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("f", {"a": "ü"})
    assert completion.finish_reason == "tool_calls"
    assert completion.model == MODEL
    assert completion.usage is not None
    assert completion.usage.reasoning_tokens == 4


@pytest.mark.parametrize("run", EVERY_WAY)
def test_what_leaves(run: Run, emulator: Emulator) -> None:
    run(
        ask("Hi", temperature=0, max_tokens=50, stop=["x"], seed=1, extra_body={"cache_salt": "s"}),
        base_url=emulator.url,
        api_key=KEY,
        project="team/project",
        headers={"X-Mine": "1"},
        query={"v": "2"},
    )
    (seen,) = emulator.requests
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers["openai-project"] == "team/project"
    assert seen.headers["x-mine"] == "1"
    assert seen.headers["user-agent"].startswith("wandb-inference/")
    assert "openai-organization" not in seen.headers
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if run in STREAMED else {}
    assert seen.json() == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "max_tokens": 50,
        "stop": ["x"],
        "seed": 1,
        "cache_salt": "s",
        **streamed,
    }


ENCODINGS: dict[str, tuple[ChatRequest, dict[str, Any]]] = {
    # name: (request, fields of the body)
    "nothing unasked": (ask("x"), {"model": MODEL}),
    "an alias": (ask("x", model="gpt-oss-120b"), {"model": "openai/gpt-oss-120b"}),
    "no empty tools": (ask("x", tools=[], tool_choice="auto", parallel_tool_calls=False), {"model": MODEL}),
    "any is required": (
        ask("x", tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="any"),
        {"model": MODEL, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
    ),
    "thinking off": (
        ask("x", model="Qwen/Qwen3.8-27B", reasoning=False),
        {"model": "Qwen/Qwen3.8-27B", "chat_template_kwargs": {"enable_thinking": False}},
    ),
    "thinking on, DeepSeek": (
        ask("x", model="deepseek-ai/DeepSeek-V4.1-Flash", reasoning=True),
        {
            "model": "deepseek-ai/DeepSeek-V4.1-Flash",
            "chat_template_kwargs": {"thinking": True, "enable_thinking": True},
        },
    ),
    "always on": (ask("x", reasoning=True), {"model": MODEL}),
    "an effort": (ask("x", reasoning="low"), {"model": MODEL, "reasoning_effort": "low"}),
    "an effort of a model that starts off": (
        ask("x", model="google/gemma-4-31B-it", reasoning="high"),
        {
            "model": "google/gemma-4-31B-it",
            "reasoning_effort": "high",
            "chat_template_kwargs": {"enable_thinking": True},
        },
    ),
    "extra_body joins objects": (
        ask("x", model="Qwen/Qwen3.8-27B", reasoning=False, extra_body={"chat_template_kwargs": {"a": 1}, "top_k": 3}),
        {
            "model": "Qwen/Qwen3.8-27B",
            "chat_template_kwargs": {"enable_thinking": False, "a": 1},
            "top_k": 3,
        },
    ),
    "extra_body wins": (ask("x", max_tokens=1, extra_body={"max_tokens": 2}), {"model": MODEL, "max_tokens": 2}),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encoding(name: str, client: Client) -> None:
    request, fields = ENCODINGS[name]
    assert json.loads(client.prepare(request).content) == {"messages": [{"role": "user", "content": "x"}], **fields}


BAD: dict[str, tuple[dict[str, Any], ChatRequest, type[InferenceError], str]] = {
    # name: (settings, request, class, words that say what to do)
    "wrong key": ({"api_key": "wrong"}, ask("x"), AuthenticationError, "Check the key"),
    "retired id": ({}, ask("x", model="Qwen/Qwen3.6-27B"), UnknownModelError, "Use Qwen/Qwen3.8-27B instead"),
    "retired id, unreviewed": (
        {"review": "off"},
        ask("x", model="Qwen/Qwen3.6-27B"),
        NotFoundError,
        "Use Qwen/Qwen3.8-27B instead",
    ),
    "retired without replacement": ({}, ask("x", model="Qwen/Qwen3.5-27B"), UnknownModelError, "of the same family"),
    "mistyped id": ({}, ask("x", model="openai/gpt-oss-20"), NotFoundError, "Did you mean 'openai/gpt-oss-20b'"),
    "image to a text model": (
        {},
        ChatRequest(MODEL, [{"role": "user", "content": IMAGE}]),
        RequestReviewError,
        "that take",
    ),
    "image, unreviewed": (
        {"review": "off"},
        ChatRequest(MODEL, [{"role": "user", "content": IMAGE}]),
        BadRequestError,
        "not a multimodal model",
    ),
    "prompt beyond the window": ({}, ask("word " * 140_000), RequestReviewError, "at least 140000 input tokens"),
    "prompt beyond the window, unreviewed": ({"review": "off"}, ask("word " * 140_000), ContextLengthError, "Shorten"),
    "max_tokens beyond the window": ({}, ask("x", max_tokens=10**6), RequestReviewError, "131,072"),
    "max_tokens beyond the window, unreviewed": (
        {"review": "off"},
        ask("x", max_tokens=10**6),
        BadRequestError,
        "cannot be greater than",
    ),
    "malformed project": ({"project": "alone"}, ask("x"), ConfigurationError, "'team/project'"),
    "dead port": ({"base_url": "http://127.0.0.1:9/v1"}, ask("x"), ConnectionFailedError, "Check base_url"),
    "a string for messages": ({}, ChatRequest(MODEL, "Hello"), RequestReviewError, "messages is no list of messages"),  # type: ignore[arg-type]
    "half a character": ({}, ask("\ud800"), RequestReviewError, "surrogate"),
    "not a number": ({}, ask("x", temperature=float("nan"), model="me/mine"), RequestReviewError, "finite numbers"),
    "no JSON": ({}, ask("x", extra_body={"x": object()}), RequestReviewError, "not JSON serializable"),
    "a line end in a header": ({"headers": {"x": "a\nb"}}, ask("x"), ConfigurationError, "A header cannot be sent"),
    "wrong path": ({"base_url": "/v2"}, ask("x"), NotFoundError, "check base_url"),
}


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.filterwarnings("ignore:.*did you mean")
@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, run: Run, emulator: Emulator) -> None:
    settings, request, cls, words = BAD[name]
    base = settings.get("base_url", "")
    settings = {
        **settings,
        "base_url": emulator.url.replace("/v1", base) if base.startswith("/") else base or emulator.url,
    }
    with pytest.raises(cls) as caught:
        run(request, **{"api_key": KEY, "max_retries": 0, "timeout": 5, **settings})
    assert words in str(caught.value)
    if cls in (UnknownModelError, RequestReviewError, ConfigurationError):
        assert emulator.requests == ()  # nothing was sent
        assert isinstance(caught.value, ValueError)


STATUSES = [
    (401, AuthenticationError),
    (402, QuotaExceededError),
    (404, NotFoundError),
    (422, BadRequestError),
    (429, RateLimitedError),
    (500, ServerError),
    (503, OverloadedError),
]


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize(("status", "cls"), STATUSES)
def test_status(status: int, cls: type[InferenceError], run: Run, emulator: Emulator) -> None:
    emulator.script(Fault(status=status))
    with pytest.raises(cls) as caught:
        run(ask("x"), base_url=emulator.url, api_key=KEY, max_retries=0)
    assert type(caught.value) is cls
    assert KEY not in f"{caught.value!r} {vars(caught.value)}"


FAST = RetryPolicy(max_retries=2, initial=0.001)


@pytest.mark.parametrize("run", EVERY_WAY)
@pytest.mark.parametrize("fault", [Fault(status=429, retry_after=0), Fault(status=503), Fault(status=500)])
def test_a_transient_failure_is_tried_again(fault: Fault, run: Run, emulator: Emulator) -> None:
    emulator.script(fault, fault, Reply("well"))
    assert run(ask("x"), base_url=emulator.url, api_key=KEY, retry=FAST).text == "well"
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("run", EVERY_WAY)
def test_max_retries_is_exact(run: Run, emulator: Emulator) -> None:
    emulator.script(*[Fault(status=503)] * 5)
    with pytest.raises(OverloadedError):
        run(ask("x"), base_url=emulator.url, api_key=KEY, retry=FAST)
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("run", WHOLE)
def test_a_cut_body_is_tried_again(run: Run, emulator: Emulator) -> None:
    emulator.script(Fault("cut"), Reply("well"))
    assert run(ask("x"), base_url=emulator.url, api_key=KEY, retry=FAST).text == "well"


STREAM_FAULTS: list[tuple[Fault, type[InferenceError]]] = [
    (Fault("cut"), StreamInterruptedError),
    (Fault("no_finish"), StreamInterruptedError),
    (Fault("error_event"), ServerError),
    (Fault("malformed"), MalformedResponseError),
    (Fault("stall"), TimedOutError),
]


@pytest.mark.parametrize("run", STREAMED)
@pytest.mark.parametrize(("fault", "cls"), STREAM_FAULTS, ids=lambda x: getattr(x, "kind", ""))
def test_a_stream_that_fails_keeps_what_arrived_and_is_not_tried_again(
    fault: Fault, cls: type[InferenceError], run: Run, emulator: Emulator
) -> None:
    emulator.script(fault)
    # A machine that pauses for longer before the stream is open would have it tried again, and answered well.
    patience = 1.0 if fault.kind == "stall" else 5.0
    with pytest.raises(cls) as caught:
        run(ask("x"), base_url=emulator.url, api_key=KEY, timeout=patience, retry=FAST)
    assert type(caught.value) is cls
    assert caught.value.partial is not None
    assert "The user".startswith(caught.value.partial.reasoning)
    assert caught.value.partial.finish_reason is None
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("run", STREAMED)
@pytest.mark.parametrize("kind", ["split_utf8", "no_done", "slow_start"])
def test_an_odd_stream_is_a_good_one(kind: Any, run: Run, emulator: Emulator) -> None:
    emulator.script(Fault(kind, seconds=0.05))
    assert run(ask("Grüße 🙂"), base_url=emulator.url, api_key=KEY).text == "You said: Grüße 🙂"


@pytest.mark.parametrize("run", STREAMED)
def test_an_empty_stream(run: Run, emulator: Emulator) -> None:
    emulator.script(Fault("empty"))
    with pytest.raises(StreamInterruptedError, match="was empty"):
        run(ask("x"), base_url=emulator.url, api_key=KEY)


@pytest.mark.parametrize("run", WHOLE)
@pytest.mark.parametrize(
    ("fault", "cls", "words"),
    [
        (Fault("malformed"), MalformedResponseError, "not JSON"),
        (Fault("empty"), MalformedResponseError, "is empty"),
        (Fault("error_event"), ServerError, "EngineCore"),
        (Fault("cut"), ConnectionFailedError, "broke"),
        (Fault("stall"), TimedOutError, "sent nothing within 0.3 s"),
        (Fault("slow_start"), TimedOutError, "sent nothing within 0.3 s"),
    ],
    ids=lambda x: getattr(x, "kind", ""),
)
def test_a_whole_answer_that_fails(
    fault: Fault, cls: type[InferenceError], words: str, run: Run, emulator: Emulator
) -> None:
    emulator.script(fault)
    patience = 0.3 if cls is TimedOutError else 60
    with pytest.raises(cls, match=words):
        run(ask("x"), base_url=emulator.url, api_key=KEY, timeout=patience, max_retries=0)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize("run", STREAMED)
def test_keep_alives_do_not_count_as_events(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stopped = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(HEAD + DELTA)
                while not stopped.wait(0.05):
                    connection.sendall(b": still here\n\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with pytest.raises(TimedOutError, match="nothing but keep-alives") as caught:
            run(ask("x"), base_url=url, api_key=KEY, timeout=Timeouts(stall=1.0), max_retries=0)
        stopped.set()
        thread.join()
    assert caught.value.partial is not None
    assert caught.value.partial.text == "a"


@pytest.mark.parametrize("run", STREAMED)
def test_a_connection_that_breaks_behind_the_answer_is_nobodys_concern(run: Run) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n")
    event = DELTA.replace(b'"}', b'"},"finish_reason":"stop"')
    for body in (event + b"data: [DONE]\n\n", event):  # with and without [DONE]; the last chunk of zero never comes
        with raw_server(head + b"%x\r\n%b\r\n" % (len(body), body)) as url:
            assert run(ask("x"), base_url=url, api_key=KEY, max_retries=0).text == "a"


@pytest.mark.parametrize("run", STREAMED)
def test_a_server_that_does_not_stream_when_asked(run: Run) -> None:
    choice = b'{"index":0,"message":{"content":"whole","reasoning":"r"},"finish_reason":"stop"}'
    body = b'{"id":"1","model":"m","choices":[%b]}' % choice
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url:
        completion = run(ask("x"), base_url=url, api_key=KEY)
    assert (completion.text, completion.reasoning, completion.finish_reason) == ("whole", "r", "stop")


@pytest.mark.parametrize("run", EVERY_WAY)
def test_no_answer_at_all(run: Run) -> None:
    with raw_server(b"", b"") as url, pytest.raises(ConnectionFailedError):
        run(ask("x"), base_url=url, api_key=KEY, retry=RetryPolicy(max_retries=1, initial=0.001))


@pytest.mark.parametrize("run", EVERY_WAY)
def test_not_http(run: Run) -> None:
    with raw_server(b"SSH-2.0-OpenSSH_9.2\r\n") as url, pytest.raises(ConnectionFailedError, match="broke"):
        run(ask("x"), base_url=url, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("run", EVERY_WAY)
def test_a_redirect_is_not_followed_with_the_key(run: Run, emulator: Emulator) -> None:
    head = f"HTTP/1.1 307 Moved\r\nlocation: {emulator.url}/chat/completions\r\ncontent-length: 0\r\n\r\n".encode()
    with raw_server(head) as url, pytest.raises(InferenceError, match="HTTP 307"):
        run(ask("x"), base_url=url, api_key=KEY, max_retries=0)
    assert emulator.requests == ()


@pytest.mark.parametrize("run", EVERY_WAY)
def test_any_server_and_any_model_id(run: Run, emulator: Emulator) -> None:
    served = Catalog.empty().with_overrides(
        {
            "model": [
                {
                    "id": "tiny",
                    "name": "t",
                    "family": "t",
                    "status": "active",
                    "checked": "2026-11-21",
                    "source": "test",
                }
            ]
        }
    )
    with Emulator(catalog=served, api_key="other", reasoning_field="reasoning_content") as url:
        completion = run(ask("x", model="tiny", max_tokens=5, temperature=9), base_url=url, api_key="other")
    assert completion.text == "You said: x"


def test_models(client: Client, emulator: Emulator) -> None:
    active = {card.id for card in Catalog.bundled() if card.status == "active"}
    assert {model.id for model in client.models()} == active

    async def listed() -> set[str]:
        async with AsyncClient(base_url=emulator.url, api_key=KEY) as async_client:
            return {model.id for model in await async_client.models()}

    assert asyncio.run(listed()) == active


def test_warn_and_off(emulator: Emulator) -> None:
    request = ask("x", stop=list("abcde"), top_logprobs=2)
    settings: dict[str, Any] = {"base_url": emulator.url, "api_key": KEY, "max_retries": 0}
    with pytest.raises(RequestReviewError), warnings.catch_warnings():
        chat_sync(request, **settings)
    with pytest.warns(ReviewWarning) as warned, pytest.raises(BadRequestError):
        chat_sync(request, review="warn", **settings)
    assert [str(w.message).partition(": ")[2] for w in warned] == [
        "top_logprobs needs logprobs=True.",
        "5 stop strings; newer vLLM takes 4 at most.",
    ]
    with pytest.raises(BadRequestError):
        chat_sync(request, review="off", **settings)
    assert len(emulator.requests) == 2


def test_batches_hold_what_arrived_together(client: Client, emulator: Emulator) -> None:
    with client.stream(ask("one two three")) as stream:
        batches = list(stream.batches())
    assert all(batches)
    with client.stream(ask("one two three")) as again:
        events = list(again)
    flat = [event for batch in batches for event in batch]
    assert [type(e) for e in flat] == [type(e) for e in events]


def sizes_of_batches(url: str) -> Iterator[list[int]]:
    async def run() -> list[int]:
        async with AsyncClient(base_url=url, api_key=KEY) as client, await client.stream(ask("x")) as stream:
            return [len(batch) async for batch in stream.batches()]

    with Client(base_url=url, api_key=KEY) as client, client.stream(ask("x")) as stream:
        yield [len(batch) for batch in stream.batches()]
    yield asyncio.run(run())


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def test_one_network_read_is_one_batch_whatever_its_http_chunks() -> None:
    deltas = [{"choices": [{"index": 0, "delta": {"content": f"{n} "}}]} for n in range(50)]
    with raw_server(*[sse(*deltas, STOP)] * 2) as url:
        assert list(sizes_of_batches(url)) == [[52], [52]]


FIRST = {"choices": [{"index": 0, "delta": {"content": "first"}}]}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("held", [b"", b"\r\n5\r\n", b"\r\n0\r\n\r"])
def test_an_event_is_not_held_back_for_what_is_not_there_yet(held: bytes, compressed: bool) -> None:
    """The server says one event, the beginning of something, and nothing more: the event comes all the same."""
    whole = sse(FIRST, STOP, compressed=compressed)
    head, _, body = whole.partition(b"\r\n\r\n")
    size = int(body.partition(b"\r\n")[0], 16)
    begun = head + b"\r\n\r\n" + body[: body.index(b"\r\n") + 2 + size] + held
    with (
        raw_server(begun, hold=600) as url,
        Client(base_url=url, api_key=KEY, timeout=30) as client,
        client.stream(ask("x")) as stream,
    ):
        while not isinstance(next(stream), TextDelta):  # held back, it would be missed by the timeout
            pass


def test_what_came_before_a_broken_chunk_is_handed_out() -> None:
    good = sse({"choices": [{"index": 0, "delta": {"content": "so far"}}]}).partition(b"0\r\n\r\n")[0]

    async def run(url: str) -> None:
        async with AsyncClient(base_url=url, api_key=KEY) as client, await client.stream(ask("x")) as stream:
            async for _ in stream:
                pass

    def run_sync(url: str) -> None:
        with Client(base_url=url, api_key=KEY) as client, client.stream(ask("x")) as stream:
            list(stream)

    def serve(connection: socket.socket) -> None:
        connection.sendall(good)
        time.sleep(0.2)  # a parser may take back what one read brought
        connection.sendall(b"5 is no size\r\nx")

    for go in (run_sync, lambda url: asyncio.run(run(url))):
        with one_connection(serve) as url, pytest.raises(StreamInterruptedError) as caught:
            go(url)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "so far"


@pytest.mark.parametrize("method", ["chat", "stream"])
def test_another_event_loop_than_asyncio_s(method: str) -> None:
    calling = getattr(AsyncClient(base_url="http://127.0.0.1:9/v1", api_key=KEY), method)(ask("x"))
    with pytest.raises(ConfigurationError, match="needs an event loop of asyncio"):
        calling.send(None)  # as trio does


@pytest.mark.parametrize("how", ["close", "garbage"])
def test_a_generator_that_is_dropped_waits_for_no_lock(how: str, emulator: Emulator) -> None:
    """httpcore's lock is not reentrant, and the garbage collector may come while this very thread holds it."""
    emulator.script(Fault("stall", after=3))
    http = httpx.Client()
    client = Client(base_url=emulator.url, api_key=KEY, http_client=http, timeout=60)
    lock = http._transport._pool._optional_thread_lock  # type: ignore[attr-defined]

    def events() -> Iterator[Any]:
        with client.stream(ask("x")) as stream:
            for batch in stream.batches():
                yield from batch

    def drop() -> None:
        reading: Any = events()
        next(reading)
        with lock:
            if how == "close":
                reading.close()
            else:
                cycle = [reading]
                cycle.append(cycle)
                del reading, cycle
                gc.collect()

    dropping = threading.Thread(target=drop, daemon=True)
    dropping.start()
    dropping.join(60)
    assert not dropping.is_alive()
    assert client.chat(ask("x")).text == "You said: x"
    assert len(http._transport._pool.connections) == 1  # type: ignore[attr-defined]
    http.close()


def test_abandoning_a_stream_frees_its_connection(emulator: Emulator) -> None:
    emulator.script(Fault("stall", after=5))
    http = httpx.Client(limits=httpx.Limits(max_connections=1), timeout=30)
    with http, Client(base_url=emulator.url, api_key=KEY, http_client=http, max_retries=0, timeout=30) as client:
        with client.stream(ask("x")) as stream:
            assert next(stream)
        assert client.chat(ask("y")).text == "You said: y"
        assert not http.is_closed
    assert http.is_closed


def test_connections_are_used_again_and_shared(emulator: Emulator) -> None:
    ports: set[str] = set()
    transport = httpx.HTTPTransport()
    send = transport.handle_request

    def watched(request: httpx.Request) -> httpx.Response:
        response = send(request)
        ports.add(str(response.extensions["network_stream"].get_extra_info("client_addr")))
        return response

    transport.handle_request = watched  # type: ignore[method-assign]
    with httpx.Client(transport=transport) as http:
        first = Client(base_url=emulator.url, api_key=KEY, http_client=http)
        second = Client(base_url=emulator.url, api_key=KEY, http_client=http)
        for client in (first, second, first):
            client.chat(ask("x"))
            with client.stream(ask("x")) as stream:
                assert len(list(stream)) > 3
    assert len(ports) == 1


def test_the_shared_pool_closes_with_its_last_user(emulator: Emulator) -> None:
    first, second = (Client(base_url=emulator.url, api_key=KEY) for _ in range(2))
    first.close()
    first.close()  # twice is once
    assert second.chat(ask("x")).text == "You said: x"
    second.close()
    with Client(base_url=emulator.url, api_key=KEY) as third:
        assert third.chat(ask("x")).text == "You said: x"


def test_one_async_client_on_many_event_loops(emulator: Emulator) -> None:
    client = AsyncClient(base_url=emulator.url, api_key=KEY)

    async def run() -> list[str]:
        answers = await asyncio.gather(*(client.chat(ask(f"{n}")) for n in range(20)))
        await client._transport.aclose()
        return [answer.text for answer in answers]

    for _ in range(3):
        assert asyncio.run(run()) == [f"You said: {n}" for n in range(20)]


def test_many_threads_on_one_client(client: Client) -> None:
    def run(number: int) -> str:
        with client.stream(ask(f"{number}")) as stream:
            return "".join(event.text for event in stream if isinstance(event, TextDelta))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(run, range(64))) == [f"You said: {n}" for n in range(64)]


def test_cancelling_an_async_stream_closes_it() -> None:
    emulator = Emulator(max_in_flight=1)
    emulator.script(Fault("stall", after=4))

    async def drain(stream: Any) -> None:
        async for _ in stream:
            pass

    async def run(url: str) -> str:
        async with AsyncClient(base_url=url, api_key=KEY, max_retries=0) as client, asyncio.timeout(60):
            stream = await client.stream(ask("x"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(drain(stream), 0.2)
            while True:  # until the emulator, which takes one call at a time, has seen the connection go
                with suppress(RateLimitedError):
                    return (await client.chat(ask("y"))).text
                await asyncio.sleep(0.01)

    with emulator as url:
        assert asyncio.run(run(url)) == "You said: y"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_connections_of_its_own(emulator: Emulator) -> None:
    client = Client(base_url=emulator.url, api_key=KEY)
    client.chat(ask("parent"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads, which is the point
        child = os.fork()
    if child == 0:
        try:
            os._exit(0 if client.chat(ask("child")).text == "You said: child" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert client.chat(ask("parent")).text == "You said: parent"
    client.close()


def test_no_key_in_any_repr(client: Client) -> None:
    shown = f"{client!r} {client.settings!r} {client.prepare(ask('x'))!r}"
    assert KEY not in shown
    assert copy.deepcopy(client) is client


def test_an_unread_stream_can_be_dropped(client: Client) -> None:
    stream: ChatStream | None = client.stream(ask("x"))
    assert stream is not None
    stream.close()
    stream = None
    gc.collect()
    assert client.chat(ask("y")).text == "You said: y"


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"choices":[{"message":{"content":"by proxy"},"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with raw_server(head + body) as url:
        monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        with httpx.Client() as http, Client(base_url="http://far.invalid/v1", api_key=KEY, http_client=http) as client:
            assert client.chat(ask("x")).text == "by proxy"
