"""langchain-tests' integration suite for ``ChatWandbInference``, on whatever server the subclass names."""

from __future__ import annotations

import base64
from typing import Any, Literal, cast

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from wandb_inference import Catalog
from wandb_inference.langchain import ChatWandbInference

Method = Literal["json_schema", "function_calling", "json_mode"]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class StandardSuite(ChatModelIntegrationTests):
    """Claims what the model's card grants; a model without a card claims tools and structured output only."""

    model_id: str
    other_id: str | None = None
    method: Method = "json_schema"
    extra: dict[str, Any] = {}  # noqa: RUF012 (replaced in subclasses, never changed)

    @pytest.fixture(autouse=True)
    def _no_downloads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The suite downloads its pictures; tests here talk to 127.0.0.1 only, unless they are live.
        monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=PIXEL))

    @property
    def _sees(self) -> bool:
        card = Catalog.bundled().get(self.model_id)
        return card is not None and card.accepts("image")

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatWandbInference

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.model_id, **self.extra}

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": self.method}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return self._sees

    @property
    def supports_image_urls(self) -> bool:
        return self._sees

    @property
    def supports_image_tool_message(self) -> bool:
        return self._sees

    @property
    def supports_anthropic_inputs(self) -> bool:
        return self._sees  # its messages hold a picture

    @property
    def supports_model_override(self) -> bool:
        return self.other_id is not None

    @property
    def model_override_value(self) -> str | None:
        return self.other_id

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Any]]:
        card = Catalog.bundled().get(self.model_id)
        details = ["reasoning_output", "cache_read_input"] if card else []
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._ask(ChatWandbInference(model=self.model_id, reasoning=True), "Is 7 prime?", stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model, long = ChatWandbInference(model=self.model_id), "Tell me about llamas. " * 200
        self._ask(model, long, stream=stream)
        return self._ask(model, long, stream=stream)

    @staticmethod
    def _ask(model: ChatWandbInference, prompt: str, *, stream: bool) -> AIMessage:
        if not stream:
            return model.invoke(prompt)
        chunks = list(model.stream(prompt))
        return cast("AIMessage", sum(chunks[1:], chunks[0]))
