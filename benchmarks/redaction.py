"""What it costs to blot keys out of a million characters.

    python -m benchmarks.redaction

Prints the milliseconds of the processor for text, code, data and what patterns find hardest, each alone and with every
sign that something may be a key.
"""

from __future__ import annotations

import time

from wandb_inference._autolog.keys import Secrets
from wandb_inference._autolog.redact import without_media

SIZE = 1_000_000
SIGNS = " key token secret passw authorization bearer basic token= :// wandb_v sk- _ akia eyj private key ;base64,"
PARTS = {
    "English": "The quick brown fox jumps over the lazy dog. ",
    "JSON": '{"role": "user", "content": "Hello\\n"}, ',
    "code": "def f(x_1, y_2): return api_key_of(x_1)[2]\n",
    "base64": "QUJDREVGR0g",
    "joined words": "a-",
    "beginnings of keys": "sk-",
    "names without values": "key=",
    "half a web token": "eyJabcdef-",
    "private keys without an end": "-----BEGIN PRIVATE KEY-----",
    "blanks": " ",
}


def milliseconds(text: str) -> float:
    """Return the least of three."""
    secrets, times = Secrets(), []
    for _ in range(3):
        begun = time.process_time()
        secrets.text(text)
        without_media(text)
        times.append(time.process_time() - begun)
    return 1000 * min(times)


def main() -> None:
    for name, part in PARTS.items():
        text = part * (SIZE // len(part))
        print(f"{name:28} {milliseconds(text):6.0f} ms   with every sign {milliseconds(text + SIGNS):6.0f} ms")


if __name__ == "__main__":
    main()
