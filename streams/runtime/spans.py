"""OpenTelemetry spans: one for each record that is sent, and one for each that a batch loop is done with. Imported only
where `tracing.endpoint` is set, since the SDK is an extra.

What a record was caused by crosses the topics in its `traceparent`; the span of a record that is sent is the one that this
header names, so that a trace leads from a job through the meter's session to the row.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.runtime.settings import Tracing

Attributes = Mapping[str, str | int]
_NS_OF_MS = 1_000_000
_KAFKA: Attributes = {"messaging.system": "kafka"}


class Spans:
    """Makes spans; a thread exports them in batches, and what the collector does not take in time is dropped."""

    def __init__(self, service: str, environment: str, settings: Tracing) -> None:
        resource = Resource.create({"service.name": f"hes-{service}", "deployment.environment.name": environment})
        # By the trace's id where nobody sampled it yet: a command line makes no spans, and samples nothing.
        share = TraceIdRatioBased(settings.sample)
        sampler = ParentBased(share, remote_parent_not_sampled=share)
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(settings.endpoint.rstrip("/") + "/v1/traces", timeout=settings.timeout_s)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hes")
        self._propagator = TraceContextTextMapPropagator()

    def sent(self, what: str, parent: str, began_ms: int, ended_ms: int, attributes: Attributes) -> str:
        """A span for a record that is about to be sent; the traceparent that the record is to carry."""
        context = self._span(f"{what} send", SpanKind.PRODUCER, parent, began_ms, ended_ms, attributes)
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def done(self, topic: str, parent: str, began_ms: int, ended_ms: int, attributes: Attributes) -> None:
        """A span for a record that was taken from a topic and whose effects are durable."""
        self._span(f"{topic} process", SpanKind.CONSUMER, parent, began_ms, ended_ms, attributes)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()

    def _span(
        self, name: str, kind: SpanKind, parent: str, began_ms: int, ended_ms: int, attributes: Attributes
    ) -> SpanContext:
        context = self._propagator.extract({"traceparent": parent})
        span = self._tracer.start_span(name, context, kind, {**_KAFKA, **attributes}, start_time=began_ms * _NS_OF_MS)
        span.end(ended_ms * _NS_OF_MS)
        return span.get_span_context()
