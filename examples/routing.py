"""Let the catalog choose: a plan, a picture, a ceiling, a fallback. Live with WANDB_API_KEY, else on the emulator.

pip install 'wandb-inference[emulator]'
python examples/routing.py
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

from wandb_inference import ChatOptions, ChatRequest, Client, InferenceError, NoCandidateError, Plan, Policy
from wandb_inference.emulator import Emulator, Fault

DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def ask(text: str, *parts: Any, model: str = "auto:cheapest") -> ChatRequest:
    content = [{"type": "text", "text": text}, *parts]
    return ChatRequest(model, [{"role": "user", "content": content}], ChatOptions(max_tokens=500))


def tell(plan: Plan) -> None:
    """Print the first three, and why others were passed over."""
    for place, candidate in enumerate(plan.order[:3], 1):
        print(f"  {place}. {candidate.model}: {candidate.cost.expected:.6f} USD, at worst {candidate.cost.worst:.6f}")
    reasons = {r.code: r.message for c in plan.candidates for r in c.rejected}
    for code, message in sorted(reasons.items()):
        print(f"  not all, because of {code}: {message}")


def main() -> None:
    with ExitStack() as stack:
        where: dict[str, Any] = {}
        emulator = Emulator()
        if not os.environ.get("WANDB_API_KEY"):
            print("(no WANDB_API_KEY: the emulator answers)")
            where = {"base_url": stack.enter_context(emulator), "api_key": emulator.api_key}
        client = stack.enter_context(Client(**where))

        print("A plan, without a request:")
        tell(client.explain(ask("Why is the sky blue?")))
        answer = client.chat(ask("Why is the sky blue?"))
        print(f"{answer.model}: {answer.text.strip()}")

        print("\nWith a picture:")
        picture = {"type": "image_url", "image_url": {"url": DOT}}
        tell(client.explain(ask("What is this?", picture)))
        answer = client.chat(ask("What is this?", picture))
        print(f"{answer.model}: {answer.text.strip()}")

        print("\nAt most a thousandth of a cent:")
        try:
            client.chat(ask("Why is the sky blue?"), policy=Policy(max_cost=Decimal("0.00001")))
        except NoCandidateError as e:
            print(f"  {e}")

        print("\nA list, when its first model is overloaded:")
        if where:
            emulator.script(Fault(status=503), Fault(status=503), Fault(status=503))
        answer = client.chat(
            ask("Why is the sky blue?", model="auto"), policy=Policy(models=["zai-org/GLM-5.2", "openai/gpt-oss-120b"])
        )
        for attempt in (answer.route or {})["attempts"]:
            print(f"  {attempt['model']}: {attempt['outcome']}")
        print(f"{answer.model}: {answer.text.strip()}")


if __name__ == "__main__":
    try:
        main()
    except InferenceError as e:
        sys.exit(str(e))
