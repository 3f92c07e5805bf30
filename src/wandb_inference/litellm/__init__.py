"""W&B Inference as a LiteLLM provider: ``register()``, then ``litellm.completion("wandb_inference/<model id>", …)``.

Importing this imports LiteLLM, which takes seconds; nothing else of the package does.
"""

try:
    import litellm as _litellm  # noqa: F401
except ImportError as e:
    raise ImportError("The LiteLLM door needs litellm: pip install 'wandb-inference[litellm]'") from e

from wandb_inference.litellm.deployments import deployments, proxy_config
from wandb_inference.litellm.handler import WandbInferenceLLM
from wandb_inference.litellm.register import register

__all__ = ["WandbInferenceLLM", "deployments", "proxy_config", "register"]
