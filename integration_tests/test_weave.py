"""Calls that a real Weave client traces: enriched, not traced twice; its server is a stand-in on a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from wandb_inference import Catalog
from wandb_inference.emulator import Emulator

MODEL = "openai/gpt-oss-20b"
PROGRAM = f"""
import asyncio, json, sys
import litellm, weave
from wandb_inference import ChatRequest, Client, autolog
from wandb_inference.langchain import ChatWandbInference
from wandb_inference.litellm import register

url = sys.argv[1]
weave.init("team/p")
rows = []
spans = autolog.OTLP.weave("team/p", api_key="a-key-of-weave", endpoint=sys.argv[2] + "/agents/otel/v1/traces")
autolog(sinks=["run", rows.append, spans], register_costs=True)
register()
model = ChatWandbInference(model="{MODEL}")
told = dict(model="wandb_inference/{MODEL}", api_base=url, api_key="emulator-key")
def said(text): return [{{"role": "user", "content": text}}]
model.invoke("langchain invoke")
list(model.stream("langchain stream"))
asyncio.run(model.ainvoke("langchain ainvoke"))
litellm.completion(messages=said("litellm completion"), **told)
list(litellm.completion(messages=said("litellm stream"), stream=True, **told))
asyncio.run(litellm.acompletion(messages=said("litellm acompletion"), **told))
@weave.op
def pipeline():
    with Client() as client:
        return client.chat(ChatRequest("{MODEL}", said("native"))).text
pipeline()
assert autolog.disable(60), autolog.stats()
weave.finish()
print(json.dumps([[row["messages"][0]["content"], row["weave_call_id"], row["cost_usd"]] for row in rows]))
"""


class WeaveServer:
    """As much of W&B's servers as the client asks for, and what it was sent."""

    ANSWERS: tuple[tuple[str, Any], ...] = (
        (
            "/graphql",
            {"data": {"viewer": {"username": "u", "defaultEntity": {"name": "team"}}, "project": {"name": "p"}}},
        ),
        ("/server_info", {"min_required_weave_python_version": "0.0.1"}),
        ("/obj/create", {"digest": "d"}),
        ("/file/create", {"digest": "d"}),
        ("/cost/create", {"ids": [["1", "m"]]}),
    )

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.seen.append((self.path, body))
                found: Any = next((answer for path, answer in outer.ANSWERS if path in self.path), {})
                told = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_POST  # noqa: N815 (the base class looks for it)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def bodies(self, path: str) -> list[Any]:
        return [json.loads(body) for seen, body in self.seen if path in seen]


@pytest.fixture
def weave_server() -> Iterator[WeaveServer]:
    server = WeaveServer()
    thread = threading.Thread(target=server.server.serve_forever)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


def test_traced_calls_are_enriched_and_not_traced_twice(weave_server: WeaveServer, tmp_path: Any) -> None:
    pytest.importorskip("weave", reason="needs weave: pip install --group integration")
    emulator = Emulator()
    with emulator as url:
        seen = subprocess.run(  # noqa: S603 (our own program)
            [sys.executable, "-c", PROGRAM, url, weave_server.url],
            env={
                **os.environ,
                "WANDB_BASE_URL": weave_server.url,
                "WF_TRACE_SERVER_URL": weave_server.url,
                "WANDB_API_KEY": "emulator-key",
                "WANDB_INFERENCE_BASE_URL": url,
                "WANDB_MODE": "offline",
                "WANDB_DIR": str(tmp_path),
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert seen.returncode == 0, seen.stderr
    rows = {text: (call, cost) for text, call, cost in json.loads(seen.stdout.splitlines()[-1])}
    calls = {call["id"]: call for body in weave_server.bodies("/calls/complete") for call in body["batch"]}
    assert len(rows) == 7
    for text, (call_id, cost) in rows.items():
        if text == "native":
            assert call_id is None  # the operation around it is the program's own
            continue
        call = calls[call_id]
        assert text.split()[0] in call["op_name"].lower()
        facts = call["summary"]["wandb_inference"]
        assert facts["cost_usd"] == cost > 0
        assert ("ttft_s" in facts) is ("stream" in text)
    (pipeline,) = [call for call in calls.values() if "pipeline" in call["op_name"]]
    assert "wandb_inference" not in (pipeline["summary"] or {})
    spans = b"".join(body for path, body in weave_server.seen if "/agents/otel" in path)
    assert spans.count(b"chat openai/gpt-oss-20b") == 1  # the one that Weave does not trace
    assert b"native" in spans
    costs = {name: told for body in weave_server.bodies("/cost/create") for name, told in body["costs"].items()}
    priced = [card for card in Catalog.bundled() if card.status == "active" and card.price]
    assert set(costs) == {prefix + card.id for card in priced for prefix in ("", "wandb_inference/")}
    price = Catalog.bundled().card(MODEL).price
    assert price is not None
    assert Decimal(str(costs[MODEL]["prompt_token_cost"])) * 1_000_000 == price.input
    assert costs[MODEL]["cache_read_input_token_cost"] > 0
