"""Places where LiteLLM has no hook for what it does better for its own providers.

* It calls ``streaming`` and ``astreaming`` of a custom provider, and reads what they return later: what the service
  refuses then comes too late for retries, for fallbacks from 4xx and for context-window fallbacks of asynchronous
  streams (litellm#10972), and the headers of the response are lost. Here it is handed streams that are open.
* It refuses ``reasoning_effort`` and ``thinking``, drops ``user``, and says that it does, for every provider that it
  does not list.
* It finds no models of such a provider (``get_valid_models``), downloads a tokenizer for every new stream of a Llama
  model, to count nothing, and answers what the service does not serve with errors of its own making, as a failure of
  the service or as a ``ValueError``; or it sends it to OpenAI.
* From 1.106 to 1.108.3 it imports mcp 2, which it installs with an extra only, for every call that has tools, and fails
  with ``No module named 'mcp'``, or with a name that mcp 1 does not have.

The functions are looked for and never required. Without the first, streams open late; without the others, those
parameters need ``allowed_openai_params``, which ``register``'s hook adds for asynchronous calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import litellm.main
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.responses import main as responses  # its name in litellm is that of a function

from wandb_inference.litellm.handler import Opened, WandbInferenceLLM, not_served
from wandb_inference.litellm.provider import ALLOWED, PROVIDER


def install() -> bool:
    """Wrap what this LiteLLM has of both; once or often. Return whether its parameters are seen to."""
    _wrap(litellm.main, "_complete_custom_providers", _opening)  # seen in litellm 1.106
    for module in (litellm.main, litellm, litellm.utils):
        _wrap(module, "get_optional_params", _allowing)
    for module in (litellm, litellm.utils):
        _wrap(module, "get_valid_models", _listing)
    _wrap(litellm.utils, "_return_huggingface_tokenizer", _no_download)
    for name, what in _NOT_SERVED.items():
        _wrap(litellm, name, _refusing(what))
        _wrap(litellm, f"a{name}", _arefusing(what))
    if hasattr(litellm.main, "get_optional_params"):
        for module in (litellm, litellm.utils):  # what agent frameworks ask before they send a parameter
            _wrap(module, "get_supported_openai_params", _naming)
    if needs_mcp():
        _wrap(litellm.main, "validate_and_fix_openai_tools", _naming_the_extra)
        _wrap(responses, "_responses_try_dispatch_mcp_gateway", _naming_the_extra)
    return hasattr(litellm.main, "get_optional_params")


def needs_mcp() -> bool:
    """Whether this LiteLLM cannot make calls with tools as it is installed (measured: 1.106.0 to 1.108.3)."""
    if not (1, 106) <= _release("litellm") < (1, 108, 4):
        return False
    return find_spec("mcp") is None or _release("mcp") < (2,)  # of mcp 1, it imports names that are not there


def _release(distribution: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version(distribution))[:3])


def _wrap(module: Any, name: str, around: Callable[[Any], Any]) -> None:
    theirs: Any = getattr(module, name, None)
    if theirs is not None and not hasattr(theirs, "wandb_inference"):
        ours: Any = wraps(theirs)(around(theirs))
        ours.wandb_inference = True
        setattr(module, name, ours)


def allowed(params: Any) -> list[str]:
    """Return a list of parameters with those that this provider takes, too."""
    return list(dict.fromkeys([*(params or ()), *ALLOWED]))


def _allowing(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def get_optional_params(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("custom_llm_provider") == PROVIDER:
            kwargs["allowed_openai_params"] = allowed(kwargs.get("allowed_openai_params"))
        return theirs(*args, **kwargs)

    return get_optional_params


_NOT_SERVED = {  # LiteLLM's functions for which it asks no custom provider
    "image_variation": "image variations",
    "rerank": "reranking",
    "transcription": "transcription",
    "speech": "speech",
    "moderation": "moderation",
    "ocr": "OCR",
    "video_generation": "video generation",
}


def _ours(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the model, if a call is for this provider."""
    named = [value for value in (kwargs.get("model"), *args) if isinstance(value, str)]
    if kwargs.get("custom_llm_provider") == PROVIDER:
        return named[0] if named else ""
    return next((name for name in named if name.startswith(f"{PROVIDER}/")), None)


