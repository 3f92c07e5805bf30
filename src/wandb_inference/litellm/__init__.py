"""W&B Inference as a LiteLLM provider: ``register()``, then ``litellm.completion("wandb_inference/<model id>", …)``.

What calls LiteLLM imports it when it is first named, which takes seconds; configurations are written without it.
"""

from typing import TYPE_CHECKING, Any

from wandb_inference.litellm.deployments import deployments, proxy_config

if TYPE_CHECKING:
    from wandb_inference.litellm.handler import WandbInferenceLLM
    from wandb_inference.litellm.registration import register

__all__ = ["WandbInferenceLLM", "deployments", "proxy_config", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import litellm as _litellm  # noqa: F401, PLC0415 (late on purpose: see above)
    except ImportError as e:
        raise ImportError("The LiteLLM door needs litellm: pip install 'wandb-inference[litellm]'") from e

    from wandb_inference.litellm import handler, registration  # noqa: PLC0415 (as above)

    return {"WandbInferenceLLM": handler.WandbInferenceLLM, "register": registration.register}[name]


def __dir__() -> list[str]:
    return __all__
