"""What users write, for type checkers without a plugin (`make types`) and for `test_types.py`, which runs it."""

from decimal import Decimal

import httpx

from wandb_inference import AsyncClient, Budget, ChatRequest, Client, Policy, Timeouts
from wandb_inference.langchain import ChatWandbInference

KEY = "k" * 40
MODEL = "openai/gpt-oss-20b"


def choose(request: ChatRequest) -> str:
    return "auto:cheapest" if len(request.messages) > 1 else MODEL


MODELS = [
    ChatWandbInference(model=MODEL, api_key=KEY),
    ChatWandbInference(model_name=MODEL, wandb_api_key=KEY),
    ChatWandbInference(model=[MODEL, "openai/gpt-oss-120b"], api_key=KEY),
    ChatWandbInference(model_name=(MODEL, {"model": "openai/gpt-oss-120b", "settings": {"seed": 1}}), api_key=KEY),
    ChatWandbInference(model=choose, api_key=KEY),
    ChatWandbInference(model="auto", api_key=KEY, max_cost=0.01),
    ChatWandbInference(model="auto", api_key=KEY, max_cost="0.01"),
    ChatWandbInference(model="auto", api_key=KEY, max_cost=1),
    ChatWandbInference(model="auto", api_key=KEY, max_cost=Decimal("0.01"), policy=Policy(deny={MODEL})),
    ChatWandbInference(model=MODEL, api_key=KEY, stop="END"),
    ChatWandbInference(model=MODEL, api_key=KEY, stop=("END", "STOP")),
    ChatWandbInference(model=MODEL, api_key=KEY, stop_sequences=["END"], max_completion_tokens=5),
    ChatWandbInference(model=MODEL, api_key=KEY, timeout=5),
    ChatWandbInference(model=MODEL, api_key=KEY, timeout=(1, 2)),
    ChatWandbInference(model=MODEL, api_key=KEY, timeout=(1.5, None)),
    ChatWandbInference(model=MODEL, api_key=KEY, timeout=httpx.Timeout(5)),
    ChatWandbInference(model=MODEL, api_key=KEY, timeout=Timeouts(stall=5)),
    ChatWandbInference(model=MODEL, api_key=KEY, request_timeout=5, reasoning_effort="low"),
    ChatWandbInference(model=MODEL, api_key=KEY, budget="5.00"),
    ChatWandbInference(model=MODEL, api_key=KEY, budget=5),
    ChatWandbInference(model=MODEL, api_key=KEY, budget=Budget(0.5)),
    ChatWandbInference(model=MODEL, api_key=KEY, temperature=1, logit_bias={"5": 1}, extra_body={"top_k": 3}),
    ChatWandbInference(model=MODEL, api_key=KEY, name="n", tags=["t"], metadata={"a": 1}, cache=False),
]
POLICIES = [
    Policy(deny={"a"}),
    Policy(deny=["a"]),
    Policy(deny="a", escalate="length"),
    Policy(escalate=["length", "schema"]),
    Policy(models=["a", "b"], order="cheapest"),
    Policy(models=choose, max_cost=0.01, max_input_price=1, max_output_price="2"),
]
CLIENTS = [
    Client(api_key=KEY, timeout=httpx.Timeout(5), budget="5.00"),
    Client(api_key=KEY, timeout=(1, 2), budget=Budget(1)),
    Client(api_key=KEY, timeout=Timeouts(read=None), budget=5, policy=Policy(deny={"a"})),
]
ASYNC_CLIENTS = [AsyncClient(api_key=KEY, timeout=(1, 2)), AsyncClient(api_key=KEY, timeout=5, budget=0.5)]
