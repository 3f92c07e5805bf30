# /// script
# requires-python = ">=3.11"
# dependencies = ["langgraph", "langgraph-supervisor", "langgraph-swarm", "langchain", "wandb-inference[langchain]"]
# ///
"""LangGraph, its supervisor and its swarm on W&B Inference.

pip install langgraph-supervisor langgraph-swarm langchain 'wandb-inference[langchain]'
"""

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from pydantic import BaseModel

from wandb_inference.langchain import ChatWandbInference

small = ChatWandbInference(model="openai/gpt-oss-20b")
large = ChatWandbInference(model="zai-org/GLM-5.3-Flash")


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def say(text: str) -> Any:
    return {"messages": [("user", text)]}


def answers(state: Any) -> list[AIMessage]:
    return [m for m in state["messages"] if isinstance(m, AIMessage) and m.usage_metadata]


graph = (
    StateGraph(MessagesState)
    .add_node("model", lambda state: {"messages": [small.invoke(state["messages"])]})
    .add_edge(START, "model")
    .compile(checkpointer=InMemorySaver())
)
reporter = create_agent(small, [get_weather], name="weather_reporter")
team = create_supervisor([reporter], model=large, output_mode="full_history").compile()
swarm = create_swarm(
    [
        create_agent(large, [create_handoff_tool(agent_name="weather_reporter")], name="host"),
        create_agent(small, [get_weather, create_handoff_tool(agent_name="host")], name="weather_reporter"),
    ],
    default_active_agent="host",
).compile()


def chat() -> str:
    return answers(graph.invoke(say("Say hello in French."), {"configurable": {"thread_id": "1"}}))[-1].text


def tools() -> str:
    return answers(team.invoke(say("What is the weather in Paris?")))[-1].text


def stream() -> list[str]:
    parts = swarm.stream(say("Count from one to sixty."), stream_mode="messages", subgraphs=True)
    return [chunk.text for _, (chunk, _) in parts if isinstance(chunk, AIMessageChunk) and chunk.text]


def structured() -> Weather:
    return create_agent(small, response_format=Weather).invoke(say("It is 21 degrees in Paris."))["structured_response"]


def usage() -> tuple[int, int, float]:
    run = answers(swarm.invoke(say("What is the weather in Paris?")))
    counts = [answer.usage_metadata for answer in run if answer.usage_metadata]
    cost = sum(answer.response_metadata["cost"] for answer in run)
    return sum(count["input_tokens"] for count in counts), sum(count["output_tokens"] for count in counts), cost


def reasoning() -> str:
    blocks = answers(swarm.invoke(say("Why is the sky blue?")))[-1].content_blocks
    return "".join(block["reasoning"] for block in blocks if block["type"] == "reasoning")


if __name__ == "__main__":
    for row in (chat, tools, stream, structured, usage, reasoning):
        print(f"{row.__name__}: {row()}")
