"""An agent of LangChain with tools, middleware and a typed report: live with WANDB_API_KEY, else on the emulator.

pip install 'wandb-inference[langchain,emulator]' langchain
python examples/langchain_agent.py "What is the weather in Oslo?"
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, ModelFallbackMiddleware, SummarizationMiddleware
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from wandb_inference import InferenceError
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"{city}: 18 °C, light wind"


class Report(BaseModel):
    """What the user wanted to know."""

    city: str
    celsius: int
    summary: str


def main() -> None:
    question = " ".join(sys.argv[1:]) or "What is the weather in Oslo?"
    with ExitStack() as stack:
        where: dict[str, Any] = {}
        if not os.environ.get("WANDB_API_KEY"):
            print("(no WANDB_API_KEY: the emulator answers)")
            where = {"base_url": stack.enter_context(Emulator()), "api_key": "emulator-key"}
        model = ChatWandbInference(model="openai/gpt-oss-120b", **where)
        small = ChatWandbInference(model="openai/gpt-oss-20b", **where)
        middleware: list[Any] = [
            SummarizationMiddleware(small, trigger=("fraction", 0.8)),  # of the window that the catalog knows
            ModelFallbackMiddleware(small),
            ModelCallLimitMiddleware(run_limit=5),
        ]
        # The report's form is enforced by the server, beside the tools.
        agent: Any = create_agent(model, [get_weather], response_format=Report, middleware=middleware)
        end: dict[str, Any] = {}
        for mode, part in agent.stream({"messages": [("human", question)]}, stream_mode=["messages", "values"]):
            if mode == "values":
                end = part
            elif isinstance(part[0], AIMessageChunk):
                thought = part[0].additional_kwargs.get("reasoning_content", "")
                print(thought or part[0].text, end="", flush=True)
            elif isinstance(part[0], ToolMessage):
                print(f"\n-> {part[0].text}")
        spent = sum(message.response_metadata.get("cost", 0.0) for message in end["messages"])
        print(f"\n{end['structured_response']!r}\n{len(end['messages'])} messages, {spent:.6f} USD")


if __name__ == "__main__":
    try:
        main()
    except InferenceError as e:
        sys.exit(str(e))
