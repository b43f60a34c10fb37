"""Jenkins with the OpenID Connect Provider plugin (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import AudienceError, IdTokenPermissionError, MintError
from keyless.testing import FakeIssuer
from keyless.testing.jenkins import FakeJenkins
from tests.providers.asking import AUDIENCE, failure, find, mint

URL_VARIABLE = "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN"


@pytest.mark.parametrize(
    ("variable", "provider"), [("HF_OIDC_ID_TOKEN", "handed-over"), (URL_VARIABLE, "jenkins")], ids=["ours", "named"]
)
def test_a_bound_variable(issuer: FakeIssuer, variable: str, provider: str) -> None:
    """`aud` is a list on Jenkins."""
    ci = FakeJenkins(issuer, audience=AUDIENCE, variable=variable)

    assert mint(ci.environ()) == ci.id_token
    assert find(ci.environ()).provider == provider


@pytest.mark.parametrize(
    ("variable", "provider"), [("KEYLESS_ID_TOKEN_FILE", "file"), (f"{URL_VARIABLE}_FILE", "jenkins")]
)
def test_a_bound_file(issuer: FakeIssuer, variable: str, provider: str) -> None:
    """The plugin's second kind of credential."""
    with FakeJenkins(issuer, audience=AUDIENCE) as ci:
        environ = ci.bind_file(variable)

        assert mint(environ) == ci.id_token
        assert find(environ).provider == provider


def test_a_file_outside_its_block(issuer: FakeIssuer) -> None:
    """The binding removes it at the block's end."""
    with FakeJenkins(issuer, audience=AUDIENCE) as ci:
        environ = ci.bind_file(f"{URL_VARIABLE}_FILE")
    error = failure(environ)

    assert isinstance(error, MintError)
    assert "withCredentials" in (error.hint or "")


def test_a_build_without_a_binding_is_shown_the_pipeline(issuer: FakeIssuer) -> None:
    """The lines, and the audience to put into the credential."""
    error = failure(FakeJenkins(issuer, bound=False).environ())

    assert isinstance(error, IdTokenPermissionError)
    assert "withCredentials([string(credentialsId: 'keyless', variable: 'HF_OIDC_ID_TOKEN')])" in (error.hint or "")
    assert AUDIENCE in (error.hint or "")
    assert "JENKINS_URL" not in (error.hint or "")


def test_a_controller_without_its_url(issuer: FakeIssuer) -> None:
    """JENKINS_URL unset: the issuer would be wrong."""
    environ = FakeJenkins(issuer, bound=False).environ()
    del environ["JENKINS_URL"]

    assert "JENKINS_URL" in (failure(environ).hint or "")


def test_a_credential_without_audience(issuer: FakeIssuer) -> None:
    """It may be left empty: then the token is meant for nobody."""
    ci = FakeJenkins(issuer, variable=URL_VARIABLE)
    error = failure(ci.environ())

    assert isinstance(error, AudienceError)
    assert "nobody" in str(error)
