# /// script
# requires-python = ">=3.11"
# dependencies = ["smolagents[litellm]", "wandb-inference[litellm]"]
# ///
"""smolagents on W&B Inference: pip install 'smolagents[litellm]' 'wandb-inference[litellm]'."""

import json

from pydantic import BaseModel
from smolagents import ActionStep, ChatMessage, LiteLLMModel, ToolCallingAgent, tool

from wandb_inference.litellm import register

register()
model = LiteLLMModel(model_id="wandb_inference/zai-org/GLM-5.3-Flash")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city.

    Args:
        city: its name.
    """
    return f"It is sunny in {city}."


def ask(question: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=question)]


def chat() -> str:
    return model(ask("Say hello in French.")).content


def tools() -> str:
    return ToolCallingAgent(tools=[get_weather], model=model).run("What is the weather in Paris?")


def stream() -> list[str]:
    deltas = model.generate_stream(ask("Count from one to sixty."))
    return [delta.content for delta in deltas if delta.content]


def structured() -> Weather:
    schema = {"name": "Weather", "schema": Weather.model_json_schema()}
    format_ = {"type": "json_schema", "json_schema": schema}
    answer = model(ask("The weather in Paris: 21 degrees."), response_format=format_)
    return Weather(**json.loads(answer.content))


def usage() -> tuple[int, int, float]:
    agent = ToolCallingAgent(tools=[get_weather], model=model)
    counts = agent.run("What is the weather in Paris?", return_full_result=True).token_usage
    steps = [step for step in agent.memory.steps if isinstance(step, ActionStep)]
    return counts.input_tokens, counts.output_tokens, sum(step.model_output_message.raw.usage.cost for step in steps)


def reasoning() -> str:
    return model(ask("Why is the sky blue?")).raw.choices[0].message.reasoning_content


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
