# /// script
# requires-python = ">=3.11"
# dependencies = ["strands-agents[litellm]", "wandb-inference[litellm]"]
# ///
"""Strands Agents on W&B Inference: pip install 'strands-agents[litellm]' 'wandb-inference[litellm]'."""

import asyncio
from typing import Any

from pydantic import BaseModel
from strands import Agent, tool
from strands.models.litellm import LiteLLMModel

from wandb_inference.litellm import register

register()
MODEL = "wandb_inference/openai/gpt-oss-20b"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def reporter(**options: Any) -> Agent:
    return Agent(model=LiteLLMModel(model_id=MODEL), callback_handler=None, **options)


def chat() -> str:
    return str(reporter()("Say hello in French."))


def tools() -> str:
    return str(reporter(tools=[get_weather])("What is the weather in Paris?"))


async def pieces(question: str) -> list[str]:
    return [event["data"] async for event in reporter().stream_async(question) if "data" in event]


def stream() -> list[str]:
    return asyncio.run(pieces("Count from one to sixty."))


def structured() -> Weather:
    return reporter()("The weather in Paris: 21 degrees.", structured_output_model=Weather).structured_output


def usage() -> tuple[int, int, float | None]:
    total = reporter(tools=[get_weather])("What is the weather in Paris?").metrics.accumulated_usage
    return total["inputTokens"], total["outputTokens"], total.get("cost")


def reasoning() -> str:
    blocks = reporter()("Why is the sky blue?").message["content"]
    return "".join(b["reasoningContent"]["reasoningText"]["text"] for b in blocks if "reasoningContent" in b)


LOST = {"cost": "strands/models/openai.py:604 (strands-agents 1.62.0) keeps the counts only"}

if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
