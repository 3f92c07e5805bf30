"""Which calls are logged with what was said."""

from __future__ import annotations

import hashlib

NOT_SAMPLED = "not sampled"
"""What the column ``redaction`` says of the others."""


def is_drawn(key: object, rate: float) -> bool:
    """Return whether what has this key is among such a share; the same in every process."""
    digest = hashlib.blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < rate
