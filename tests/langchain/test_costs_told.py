"""Costs and models where LangChain and LangSmith look for them: counts, caches, sums, and what is posted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from operator import add as plus
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_usage
from langchain_core.outputs import ChatGeneration
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_support import EVERY_WAY, MODEL, Make, ainvoke, invoke

from wandb_inference import Catalog
from wandb_inference.emulator import Emulator, Fault
from wandb_inference.langchain import shims

COSTS = ("input_cost", "output_cost", "total_cost")


def told(message: AIMessage) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the costs among the counts, and the facts."""
    usage: Any = message.usage_metadata
    return {name: usage[name] for name in COSTS}, message.response_metadata


@EVERY_WAY
def test_costs_stand_among_the_counts(run: Any, make: Make) -> None:
    costs, facts = told(run(make(), "Hello"))
    parts = facts["cost_details"]
    assert costs["total_cost"] == facts["cost"] > 0
    assert costs["input_cost"] == parts["input"] + parts["cached_input"]
    assert costs["output_cost"] == parts["output"]
    assert costs["input_cost"] + costs["output_cost"] == pytest.approx(costs["total_cost"])


def test_a_model_without_a_price_has_no_costs(make: Make, emulator: Emulator) -> None:
    usage: Any = make(catalog=Catalog.empty()).invoke("Hello").usage_metadata
    assert not set(COSTS) & set(usage)
    assert usage["total_tokens"] > 0


def test_costs_are_added_up(make: Make) -> None:
    handler = UsageMetadataCallbackHandler()
    answers = [make().invoke(text, {"callbacks": [handler]}) for text in ("a", "b b", "c c c")]
    sums: Any = handler.usage_metadata[MODEL]
    for name in (*COSTS, "total_tokens"):
        assert sums[name] == pytest.approx(sum(answer.usage_metadata[name] for answer in answers))  # type: ignore[literal-required, index]


@pytest.fixture
def _cached() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@pytest.mark.usefixtures("_cached")
@pytest.mark.parametrize("run", [invoke, ainvoke])
def test_an_answer_from_the_cache_costs_nothing(run: Any, make: Make, emulator: Emulator) -> None:
    model = make()
    paid, again, last = (run(model, "Hello") for _ in range(3))
    assert len(emulator.requests) == 1
    for costs, facts in map(told, (again, last)):
        assert set(costs.values()) == {0}
        assert facts["cost"] == 0
        assert {value for value in facts["cost_details"].values() if isinstance(value, float)} == {0.0}
    assert told(paid)[1]["cost"] > 0
    sums: Any = add_usage(add_usage(paid.usage_metadata, again.usage_metadata), last.usage_metadata)
    assert sums["total_cost"] == told(paid)[1]["cost"]


def test_a_cached_answer_without_a_price(make: Make) -> None:
    facts = {"model_name": "m"}
    (found,) = make()._convert_cached_generations([ChatGeneration(message=AIMessage("x", response_metadata=facts))])
    assert found.message.response_metadata == facts


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [({"a": 1}, {"a": 2}, 3), ({"a": 0.5}, {"a": 0.25}, 0.75), ({"a": 0}, {"a": 0.5}, 0.5), ({"a": 0.5}, {}, 0.5)],
)
def test_shim(left: dict[str, Any], right: dict[str, Any], total: float) -> None:
    assert shims.ADDS_COSTS
    theirs = shims._adding_floats(lambda a, b, op: {k: op(a.get(k, 0), b.get(k, 0)) for k in {*a, *b}})
    assert theirs(left, right, plus) == {"a": total}
    with pytest.raises(ValueError, match="Only dict and int"):
        add_usage({"input_tokens": "x"}, {"input_tokens": 1})  # type: ignore[arg-type]


class Tracer(BaseTracer):
    """Keeps what LangSmith would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.names.append(run.extra["metadata"]["ls_model_name"])


@EVERY_WAY
def test_tracers_name_the_model_that_answered(run: Any, make: Make, emulator: Emulator) -> None:
    tracer = Tracer()
    emulator.script(Fault(status=503))
    answer = run(make(model=[MODEL, "openai/gpt-oss-120b"], callbacks=[tracer]), "autonomous?")
    answered = answer.response_metadata["model_name"]
    assert answered == "openai/gpt-oss-120b"
    assert tracer.names == [answered]


def test_an_alias_is_named_by_its_id(make: Make) -> None:
    assert make(model="gpt-oss-20b")._get_ls_params()["ls_model_name"] == MODEL


LANGSMITH = """
import gzip, json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

posted = []
CONFIG = {"size_limit": 100, "size_limit_bytes": 20_000_000, "use_multipart_endpoint": False,
          "scale_up_nthreads_limit": 1, "scale_up_qsize_trigger": 1000, "scale_down_nempty_trigger": 4}

class Server(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        if "batch" in self.path:
            posted.append(json.loads(body))
        out = json.dumps({"batch_ingest_config": CONFIG}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)
    do_GET = do_POST = do_PATCH = answer
    def log_message(self, *_): ...

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "k",
               "LANGSMITH_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
from langchain_core.tracers.langchain import wait_for_all_tracers
from wandb_inference.langchain import ChatWandbInference

model = ChatWandbInference(model="auto:cheapest", base_url=sys.argv[1], api_key=sys.argv[2])
answers = [model.invoke("Hello"), *model.stream("Hello")]
wait_for_all_tracers()
runs = [run for batch in posted for kind in ("post", "patch") for run in batch.get(kind, ())]
told = [run["extra"]["metadata"] for run in runs if "usage_metadata" in run["extra"].get("metadata", {})]
print(json.dumps([[one["ls_model_name"], one["usage_metadata"]] for one in told]))
"""


def test_what_is_posted_to_langsmith(emulator: Emulator) -> None:
    given = [sys.executable, "-c", LANGSMITH, emulator.url, emulator.api_key]
    ran = subprocess.run(given, capture_output=True, text=True, check=True, timeout=300, env={**os.environ})
    told = json.loads(ran.stdout)
    assert [name for name, _ in told] == [MODEL] * 2  # invoked, and streamed
    for _, usage in told:
        assert usage["total_cost"] > 0
        assert usage["total_cost"] == pytest.approx(usage["input_cost"] + usage["output_cost"])


def test_weave_takes_no_answer_for_the_models_name(make: Make) -> None:
    weave = pytest.importorskip("weave.integrations.langchain.helpers", reason="no weave in this environment")
    name = make(model="auto")._get_ls_params()["ls_model_name"]
    assert weave._find_full_model_name({"text": "automatic answers"}, name) == name
