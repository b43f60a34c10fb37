"""Adding issuers of the kinds we know."""

from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES
from keyless.oidc.issuer import ReplayMode
from keyless.server.store.admin import NewIssuer
from tests.server.store.world import World

ORG = "00000001-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://token.actions.githubusercontent.com/acme-inc", "github"),
        (f"https://oidc.circleci.com/org/{ORG}", "circleci"),
        (f"https://vstoken.dev.azure.com/{ORG}", "azure-devops"),
        ("https://codeberg.org/api/actions", "forgejo"),
        ("https://ci.example.org", "generic"),
    ],
)
def test_a_new_issuer_gets_the_kind_of_its_url(world: World, url: str, kind: str) -> None:
    """S09: and the presets of that kind."""
    issuer = world.admin.add_issuer(NewIssuer(url=url))

    assert (issuer.kind, issuer.replay) == (kind, PROFILES[kind].replay)


def test_an_enterprises_issuer_is_a_record_of_its_own(world: World) -> None:
    """T38, T35: with publishers of its own."""
    issuer = world.admin.add_issuer(NewIssuer(url="https://token.actions.githubusercontent.com/acme-inc"))

    assert issuer.id != world.admin.ensure_provider("github").id
    with pytest.raises(ConfigurationError, match="not configured"):
        world.add_publisher(issuer_url="https://token.actions.githubusercontent.com/other-inc")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://gitlab.com", "generic"),
        ("https://agent.buildkite.com", "generic"),
        ("https://accounts.google.com", "spiffe"),
        ("https://oidc.circleci.com", "github"),
    ],
)
def test_a_shared_issuer_cannot_be_of_another_kind(world: World, url: str, kind: str) -> None:
    """M00, T36: its tenants would not have to be told apart."""
    with pytest.raises(ConfigurationError, match="cannot be of kind"):
        world.admin.add_issuer(NewIssuer(url=url, kind=kind))


@pytest.mark.parametrize("kind", [kind for kind in PROFILES if kind != "generic"])
def test_only_an_unknown_issuers_immutable_claims_can_be_declared(world: World, kind: str) -> None:
    """M00b: what a kind demands cannot be talked away."""
    new = NewIssuer(url="https://ci.example.org", kind=kind, immutable_claims=["team"])
    with pytest.raises(ConfigurationError, match="own immutable claims"):
        world.admin.add_issuer(new)


def test_a_bitbucket_issuer_accepts_audience_lists(world: World) -> None:
    """V13: and only that kind does so by itself."""
    url = "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc"

    assert world.admin.add_issuer(NewIssuer(url=url)).allow_multiple_audiences
    assert not world.admin.ensure_provider("buildkite").allow_multiple_audiences


def test_a_spiffe_publisher_needs_the_exact_subject(world: World) -> None:
    """M00b: at save."""
    issuer = world.admin.add_issuer(NewIssuer(url="https://oidc.spire.example.org", kind="spiffe"))
    with pytest.raises(ConfigurationError, match="must pin sub"):
        world.add_publisher(issuer_url=issuer.url, claims={}, pins={})

    saved = world.add_publisher(issuer_url=issuer.url, claims={}, pins={"sub": "spiffe://example.org/ci"})
    assert issuer.replay is ReplayMode.COUNTED
    assert [(pin.claim, pin.value) for pin in saved.pins] == [("sub", "spiffe://example.org/ci")]


@pytest.mark.parametrize(
    ("url", "pins"),
    [
        (f"https://vstoken.dev.azure.com/{ORG}", {"org_id": ORG, "prj_id": ORG, "def_id": "7"}),
        ("https://agent.buildkite.com", {"organization_id": ORG, "pipeline_id": ORG}),
        (
            "https://oidc.circleci.com",
            {"oidc.circleci.com/org-id": ORG, "oidc.circleci.com/project-id": ORG},
        ),
    ],
)
def test_every_pin_of_a_kind_is_demanded_at_save(world: World, url: str, pins: dict[str, str]) -> None:
    """M00, D10, T36."""
    issuer = world.admin.add_issuer(NewIssuer(url=url))
    for claim in pins:
        without = {name: value for name, value in pins.items() if name != claim}
        with pytest.raises(ConfigurationError, match="must pin"):
            world.add_publisher(issuer_url=url, claims={}, pins=without)

    assert world.add_publisher(issuer_url=url, claims={}, pins=pins).issuer_id == issuer.id


@pytest.mark.parametrize(
    ("url", "pins"),
    [
        (f"https://vstoken.dev.azure.com/{ORG}", {"org_id": ORG, "prj_id": "widgets", "def_id": "7"}),
        (f"https://vstoken.dev.azure.com/{ORG}", {"org_id": ORG, "prj_id": ORG, "def_id": "release"}),
        ("https://agent.buildkite.com", {"organization_id": "acme", "pipeline_id": ORG}),
        ("https://agent.buildkite.com", {"organization_id": ORG.upper().replace("0", "A"), "pipeline_id": ORG}),
        ("https://oidc.circleci.com", {"oidc.circleci.com/org-id": ORG, "oidc.circleci.com/project-id": f"{{{ORG}}}"}),
        ("https://accounts.google.com", {"sub": "ci@acme.iam.gserviceaccount.com"}),
    ],
)
def test_a_pin_has_the_form_of_its_id(world: World, url: str, pins: dict[str, str]) -> None:
    """M00, D10: a slip is found when it is saved, not in a job that fails; also where an id is given as a condition."""
    world.admin.add_issuer(NewIssuer(url=url))
    with pytest.raises(ConfigurationError, match="is not"):
        world.add_publisher(issuer_url=url, claims={}, pins=pins)
    with pytest.raises(ConfigurationError, match="is not"):
        world.add_publisher(issuer_url=url, claims={name: [value] for name, value in pins.items()}, pins={})


def test_a_token_with_everybodys_audience_counts_once(world: World) -> None:
    """T43, D8: neither the issuer's rule nor a publisher's may loosen that."""
    url = f"https://vstoken.dev.azure.com/{ORG}"
    with pytest.raises(ConfigurationError, match="counts once"):
        world.admin.add_issuer(NewIssuer(url=url, replay=ReplayMode.COUNTED))
    world.admin.add_issuer(NewIssuer(url=url))
    pins = {"org_id": ORG, "prj_id": ORG, "def_id": "7"}
    with pytest.raises(ConfigurationError, match="counts once"):
        world.add_publisher(issuer_url=url, claims={}, pins=pins, replay=ReplayMode.COUNTED)

    assert world.add_publisher(issuer_url=url, claims={}, pins=pins).replay is None
