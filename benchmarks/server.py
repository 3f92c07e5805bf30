"""A server that answers with bytes made beforehand, in a process of its own: it costs the client nothing."""

from __future__ import annotations

import asyncio
import json
import sys

MODEL = "openai/gpt-oss-20b"
USAGE = {"prompt_tokens": 10, "completion_tokens": 2000, "total_tokens": 2010}


def whole() -> bytes:
    message = {"role": "assistant", "content": "Hello from the benchmark."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    content = json.dumps({**body, "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content) + content


def texts(deltas: int) -> list[dict[str, object]]:
    return [{"content": f"word{n} "} for n in range(deltas)]


def arguments(deltas: int) -> list[dict[str, object]]:
    """A tool call whose arguments come in as many pieces."""
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "write", "arguments": '{"text": "'}}
    pieces = [{"index": 0, "function": {"arguments": f"word{n} "}} for n in range(deltas - 2)]
    calls = [begun, *pieces, {"index": 0, "function": {"arguments": '"}'}}]
    return [{"tool_calls": [call]} for call in calls]


def streamed(deltas: list[dict[str, object]], reason: str) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]
    chunks += [{**head, "choices": [], "usage": USAGE}]
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    body = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + body


WHOLE, STREAMED, CALLED = whole(), streamed(texts(2000), "stop"), streamed(arguments(2000), "tool_calls")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            asked = json.loads(body)
            streams = CALLED if asked.get("tools") else STREAMED
            writer.write(streams if asked.get("stream") else WHOLE)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
