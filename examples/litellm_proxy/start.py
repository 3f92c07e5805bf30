"""Start a LiteLLM proxy on config.yaml: live with WANDB_API_KEY, else in front of the emulator.

pip install 'wandb-inference[litellm,emulator]' 'litellm[proxy]'
python examples/litellm_proxy/start.py      # then, in another shell, the line that it prints
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from wandb_inference.emulator import Emulator

HERE = Path(__file__).parent


def main() -> int:
    port = os.environ.get("PORT", "4000")
    # The second: the prices are in config.yaml, and LiteLLM would ask GitHub for others.
    defaults = {"LITELLM_MASTER_KEY": f"sk-{secrets.token_urlsafe()}", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    env = {**defaults, **os.environ}
    with ExitStack() as stack:
        if not os.environ.get("WANDB_API_KEY"):
            print("(no WANDB_API_KEY: the emulator answers)")
            emulator = Emulator()
            env |= {"WANDB_INFERENCE_BASE_URL": stack.enter_context(emulator), "WANDB_API_KEY": emulator.api_key}
        shown = "…" if "LITELLM_MASTER_KEY" in os.environ else env["LITELLM_MASTER_KEY"]
        print(f"LITELLM_MASTER_KEY={shown} PORT={port} sh {HERE / 'ask.sh'}", flush=True)
        litellm = [
            str(Path(sys.executable).with_name("litellm")),
            "--config",
            str(HERE / "config.yaml"),
            "--port",
            port,
        ]
        return subprocess.run([*litellm, "--host", "127.0.0.1"], env=env, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
