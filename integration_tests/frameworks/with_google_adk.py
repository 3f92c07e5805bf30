# /// script
# requires-python = ">=3.11"
# dependencies = ["google-adk", "wandb-inference[litellm]"]
# ///
"""Google's ADK on W&B Inference: pip install google-adk 'wandb-inference[litellm]'.

Leave out its extra ``extensions``: the LiteLLM that it wants makes no call with tools beside the mcp that it wants.
"""

import asyncio
from typing import Any

from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.events import Event
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Part, UserContent
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
MODEL = "wandb_inference/openai/gpt-oss-20b"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


async def run(question: str, mode: StreamingMode = StreamingMode.NONE, **options: Any) -> list[Event]:
    runner = InMemoryRunner(agent=Agent(name="reporter", model=LiteLlm(model=MODEL), **options))
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="me")
    about: Any = {"user_id": "me", "session_id": session.id, "run_config": RunConfig(streaming_mode=mode)}
    return [event async for event in runner.run_async(new_message=UserContent(question), **about)]


def events(question: str, **options: Any) -> list[Event]:
    return asyncio.run(run(question, **options))


def parts(event: Event) -> list[Part]:
    return event.content.parts if event.content else []


def text(event: Event) -> str:
    return "".join(part.text for part in parts(event) if part.text and not part.thought)


def chat() -> str:
    return text(events("Say hello in French.")[-1])


def tools() -> str:
    return text(events("What is the weather in Paris?", tools=[get_weather])[-1])


def stream() -> list[str]:
    pieces = events("Count from one to sixty.", mode=StreamingMode.SSE)
    return [text(event) for event in pieces if event.partial]


def structured() -> Weather:
    answer = events("The weather in Paris: 21 degrees.", output_schema=Weather)[-1]
    return Weather.model_validate_json(text(answer))


def usage() -> tuple[int, int, float]:
    counts = [
        e.usage_metadata for e in events("What is the weather in Paris?", tools=[get_weather]) if e.usage_metadata
    ]
    return (
        sum(count.prompt_token_count for count in counts),
        sum(count.candidates_token_count for count in counts),
        sum(getattr(count, "cost", 0) for count in counts),
    )


def reasoning() -> str:
    return "".join(part.text for part in parts(events("Why is the sky blue?")[-1]) if part.thought)


LOST = {"cost": "google/adk/models/lite_llm.py:2975 (google-adk 2.13.0) keeps the counts only"}

if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
