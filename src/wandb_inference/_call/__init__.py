"""One call: which model is asked, what happens when it fails, and what is remembered of it; without doing any of it.

``Call.steps`` decides, as ``exchange`` does for one request; the clients' drivers carry the steps out.
"""

from wandb_inference._call.call import Call
from wandb_inference._call.core import Core, secret_values, secrets_in
from wandb_inference._call.held import AsyncHeld, Held

__all__ = ["AsyncHeld", "Call", "Core", "Held", "secret_values", "secrets_in"]
