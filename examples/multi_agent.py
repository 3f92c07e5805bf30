"""A supervisor and two workers on different models and one budget: live with WANDB_API_KEY, else on the emulator.

pip install 'wandb-inference[langchain,emulator]' langchain
python examples/multi_agent.py "Let the researcher find facts about otters and the writer make a sentence of them."
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.tools import BaseTool, tool

from wandb_inference import Budget, Catalog, InferenceError, Usage, price
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference

SUPERVISOR, RESEARCHER, WRITER = "openai/gpt-oss-120b", "zai-org/GLM-5.2", "openai/gpt-oss-20b"


def worker(name: str, model: ChatWandbInference, task: str) -> BaseTool:
    """Return an agent of its own, as a tool for the supervisor."""
    agent: Any = create_agent(model, system_prompt=task, name=name)

    def ask(request: str) -> str:
        answer = agent.invoke({"messages": [("human", request)]})["messages"][-1].text
        print(f"{name} ({model.model}): {answer}")
        return str(answer)

    return tool(name, description=f"{task} Tell it all it needs to know.")(ask)


def main() -> None:
    question = " ".join(sys.argv[1:]) or (
        "Let the researcher find facts about otters and the writer make a sentence of them."
    )
    with ExitStack() as stack:
        where: dict[str, Any] = {}
        if not os.environ.get("WANDB_API_KEY"):
            print("(no WANDB_API_KEY: the emulator answers)")
            where = {"base_url": stack.enter_context(Emulator()), "api_key": "emulator-key"}
        budget = Budget("0.50")  # USD, for the whole team; a worker may spend a part of it
        researcher = ChatWandbInference(model=RESEARCHER, max_tokens=4000, budget=budget.child("0.10"), **where)
        writer = ChatWandbInference(
            model=WRITER, max_tokens=2000, budget=budget.child("0.05"), temperature=0.7, **where
        )
        usage = stack.enter_context(get_usage_metadata_callback())
        supervisor: Any = create_agent(
            ChatWandbInference(model=SUPERVISOR, reasoning="low", max_tokens=4000, budget=budget, **where),
            [worker("researcher", researcher, "You find facts."), worker("writer", writer, "You write prose.")],
            system_prompt="Hand the work to your team, one step at a time, then answer with the result.",
        )
        print(f"supervisor: {supervisor.invoke({'messages': [('human', question)]})['messages'][-1].text}")
        for model, tokens in sorted(usage.usage_metadata.items()):
            counts = Usage(
                input_tokens=tokens["input_tokens"],
                output_tokens=tokens["output_tokens"],
                cached_tokens=tokens.get("input_token_details", {}).get("cache_read"),
            )
            cost = price(counts, Catalog.bundled().card(model).price)
            print(f"{model}: {counts.total_tokens} tokens, {cost.total if cost else 'unknown'} USD")
        print(f"spent {budget.spent} USD of {budget.limit}")


if __name__ == "__main__":
    try:
        main()
    except InferenceError as e:
        sys.exit(str(e))
