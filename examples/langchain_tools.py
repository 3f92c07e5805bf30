"""A tool-calling loop with LangChain: live with WANDB_API_KEY, else on the emulator.

python examples/langchain_tools.py "What is the weather in Oslo and Rome?"
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool

from wandb_inference import InferenceError
from wandb_inference.emulator import Emulator
from wandb_inference.langchain import ChatWandbInference


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"{city}: 18 °C, light wind"


def main() -> None:
    question = " ".join(sys.argv[1:]) or "What is the weather in Oslo and Rome?"
    with ExitStack() as stack:
        if os.environ.get("WANDB_API_KEY"):
            model = ChatWandbInference(model="openai/gpt-oss-120b")
        else:
            print("(no WANDB_API_KEY: the emulator answers)")
            url = stack.enter_context(Emulator())
            model = ChatWandbInference(model="openai/gpt-oss-120b", base_url=url, api_key="emulator-key")
        agent = model.bind_tools([get_weather])
        messages: list[BaseMessage] = [HumanMessage(question)]
        spent = 0.0
        for _ in range(5):
            answer = agent.invoke(messages)
            spent += answer.response_metadata.get("cost", 0.0)
            messages.append(answer)
            if not answer.tool_calls:
                break
            for call in answer.tool_calls:
                result = get_weather.invoke(call)
                print(f"{call['name']}({call['args']}) -> {result.text}")
                messages.append(result)
        print(messages[-1].text)
        print(f"{len(messages)} messages, {spent:.6f} USD")


if __name__ == "__main__":
    try:
        main()
    except InferenceError as e:
        sys.exit(str(e))
