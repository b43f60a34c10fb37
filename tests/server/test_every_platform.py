"""Every platform from end to end: its job's environment, our client, HTTP, a service process, and the token checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from keyless import Credential, ExchangeRefusedError, detect_provider
from keyless.client.cache import TokenCache
from keyless.oidc.issuer import Network, NetworkKind
from keyless.resource import parse_resource
from keyless.server.store.admin import NewIssuer, NewPublisher
from keyless.testing import FakeIssuer
from keyless.testing.azure_devops import AUDIENCE as AZURE_AUDIENCE
from keyless.testing.platforms import platform_claims
from keyless.verifier import VerifiedAccessToken, Verifier
from tests.server.platforms import FOREIGN_AUDIENCE, FROM_VARIABLES, TWELVE, Platform, generic
from tests.support.job import run_cli
from tests.support.running import RunningService

pytestmark = pytest.mark.slow  # it starts a service

PLATFORMS = [pytest.param(platform, id=platform.name) for platform in (*TWELVE, *FROM_VARIABLES)]
AZURE = next(platform for platform in TWELVE if platform.name == "azure-devops")


@dataclass
class World:
    """A service process, and the platforms' issuers; each is started and trusted when a test first needs it."""

    service: RunningService
    stack: ExitStack
    trusted_for_nesting: set[str] = field(default_factory=set)
    _issuers: dict[str, FakeIssuer] = field(default_factory=dict)

    def issuer(self, platform: Platform) -> FakeIssuer:
        """Return the running issuer of a platform, which the service trusts with one publisher."""
        if platform.name not in self._issuers:
            issuer = self.stack.enter_context(FakeIssuer(path=platform.path))
            administration = self.service.administration()
            administration.add_issuer(
                NewIssuer(
                    url=issuer.url,
                    kind=platform.kind,
                    network=Network(NetworkKind.LOOPBACK),
                    max_lifetime_seconds=platform.max_lifetime_seconds,
                )
            )
            resource = parse_resource(platform.resource)
            administration.add_publisher(NewPublisher(resource=resource, **platform.publisher(issuer)))
            administration.close()
            self._issuers[platform.name] = issuer
        return self._issuers[platform.name]

    def job(self, platform: Platform, **claims: object) -> Any:
        """Return the platform around its good job, or around one with other claims."""
        return platform.make(self.issuer(platform), claims or None, self.service.url)

    def credential(self, platform: Platform, environ: dict[str, str]) -> Credential:
        """Return what a program in the job would have, without what other tests left in memory."""
        return Credential(platform.resource, self.service.url, environ=environ, cache=TokenCache())

    def verify(self, token: str) -> VerifiedAccessToken:
        """Check a token as a hub does, with the keys that the service publishes."""
        verifier = Verifier(self.service.url, self.service.url, unsafe_offline=True)
        try:
            return verifier.verify(token)
        finally:
            verifier.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        unused = stack.enter_context(FakeIssuer())
        service = RunningService(tmp_path_factory.mktemp("every-platform"), unused)
        stack.callback(service.stop)
        service.start()
        yield World(service, stack)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_job_gets_a_token_that_says_who_it_is(world: World, platform: Platform) -> None:
    """S2, S11: detected, minted, exchanged and verified, with nothing configured but the publisher."""
    with world.job(platform) as job:
        environ = job.environ()
        token = world.credential(platform, environ).token()

        assert detect_provider(environ) == platform.name
        verified = world.verify(token)
        assert verified.resource == parse_resource(platform.resource)
        assert (verified.ci_issuer, verified.ci_subject) == (world.issuer(platform).url, job.claims["sub"])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_second_process_of_the_job_gets_one_too(world: World, platform: Platform) -> None:
    """D8: the command line after the library: mints again where a token counts once, and sends it again elsewhere."""
    with world.job(platform) as job:
        environ = {**job.environ(), "HF_ENDPOINT": world.service.url, "HF_OIDC_RESOURCE": platform.resource}
        first = world.credential(platform, environ).token()
        second = run_cli("token", environ=environ)

        assert second.returncode == 0, second.stderr
        assert world.verify(second.stdout.strip()).jti != world.verify(first).jti


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_same_job_of_somebody_else_is_refused(world: World, platform: Platform) -> None:
    """M00, D10: the tenant's immutable id decides, on the very same issuer."""
    with world.job(platform, **platform.stranger) as job:
        credential = world.credential(platform, job.environ())

        with pytest.raises(ExchangeRefusedError) as refused:
            credential.token()
    assert refused.value.reason == "no_matching_publisher"


def test_azures_one_audience_is_accepted_and_ours_is_not(world: World) -> None:
    """T43: where the platform fixes the audience, that one counts; a token made for our URL is not the platform's."""
    issuer = world.issuer(AZURE)
    good, ours = (
        issuer.mint(platform_claims("azure-devops"), aud=audience) for audience in (AZURE_AUDIENCE, world.service.url)
    )

    assert world.service.exchange(good, resource=AZURE.resource)[0] == 200
    status, answer = world.service.exchange(ours, resource=AZURE.resource)
    assert (status, answer["reason"]) == (400, "audience_mismatch")


def test_azures_audience_is_azures_alone(world: World) -> None:
    """D19: no other platform's token may come with it."""
    github = TWELVE[0]
    with world.job(github) as job:
        token = world.issuer(github).mint(job.claims, aud=AZURE_AUDIENCE)

    status, answer = world.service.exchange(token, resource=github.resource)
    assert (status, answer["reason"]) == (400, "audience_mismatch")


@pytest.mark.parametrize("name", FOREIGN_AUDIENCE)
def test_an_audience_that_only_the_platform_knows_is_refused_by_name(world: World, name: str) -> None:
    """D19: the client hands the token over as it is; a service that was not told of its audience says what is wrong."""
    platform = generic(name, str(platform_claims(name)["sub"]), max_lifetime_seconds=86_400)
    with world.job(platform) as job:
        credential = world.credential(platform, job.environ())

        with pytest.raises(ExchangeRefusedError) as refused:
            credential.token()
    assert refused.value.reason == "audience_mismatch"
