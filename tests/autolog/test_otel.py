"""Spans, as a collector on a real socket receives them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from autolog_support import spooled
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from support import KEY, MODEL, ask

from wandb_inference import ChatRequest, Client, ConfigurationError, InferenceError, autolog
from wandb_inference.emulator import Emulator, Fault, Reply, ToolUse


class Collector:
    """What an OTLP endpoint was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def spans(self) -> list[tuple[Any, dict[str, Any]]]:
        found = []
        for _, _, body in self.requests:
            message = ExportTraceServiceRequest()
            message.ParseFromString(body)
            for resource in message.resource_spans:
                about = {a.key: a.value.string_value for a in resource.resource.attributes}
                for scope in resource.scope_spans:
                    found += [
                        (span, {**about, **{a.key: plain(a.value) for a in span.attributes}}) for span in scope.spans
                    ]
        return found


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(base_url=emulator.url, api_key=KEY, max_retries=0) as client:
        yield client


def test_spans(
    collector: Collector, emulator: Emulator, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=theirs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "their=own")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "4")
    before = dict(os.environ), trace.get_tracer_provider()
    emulator.script(Reply("Hi", reasoning="hm", tool_calls=(ToolUse("f", {"a": 1}),)), Fault(status=429))
    autolog(sinks=[autolog.OTLP(collector.url, {"x-key": "mine"}, resource={"service.name": "mine"})])
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with autolog.context(session="s1", tags={"feature": "rag"}):
        list(client.stream(ask("Hello", tools=[tool], temperature=0.5, max_tokens=100)))
    with suppress(InferenceError):
        client.chat(ask("Hello"))
    assert autolog.disable(30)
    (good, about), (bad, failed) = collector.spans()
    assert {(path, headers["x-key"]) for path, headers, _ in collector.requests} == {("/v1/traces", "mine")}
    assert all("authorization" not in headers for _, headers, _ in collector.requests)
    assert (good.name, good.kind) == (f"chat {MODEL}", 3)
    assert 0 < good.end_time_unix_nano - good.start_time_unix_nano < 60 * 10**9
    expected = {
        "service.name": "mine",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "wandb_inference",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.conversation.id": "s1",
        "server.address": "127.0.0.1",
        "wandb_inference.tag.feature": "rag",
        "wandb_inference.status": "ok",
    }
    assert {name: about[name] for name in expected} == expected
    assert about["gen_ai.usage.reasoning_tokens"] == about["gen_ai.usage.reasoning.output_tokens"] > 0
    assert about["wandb_inference.cost.total_usd"] > 0
    assert about["gen_ai.response.time_to_first_chunk"] > 0
    parts = json.loads(about["gen_ai.output.messages"])[0]["parts"]
    assert [part["type"] for part in parts] == ["reasoning", "text", "tool_call"]
    asked = {"role": "user", "parts": [{"type": "text", "content": "Hello"}]}
    assert json.loads(about["gen_ai.input.messages"]) == [asked]
    assert (failed["error.type"], failed["http.response.status_code"]) == ("RateLimitedError", 429)
    assert bad.status.code == 2
    assert "their" not in about
    assert KEY.encode() not in b"".join(body for _, _, body in collector.requests)
    assert (dict(os.environ), trace.get_tracer_provider()) == before


def test_an_endpoint_that_refuses_is_no_success(collector: Collector, client: Client, tmp_path: Path) -> None:
    collector.status = 400
    rows: list[Any] = []
    autolog(sinks=[autolog.OTLP(collector.url, timeout=1), rows.append])
    for n in range(3):
        client.chat(ask(f"Hello {n}"))
    assert not autolog.disable(30)
    assert len(rows) == 3
    assert "3 spans not" in autolog.stats()["last_error"]
    assert len(spooled(tmp_path)) == 3  # to be replayed


def test_spans_have_the_parent_that_was_active(collector: Collector, client: Client) -> None:
    autolog(sinks=[autolog.OTLP(collector.url)])
    with TracerProvider().get_tracer("theirs").start_as_current_span("around") as around:
        client.chat(ask("Hello"))
    client.chat(ask("alone"))
    assert autolog.disable(30)
    (inside, _), (alone, _) = collector.spans()
    context = around.get_span_context()
    assert (inside.trace_id.hex(), inside.parent_span_id.hex()) == (
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
    )
    assert alone.parent_span_id == b""


def test_weave_s_endpoint(collector: Collector, client: Client) -> None:
    sink = autolog.OTLP.weave("team/project", api_key="a-key-of-weave", endpoint=collector.url)
    assert "a-key-of-weave" not in repr(sink)
    autolog(sinks=[sink], content="metadata")
    client.chat(ChatRequest(MODEL, [{"role": "user", "content": "SAID"}]))
    assert autolog.disable(30)
    ((_, about),) = collector.spans()
    assert (about["wandb.entity"], about["wandb.project"]) == ("team", "project")
    assert collector.requests[0][1]["wandb-api-key"] == "a-key-of-weave"
    assert "gen_ai.input.messages" not in about
    assert b"SAID" not in collector.requests[0][2]
    with pytest.raises(ConfigurationError, match="team/project"):
        autolog.OTLP.weave(None, api_key="a-key-of-weave")
    with pytest.raises(ConfigurationError, match="no endpoint"):
        autolog.OTLP("collector:4318")


def test_no_span_of_a_burst_is_lost(collector: Collector, tmp_path: Path) -> None:
    row = {"schema": 1, "call_id": "c", "status": "ok", "started_at": "2026-11-21T00:00:00.000001Z"}
    row["ended_at"] = "2026-11-21T00:00:01.000001Z"
    spool = tmp_path / "s.jsonl"
    spool.write_text("\n".join(json.dumps(row) for _ in range(6000)))  # the last line without its end
    assert autolog.replay(spool, sinks=[autolog.OTLP(collector.url)]) == 6000
    assert len(collector.spans()) == 6000


def test_a_disabled_sdk_is_no_success(collector: Collector, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    autolog(sinks=[autolog.OTLP(collector.url)])
    client.chat(ask("Hello"))
    assert not autolog.disable(30)
    assert "OTEL_SDK_DISABLED" in autolog.stats()["last_error"]
