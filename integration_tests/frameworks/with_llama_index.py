# /// script
# requires-python = ">=3.11"
# dependencies = ["llama-index-core", "llama-index-llms-litellm", "wandb-inference[litellm]"]
# ///
"""LlamaIndex on W&B Inference: pip install llama-index-llms-litellm 'wandb-inference[litellm]'."""

import asyncio

from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.litellm import LiteLLM
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
llm = LiteLLM(model="wandb_inference/zai-org/GLM-5.3-Flash")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def chat() -> str:
    return llm.chat([ChatMessage("Say hello in French.")]).message.content


async def outputs(question: str) -> list[AgentOutput]:
    agent = FunctionAgent(tools=[get_weather], llm=llm, streaming=False)  # of a stream, it keeps the last chunk only
    return [event async for event in agent.run(question).stream_events() if isinstance(event, AgentOutput)]


def tools() -> str:
    return asyncio.run(outputs("What is the weather in Paris?"))[-1].response.content


def stream() -> list[str]:
    return [part.delta for part in llm.stream_chat([ChatMessage("Count from one to sixty.")]) if part.delta]


def structured() -> Weather:
    return llm.as_structured_llm(Weather).complete("The weather in Paris: 21 degrees.").raw


def usage() -> tuple[int, int, float]:
    counts = [output.raw["usage"] for output in asyncio.run(outputs("What is the weather in Paris?"))]
    return (
        sum(count["prompt_tokens"] for count in counts),
        sum(count["completion_tokens"] for count in counts),
        sum(count["cost"] for count in counts),
    )


def reasoning() -> str:
    return llm.chat([ChatMessage("Why is the sky blue?")]).raw.choices[0].message.reasoning_content


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
