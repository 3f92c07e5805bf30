# /// script
# requires-python = ">=3.11"
# dependencies = ["haystack-ai", "litellm-haystack", "wandb-inference[litellm]"]
# ///
"""Haystack on W&B Inference: pip install litellm-haystack 'wandb-inference[litellm]'."""

from typing import Annotated

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack_integrations.components.generators.litellm import LiteLLMChatGenerator
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
llm = LiteLLMChatGenerator(model="wandb_inference/openai/gpt-oss-20b")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


@tool
def get_weather(city: Annotated[str, "its name"]) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def agent_messages() -> list[ChatMessage]:
    question = ChatMessage.from_user("What is the weather in Paris?")
    return Agent(chat_generator=llm, tools=[get_weather]).run(messages=[question])["messages"]


def chat() -> str:
    return llm.run("Say hello in French.")["replies"][0].text


def tools() -> str:
    return agent_messages()[-1].text


def stream() -> list[str]:
    pieces: list[str] = []
    llm.run("Count from one to sixty.", streaming_callback=lambda chunk: pieces.append(chunk.content))
    return pieces


def structured() -> Weather:
    answer = llm.run("The weather in Paris: 21 degrees.", generation_kwargs={"response_format": Weather})
    return Weather.model_validate_json(answer["replies"][0].text)


def usage() -> tuple[int, int, float]:
    counts = [message.meta["usage"] for message in agent_messages() if "usage" in message.meta]
    return (
        sum(count["prompt_tokens"] for count in counts),
        sum(count["completion_tokens"] for count in counts),
        sum(count["cost"] for count in counts),
    )


def reasoning() -> str | None:
    answer = llm.run("Why is the sky blue?")["replies"][0]
    return answer.reasoning.reasoning_text if answer.reasoning else None


LOST = {
    "reasoning": "chat_generator.py:313 of litellm-haystack 2.0.0 keeps the text and the tool calls only",
}

if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
