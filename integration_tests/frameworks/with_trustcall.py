# /// script
# requires-python = ">=3.11"
# dependencies = ["trustcall", "wandb-inference[langchain]"]
# ///
"""trustcall on W&B Inference: pip install trustcall 'wandb-inference[langchain]'."""

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from trustcall import create_extractor

from wandb_inference.langchain import ChatWandbInference

model = ChatWandbInference(model="zai-org/GLM-5.3-Flash")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


extractor = create_extractor(model, tools=[Weather], tool_choice="Weather")
caller = create_extractor(model, tools=[get_weather])


def say(text: str) -> Any:
    return {"messages": [("user", text)]}


def chat() -> str:
    return caller.invoke(say("Say hello in French."))["messages"][-1].text


def tools() -> str:
    question = "What is the weather in Paris?"
    call = caller.invoke(say(question))["messages"][-1]
    results = [ToolMessage(get_weather(**use["args"]), tool_call_id=use["id"]) for use in call.tool_calls]
    return caller.invoke({"messages": [("user", question), call, *results]})["messages"][-1].text


def stream() -> list[str]:
    # extractor.stream() fails for every model (trustcall 0.0.39, _base.py:425); within a graph, it streams.
    graph = StateGraph(MessagesState).add_node("caller", caller.invoke).add_edge(START, "caller").compile()
    parts = graph.stream(say("Count from one to sixty."), stream_mode="messages", subgraphs=True)
    return [chunk.text for _, (chunk, _) in parts if isinstance(chunk, AIMessageChunk) and chunk.text]


def structured() -> Weather:
    return extractor.invoke(say("The weather in Paris: 21 degrees."))["responses"][0]


def usage() -> tuple[int, int, float]:
    answer = extractor.invoke(say("The weather in Paris: 21 degrees."))["messages"][-1]
    counts = answer.usage_metadata
    return counts["input_tokens"], counts["output_tokens"], answer.response_metadata["cost"]


def reasoning() -> str:
    answer: AIMessage = extractor.invoke(say("The weather in Paris: 21 degrees."))["messages"][-1]
    return "".join(block["reasoning"] for block in answer.content_blocks if block["type"] == "reasoning")


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
