"""The protocol, both ways, as pure functions: requests to bytes, bytes to values, error bodies to exceptions.

The service runs vLLM of unknown version behind a gateway; other OpenAI-compatible servers differ again. What they
really send is recorded in ``tests/golden``; every dialect seen there is read here.
"""

from wandb_inference._wire.decode import decode, decode_models, events_of, malformed
from wandb_inference._wire.encode import encode
from wandb_inference._wire.failure import failure
from wandb_inference._wire.form import Opening, decode_body, is_stream, is_whole
from wandb_inference._wire.sse import MAX_EVENT_BYTES, SSEDecoder
from wandb_inference._wire.stream import StreamDecoder

__all__ = [
    "MAX_EVENT_BYTES",
    "Opening",
    "SSEDecoder",
    "StreamDecoder",
    "decode",
    "decode_body",
    "decode_models",
    "encode",
    "events_of",
    "failure",
    "is_stream",
    "is_whole",
    "malformed",
]
