# /// script
# requires-python = ">=3.11"
# dependencies = ["deepagents", "wandb-inference[langchain]"]
# ///
"""Deep agents on W&B Inference: pip install deepagents 'wandb-inference[langchain]'."""

from typing import Any

from deepagents import create_deep_agent
from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import BaseModel

from wandb_inference.langchain import ChatWandbInference

model = ChatWandbInference(model="zai-org/GLM-5.3-Flash")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def run(question: str, **options: Any) -> dict[str, Any]:
    return create_deep_agent(model=model, tools=[get_weather], **options).invoke({"messages": [("user", question)]})


def answers(question: str) -> list[AIMessage]:
    return [message for message in run(question)["messages"] if isinstance(message, AIMessage)]


def chat() -> str:
    return answers("Say hello in French.")[-1].text


def tools() -> str:
    return answers("What is the weather in Paris?")[-1].text


def stream() -> list[str]:
    question: Any = {"messages": [("user", "Count from one to sixty.")]}
    parts = create_deep_agent(model=model).stream(question, stream_mode="messages")
    return [chunk.text for chunk, _ in parts if isinstance(chunk, AIMessageChunk) and chunk.text]


def structured() -> Weather:
    return run("The weather in Paris: 21 degrees.", response_format=Weather)["structured_response"]


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
