"""The fixtures of these tests, and where LiteLLM is kept from asking GitHub for prices when it is imported."""

import os

from llama_cpp import llama, relay
from support import over
from targets import own_litellm, target

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

__all__ = ["llama", "over", "own_litellm", "relay", "target"]
