"""What the constructor of a chat model takes, for type checkers: wider than what is kept, under every spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langchain_core.caches import BaseCache
from langchain_core.callbacks import Callbacks
from langchain_core.language_models import ModelProfile
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import SecretStr

from wandb_inference._exchange import TimeoutTypes
from wandb_inference.accounting import Budget, CallRecord
from wandb_inference.accounting.budget import Usd
from wandb_inference.catalog import Catalog, ReviewMode
from wandb_inference.chat import ChatRequest, Reasoning
from wandb_inference.langchain.messages import Replay
from wandb_inference.routing import Policy
from wandb_inference.routing.policy import Models
from wandb_inference.settings import TransportName

if TYPE_CHECKING:
    from httpx import AsyncClient as HttpxAsyncClient
    from httpx import Client as HttpxClient


class Parameters(TypedDict, total=False):
    """The fields, and the other spellings that ``options.canonical`` takes."""

    model: Models | Callable[[ChatRequest], Models]
    model_name: Models | Callable[[ChatRequest], Models]
    api_key: SecretStr | str | None
    wandb_api_key: SecretStr | str | None
    project: str | None
    base_url: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    stop_sequences: str | Sequence[str] | None
    seed: int | None
    n: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    reasoning: Reasoning | None
    reasoning_effort: Reasoning | None
    replay_reasoning: Replay
    extra_body: Mapping[str, Any] | None
    model_kwargs: Mapping[str, Any]
    schema_as_tool: bool | None
    policy: Policy | None
    max_cost: Usd | None
    budget: Budget | Usd | None
    on_record: Callable[[CallRecord], object] | None
    max_concurrency: int | None
    streaming: bool
    stream_usage: bool
    include_usage: bool
    coalesce: bool
    include_response_headers: bool
    max_retries: int
    timeout: TimeoutTypes
    request_timeout: TimeoutTypes
    review: ReviewMode
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, str] | None
    catalog: Catalog | None
    http_client: HttpxClient | None
    http_async_client: HttpxAsyncClient | None
    transport: TransportName | None
    # langchain-core's
    name: str | None
    cache: BaseCache | bool | None
    verbose: bool
    callbacks: Callbacks
    tags: list[str] | None
    metadata: dict[str, Any] | None
    custom_get_token_ids: Callable[[str], list[int]] | None
    rate_limiter: BaseRateLimiter | None
    disable_streaming: bool | Literal["tool_calling"]
    output_version: str | None
    profile: ModelProfile | None
