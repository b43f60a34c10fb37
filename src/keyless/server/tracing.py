"""OpenTelemetry spans of exchanges: one for each, its steps below it (extra `otel`).

Loaded only where an operator names a collector; without one the exchange is the class that knows nothing of spans. What
a span says is bounded, and is what log and audit say as well: no token, no claim, no address. Whether an exchange has
spans is decided by its trace id alone: a caller's `traceparent` joins his trace, and cannot ask for more than that.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource as Origin
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from keyless import __version__
from keyless.errors import Error, UnavailableError
from keyless.jose.jwk import PublicKey
from keyless.server.services.exchange import Answer, ExchangeService, IssuedToken
from keyless.server.services.terms import Terms
from keyless.server.services.token_request import TokenRequest
from keyless.server.services.trail import Caller
from keyless.server.store.grants import Outcome

EXPORT_SECONDS: Final = 5  # of one request to the collector
FLUSH_MILLISECONDS: Final = 2_000  # at the end; what is not sent by then is lost

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Where spans go. Sends them from a thread of its own, and drops what does not fit into its queue.

    Args:
        processor: Takes the spans.
        ratio: Share of the traces that have spans, 0 to 1.
    """

    def __init__(self, processor: SpanProcessor, *, ratio: float = 1.0) -> None:
        names = {"service.name": "keyless", "service.version": __version__, "service.instance.id": socket.gethostname()}
        # `Resource` itself and not `create`: that one would add what it finds in the environment.
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(ratio), resource=Origin(names), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self.tracer = self._provider.get_tracer("keyless", __version__)

    @classmethod
    def to(cls, endpoint: str, *, ratio: float) -> Tracing:
        """Send spans to a collector's OTLP/HTTP address, which ends in `/v1/traces`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - heavy

        return cls(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)), ratio=ratio)

    def close(self) -> None:
        """Send what waits, for a moment, and stop."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()


class _Told:
    """The caller's answer, and the span that ends with it."""

    def __init__(self, tracing: Tracing, caller: Caller, door: str, answer: Answer) -> None:
        self._answer = answer
        self._began = perf_counter()
        self._began_ns = time.time_ns()
        self._tracer = tracing.tracer
        parent = _propagator.extract({"traceparent": caller.traceparent}) if caller.traceparent else None
        attributes = {"keyless.door": door, "keyless.request_id": caller.request_id}
        self.span = self._tracer.start_span(
            "exchange", context=parent, kind=SpanKind.SERVER, attributes=attributes, start_time=self._began_ns
        )
        self._below = trace.set_span_in_context(self.span)
        self.fetching: float | None = None
        self.verifying: float | None = None

    def step(self, name: str, began: float, ended: float, **attributes: str) -> None:
        """Add a step below the exchange, as it was timed with `perf_counter`."""
        if not self.span.is_recording():
            return
        named: dict[str, Any] = {f"keyless.{key}": value for key, value in attributes.items()}
        span = self._tracer.start_span(name, context=self._below, attributes=named, start_time=self._at(began))
        span.end(self._at(ended))

    def proven(self, ended: float) -> None:
        """Add the check of the id token, once."""
        began, self.verifying = self.verifying, None
        if began is not None:
            self.step("verify", began, ended)

    def __call__(self, result: IssuedToken | Exception) -> None:
        """End the span, and answer."""
        self.proven(perf_counter())
        if self.span.is_recording():
            self._describe(self.span, result)
            self.span.end()
        self._answer(result)

    def _describe(self, span: Span, result: IssuedToken | Exception) -> None:
        if not isinstance(result, Exception):
            span.set_attribute("keyless.outcome", "granted")
            span.set_attribute("keyless.publisher", result.publisher_id)
            span.set_attribute("keyless.resource", str(result.resource))
            return
        # The code alone: messages quote what a stranger sent.
        span.set_attribute("keyless.outcome", result.code if isinstance(result, Error) else "internal_error")
        if isinstance(result, UnavailableError) or not isinstance(result, Error):
            span.set_status(StatusCode.ERROR)

    def _at(self, moment: float) -> int:
        return self._began_ns + int((moment - self._began) * 1e9)


class TracedExchangeService(ExchangeService):
    """Exchange as `ExchangeService` does, and leave spans.

    Args:
        tracing: Where they go.
        parts: See `ExchangeService`.
    """

    def __init__(self, tracing: Tracing, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracing = tracing

    def begin(
        self,
        request: TokenRequest,
        caller: Caller,
        answer: Answer,
        *,
        terms: Terms | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> None:
        """Do what `exchange` does, inside a span."""
        told = _Told(self._tracing, caller, (terms or self._hub).door, answer)
        super().begin(request, caller, told, terms=terms, gone=gone)

    async def _wait_for_keys(self, attempt: Any) -> None:
        attempt.answer.fetching = perf_counter()
        await super()._wait_for_keys(attempt)

    def _prove(self, attempt: Any, keys: Sequence[PublicKey]) -> None:
        told: _Told = attempt.answer
        told.span.set_attribute("keyless.issuer", attempt.candidate.issuer.url)  # of our own record, never the token's
        told.verifying = perf_counter()
        if told.fetching is not None:
            told.step("fetch keys", told.fetching, told.verifying)
        super()._prove(attempt, keys)

    def _match(self, attempt: Any) -> Any:
        told: _Told = attempt.answer
        told.proven(attempt.proven)
        began = perf_counter()
        refused = super()._match(attempt)
        if refused is not None:
            told.step("match", began, perf_counter())
        else:
            told.step("match", began, attempt.matched)
            told.step("sign", attempt.matched, attempt.signed)
        return refused

    def _result(self, attempt: Any, outcome: Outcome | Exception) -> Any:
        verdict = "unknown" if isinstance(outcome, Exception) else outcome.verdict.value
        attempt.answer.step("commit", attempt.signed, perf_counter(), verdict=verdict)
        return super()._result(attempt, outcome)
