"""Knowing an issuer's kind by its URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.issuers import PROFILES, kind_of
from keyless.issuers.url_template import PLACEHOLDERS, fits_template
from tests.issuers.samples import SAMPLES, uuid

ACTIONS = "https://token.actions.githubusercontent.com"
BITBUCKET = "https://api.bitbucket.org/2.0/workspaces"
OIDC = "pipelines-config/identity/oidc"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (ACTIONS, "github"),
        (f"{ACTIONS}/acme-inc", "github"),
        ("https://token.actions.acme.ghe.com", "github"),
        ("https://token.actions.acme.ghe.com/acme", "github"),
        ("https://ghes.acme.example/_services/token", "github"),
        ("https://ghes.acme.example:8443/_services/token", "github"),
        ("https://gitlab.com", "gitlab"),
        ("https://oidc.circleci.com", "circleci"),
        (f"https://oidc.circleci.com/org/{uuid(1)}", "circleci"),
        (f"{BITBUCKET}/acme_inc-1/{OIDC}", "bitbucket"),
        ("https://agent.buildkite.com", "buildkite"),
        (f"https://vstoken.dev.azure.com/{uuid(1)}", "azure-devops"),
        ("https://accounts.google.com", "google"),
        ("https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF", "kubernetes"),
        ("https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0123456789ABCDEF", "kubernetes"),
        ("https://container.googleapis.com/v1/projects/p-1/locations/europe-west1/clusters/c", "kubernetes"),
        (f"https://westeurope.oic.prod-aks.azure.com/{uuid(1)}/{uuid(2)}/", "kubernetes"),
        ("https://codeberg.org/api/actions", "forgejo"),
        ("https://git.acme.example:3000/api/actions", "forgejo"),
        ("https://acme.example/git/api/actions", "forgejo"),
    ],
)
def test_an_issuer_is_known_by_its_whole_url(url: str, kind: str) -> None:
    """S09, T38: and by one kind only."""
    assert [profile.kind for profile in PROFILES.values() if profile.recognises(url)] == [kind]
    assert kind_of(url) == kind


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param(f"{ACTIONS}/", id="T22-slash"),
        pytest.param(f"{ACTIONS}/acme/", id="T22-slash-after-slug"),
        pytest.param(f"{ACTIONS}/acme/other", id="T38-two-segments"),
        pytest.param(f"{ACTIONS}/acme_inc", id="T38-underscore"),
        pytest.param(f"{ACTIONS}/acme.inc", id="T38-dot"),
        pytest.param(f"{ACTIONS}/%61cme", id="T38-escape"),
        pytest.param(f"{ACTIONS}/..", id="T38-dots"),
        pytest.param(f"{ACTIONS}/acme\n", id="T23-newline"),
        pytest.param(f"{ACTIONS}/acme?x", id="T23-query"),
        pytest.param(f"{ACTIONS}/acme#x", id="T23-fragment"),
        pytest.param(f"{ACTIONS}/acm\u00e9", id="T79-not-ascii"),
        pytest.param(f"{ACTIONS}.evil.example", id="T21-suffix"),
        pytest.param(f"{ACTIONS}@evil.example", id="T21-user"),
        pytest.param(f"https://evil.example/{ACTIONS}", id="T21-inside"),
        pytest.param(f"x{ACTIONS}", id="T21-prefix"),
        pytest.param(ACTIONS.replace("https", "http"), id="T22-scheme"),
        pytest.param(ACTIONS.removeprefix("https://"), id="T22-no-scheme"),
        pytest.param(ACTIONS.upper(), id="T22-case"),
        pytest.param(f"{ACTIONS}:443", id="T22-port"),
        pytest.param("https://token-actions.githubusercontent.com/acme", id="T23-dot-is-a-dot"),
        pytest.param("https://tokenXactions.githubusercontent.com/acme", id="T23-dot-is-no-letter"),
        pytest.param("https://token.actions.a.b.ghe.com", id="T23-two-labels"),
        pytest.param("https://token.actions..ghe.com", id="T23-no-label"),
        pytest.param("https://token.actions.acme.ghe.com.evil.example", id="T21-ghe-suffix"),
        pytest.param("https://evil.example/x/_services/token", id="T23-ghes-below-a-path"),
        pytest.param("https://a@evil.example/_services/token", id="T21-ghes-user"),
        pytest.param("https:///_services/token", id="T23-no-host"),
        pytest.param("https://gitlab.com/", id="T22-gitlab-slash"),
        pytest.param("https://gitlab.com.evil.example", id="T21-gitlab-suffix"),
        pytest.param("https://gitlab.acme.example", id="self-managed"),
        pytest.param(f"https://oidc.circleci.com/org/{uuid(1)}/x", id="T23-circleci-longer"),
        pytest.param("https://oidc.circleci.com/org/acme", id="T23-circleci-no-uuid"),
        pytest.param(f"https://oidc.circleci.com/org/{uuid(0xAB).upper()}", id="T22-circleci-case"),
        pytest.param(f"{BITBUCKET}/a/b/{OIDC}", id="T23-bitbucket-two-segments"),
        pytest.param(f"{BITBUCKET}//{OIDC}", id="T23-bitbucket-empty"),
        pytest.param("https://agent.buildkite.com/acme", id="T23-buildkite-path"),
        pytest.param(f"https://vstoken.dev.azure.com/{uuid(1)}/", id="T22-azure-slash"),
        pytest.param("accounts.google.com", id="T22-google-without-scheme"),
        pytest.param(f"https://westeurope.oic.prod-aks.azure.com/{uuid(1)}/{uuid(2)}", id="T22-aks-without-slash"),
        pytest.param("https://codeberg.org", id="forgejo-login"),
        pytest.param("https://codeberg.org/api/actions/", id="T22-forgejo-slash"),
        pytest.param("https://codeberg.org/a/b/api/actions", id="T23-forgejo-deeper"),
        pytest.param("https://oidc.spire.example.org", id="spiffe"),
    ],
)
def test_anything_else_is_not_known(url: str) -> None:
    """S09, T21, T22, T23: no prefix, no suffix, no repair; the operator says the kind."""
    assert kind_of(url) is None


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind not in {"gitlab", "spiffe", "generic"}])
@given(position=st.integers(0, 200), character=st.sampled_from("@?#\n \\%:"))
def test_a_foreign_character_anywhere_makes_it_unknown(kind: str, position: int, character: str) -> None:
    """S09, T23: no placeholder takes what ends a host or a path."""
    url = SAMPLES[kind].url
    changed = url[:position] + character + url[position:]

    assert kind_of(url) == kind
    assert kind_of(changed) is None


@pytest.mark.parametrize("name", list(PLACEHOLDERS))
@pytest.mark.parametrize("value", ["", "/", "a/b", "a@b", "a?b", "a#b", "a\n", "é", ".", "..", "-", "a:b"])
def test_a_placeholder_has_a_closed_character_set(name: str, value: str) -> None:
    """T23."""
    inner = "-" if name in {"enterprise", "workspace", "region", "name"} else None

    assert fits_template(f"https://x/<{name}>/y", f"https://x/{value}/y") is (value == inner)


def test_a_template_with_an_unknown_placeholder_is_a_mistake() -> None:
    """S09."""
    with pytest.raises(KeyError):
        fits_template("https://<anything>", "https://x")
