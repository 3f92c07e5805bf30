"""Log every call into a W&B run, whatever its end: live with WANDB_API_KEY, else offline and on the emulator.

pip install 'wandb-inference[langchain,wandb,emulator]'
python examples/autolog.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from wandb_inference import ChatOptions, ChatRequest, Client, InferenceError, Ledger, autolog
from wandb_inference.emulator import Emulator, Fault
from wandb_inference.langchain import ChatWandbInference

MODEL = "openai/gpt-oss-20b"


def main() -> None:
    folder = tempfile.mkdtemp(prefix="autolog-")
    rows = Path(folder) / "rows"
    with ExitStack() as stack:
        where: dict[str, Any] = {}
        init: dict[str, Any] = {"project": "wandb-inference-examples", "dir": folder}
        emulator = Emulator()
        if not os.environ.get("WANDB_API_KEY"):
            where = {"base_url": stack.enter_context(emulator), "api_key": emulator.api_key}
            init["mode"] = "offline"

        autolog(init, spool_dir=rows, tags=["example"])

        model = ChatWandbInference(model=MODEL, **where)
        with autolog.context(session="conversation-1", tags={"feature": "chat"}):
            model.invoke("Why is the sky blue?")
            for chunk in model.stream("Count to three."):
                print(chunk.text, end="")
            print()
        with Client(**where) as client, autolog.context(tags={"feature": "search"}):
            with suppress(InferenceError):  # refused before it is sent, and logged all the same
                client.chat(ChatRequest(MODEL, [{"role": "user", "content": "Hello"}], ChatOptions(max_tokens=10**7)))
            if where:
                emulator.script(Fault(status=503, retry_after=0))  # tried again
            client.chat(ChatRequest("zai-org/GLM-5.2", [{"role": "user", "content": "Hello"}]))

        autolog.flush(60)
        run = autolog.run
        autolog.disable()

    ledger = Ledger.read(*rows.iterdir())
    print(f"logged: {ledger.total.calls} calls, {ledger.total.cost:.6f} USD, errors: {dict(ledger.total.errors)}")
    for name, totals in ledger.by("tag").items():
        print(f"  {name}: {totals.calls} calls, {totals.completion_tokens} tokens, {totals.cost:.6f} USD")
    print(f"the run: {Path(run.dir).parent if run.offline else run.url}")
    print(f"the rows: wandb-inference usage {next(rows.iterdir())}")


if __name__ == "__main__":
    try:
        main()
    except InferenceError as e:
        sys.exit(str(e))
