"""Answers that are mutated, over real sockets, through every door: an error of ours in time, or a right answer.

    python tests/fuzz/fuzzing.py [--cases 20000] [--first 0]

Each case is made from its number alone, so that one that fails can be run again: ``--cases 1 --first 123``.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import socket
import sys
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from wandb_inference import AsyncClient, ChatRequest, Client, InferenceError, Timeouts
from wandb_inference.chat import StreamEnd, TextDelta
from wandb_inference.langchain import ChatWandbInference

MODEL, KEY = "openai/gpt-oss-20b", "k" * 40
TEXT = "Grüße, 日本: one two three 🙂."
PARTS = ["Grüße", ", 日本", ": one ", "two three", " 🙂", "."]
TIMEOUTS = Timeouts(connect=2, read=2, stall=2)
PATIENCE = 20.0
"""Seconds that a case may take: more than all timeouts together; what takes longer hangs."""
ASK = ChatRequest(MODEL, [{"role": "user", "content": "Hello"}])
USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
Json = Any
Draw = random.Random


# What is mutated


def whole_body() -> dict[str, Json]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": TEXT, "reasoning": "hm", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": USAGE}


def stream_events() -> list[Json]:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    deltas: list[Json] = [{"role": "assistant", "content": ""}, {"reasoning": "hm"}]
    deltas += [{"content": part} for part in PARTS]
    deltas += [{"tool_calls": [call]}, {"tool_calls": [rest]}]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
    return [*chunks, {**head, "choices": [], "usage": USAGE}]


@dataclass
class Answer:
    """An answer in the making.

    Attributes:
        body: what is said.
        keeps_text: whether what was done to it so far changes nothing of what it says.
    """

    streamed: bool
    body: bytes
    status: bytes = b"200 OK"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    before: bytes = b""
    trailers: bytes = b""
    framing: str = "length"
    keeps_text: bool = True

    def wire(self, draw: Draw) -> bytes:
        """Return the bytes that go over the wire."""
        headers = [*self.headers, (b"Connection", b"close")]  # else the next case may be sent to a closed one
        body = self.body
        if self.framing == "chunked":
            headers.append((b"Transfer-Encoding", b"chunked"))
            body = chunked(body, draw) + b"0\r\n" + self.trailers + b"\r\n"
        elif self.framing == "length":
            headers.append((b"Content-Length", b"%d" % len(body)))
        head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return self.before + b"HTTP/1.1 " + self.status + b"\r\n" + head + b"\r\n" + body


def chunked(body: bytes, draw: Draw) -> bytes:
    parts, at = [], 0
    while at < len(body):
        size = draw.choice([1, 2, 7, 64, 500, 5000])
        piece = body[at : at + size]
        extension = draw.choice([b"", b"", b"", b";a=b"])
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
        at += size
    return b"".join(parts)


def fresh(draw: Draw, *, streamed: bool) -> Answer:
    if not streamed:
        body = json.dumps(whole_body(), ensure_ascii=draw.random() < 0.5).encode()
        return Answer(False, body, headers=[(b"Content-Type", b"application/json")])
    events = [json.dumps(event, ensure_ascii=draw.random() < 0.5).encode() for event in stream_events()]
    body = b"".join(b"data: %b\n\n" % event for event in [*events, b"[DONE]"])
    return Answer(
        True, body, headers=[(b"Content-Type", b"text/event-stream")], framing=draw.choice(["chunked", "end"])
    )


# Mutations that change nothing of what is said


def in_other_chunks(answer: Answer, draw: Draw) -> None:
    answer.framing = "chunked"


def until_the_end(answer: Answer, draw: Draw) -> None:
    answer.framing = "end"


def with_length(answer: Answer, draw: Draw) -> None:
    answer.framing = "length"


def compressed(answer: Answer, draw: Draw) -> None:
    if any(name == b"Content-Encoding" for name, _ in answer.headers):
        return
    name = draw.choice([b"gzip", b"deflate"])
    answer.body = gzip.compress(answer.body) if name == b"gzip" else zlib.compress(answer.body)
    answer.headers.append((b"Content-Encoding", name))


def with_other_headers(answer: Answer, draw: Draw) -> None:
    names = [b"X-Request-Id", b"Set-Cookie", b"Server", b"retry-after", b"CF-Ray", b"x-ratelimit-remaining"]
    answer.headers += [(draw.choice(names), b"v%d" % n) for n in range(draw.randint(1, 20))]


def behind_an_informational_one(answer: Answer, draw: Draw) -> None:
    answer.before += b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def with_trailers(answer: Answer, draw: Draw) -> None:
    answer.framing, answer.trailers = "chunked", b"X-Late: 1\r\n"


def with_comments(answer: Answer, draw: Draw) -> None:
    if answer.streamed and b"Content-Encoding" not in dict(answer.headers):
        events = answer.body.split(b"\n\n")
        for _ in range(draw.randint(1, 5)):
            events.insert(draw.randint(0, len(events) - 1), b": keep-alive")
        answer.body = b"\n\n".join(events)


def with_other_line_ends(answer: Answer, draw: Draw) -> None:
    if answer.streamed and b"Content-Encoding" not in dict(answer.headers):
        answer.body = answer.body.replace(b"\n", draw.choice([b"\r\n", b"\n"]))


def labelled_as_the_other(answer: Answer, draw: Draw) -> None:
    other = b"application/json" if answer.streamed else b"text/event-stream"
    answer.headers = [(name, other if name == b"Content-Type" else value) for name, value in answer.headers]


NEUTRAL = (
    *(in_other_chunks, until_the_end, with_length, compressed, with_other_headers, behind_an_informational_one),
    *(with_trailers, with_comments, with_other_line_ends, labelled_as_the_other),
)


# Mutations after which anything may be said, but in our words


def other_bytes(answer: Answer, draw: Draw) -> None:
    body = bytearray(answer.body)
    for _ in range(draw.choice([1, 1, 2, 8, 50])):
        at = draw.randrange(len(body) + 1)
        kind = draw.randrange(4)
        if kind == 0 and at < len(body):
            body[at] = draw.randrange(256)
        elif kind == 1:
            body[at:at] = draw.randbytes(draw.choice([1, 3, 100]))
        elif kind == 2:
            del body[at : at + draw.choice([1, 5, 200])]
        else:
            body[at:at] = body[at : at + draw.choice([3, 80])]
    answer.body = bytes(body)


def cut(answer: Answer, draw: Draw) -> None:
    answer.body = answer.body[: draw.randrange(len(answer.body) + 1)]


def events_in_disorder(answer: Answer, draw: Draw) -> None:
    events = answer.body.split(b"\n\n")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(events))
        kind = draw.randrange(4)
        if kind == 0:
            events.insert(at, events[draw.randrange(len(events))])
        elif kind == 1 and len(events) > 1:
            del events[at]
        elif kind == 2:
            draw.shuffle(events)
        else:
            events[at] = draw.choice([b"event: error", b"data:", b"data: null", b"id: 1", b"retry: x", b"data: [DONE]"])
    answer.body = b"\n\n".join(events)


STRANGE: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, 1e308, "", "x", "9" * 40, [], {}, [[]], [None], {"a": []}, [1, "a"]),
    *({"error": "x"}, {"error": {"message": 5, "code": []}}, "\ud800", float("nan"), [[[[[]]]]], {"": ""}),
)


def other_types(answer: Answer, draw: Draw) -> None:
    def changed(value: Json) -> Json:
        if draw.random() < 0.08:
            return draw.choice(STRANGE)
        if isinstance(value, dict):
            found = {name: changed(part) for name, part in value.items() if draw.random() > 0.03}
            return {
                **found,
                **(
                    {draw.choice(["error", "choices", "x", "delta"]): draw.choice(STRANGE)}
                    if draw.random() < 0.05
                    else {}
                ),
            }
        return [changed(part) for part in value] if isinstance(value, list) else value

    if answer.streamed:
        events = [json.dumps(changed(event)).encode() for event in stream_events()]
        answer.body = b"".join(b"data: %b\n\n" % event for event in [*events, b"[DONE]"])
    else:
        answer.body = json.dumps(changed(whole_body())).encode()


def nested(answer: Answer, draw: Draw) -> None:
    deep = draw.choice([b"[", b'{"a":']) * draw.choice([50, 2_000, 100_000])
    answer.body = b"data: " + deep + b"\n\n" if answer.streamed else deep


def another_status(answer: Answer, draw: Draw) -> None:
    statuses = [
        b"201 Created",
        b"204 No Content",
        b"206 Partial",
        b"301 Moved",
        b"307 Temporary Redirect",
        b"400 Bad",
        b"401 No",
    ]
    statuses += [
        b"404 Not Found",
        b"418 Teapot",
        b"429 Many",
        b"500 Oops",
        b"503 Busy",
        b"520 ",
        b"599 x",
        b"200",
        b"999 x",
        b"0 x",
    ]
    answer.status = draw.choice([*statuses, b"101 Switching Protocols", b"100 Continue"])
    if answer.status.startswith(b"30"):
        answer.headers.append((b"Location", draw.choice([b"http://127.0.0.1:9/", b"/v1/x", b"", b"\xff"])))


def broken_framing(answer: Answer, draw: Draw) -> None:
    answer.framing = "end"
    body = answer.body
    kind = draw.randrange(5)
    if kind == 0:
        answer.headers.append((b"Content-Length", b"%d" % (len(body) + draw.choice([-5, 5, 1000]))))
    elif kind == 1:
        answer.headers.append((b"Content-Length", draw.choice([b"x", b"-1", b"9" * 30, b"1, 2", b""])))
    elif kind == 2:
        answer.headers.append((b"Transfer-Encoding", b"chunked"))
        answer.body = chunked(body, draw)[: draw.randrange(len(body) + 1)]
    elif kind == 3:
        answer.headers.append((b"Transfer-Encoding", b"chunked"))
        answer.body = draw.choice([b"zz\r\n", b"-5\r\n", b"fffffffffffffffff\r\n", b"\r\n", b"5\r\nab"]) + body
    else:
        answer.headers += [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"%d" % len(body))]


def broken_compression(answer: Answer, draw: Draw) -> None:
    kind = draw.choice([b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"identity", b"x"])
    if draw.random() < 0.5:
        answer.body = gzip.compress(answer.body)
        if draw.random() < 0.5:
            other_bytes(answer, draw)
    answer.headers.append((b"Content-Encoding", kind))


def strange_headers(answer: Answer, draw: Draw) -> None:
    values = [
        b"",
        b"\xff\xfe",
        b"a" * 5_000,
        b"a" * 200_000,
        b"x, y",
        b"application/json; charset=utf-16",
        b"text/html",
    ]
    values += [b"Thu, 01 Jan 1970 00:00:00 +99999999999999", b"9" * 5_000]
    names = [b"Content-Type", b"Retry-After", b"retry-after-ms", b"X-A", b"X" * 300, b"Connection", b"x-request-id"]
    for _ in range(draw.choice([1, 1, 3])):
        answer.headers.append((draw.choice(names), draw.choice(values)))


def broken_head(answer: Answer, draw: Draw) -> None:
    kind = draw.randrange(4)
    if kind == 0:
        answer.before = draw.choice(
            [b"\r\n", b"junk\r\n\r\n", b"HTTP/0.9 200\r\n\r\n", b"\x16\x03\x01", b"HTTP/1.1 100 C\r\n\r\n" * 50]
        )
    elif kind == 1:
        answer.status = draw.choice([b"2000 OK", b"20x OK", b"", b"200OK", b"\xff"])
    elif kind == 2:
        answer.headers.append((draw.choice([b"a b", b"", b"a\nb", b":"]), b"v"))
    else:
        answer.body, answer.framing = b"", "end"
        answer.status = b"200 OK\r\nContent-Len"


LOUD = (
    *(other_bytes, cut, events_in_disorder, other_types, other_types, nested, another_status, broken_framing),
    *(broken_compression, strange_headers, broken_head),
)


@dataclass
class Case:
    """One mutated answer, and how it is asked for."""

    number: int
    way: str
    sent: bytes
    pieces: list[int]
    text: str | None
    """What must be said; ``None``: whatever it is."""
    what: list[str]


def case(number: int, ways: list[str]) -> Case:
    """Return the case of a number."""
    draw = Draw(number)
    way = ways[number % len(ways)]
    answer = fresh(draw, streamed="stream" in way)
    chosen: list[Callable[[Answer, Draw], None]] = [draw.choice(NEUTRAL) for _ in range(draw.randint(0, 3))]
    if draw.random() < 0.7:
        chosen += [draw.choice(LOUD) for _ in range(draw.choice([1, 1, 2]))]
        answer.keeps_text = False
    for mutate in chosen:
        mutate(answer, draw)
    if answer.framing == "length" and answer.streamed and not answer.keeps_text:
        answer.framing = "end"
    sent = answer.wire(draw)
    pieces = [draw.choice([1, 10, 100, 100_000, 100_000]) for _ in range(6)]
    return Case(number, way, sent, pieces, TEXT if answer.keeps_text else None, [m.__name__ for m in chosen])


# The other side


class Server:
    """Answers each connection with the bytes of the moment, and closes it."""

    def __init__(self) -> None:
        self.case: Case | None = None
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection, self.case), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket, told: Case | None) -> None:
        with connection, suppress(OSError, ValueError, IndexError):
            connection.settimeout(10)
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            head, _, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
            at = 0
            for size in told.pieces if told else ():
                connection.sendall(told.sent[at : at + size])  # type: ignore[union-attr]
                at += size
            connection.sendall(told.sent[at:])  # type: ignore[union-attr]
            connection.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                while connection.recv(65536):
                    pass


# This side


class Ways:
    """Every way to ask: doors, whole and streamed, in threads and tasks, over both transports."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.ways: dict[str, Callable[[], str]] = {}
        for over in ("httpx", "fast"):
            told: dict[str, Any] = {"base_url": url, "api_key": KEY, "max_retries": 0, "transport": over}
            client, aclient = Client(**told, timeout=TIMEOUTS), AsyncClient(**told, timeout=TIMEOUTS)
            model = ChatWandbInference(model=MODEL, timeout=2, **told)
            self.ways |= {
                f"{over} core whole": lambda c=client: c.chat(ASK).text,  # type: ignore[misc]
                f"{over} core stream": lambda c=client: self._read(c.stream(ASK)),  # type: ignore[misc]
                f"{over} core whole async": lambda c=aclient: self._run(self._awhole(c)),  # type: ignore[misc]
                f"{over} core stream async": lambda c=aclient: self._run(self._aread(c)),  # type: ignore[misc]
                f"{over} langchain whole": lambda m=model: m.invoke("Hello").text,  # type: ignore[misc]
                f"{over} langchain stream": lambda m=model: "".join(c.text for c in m.stream("Hello")),  # type: ignore[misc]
                f"{over} langchain stream async": lambda m=model: self._run(self._achunks(m)),  # type: ignore[misc]
            }
        self.ways |= {
            "litellm whole": lambda: self._litellm(url, stream=False),
            "litellm stream": lambda: self._litellm(url, stream=True),
        }

    def _run(self, coroutine: Any) -> str:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))  # type: ignore[no-any-return]

    @staticmethod
    def _read(stream: Any) -> str:
        with stream:
            events = list(stream)
        assert isinstance(events[-1], StreamEnd)
        return "".join(event.text for event in events if isinstance(event, TextDelta) and not event.choice)

    @staticmethod
    async def _awhole(client: AsyncClient) -> str:
        return (await client.chat(ASK)).text

    @staticmethod
    async def _aread(client: AsyncClient) -> str:
        async with await client.stream(ASK) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], StreamEnd)
        return "".join(event.text for event in events if isinstance(event, TextDelta) and not event.choice)

    @staticmethod
    async def _achunks(model: ChatWandbInference) -> str:
        return "".join([chunk.text async for chunk in model.astream("Hello")])

    @staticmethod
    def _litellm(url: str, *, stream: bool) -> str:
        import litellm  # noqa: PLC0415 (slow)

        told: dict[str, Any] = {"api_base": url, "api_key": KEY, "num_retries": 0, "max_retries": 0, "timeout": 2}
        answer: Any = litellm.completion(
            f"wandb_inference/{MODEL}", [{"role": "user", "content": "Hello"}], stream=stream, **told
        )
        if not stream:
            return answer.choices[0].message.content or ""
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def fault(told: Case, ask: Callable[[], str], errors: tuple[type[BaseException], ...]) -> str | None:
    """Return what is wrong with how a case ended; ``None``: nothing."""
    begun = time.monotonic()
    try:
        said = ask()
    except errors as e:
        wrong = f"a right answer was refused: {e!r}" if told.text is not None else None
    except BaseException:  # noqa: BLE001 (which is what is looked for)
        wrong = f"outside the tree: {traceback.format_exc()}"
    else:
        wrong = f"said {said!r}" if told.text is not None and said != told.text else None
    if time.monotonic() - begun > PATIENCE / 2:
        wrong = f"{wrong or ''} after {time.monotonic() - begun:.0f} s"
    return wrong


@contextmanager
def fuzzed() -> Iterator[Callable[[int], tuple[Case, str | None]]]:
    """Yield what runs the case of a number."""
    import litellm.exceptions  # noqa: PLC0415 (slow)

    from wandb_inference.litellm import register  # noqa: PLC0415 (as above)

    register()
    server = Server()
    ways = Ways(server.url)
    errors: Any = (InferenceError, *litellm.exceptions.LITELLM_EXCEPTION_TYPES)

    def run(number: int) -> tuple[Case, str | None]:
        told = server.case = case(number, list(ways.ways))
        return told, fault(told, ways.ways[told.way], (InferenceError,) if "litellm" not in told.way else errors)

    try:
        yield run
    finally:
        server.close()
        ways.loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    found: Counter[str] = Counter()
    with fuzzed() as run:
        for number in range(given.first, given.first + given.cases):
            told, wrong = run(number)
            if wrong is not None:
                found[told.way] += 1
                print(f"{number} {told.way} {told.what}: {wrong}", flush=True)
    print(f"{given.cases} cases, {found.total()} faults {dict(found)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
