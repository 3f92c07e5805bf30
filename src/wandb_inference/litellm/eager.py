"""Open asynchronous streams inside ``acompletion``, where LiteLLM retries and falls back.

LiteLLM calls ``astreaming`` of a custom provider in a worker thread and reads what it returns later: what the service
refuses then comes too late for retries, for fallbacks from 4xx and for context-window fallbacks (litellm#10972). Where
this LiteLLM has the function that makes those calls, it is asked to await the opening first; where it has not, streams
open late, as documented.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import wraps
from typing import Any

import litellm.main
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

from wandb_inference.litellm.handler import WandbInferenceLLM

_DISPATCH = "_complete_custom_providers"  # seen in litellm 1.106; private, so looked for and never required


def install() -> bool:
    """Have asynchronous streams opened early; return whether this LiteLLM lets us."""
    dispatch: Any = getattr(litellm.main, _DISPATCH, None)
    if dispatch is None or getattr(dispatch, "opens_early", False):
        return dispatch is not None

    @wraps(dispatch)
    def complete(call: Any) -> Any:
        handler = _handler(call)
        if handler is None or not (call.acompletion and call.stream is True):
            return dispatch(call)
        return _opened(handler, call)

    complete.opens_early = True  # type: ignore[attr-defined]
    setattr(litellm.main, _DISPATCH, complete)
    return True


def _handler(call: Any) -> WandbInferenceLLM | None:
    for item in litellm.custom_provider_map:
        if item["provider"] == call.custom_llm_provider and isinstance(item["custom_handler"], WandbInferenceLLM):
            return item["custom_handler"]
    return None


def _opened(handler: WandbInferenceLLM, call: Any) -> Coroutine[Any, Any, CustomStreamWrapper]:
    opening = handler.aopen(
        model=call.model,
        messages=call.messages,
        headers=call.headers or litellm.headers or {},
        model_response=call.model_response,
        api_key=call.api_key,
        api_base=call.api_base,
        logging_obj=call.logging,
        optional_params=call.optional_params,
        litellm_params=call.litellm_params,
        timeout=call.timeout,
        client=call.client,
    )

    async def wrapped() -> CustomStreamWrapper:
        chunks, headers = await opening
        return CustomStreamWrapper(
            completion_stream=chunks,
            model=call.model,
            custom_llm_provider=call.custom_llm_provider,
            logging_obj=call.logging,
            _response_headers=headers,
        )

    return wrapped()
