"""The name LangChain knows the service by: in ``ls_provider``, in every message's metadata, in models.dev."""

PROVIDER = "wandb"