def _refusing(what: str) -> Callable[[Any], Any]:
    def around(theirs: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if (model := _ours(args, kwargs)) is not None:
                raise not_served(what, model)
            return theirs(*args, **kwargs)

        return refuse

    return around


def _arefusing(what: str) -> Callable[[Any], Any]:
    def around(theirs: Callable[..., Any]) -> Callable[..., Any]:
        async def refuse(*args: Any, **kwargs: Any) -> Any:
            if (model := _ours(args, kwargs)) is not None:
                raise not_served(what, model)
            return await theirs(*args, **kwargs)

        return refuse

    return around


def _listing(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def get_valid_models(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("custom_llm_provider") == PROVIDER:
            return list(litellm.models_by_provider.get(PROVIDER, ()))
        return theirs(*args, **kwargs)

    return get_valid_models


def _no_download(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def _return_huggingface_tokenizer(model: str, *args: Any, **kwargs: Any) -> Any:
        return None if f"{PROVIDER}/" in model else theirs(model, *args, **kwargs)  # None: LiteLLM's own tokenizer

    return _return_huggingface_tokenizer


def _naming(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def get_supported_openai_params(
        model: str, custom_llm_provider: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        found = theirs(model, custom_llm_provider, *args, **kwargs)
        ours = custom_llm_provider == PROVIDER or (custom_llm_provider is None and model.startswith(f"{PROVIDER}/"))
        return allowed(found) if ours and isinstance(found, list) else found

    return get_supported_openai_params


def _naming_the_extra(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def refuse_tools(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("tools", args[0] if args else None):
            raise litellm.exceptions.BadRequestError(
                f"LiteLLM {version('litellm')} needs mcp 2 for calls with tools: pip install 'litellm[mcp]', "
                "or 'litellm>=1.108.4', which needs none.",
                kwargs.get("model", ""),
                PROVIDER,
            )
        return theirs(*args, **kwargs)

    return refuse_tools


def _opening(theirs: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def complete(call: Any) -> Any:
        handler = _handler(call)
        if handler is None or call.stream is not True:
            return theirs(call)
        return _aopened(handler, call) if call.acompletion else _wrapped(call, handler.open(**_arguments(call)))

    return complete


def _handler(call: Any) -> WandbInferenceLLM | None:
    for item in reversed(litellm.custom_provider_map):  # LiteLLM takes the last one, too
        if item["provider"] == call.custom_llm_provider and isinstance(item["custom_handler"], WandbInferenceLLM):
            return item["custom_handler"]
    return None


async def _aopened(handler: WandbInferenceLLM, call: Any) -> CustomStreamWrapper:
    return _wrapped(call, await handler.aopen(**_arguments(call)))


def _arguments(call: Any) -> dict[str, Any]:
    return {
        "model": call.model,
        "messages": call.messages,
        "headers": call.headers or litellm.headers or {},
        "api_key": call.api_key,
        "api_base": call.api_base,
        "logging_obj": call.logging,
        "optional_params": call.optional_params,
        "litellm_params": call.litellm_params,
        "timeout": call.timeout,
        "client": call.client,
    }


def _wrapped(call: Any, opened: Opened) -> CustomStreamWrapper:
    call.logging.model = call.logging.model_call_details["model"] = opened.model  # which LiteLLM prices
    wrapper = CustomStreamWrapper(
        completion_stream=opened.chunks,
        model=opened.model,
        custom_llm_provider=call.custom_llm_provider,
        logging_obj=call.logging,
        _response_headers=opened.headers,
    )
    wrapper.created = opened.created  # of the last chunk, which LiteLLM makes
    return wrapper
