"""A server that answers with bytes made beforehand, in a process of its own: it costs the client nothing.

The address says what to answer: ``/whole/v1``, ``/texts-2000/v1`` (a stream of as many deltas), ``/reasoning-…``,
``/arguments-…`` (of one tool call), ``/paced-…`` (one event a packet, a millisecond apart). ``/load`` says how busy the
server has been.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import cache

MODEL = "zai-org/GLM-5.2"  # its window takes the long prompts
USAGE = {"prompt_tokens": 10, "completion_tokens": 2000, "total_tokens": 2010}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PAUSE = 0.001


def texts(deltas: int) -> list[dict[str, object]]:
    return [{"content": f"word{n} "} for n in range(deltas)]


def reasoning(deltas: int) -> list[dict[str, object]]:
    """Half of them think, the other half speak."""
    return [{"reasoning" if 2 * n < deltas else "content": f"word{n} "} for n in range(deltas)]


def arguments(deltas: int) -> list[dict[str, object]]:
    """A tool call whose arguments come in as many pieces."""
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "write", "arguments": '{"text": "'}}
    pieces = [{"index": 0, "function": {"arguments": f"word{n} "}} for n in range(deltas - 2)]
    calls = [begun, *pieces, {"index": 0, "function": {"arguments": '"}'}}]
    return [{"tool_calls": [call]} for call in calls]


KINDS = {"texts": texts, "paced": texts, "reasoning": reasoning, "arguments": arguments}


def whole(body: dict[str, object]) -> list[bytes]:
    content = json.dumps(body).encode()
    return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content), content]


@cache
def answer(name: str) -> list[bytes]:
    """The packets of an answer."""
    kind, _, size = name.partition("-")
    if kind not in KINDS:
        message = {"role": "assistant", "content": "Hello from the benchmark."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return [b"".join(whole({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}))]
    reason = "tool_calls" if kind == "arguments" else "stop"
    chunks = [{**HEAD, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in KINDS[kind](int(size))]
    chunks += [{**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]
    chunks += [{**HEAD, "choices": [], "usage": USAGE}]
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    packets = [STREAM, *(b"%x\r\n%b\r\n" % (len(line), line) for line in lines), b"0\r\n\r\n"]
    return packets if kind == "paced" else [b"".join(packets)]


class Connection(asyncio.Protocol):
    """One connection: requests come one after another, and none is looked into."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.name, self.missing, self.head = transport, "", 0, b""

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            self.head += data
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.name, self.head = head.split(b"/", 2)[1].split(b" ")[0].decode(), b""
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            self.missing, data = length, body
        self.missing -= len(data)
        if not self.missing:
            self.reply()

    def reply(self) -> None:
        if self.name == "load":
            self.transport.writelines(whole({"cpu": time.process_time(), "wall": time.perf_counter()}))
        elif len(packets := answer(self.name)) == 1:
            self.transport.write(packets[0])
        else:
            self.pace(iter(packets))

    def pace(self, packets: Iterator[bytes]) -> None:
        for packet in packets:
            self.transport.write(packet)
            asyncio.get_running_loop().call_later(PAUSE, self.pace, packets)
            return


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
