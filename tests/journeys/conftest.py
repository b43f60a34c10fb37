"""The real `hf`, unmodified, in the versions that gate; and a stage to use it on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyless.demo.stage import Stage
from keyless.testing import FakeIssuer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
NAMED = os.environ.get("KEYLESS_TEST_HF")  # `make journeys-newest` names another one
VERSIONS = ["2.4.0", "1.19.0"] if NAMED is None else ["named"]


def find_hf(version: str) -> Path:
    """Return the program of a version; a missing one is a failure, not a skip."""
    program = Path(NAMED) if NAMED is not None else ROOT / ".venvs" / f"hf-{version}" / "bin" / "hf"
    if not program.exists():
        pytest.fail(f"{program} is missing: run `make journeys`")
    return program.absolute()


@pytest.fixture(scope="module", params=VERSIONS)
def hf(request: pytest.FixtureRequest) -> Path:
    """The real client."""
    return find_hf(request.param)


@pytest.fixture(scope="module")
def stage(hf: Path) -> Iterator[Stage]:
    """A running service with its hub, a fake GitHub whose issuer it trusts, and no publisher yet."""
    yield from build_stage(hf)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's own browser."""
    from tests.journeys.browser import open_browser  # playwright is loaded for its own journeys only

    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    """An issuer for the jobs of one file."""
    with FakeIssuer() as running:
        yield running


def build_stage(hf: Path) -> Iterator[Stage]:
    """Build what `stage` is, for a test that needs no more than one version."""
    with Stage(hf, keep=False) as built:
        built.administer("trust", "issuer", "add", built.issuer.url, "--kind", "github", "--network", "loopback")
        built.start_service()
        yield built
