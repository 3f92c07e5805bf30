"""Several models answer one question at the same time, each streamed: live with WANDB_API_KEY, else on the emulator.

python examples/async_streams.py "Why is the sky blue?"
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from wandb_inference import AsyncClient, ChatOptions, ChatRequest, Collector, InferenceError, TextDelta, price
from wandb_inference.emulator import Emulator

MODELS = ("openai/gpt-oss-20b", "meta-llama/Llama-3.1-8B-Instruct", "google/gemma-4-31B-it")


async def ask(client: AsyncClient, model: str, question: str) -> None:
    request = ChatRequest(model, [{"role": "user", "content": question}], ChatOptions(max_tokens=500))
    started, first = time.monotonic(), 0.0
    collector = Collector()
    async with await client.stream(request) as stream:
        async for event in stream:
            if isinstance(event, TextDelta) and not first:
                first = time.monotonic() - started
            collector.add(event)
    answer = collector.completion()
    cost = price(answer.usage, client.catalog.card(model).price)
    print(f"{model}: {answer.text}\n  first text after {first:.2f} s, {cost.total if cost else '?'} USD")


async def main() -> None:
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    live = bool(os.environ.get("WANDB_API_KEY"))
    emulator = Emulator(token_delay=0.01)
    url = None if live else emulator.start()
    try:
        async with AsyncClient(base_url=url, api_key=None if live else emulator.api_key) as client:
            await asyncio.gather(*(ask(client, model, question) for model in MODELS))
    finally:
        emulator.stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except InferenceError as e:
        sys.exit(str(e))
