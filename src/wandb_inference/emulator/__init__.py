"""A local stand-in for W&B Inference: the same paths, limits, errors and streams, on a real socket, without a key.

It reads and writes the protocol on its own (never through the client's code), so that a misunderstanding in one of
them shows; both are held against recorded traffic. It answers deterministically: it echoes, follows a script, calls
tools with arguments that fit their schema, obeys response formats, and fails as told.
"""

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
except ImportError as e:
    raise ImportError("The emulator needs starlette and uvicorn: pip install 'wandb-inference[emulator]'") from e

from wandb_inference.emulator.app import Seen
from wandb_inference.emulator.script import Chaos, Fault, FaultKind, Reply, ToolUse
from wandb_inference.emulator.server import Emulator

__all__ = ["Chaos", "Emulator", "Fault", "FaultKind", "Reply", "Seen", "ToolUse"]
