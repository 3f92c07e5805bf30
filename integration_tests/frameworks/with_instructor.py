# /// script
# requires-python = ">=3.11"
# dependencies = ["instructor", "wandb-inference[litellm]"]
# ///
"""instructor on W&B Inference: pip install instructor 'wandb-inference[litellm]'."""

import asyncio
from typing import Any

import instructor
import litellm
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
MODEL = "wandb_inference/zai-org/GLM-5.3-Flash"
client = instructor.from_litellm(litellm.completion, mode=instructor.Mode.JSON_SCHEMA)


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


class Text(BaseModel):
    """An answer in words."""

    text: str


class GetWeather(BaseModel):
    """Get the weather in a city."""

    city: str

    def run(self) -> str:
        return f"It is sunny in {self.city}."


def ask(question: str) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}]}


def chat() -> str:
    return client.create(**ask("Say hello in French."), response_model=None).choices[0].message.content


def tools() -> str:
    caller = instructor.from_litellm(litellm.completion, mode=instructor.Mode.TOOLS)
    question = ask("What is the weather in Paris?")
    wanted, answer = caller.create_with_completion(**question, response_model=GetWeather)
    message = answer.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": wanted.run()}
    messages = [*question["messages"], message.model_dump(), result]
    return client.create(model=MODEL, messages=messages, response_model=None).choices[0].message.content


async def parts(question: str) -> list[Text]:
    aclient = instructor.from_litellm(litellm.acompletion, mode=instructor.Mode.JSON_SCHEMA)
    return [part async for part in aclient.create_partial(**ask(question), response_model=Text)]


def stream() -> list[Text]:
    # instructor 1.17 takes a synchronous stream of LiteLLM, which is iterable in both ways, for an asynchronous one
    # (instructor/v2/providers/openai/handlers.py:561).
    return asyncio.run(parts("Count from one to sixty."))


def structured() -> Weather:
    return client.create(**ask("The weather in Paris: 21 degrees."), response_model=Weather)


def usage() -> tuple[int, int, float]:
    _, answer = client.create_with_completion(**ask("The weather in Paris: 21 degrees."), response_model=Weather)
    return answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.cost


def reasoning() -> str:
    _, answer = client.create_with_completion(**ask("The weather in Paris: 21 degrees."), response_model=Weather)
    return answer.choices[0].message.reasoning_content


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
