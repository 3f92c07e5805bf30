# /// script
# requires-python = ">=3.11"
# dependencies = ["langchain-mcp-adapters", "langchain", "wandb-inference[langchain]"]
# ///
"""MCP servers on W&B Inference: pip install langchain-mcp-adapters langchain 'wandb-inference[langchain]'."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from pydantic import BaseModel

from wandb_inference.langchain import ChatWandbInference

model = ChatWandbInference(model="zai-org/GLM-5.3-Flash")
server = str(Path(__file__).with_name("weather_server.py"))
client = MultiServerMCPClient({"weather": {"transport": "stdio", "command": sys.executable, "args": [server]}})


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


async def greet(language: str) -> str:
    prompt = await client.get_prompt("weather", "greeting", arguments={"language": language})
    return (await model.ainvoke(prompt)).text


async def run(question: str, **options: Any) -> dict[str, Any]:
    agent = create_agent(model, await client.get_tools(), **options)
    return await agent.ainvoke({"messages": [("user", question)]})


def answers(question: str) -> list[AIMessage]:
    messages: list[AnyMessage] = asyncio.run(run(question))["messages"]
    return [message for message in messages if isinstance(message, AIMessage)]


async def pieces(question: str) -> list[str]:
    agent = create_agent(model, await client.get_tools())
    parts = agent.astream({"messages": [("user", question)]}, stream_mode="messages")
    return [chunk.text async for chunk, _ in parts if isinstance(chunk, AIMessageChunk) and chunk.text]


def chat() -> str:
    return asyncio.run(greet("French"))


def tools() -> str:
    return answers("What is the weather in Paris?")[-1].text


def stream() -> list[str]:
    return asyncio.run(pieces("Count from one to sixty."))


def structured() -> Weather:
    return asyncio.run(run("The weather in Paris: 21 degrees.", response_format=Weather))["structured_response"]


def usage() -> tuple[int, int, float]:
    run = answers("What is the weather in Paris?")
    counts = [answer.usage_metadata for answer in run if answer.usage_metadata]
    cost = sum(answer.response_metadata["cost"] for answer in run)
    return sum(count["input_tokens"] for count in counts), sum(count["output_tokens"] for count in counts), cost


def reasoning() -> str:
    blocks = answers("Why is the sky blue?")[-1].content_blocks
    return "".join(block["reasoning"] for block in blocks if block["type"] == "reasoning")


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
