"""Spans of exchanges: what they say, whose trace they join, and what never gets into them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from keyless.server.app import TokenService, exchange_service, open_tracing
from keyless.server.services.exchange import ExchangeService
from keyless.server.settings import Settings
from keyless.server.tracing import Tracing
from keyless.testing import Clock, FakeIssuer, Fault
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import Answer, ask

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced(Service):
    """A service whose spans stay in memory."""

    def __init__(self, directory: Path, issuer: FakeIssuer, *, ratio: float = 1.0) -> None:
        super().__init__(directory, issuer)
        self.spans = InMemorySpanExporter()
        self.app.close()
        self.app = TokenService(
            Settings(public_url=PUBLIC_URL, database=directory / "keyless.db"),
            inside_url="http://127.0.0.1:1",
            clock=self.clock,
            monotonic=self.monotonic,
            tracing=Tracing(SimpleSpanProcessor(self.spans), ratio=ratio),
        )

    def finished(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended, by name."""
        return {span.name: span for span in self.spans.get_finished_spans()}

    def send(self, token: str, **headers: str) -> Answer:
        """Exchange with these headers."""
        form = "&".join(f"{name}={value}" for name, value in self.members(token).items()).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return ask(self.app.public, "POST", "/oauth/token", body=form, headers=kind | headers)


@pytest.fixture
def own_issuer() -> Iterator[FakeIssuer]:
    """An issuer that a test may break."""
    with FakeIssuer(clock=Clock()) as issuer:
        yield issuer


@pytest.fixture
def traced(tmp_path: Path, first_start: Path, own_issuer: FakeIssuer) -> Iterator[Traced]:
    """A service that leaves spans, and trusts one publisher of acme/model."""
    shutil.copytree(first_start, tmp_path / "service")
    service = Traced(tmp_path / "service", own_issuer)
    service.add_publisher()
    yield service
    service.administration.close()
    service.app.close()


def test_an_exchange_is_one_span_with_its_steps_below(traced: Traced) -> None:
    """D17: the first one fetches the issuer's keys, later ones have them."""
    assert traced.exchange().status == 200
    first = traced.finished()
    traced.spans.clear()
    assert traced.exchange().status == 200
    second = traced.finished()

    assert set(first) == {"exchange", "fetch keys", "verify", "match", "sign", "commit"}
    assert set(second) == set(first) - {"fetch keys"}
    whole = second.pop("exchange")
    assert whole.attributes is not None
    assert whole.attributes["keyless.outcome"] == "granted"
    assert whole.attributes["keyless.resource"] == "models/acme/model"
    for step in second.values():
        assert step.parent is not None
        assert step.parent.span_id == whole.context.span_id
        assert step.start_time is not None
        assert step.end_time is not None
        assert step.start_time <= step.end_time


def test_a_refusal_says_its_code_and_an_outage_is_an_error(traced: Traced, own_issuer: FakeIssuer) -> None:
    """D9: a refusal is no failure of ours."""
    assert traced.exchange(traced.mint(ref="refs/heads/other")).status == 400
    refused = traced.finished()["exchange"]
    traced.spans.clear()
    own_issuer.misbehave(Fault.UNAVAILABLE)
    traced.monotonic.advance(31)
    assert traced.exchange(traced.mint(header={"kid": "invented"})).status == 503
    out = traced.finished()["exchange"]

    assert (refused.attributes or {})["keyless.outcome"] == "no_matching_publisher"
    assert refused.status.status_code is StatusCode.UNSET
    assert out.status.status_code is StatusCode.ERROR
    assert out.status.description is None


@pytest.mark.parametrize("sent", [PARENT, PARENT[:-2] + "00"])
def test_a_callers_trace_is_joined(traced: Traced, sent: str) -> None:
    """W3C Trace Context: his trace id and his span as the parent; his flag decides nothing here."""
    assert traced.send(traced.mint(), traceparent=sent).status == 200
    whole = traced.finished()["exchange"]

    assert whole.parent is not None
    assert f"{whole.context.trace_id:032x}" == PARENT[3:35]
    assert f"{whole.parent.span_id:016x}" == PARENT[36:52]


@pytest.mark.parametrize("sent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 5000, PARENT * 2])
def test_a_traceparent_that_is_none_is_as_if_it_were_not_there(traced: Traced, sent: str) -> None:
    """Whatever an outsider sends, the exchange goes on."""
    assert traced.send(traced.mint(), traceparent=sent).status == 200
    assert traced.finished()["exchange"].parent is None


def test_no_token_and_nothing_that_a_stranger_wrote_gets_into_a_span(traced: Traced) -> None:
    """S08: neither the id token, nor ours, nor a part of either; no claim and no address."""
    taint = secrets.token_hex(12)
    tokens = [traced.mint(actor=taint), traced.mint(ref=f"refs/heads/{taint}"), f"{taint}.{taint}.{taint}"]
    answers = [traced.send(token, traceparent=PARENT, tracestate=f"a={taint}", baggage=taint) for token in tokens]
    ours = answers[0].json["access_token"]
    written = "".join(span.to_json() for span in traced.spans.get_finished_spans())

    assert [answer.status for answer in answers] == [200, 400, 400]
    for secret in (taint, *tokens, ours, *ours.split("."), *tokens[0].split(".")):
        assert secret not in written
    assert "192.0.2.7" not in written


def test_a_share_of_nothing_leaves_no_spans(tmp_path: Path, first_start: Path, own_issuer: FakeIssuer) -> None:
    """A caller's flag cannot ask for more than the operator wants."""
    shutil.copytree(first_start, tmp_path / "service")
    service = Traced(tmp_path / "service", own_issuer, ratio=0.0)
    service.add_publisher()
    assert service.send(service.mint(), traceparent=PARENT).status == 200
    assert service.finished() == {}
    service.administration.close()
    service.app.close()


def test_without_a_collector_the_exchange_knows_nothing_of_spans(tmp_path: Path) -> None:
    """Off costs nothing: it is another class."""
    assert open_tracing(Settings(public_url=PUBLIC_URL, database=tmp_path / "keyless.db")) is None
    assert exchange_service(None) is ExchangeService
