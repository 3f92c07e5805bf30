# /// script
# requires-python = ">=3.11"
# dependencies = ["openai-agents[litellm]", "wandb-inference[litellm]"]
# ///
"""The OpenAI Agents SDK on W&B Inference: pip install 'openai-agents[litellm]' 'wandb-inference[litellm]'."""

import asyncio
from typing import Any

from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
from agents.extensions.models.litellm_model import LitellmModel
from agents.items import ReasoningItem
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
set_tracing_disabled(True)  # traces go to OpenAI, with an OpenAI key
MODEL = "wandb_inference/openai/gpt-oss-20b"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


@function_tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def reporter(**options: Any) -> Agent:
    settings = ModelSettings(include_usage=True, preserve_raw_usage=True)  # without the first, streams count nothing
    return Agent(name="Reporter", model=LitellmModel(MODEL), model_settings=settings, **options)


def chat() -> str:
    return Runner.run_sync(reporter(), "Say hello in French.").final_output


def tools() -> str:
    return Runner.run_sync(reporter(tools=[get_weather]), "What is the weather in Paris?").final_output


async def pieces(question: str) -> list[str]:
    events = Runner.run_streamed(reporter(), question).stream_events()
    raw = [event.data async for event in events if event.type == "raw_response_event"]
    return [event.delta for event in raw if isinstance(event, ResponseTextDeltaEvent)]


def stream() -> list[str]:
    return asyncio.run(pieces("Count from one to sixty."))


def structured() -> Weather:
    return Runner.run_sync(reporter(output_type=Weather), "The weather in Paris: 21 degrees.").final_output


def usage() -> tuple[int, int, float]:
    run = Runner.run_sync(reporter(tools=[get_weather]), "What is the weather in Paris?")
    total = run.context_wrapper.usage
    return total.input_tokens, total.output_tokens, sum((r.raw_usage or {}).get("cost", 0) for r in run.raw_responses)


def reasoning() -> str:
    items = Runner.run_sync(reporter(), "Why is the sky blue?").new_items
    return "".join(part.text for item in items if isinstance(item, ReasoningItem) for part in item.raw_item.summary)


LOST = {
    "cost": "agents/extensions/models/litellm_model.py:366 (openai-agents 0.24.0) ignores preserve_raw_usage, "
    "which openai_chatcompletions.py:385 keeps",
}

if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
