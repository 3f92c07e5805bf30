"""The one fixture of these tests, and where LiteLLM is kept from asking GitHub for prices when it is imported."""

import os

from targets import target

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

__all__ = ["target"]
