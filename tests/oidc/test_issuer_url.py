"""The grammar of issuers (S02, S09, T21, T22)."""

from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError
from keyless.oidc.issuer import Network, NetworkKind
from keyless.oidc.issuer_url import check_issuer_url, check_jwks_uri

PUBLIC, PRIVATE, LOOPBACK = Network(), Network(NetworkKind.PRIVATE), Network(NetworkKind.LOOPBACK)

REAL = [
    "https://token.actions.githubusercontent.com",
    "https://token.actions.githubusercontent.com/octo-enterprise",
    "https://token.actions.acme.ghe.com",
    "https://github.acme.example/_services/token",
    "https://gitlab.com",
    "https://gitlab.acme.example:8443",
    "https://agent.buildkite.com",
    "https://oidc.circleci.com/org/7e0f0c2e-0b7c-4d3d-8f0e-2f4c7a1f6c0b",
    "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
    "https://accounts.google.com",
    "https://tenant.auth0.example/",
    "https://xn--nxasmq6b.example",
    "https://a.example/~user/x.y_z-0",
]


@pytest.mark.parametrize("url", REAL)
def test_real_issuers_pass(url: str) -> None:
    """S02: the rule locks nobody out (T38)."""
    check_issuer_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url, rule",
    [
        ("", "URL"),
        ("accounts.google.com", "URL"),
        ("HTTPS://issuer.example", "URL"),
        ("https:///path", "URL"),
        (" https://issuer.example", "URL"),
        ("https://issuer.example\n", "URL"),
        ("https://issuer.example/a b", "URL"),
        ("https://issuer.example/\x00", "URL"),
        ("https://issuer.example:0", "URL"),
        ("https://issuer.example:99999", "URL"),
        ("https://issuer.example.", "URL"),
        ("https://issuer..example", "URL"),
        ("https://good.example\\@evil.example", "user information"),
        ("ftp://issuer.example", "URL"),
        ("http://issuer.example", "https"),
        ("https://good.example@evil.example", "user information"),
        ("https://user:pw@issuer.example", "user information"),
        ("https://issuer.example?a=b", "query"),
        ("https://issuer.example/?", "query"),
        ("https://issuer.example#", "fragment"),
        ("https://issuer.example/#a", "fragment"),
        ("https://\u0456ssuer.example", "ASCII"),
        ("https://issuer.example/\u00e9", "ASCII"),
        ("https://issuer.example/a%2Fb", "path"),
        ("https://issuer.example/a;b", "path"),
        ("https://issuer.example/a@b", "path"),
        ("https://issuer.example/a/../b", r"'\.\.'"),
        ("https://issuer.example/..", r"'\.\.'"),
        ("https://issuer.example/./a", r"'\.'"),
        ("https://issuer.example//a", "//"),
        ("https://issuer.example/a//", "//"),
        ("https://issuer.example/" + "a" * 151, "150"),
        ("https://issuer.example/" + "a/" * 120, "255"),
        ("https://" + "a" * 64 + ".example", "63"),
        ("https://-a.example", "URL"),
        ("https://a-.example", "63"),
        ("https://localhost", "dot"),
        ("https://gitlab", "dot"),
        ("https://10.0.0.1", "IP address"),
        ("https://1.1.1.1", "IP address"),
        ("https://127.1", "IP address"),
        ("https://2130706433", "IP address"),
        ("https://0x7f.0x1", "IP address"),
        ("https://0177.0.0.1", "IP address"),
        ("https://issuer.0x7F", "IP address"),
        ("https://[::1]", "IP address"),
        ("https://[::ffff:127.0.0.1]:443/a", "IP address"),
    ],
)
def test_what_is_no_issuer_is_refused_by_the_rule_it_breaks(url: str, rule: str) -> None:
    """S02: an operator reads which rule; the text itself is not echoed."""
    with pytest.raises(ConfigurationError, match=rule) as caught:
        check_issuer_url(url, PUBLIC)

    assert "evil" not in caught.value.message


@pytest.mark.parametrize("length, accepted", [(150, True), (151, False)])
def test_a_segment_has_at_most_150_characters(length: int, accepted: bool) -> None:
    """S02: the bound is inclusive."""
    refused = False
    try:
        check_issuer_url("https://issuer.example/" + "a" * length, PUBLIC)
    except ConfigurationError:
        refused = True

    assert refused is not accepted


@pytest.mark.parametrize(
    "url", ["https://gitlab", "https://10.0.0.1", "https://[fd00::1]:8443/a", "https://gitlab.internal:8443"]
)
@pytest.mark.parametrize("network", [PRIVATE, LOOPBACK])
def test_inside_hosts_may_be_addresses_and_single_words(url: str, network: Network) -> None:
    """S02, D20: where the operator said so."""
    check_issuer_url(url, network)


def test_plain_http_is_for_loopback_only() -> None:
    """S02, D20: the demo's issuer, and no other."""
    check_issuer_url("http://127.0.0.1:8080", LOOPBACK)
    check_issuer_url("http://localhost:8080/issuer", LOOPBACK)

    with pytest.raises(ConfigurationError, match="https"):
        check_issuer_url("http://10.0.0.1", PRIVATE)


@pytest.mark.parametrize("url", ["https://www.googleapis.com/oauth2/v3/certs", "https://b2c.example/keys?p=policy"])
def test_a_pinned_key_set_may_have_a_query(url: str) -> None:
    """K09: some platforms put a policy there."""
    check_jwks_uri(url, PUBLIC)


@pytest.mark.parametrize(
    "url, rule",
    [
        ("http://issuer.example/keys", "https"),
        ("https://169.254.169.254/keys", "IP address"),
        ("https://localhost/keys", "dot"),
        ("https://a@issuer.example/keys", "user information"),
        ("https://issuer.example/keys#a", "fragment"),
        ("https://issuer.example/a/../keys", r"'\.\.'"),
        ("javascript:alert(1)", "URL"),
    ],
)
def test_a_pinned_key_set_obeys_the_same_rules(url: str, rule: str) -> None:
    """K09, S02: the operator can be wrong too."""
    with pytest.raises(ConfigurationError, match=rule):
        check_jwks_uri(url, PUBLIC)
