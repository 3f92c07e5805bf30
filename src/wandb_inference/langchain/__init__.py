"""W&B Inference as a LangChain chat model.

``ChatWandbInference`` translates LangChain's vocabulary to the values of ``wandb_inference.chat`` and back; everything
else (limits, retries, prices, errors) is the core's.
"""

try:
    import langchain_core as _langchain_core  # noqa: F401
except ImportError as e:
    raise ImportError("The LangChain door needs langchain-core: pip install 'wandb-inference[langchain]'") from e

from wandb_inference.langchain.chat_model import ChatWandbInference
from wandb_inference.langchain.register import register_with_init_chat_model

__all__ = ["ChatWandbInference", "register_with_init_chat_model"]
