"""A CI inside a machine or inside another CI, from end to end: the service is shown the job's identity, no other's.

Both identities are trusted, each for the same resource, so a wrong choice would get a token and be seen here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from keyless import Credential, IdTokenPermissionError, ProviderNotFoundError, detect_provider
from keyless.client.cache import TokenCache
from keyless.resource import parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeCI
from tests.server.platforms import TWELVE, Platform
from tests.server.test_every_platform import World, world
from tests.support.job import run_cli

__all__ = ["world"]  # a fixture

pytestmark = pytest.mark.slow  # it starts a service

BY_NAME = {platform.name: platform for platform in TWELVE}
RESOURCE = "acme/nested"
GITHUBS_MARKERS = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITEA_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://f.example",
}


class Nest:
    """Platforms around one job, the outermost first; what an inner one sets wins."""

    def __init__(self, world: World, stack: ExitStack, *names: str) -> None:
        self._world = world
        self.environ: dict[str, str] = {}
        self.jobs: dict[str, Any] = {}
        for name in names:
            platform = BY_NAME[name]
            trust(world, platform)
            job = stack.enter_context(world.job(platform))
            self.jobs[name] = job
            self.environ = {**self.environ, **job.environ()}

    def issuer_of_the_token(self, **more: str) -> str:
        """Exchange as the library does and again as the command line does; name the platform that both came from."""
        environ = {**self.environ, **more, "HF_ENDPOINT": self._world.service.url, "HF_OIDC_RESOURCE": RESOURCE}
        by_library = Credential(environ=environ, cache=TokenCache()).token()
        by_command = run_cli("token", environ=environ)
        assert by_command.returncode == 0, by_command.stderr
        issuers = {self._world.verify(token).ci_issuer for token in (by_library, by_command.stdout.strip())}
        (name,) = (name for name in self.jobs if {self._world.issuer(BY_NAME[name]).url} == issuers)
        return name


def trust(world: World, platform: Platform) -> None:
    """Let the platform's good job publish what all of them want here."""
    issuer = world.issuer(platform)
    if platform.name in world.trusted_for_nesting:
        return
    world.trusted_for_nesting.add(platform.name)
    administration = world.service.administration()
    administration.add_publisher(NewPublisher(resource=parse_resource(RESOURCE), **platform.publisher(issuer)))
    administration.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.parametrize(
    ("names", "winner"),
    [
        (("google-cloud", "gitlab"), "gitlab"),
        (("google-cloud", "buildkite"), "buildkite"),
        (("google-cloud", "circleci"), "circleci"),
        (("google-cloud", "jenkins"), "jenkins"),
        (("google-cloud", "github"), "github"),
        (("kubernetes", "github"), "github"),
        (("kubernetes", "gitlab"), "gitlab"),
        (("google-cloud", "kubernetes", "github"), "github"),
        (("spiffe", "forgejo"), "forgejo"),
        (("google-cloud", "azure-devops"), "azure-devops"),
    ],
    ids=lambda value: " > ".join(value) if isinstance(value, tuple) else "",
)
def test_the_job_and_not_its_machine(world: World, stack: ExitStack, names: tuple[str, ...], winner: str) -> None:
    """providers.md 1.2: hosted runners are virtual machines and pods with identities of their own."""
    nest = Nest(world, stack, *names)

    assert detect_provider(nest.environ) == winner
    assert nest.issuer_of_the_token() == winner
    outer = [nest.jobs[name] for name in names[:-1] if hasattr(nest.jobs[name], "mints")]
    assert [job.mints for job in outer] == [0] * len(outer)


def test_a_forgejo_runner_with_all_of_githubs_markers(world: World, stack: ExitStack) -> None:
    """providers.md 2.11: the issuer is the instance, not GitHub."""
    nest = Nest(world, stack, "forgejo")
    assert nest.environ.items() >= {"GITHUB_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}.items()

    assert nest.issuer_of_the_token(**GITHUBS_MARKERS) == "forgejo"


def test_act_inside_a_job_that_passes_its_variables_on(world: World, stack: ExitStack) -> None:
    """nektos/act never sets the two variables itself; handed through, they are the outer job's."""
    assert Nest(world, stack, "github").issuer_of_the_token(ACT="true") == "github"


def test_act_alone(world: World) -> None:
    """Its own hint, exit 3, and nothing sent."""
    environ = {"ACT": "true", "GITHUB_ACTIONS": "true", "HF_ENDPOINT": world.service.url, "HF_OIDC_RESOURCE": RESOURCE}
    done = run_cli("token", environ=environ)

    with pytest.raises(ProviderNotFoundError) as caught:
        Credential(environ=environ, cache=TokenCache()).token()
    assert "act" in (caught.value.hint or "")
    assert (done.returncode, done.stdout) == (3, "")


def test_a_jenkins_build_without_a_binding_is_not_its_machine(world: World, stack: ExitStack) -> None:
    """S6: the machine could mint, and is trusted; the job may not, and says so."""
    nest = Nest(world, stack, "google-cloud")
    unbound = FakeCI.jenkins(world.issuer(BY_NAME["jenkins"]), bound=False).environ()
    environ = {**nest.environ, **unbound, "HF_ENDPOINT": world.service.url, "HF_OIDC_RESOURCE": RESOURCE}

    with pytest.raises(IdTokenPermissionError):
        Credential(environ=environ, cache=TokenCache()).token()
    assert nest.jobs["google-cloud"].mints == 0


CHOICES: list[tuple[tuple[str, ...], Mapping[str, str], str]] = [
    (("github", "gitlab"), {}, "github"),
    (("github", "gitlab"), {"KEYLESS_PROVIDER": "handed-over"}, "gitlab"),
    (("buildkite", "github"), {}, "github"),
    (("buildkite", "github"), {"KEYLESS_PROVIDER": "buildkite"}, "buildkite"),
    (("buildkite", "github"), {"KEYLESS_DISABLE_PROVIDERS": "github"}, "buildkite"),
    (("circleci", "azure-devops"), {"KEYLESS_PROVIDER": "azure-devops"}, "azure-devops"),
    (("circleci", "azure-devops"), {"KEYLESS_PROVIDER": "circleci"}, "circleci"),
    (("google-cloud", "github"), {"KEYLESS_PROVIDER": "google-cloud"}, "google-cloud"),
    (("kubernetes", "github"), {"KEYLESS_PROVIDER": "kubernetes"}, "kubernetes"),
]


@pytest.mark.parametrize(
    ("names", "choice", "winner"),
    CHOICES,
    ids=[f"{'+'.join(names)} {' '.join(choice.values())}" for names, choice, _ in CHOICES],
)
def test_two_at_once_and_what_the_user_says(
    world: World, stack: ExitStack, names: tuple[str, ...], choice: Mapping[str, str], winner: str
) -> None:
    """An explicit choice beats detection, and a switched-off platform is passed over."""
    nest = Nest(world, stack, *names)
    if "gitlab" in names and not choice:  # its variable would be a token handed over, which comes before any platform
        del nest.environ["HF_OIDC_ID_TOKEN"]

    assert nest.issuer_of_the_token(**choice) == winner
