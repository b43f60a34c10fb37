"""What the service counts (Build 5): bounded series, summed over workers, in Prometheus' format."""

from __future__ import annotations

import asyncio
import math
import os
import re

from hypothesis import given
from hypothesis import strategies as st

from keyless.server.metrics import REASONS, SECONDS, STEPS, Metrics

LINE = re.compile(r'[a-z_]+(\{[a-z_]+="[^"\\\n]*"(,le="[^"]+")?\})? (NaN|[0-9.e+-]+)')


def lines(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def value(metrics: Metrics, series: str) -> float:
    (found,) = [line for line in lines(metrics) if line.startswith(f"{series} ")]
    return float(found.rpartition(" ")[2])


def test_every_line_is_of_the_format() -> None:
    """Prometheus, "Exposition formats"."""
    metrics = Metrics()
    metrics.steps.observe(0.003, "commit")
    assert [line for line in lines(metrics) if not line.startswith("# ") and not LINE.fullmatch(line)] == []


def test_a_label_value_that_was_not_foreseen_makes_no_new_series() -> None:
    """Bounded labels: whatever a caller causes, the number of series stays."""
    metrics = Metrics()
    before = len(lines(metrics))
    for number in range(1000):
        metrics.exchanges.add(f"invented_{number}")
    assert len(lines(metrics)) == before
    assert value(metrics, 'keyless_exchanges_total{reason="other"}') == 1000


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    """A histogram's `le` buckets hold everything up to their bound, bounds included."""
    metrics = Metrics()
    for size in (1, 2, 3, 300):
        metrics.batches.observe(size)
    name = "keyless_commit_batch_size"
    assert value(metrics, f'{name}_bucket{{le="1"}}') == 1
    assert value(metrics, f'{name}_bucket{{le="2"}}') == 2
    assert value(metrics, f'{name}_bucket{{le="256"}}') == 3
    assert value(metrics, f'{name}_bucket{{le="+Inf"}}') == value(metrics, f"{name}_count") == 4
    assert value(metrics, f"{name}_sum") == 306


def test_whichever_worker_is_asked_tells_of_all() -> None:
    """A scrape reaches one of the workers; counters that jumped between them would be no counters."""
    metrics = Metrics(workers=2)
    metrics.exchanges.add("granted")
    pid = os.fork()
    if pid == 0:
        metrics.cells.become(1)
        metrics.exchanges.add("granted", 2)
        os._exit(0)
    os.waitpid(pid, 0)
    assert value(metrics, 'keyless_exchanges_total{reason="granted"}') == 3


def test_a_number_that_cannot_be_had_hides_no_other() -> None:
    """A scrape during an outage of the database still tells of the outage."""
    metrics = Metrics()
    metrics.gauge("keyless_live_tokens", "", lambda: 1 / 0)
    assert "keyless_live_tokens NaN" in lines(metrics)


def test_the_reasons_are_the_codes_of_our_errors() -> None:
    """A refusal that ends as `other` would be one that nobody can alert on."""
    from keyless import errors

    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Error)}
    exchange = {code for code in codes if code.startswith(("token_", "claim_", "key_unk", "signature", "issuer_unk"))}
    assert exchange <= set(REASONS)


@given(st.lists(st.one_of(st.floats(0, 20), st.sampled_from(SECONDS)), max_size=60))
def test_many_values_at_once_are_counted_as_one_by_one(amounts: list[float]) -> None:
    """D17: the quick form counts into the same buckets, bounds included."""
    one_by_one, at_once = Metrics(), Metrics()
    for amount in amounts:
        one_by_one.steps.observe(amount, "commit")
    at_once.steps.observe_all(amounts, "commit")

    def counts(metrics: Metrics) -> list[str]:
        return [line for line in lines(metrics) if "_sum" not in line]

    assert counts(at_once) == counts(one_by_one)
    series = 'keyless_exchange_seconds_sum{step="commit"}'
    assert math.isclose(value(at_once, series), value(one_by_one, series), abs_tol=1e-6)


def test_the_times_of_an_exchange_are_counted_soon() -> None:
    """Build 5: each step of a granted exchange, gathered for a moment."""
    metrics = Metrics()

    async def scene() -> None:
        metrics.exchange_took((1.0, 2.0, 2.5, 3.0, 7.0))
        metrics.exchange_took((1.0, 1.0, 1.0, 1.0, 1.0))
        while not value(metrics, 'keyless_exchange_seconds_count{step="total"}'):  # noqa: ASYNC110 - a timer's doing
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scene(), 30))

    sums = {step: value(metrics, f'keyless_exchange_seconds_sum{{step="{step}"}}') for step in STEPS}
    assert sums == {"read": 0, "verify": 1, "match": 0.5, "sign": 0.5, "commit": 4, "total": 6}
    assert value(metrics, 'keyless_exchange_seconds_count{step="sign"}') == 2
