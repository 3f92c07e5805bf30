"""The name of this provider in LiteLLM. ``wandb`` is taken by LiteLLM's own, which is asked first."""

PROVIDER = "wandb_inference"
