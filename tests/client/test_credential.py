"""A credential against a real CI stub and a real token service (S3-S7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from keyless import Credential, get_token
from keyless.client.cache import TokenCache
from keyless.errors import AudienceError, MintUnavailableError, OIDCConfigurationError
from tests.support.job import MINT_PATH, Job, make_id_token
from tests.support.stub import Answer


@pytest.fixture
def job() -> Iterator[Job]:
    with Job() as running:
        yield running


class Clock:
    """The real monotonic clock plus what a test adds."""

    def __init__(self) -> None:
        self.added = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.added


def test_mint_then_exchange(job: Job) -> None:
    """S3, S4: the minted id token is the subject token; the audience is the endpoint."""
    token = Credential(environ=job.github(), cache=TokenCache()).token()

    assert token == job.access_token()
    assert [request.path for request in job.requests] == ["/mint/job", "/oauth/token"]
    assert job.requests[1].json()["subject_token"] == job.id_tokens[0]
    assert "audience=http%3A%2F%2F127.0.0.1%3A" in job.requests[0].target


def test_a_handed_over_token_is_exchanged_as_it_is(job: Job) -> None:
    """S5: no mint; blanks and newlines around it are not part of it."""
    environ = job.handed_over()
    id_token = environ["HF_OIDC_ID_TOKEN"]
    environ["HF_OIDC_ID_TOKEN"] = f" {id_token}\n"

    assert Credential(environ=environ, cache=TokenCache()).token() == job.access_token()
    assert [request.json()["subject_token"] for request in job.requests] == [id_token]


def test_a_wrong_audience_is_never_sent(job: Job) -> None:
    """design.md 5: reported before anything is sent."""
    with pytest.raises(AudienceError):
        Credential(environ=job.handed_over(HF_OIDC_ID_TOKEN=make_id_token("other")), cache=TokenCache()).token()

    assert job.requests == []


def test_32_threads_mint_and_exchange_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7, through the public door."""
    for name, value in job.github().items():
        monkeypatch.setenv(name, value)
    barrier = threading.Barrier(32)
    tokens: list[str | None] = []

    def ask() -> None:
        barrier.wait()
        tokens.append(get_token())

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tokens == [job.access_token()] * 32
    assert (job.mints, job.exchanges) == (1, 1)


def test_two_resources_alternating_are_two_exchanges(job: Job) -> None:
    """S7, S9."""
    cache = TokenCache()
    credentials = [Credential(name, environ=job.github(), cache=cache) for name in ["acme/model", "datasets/acme/data"]]
    tokens = [credential.token() for _ in range(3) for credential in credentials]

    assert tokens == [job.access_token(1), job.access_token(2)] * 3
    assert job.exchanges == 2


@pytest.mark.parametrize("lifetime", [300, 120])
def test_short_tokens_are_cached_too(job: Job, lifetime: int) -> None:
    """protocols.md 0.2: five calls, one exchange."""
    job.lifetime_seconds = lifetime
    credential = Credential(environ=job.github(), cache=TokenCache())

    assert {credential.token() for _ in range(5)} == {job.access_token()}


def test_refresh_happens_before_expiry_with_a_new_id_token(job: Job) -> None:
    """S7, minted path."""
    clock = Clock()
    credential = Credential(environ=job.github(), cache=TokenCache(monotonic=clock))
    first = credential.token()
    clock.added = 3600 - 301
    still_first = credential.token()
    clock.added = 3600 - 299
    second = credential.token()

    assert (first, still_first, second) == (job.access_token(1), job.access_token(1), job.access_token(2))
    assert len(set(job.id_tokens)) == job.mints == 2


def test_a_handed_over_token_is_sent_again_only_after_expiry(job: Job) -> None:
    """S7, handed-over path."""
    clock = Clock()
    credential = Credential(environ=job.handed_over(), cache=TokenCache(monotonic=clock))
    credential.token()
    clock.added = 3599
    before = job.exchanges
    credential.token()
    clock.added = 3601
    credential.token()

    assert (before, job.exchanges) == (1, 2)


def test_another_identity_is_another_token(job: Job) -> None:
    """The cache key holds endpoint, resource and identity."""
    cache = TokenCache()
    for environ in [
        job.github(),
        job.github(ACTIONS_ID_TOKEN_REQUEST_TOKEN="another"),
        job.github(HF_OIDC_ID_TOKEN=make_id_token(job.url)),
        job.github(HF_OIDC_ID_TOKEN=make_id_token(job.url, run=2)),
    ]:
        for _ in range(2):
            Credential(environ=environ, cache=cache).token()

    assert job.exchanges == 4


def test_one_deadline_covers_mint_and_exchange(job: Job) -> None:
    """KEYLESS_TIMEOUT is for the whole resolution, not for each call."""
    slow_mint = Answer(200, {"value": make_id_token(job.url)}, delay_seconds=0.4)
    job.on(MINT_PATH, slow_mint)
    job.on("/oauth/token", Answer(200, {"access_token": "kl_x"}, delay_seconds=0.4))
    begun = time.monotonic()

    with pytest.raises(Exception, match=r"within 0\.6 s"):
        Credential(environ=job.github(KEYLESS_TIMEOUT="0.6"), cache=TokenCache()).token()

    assert time.monotonic() - begun < 1.5


def test_a_mint_outage_keeps_its_class(job: Job) -> None:
    """S6: mint and exchange fail under different names."""
    job.on(MINT_PATH, Answer(503, b""))

    with pytest.raises(MintUnavailableError):
        Credential(environ=job.github(KEYLESS_TIMEOUT="0.6"), cache=TokenCache()).token()


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "nan", "inf", "601"])
def test_a_wrong_timeout_is_named(job: Job, timeout: str) -> None:
    """A setting that cannot work stops before anything is sent."""
    with pytest.raises(OIDCConfigurationError, match="KEYLESS_TIMEOUT"):
        Credential(environ=job.github(KEYLESS_TIMEOUT=timeout), cache=TokenCache()).token()

    assert job.requests == []


def test_no_resource_says_which_variable(job: Job) -> None:
    """A credential for nothing is a mistake of configuration."""
    with pytest.raises(OIDCConfigurationError) as caught:
        Credential(environ=job.github(HF_OIDC_RESOURCE=" "), cache=TokenCache()).token()

    assert "HF_OIDC_RESOURCE" in (caught.value.hint or "")


def test_a_repr_shows_no_secret(job: Job) -> None:
    """S8."""
    credential = Credential("acme/model", environ=job.github(), cache=TokenCache())

    assert job.access_token() not in repr(credential) + repr(credential.exchanged())
