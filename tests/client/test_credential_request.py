"""A credential puts its token into requests; the real libraries do it in the journeys."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from keyless import Credential, OIDCConfigurationError
from keyless.client.cache import TokenCache
from tests.support.job import Job


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


@pytest.fixture
def credential(job: Job) -> Credential:
    return Credential(environ=job.github(), cache=TokenCache())


@pytest.mark.parametrize("url", ["https://hub.example.org/api?a=b#fragment", "http://127.0.0.1:8080/x"])
def test_the_header_is_set(job: Job, credential: Credential, url: str) -> None:
    """Fresh at each call, whatever was there."""
    request = SimpleNamespace(url=url, headers={"Authorization": "old"})

    assert credential(request) is request
    assert request.headers == {"Authorization": f"Bearer {job.access_token()}"}


def test_urllibs_header_is_not_carried_along(job: Job, credential: Credential) -> None:
    """The library sends every header to wherever it is redirected, but for these."""
    request = urllib.request.Request("https://hub.example.org/")
    credential(request)

    assert request.unredirected_hdrs == {"Authorization": f"Bearer {job.access_token()}"}
    assert request.headers == {}


def test_no_token_in_clear_text(job: Job, credential: Credential) -> None:
    """D27: and none is made for it."""
    with pytest.raises(OIDCConfigurationError, match="plain http"):
        credential(SimpleNamespace(url="http://hub.example.org/", headers={}))

    assert job.requests == []


def test_hosts_that_the_user_named(job: Job) -> None:
    """As for the service itself."""
    environ = job.github(KEYLESS_INSECURE_HTTP_HOSTS="hub.internal")
    request = SimpleNamespace(url="http://hub.internal/", headers={})
    Credential(environ=environ, cache=TokenCache())(request)

    assert request.headers["Authorization"].startswith("Bearer ")
