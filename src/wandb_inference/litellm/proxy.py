"""For a LiteLLM proxy's ``custom_provider_map``: importing this registers the provider, its models and their prices."""

from wandb_inference.litellm.registration import register

handler = register()
"""What ``custom_handler: wandb_inference.litellm.proxy.handler`` names."""
