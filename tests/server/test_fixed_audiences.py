"""Platforms whose jobs cannot choose the audience: exchanged where the operator accepts that one, end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from keyless import Credential, ExchangeRefusedError, detect_provider
from keyless.client.cache import TokenCache
from keyless.oidc.issuer import Network, NetworkKind
from keyless.resource import parse_resource
from keyless.server.store.admin import NewIssuer, NewPublisher
from keyless.testing import FakeCI, FakeIssuer, github_claims, unverified_claims
from keyless.testing.platforms import platform_claims
from keyless.verifier import Verifier
from tests.server.platforms import FOREIGN_AUDIENCE, generic
from tests.support.job import run_cli
from tests.support.running import RunningService

pytestmark = pytest.mark.slow  # it starts a service

DAY = 86_400


@dataclass
class Accepting:
    """A service that accepts the audiences of six platforms, each from its own issuer."""

    service: RunningService
    issuers: dict[str, FakeIssuer]
    audiences: dict[str, str]

    def exchange(self, name: str, **claims: object) -> tuple[int, object]:
        """Exchange a token of a platform's issuer, changed; return status and reason."""
        token = self.issuers[name].mint(
            {**platform_claims(name), "aud": self.audiences[name], **claims}, lifetime_seconds=300
        )
        status, answer = self.service.exchange(token, resource=f"acme/from-{name}")
        return status, answer.get("reason")


@pytest.fixture(scope="module")
def accepting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accepting]:
    with ExitStack() as stack:
        issuers = {name: stack.enter_context(FakeIssuer()) for name in FOREIGN_AUDIENCE}
        audiences = {name: str(FakeCI.variable(issuers[name], name).audience) for name in FOREIGN_AUDIENCE}
        folder = tmp_path_factory.mktemp("fixed-audiences")
        service = RunningService(folder, stack.enter_context(FakeIssuer()))
        lines = [f"{json.dumps(issuers[name].url)} = {json.dumps(audiences[name])}" for name in FOREIGN_AUDIENCE]
        with (folder / "keyless.toml").open("a") as config:
            config.write("\n[fixed_audiences]\n" + "\n".join(lines) + "\n")
        administration = service.administration()
        for name, issuer in issuers.items():
            network = Network(NetworkKind.LOOPBACK)
            administration.add_issuer(
                NewIssuer(url=issuer.url, kind="generic", network=network, max_lifetime_seconds=DAY)
            )
            platform = generic(name, str(platform_claims(name)["sub"]))
            resource = parse_resource(platform.resource)
            administration.add_publisher(NewPublisher(resource=resource, **platform.publisher(issuer)))
        administration.close()
        stack.callback(service.stop)
        service.start()
        yield Accepting(service, issuers, audiences)


@pytest.mark.parametrize("name", FOREIGN_AUDIENCE)
def test_the_job_gets_a_token(accepting: Accepting, name: str) -> None:
    """Must hold: detected, handed over, exchanged, verified; by the library and, with the same token, the command."""
    issuer, url = accepting.issuers[name], accepting.service.url
    job = FakeCI.variable(issuer, name)
    environ = {**job.environ(), "HF_ENDPOINT": url, "HF_OIDC_RESOURCE": f"acme/from-{name}"}
    token = Credential(environ=environ, cache=TokenCache()).token()
    command = run_cli("token", environ=environ)
    verifier = Verifier(url, url, unsafe_offline=True)
    verified = verifier.verify(token)
    verifier.close()

    assert detect_provider(environ) == name
    assert (verified.ci_issuer, verified.ci_subject) == (issuer.url, job.claims["sub"])
    assert command.returncode == 0, command.stderr
    assert unverified_claims(token.removeprefix("kl_"))["aud"] == url  # what we issue is for us alone


@pytest.mark.parametrize("name", FOREIGN_AUDIENCE)
def test_nothing_else_is_let_in_by_it(accepting: Accepting, name: str) -> None:
    """T43, M00b, D19: one audience, one subject, one issuer."""
    other = next(known for known in FOREIGN_AUDIENCE if known != name)

    assert accepting.exchange(name) == (200, None)
    assert accepting.exchange(name, aud=accepting.service.url) == (400, "audience_mismatch")
    assert accepting.exchange(name, aud=accepting.audiences[other]) == (400, "audience_mismatch")
    assert accepting.exchange(name, aud=[accepting.audiences[name], "x"]) == (400, "audience_mismatch")
    assert accepting.exchange(name, aud=f"{accepting.audiences[name]}/") == (400, "audience_mismatch")
    assert accepting.exchange(name, sub="somebody else") == (400, "no_matching_publisher")


def test_an_issuer_that_is_not_named_keeps_ours(accepting: Accepting) -> None:
    """D19: the setting is one issuer's, not the door's."""
    service = accepting.service
    foreign = service.issuer.mint(github_claims(aud=accepting.audiences["semaphore"]))

    assert service.exchange()[0] == 200
    assert service.exchange(foreign)[1]["reason"] == "audience_mismatch"


def test_a_service_that_was_not_told_refuses(accepting: Accepting) -> None:
    """The client says that it was refused, with the service's reason."""
    with FakeIssuer() as unknown:
        job = FakeCI.variable(unknown, "semaphore")
        environ = {**job.environ(), "HF_ENDPOINT": accepting.service.url, "HF_OIDC_RESOURCE": "acme/from-semaphore"}
        with pytest.raises(ExchangeRefusedError) as refused:
            Credential(environ=environ, cache=TokenCache()).token()

    assert refused.value.reason == "token_rejected"
