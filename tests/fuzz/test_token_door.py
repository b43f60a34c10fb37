"""The fuzzer itself, with few bodies; `make fuzz` sends 100,000."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from keyless.testing import FakeIssuer, github_claims
from tests.fuzz.bodies import Bodies
from tests.fuzz.token_door import Report, run


@pytest.mark.slow
def test_any_body_is_answered_in_words_of_the_documentation(tmp_path: Path) -> None:
    """V01, V09, T11: a documented status, nothing in the log, and the door still opens afterwards."""
    report = run(1_500, tmp_path, seed=7)

    assert report.problems == []
    assert report.statuses[400] > 800


def test_the_same_seed_makes_the_same_bodies() -> None:
    """What was found can be found again."""
    with FakeIssuer() as issuer:
        token = issuer.mint(github_claims(aud="x"))
        first, again, other = (list(islice(Bodies(seed, lambda: token), 200)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_what_is_wrong_is_told() -> None:
    """The fuzzer can fail."""
    report = Report(odd=[(503, "", b"x")], memory_kib=[1, 1, 99_999], log="Traceback")

    assert len(report.problems) == 3
