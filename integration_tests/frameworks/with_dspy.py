# /// script
# requires-python = ">=3.11"
# dependencies = ["dspy", "wandb-inference[litellm]"]
# ///
"""DSPy on W&B Inference: pip install dspy 'wandb-inference[litellm]'."""

import dspy
from pydantic import BaseModel

from wandb_inference.litellm import register

register()
MODEL = "wandb_inference/zai-org/GLM-5.3-Flash"
dspy.configure(lm=dspy.LM(MODEL), adapter=dspy.JSONAdapter(), track_usage=True)  # the server enforces the JSON


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


class ReadWeather(dspy.Signature):
    """Read the weather."""

    report: str = dspy.InputField()
    weather: Weather = dspy.OutputField()


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def agent() -> dspy.Module:
    return dspy.ReActV2("question -> answer", tools=[get_weather])  # ReAct writes tool calls as text


def native_tools() -> dspy.ChatAdapter:
    return dspy.ChatAdapter(use_native_function_calling=True)  # a response format would keep vLLM from calling tools


def chat() -> str:
    return dspy.Predict("question -> answer")(question="Say hello in French.").answer


def tools() -> str:
    with dspy.context(adapter=native_tools()):
        return agent()(question="What is the weather in Paris?").answer


def stream() -> list[str]:
    listener = dspy.streaming.StreamListener("answer")
    program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener], async_streaming=False)
    answer = program(question="Count from one to sixty.")
    return [part.chunk for part in answer if isinstance(part, dspy.streaming.StreamResponse)]


def structured() -> Weather:
    return dspy.Predict(ReadWeather)(report="The weather in Paris: 21 degrees.").weather


def usage() -> tuple[int, int, float]:
    with dspy.context(adapter=native_tools()):
        answer = agent()(question="What is the weather in Oslo?")  # not Paris again: DSPy caches answers
    total = answer.get_lm_usage()[MODEL]
    return total["prompt_tokens"], total["completion_tokens"], total["cost"]


def reasoning() -> str:
    return str(dspy.Predict("question -> thoughts: dspy.Reasoning, answer")(question="Why is the sky blue?").thoughts)


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
