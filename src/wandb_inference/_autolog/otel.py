"""Rows as OpenTelemetry spans, with the names of the GenAI conventions."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from wandb_inference._autolog.sampling import NOT_SAMPLED
from wandb_inference._autolog.spans import attributes_of
from wandb_inference._version import __version__
from wandb_inference.errors import ConfigurationError
from wandb_inference.settings import Settings

WEAVE = "https://trace.wandb.ai/agents/otel/v1/traces"
"""Where Weave takes spans (weave 0.54, read 2026-11-20)."""

_BATCH, _WAITS = 512, 5.0  # spans in one request; seconds until they leave
_PLAIN = ("content-type", "content-length", "content-encoding", "user-agent", "accept", "accept-encoding", "connection")


class OTLP:
    """Send a span for each call to an OpenTelemetry endpoint (OTLP over HTTP).

    It has a provider, a connection and headers of its own: the program's tracing, and its ``OTEL_*`` variables, stay as
    they are.

    Args:
        endpoint: the whole URL, such as ``http://127.0.0.1:4318/v1/traces``.
        headers: sent with every request, such as a key.
        resource: attributes of the process.
        timeout: seconds for each request.
    """

    name = "otel"

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str] | None = None,
        *,
        resource: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.require()
        if urlsplit(endpoint).scheme not in ("http", "https"):
            raise ConfigurationError(f"{endpoint!r} is no endpoint.", hint="Such as http://127.0.0.1:4318/v1/traces.")
        self._endpoint, self._headers, self._timeout = endpoint, dict(headers or {}), timeout
        self._resource = {"service.name": "wandb-inference", **(resource or {})}
        self._skips_weave, self._sent_at = False, time.monotonic()

    @classmethod
    def weave(cls, project: str | None, *, api_key: str | SecretStr | None = None, endpoint: str = WEAVE) -> Self:
        """Return the sink that sends to Weave; calls that Weave traces by itself are left out.

        Args:
            project: ``team/project``.
            api_key: as in ``Settings.resolve``.
            endpoint: of another Weave than W&B's own.

        Raises:
            ConfigurationError: no project, or no key.
        """
        settings = Settings.resolve(api_key=api_key, project=project)
        if settings.project is None:
            raise ConfigurationError("Weave needs a project.", hint="'team/project', or WANDB_ENTITY + WANDB_PROJECT.")
        entity, _, name = settings.project.partition("/")
        sink = cls(
            endpoint,
            {"wandb-api-key": settings.api_key.get_secret_value()},
            resource={"wandb.entity": entity, "wandb.project": name},
        )
        sink.name, sink._skips_weave = "weave", True
        return sink

    @staticmethod
    def require() -> None:
        """Raise if OpenTelemetry is missing.

        Raises:
            ImportError: the extra ``otel`` is missing.
        """
        try:
            import opentelemetry.exporter.otlp.proto.http  # noqa: PLC0415
            import opentelemetry.sdk.trace  # noqa: F401, PLC0415 (an extra)
        except ImportError as e:
            raise ImportError(f"{e}: OpenTelemetry is an extra: pip install 'wandb-inference[otel]'") from e

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self._endpoint}>"

    def open(self) -> None:
        """Make the provider."""
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (an extra)
        from opentelemetry.sdk.trace import SpanLimits, Tracer, TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        self._exporter, self._spans = self._otlp_exporter(), list[Any]()
        # Every argument is given: those that are not are read from the environment.
        none = dict.fromkeys(inspect.signature(SpanLimits).parameters, SpanLimits.UNSET)
        self._provider = TracerProvider(
            ALWAYS_ON, Resource(self._resource), shutdown_on_exit=False, span_limits=SpanLimits(**none)
        )
        self._provider.add_span_processor(_collecting(self._spans))
        self._tracer = self._provider.get_tracer("wandb_inference", __version__)
        if not isinstance(self._tracer, Tracer):
            raise RuntimeError("OTEL_SDK_DISABLED lets nobody make spans")  # noqa: TRY004 (no type is wrong)

    def _otlp_exporter(self) -> Any:
        import requests  # noqa: PLC0415 (comes with the exporter)
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        kept = {name.lower() for name in (*self._headers, *_PLAIN)}

        def without_others(request: Any) -> Any:
            """Take out the headers that the environment has for other exporters: they may be keys."""
            for name in [name for name in request.headers if name.lower() not in kept]:
                del request.headers[name]
            return request

        session = requests.Session()
        session.auth = without_others
        return OTLPSpanExporter(
            endpoint=self._endpoint,
            headers=self._headers,
            timeout=self._timeout,
            compression=Compression.NoCompression,
            session=session,
        )

    def write(self, row: Mapping[str, Any]) -> None:
        """Make a span of a row."""
        if row.get("redaction") == NOT_SAMPLED or (self._skips_weave and row.get("weave_call_id")):
            return
        from opentelemetry.context import Context  # noqa: PLC0415 (an extra)
        from opentelemetry.trace import (  # noqa: PLC0415
            NonRecordingSpan,
            SpanContext,
            SpanKind,
            Status,
            StatusCode,
            TraceFlags,
            set_span_in_context,
        )

        model = row.get("model_sent") or row.get("model_requested")
        parent = None
        if row.get("parent_span_id"):
            ids = (int(row["trace_id"], 16), int(row["parent_span_id"], 16))
            parent = SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        span = self._tracer.start_span(
            f"chat {model}",
            context=set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context(),
            kind=SpanKind.CLIENT,
            attributes=dict(attributes_of(row)),
            start_time=_nanoseconds(row["started_at"]),
        )
        if row.get("status") in ("error", "partial"):
            span.set_status(Status(StatusCode.ERROR, row.get("error_message") or row.get("error_type") or ""))
        span.end(_nanoseconds(row["ended_at"]))
        if len(self._spans) >= _BATCH:
            self.flush()

    def tick(self) -> None:
        """Send the spans, when they have waited long enough; many leave at once."""
        if self._spans and time.monotonic() - self._sent_at > _WAITS:
            self.flush()

    def flush(self) -> None:
        """Send all spans.

        Raises:
            RuntimeError: the endpoint did not take them.
        """
        self._sent_at = time.monotonic()
        lost = 0
        while self._spans:
            batch, self._spans[:_BATCH] = self._spans[:_BATCH], []
            if self._exporter.export(batch).name != "SUCCESS":
                lost += len(batch)
        if lost:
            raise RuntimeError(f"{self._endpoint} took {lost} spans not")

    def close(self) -> None:
        """Send all spans, and end."""
        try:
            self.flush()
        finally:
            self._provider.shutdown()
            self._exporter.shutdown()


def _collecting(spans: list[Any]) -> Any:
    """Return a processor that keeps ended spans: the SDK's own drop what an endpoint does not take, and say nothing."""
    from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415 (an extra)

    class Collecting(SpanProcessor):
        def on_end(self, span: Any) -> None:
            spans.append(span)

    return Collecting()


def _nanoseconds(moment: str) -> int:
    told = datetime.fromisoformat(moment)
    return int(told.timestamp()) * 1_000_000_000 + told.microsecond * 1000
