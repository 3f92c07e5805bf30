"""A LiteLLM Router over the catalog, with fallbacks and costs: live with WANDB_API_KEY, else on the emulator.

pip install 'wandb-inference[litellm,emulator]'
python examples/litellm_router.py "Why is the sky blue?"
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from typing import Any

import litellm
from litellm.router import Router

from wandb_inference.emulator import Emulator, Fault
from wandb_inference.litellm import deployments, register

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


async def main() -> None:
    question = " ".join(sys.argv[1:]) or "Why is the sky blue?"
    with ExitStack() as stack:
        where: dict[str, Any] = {}
        if not os.environ.get("WANDB_API_KEY"):
            print("(no WANDB_API_KEY: the emulator answers, and is busy at first)")
            emulator = Emulator()
            where = {"api_base": stack.enter_context(emulator), "api_key": emulator.api_key}
            emulator.script(Fault(status=429))
        register()
        router = Router(**deployments(models=[SMALL, LARGE], fallback_price=2, **where), num_retries=0)
        messages: Any = [{"role": "user", "content": question}]
        answer = await router.acompletion(model=SMALL, messages=messages)
        cost = litellm.completion_cost(answer)
        print(f"{answer.model}: {answer.choices[0].message.content} ({cost:.6f} USD)")
        print(f"{LARGE}, streamed: ", end="")
        async for chunk in await router.acompletion(model=LARGE, messages=messages, stream=True):
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        print()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except litellm.exceptions.APIError as e:
        sys.exit(str(e))
