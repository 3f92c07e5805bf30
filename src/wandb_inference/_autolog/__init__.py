"""``autolog``: every call of a process into a W&B run, without being in its way."""

from wandb_inference._autolog.autolog import Autolog, autolog
from wandb_inference._autolog.otel import OTLP

__all__ = ["OTLP", "Autolog", "autolog"]
