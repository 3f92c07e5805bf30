"""langchain-tests' integration suite on a llama-server, over each transport."""

from __future__ import annotations

from typing import Any

import pytest
from llama_cpp import KEY, MODEL, Server
from standard_suite import StandardSuite

BEYOND = {
    "test_agent_loop": "its model calls the tool twice, for two cities",
    "test_unicode_tool_call_integration": "its model writes no Chinese",
    "test_bind_runnables_as_tools": "its model does not come to the end of the arguments",
}
"""What this model of one million parameters has not learnt."""


@pytest.mark.usefixtures("over")
class TestLlamaServer(StandardSuite):
    model_id = MODEL
    extra: dict[str, Any] = {"temperature": 0, "max_tokens": 500}  # noqa: RUF012 (as in the suite)

    @pytest.fixture(autouse=True)
    def _server(self, request: pytest.FixtureRequest, llama: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        if reason := BEYOND.get(request.node.originalname):
            pytest.skip(reason)
        monkeypatch.setenv("WANDB_INFERENCE_BASE_URL", llama.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)


class TestLlamaServerFunctionCalling(TestLlamaServer):
    method = "function_calling"
