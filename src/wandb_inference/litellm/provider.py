"""What this provider is called in LiteLLM, and what it takes that LiteLLM keeps from providers it does not list."""

PROVIDER = "wandb_inference"
"""``wandb`` is taken by LiteLLM's own provider, which is asked first."""

ALLOWED = ("reasoning_effort", "thinking", "user")
"""OpenAI's parameters, and one of Anthropic's."""
