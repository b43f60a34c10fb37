"""Google Cloud's metadata server: a machine's identity (S11)."""

from __future__ import annotations

import pytest

from keyless.errors import MintError, MintUnavailableError
from keyless.providers.absent import is_google_machine
from keyless.providers.detect import detect_provider
from keyless.testing import FakeIssuer
from keyless.testing.google_cloud import FakeGoogleCloud
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint

ACCOUNT = "publisher@acme-prod.iam.gserviceaccount.com"


def test_the_metadata_server_mints(issuer: FakeIssuer) -> None:
    """Raw text, Metadata-Flavor, format=full."""
    with FakeGoogleCloud(issuer) as cloud:
        found = find(cloud.environ())
        claims = claims_of(cloud.environ())

    assert (found.provider, found.mints_anew) == ("google-cloud", True)
    assert claims["aud"] == AUDIENCE
    assert "google" in claims
    assert cloud.requests[0].header("metadata-flavor") == "Google"


def test_another_account_can_be_impersonated(issuer: FakeIssuer) -> None:
    """The variable that other clients read, too."""
    with FakeGoogleCloud(issuer, may_impersonate=(ACCOUNT,)) as cloud:
        claims = claims_of(cloud.environ(impersonate=ACCOUNT))

    assert (claims["email"], claims["aud"]) == (ACCOUNT, AUDIENCE)


def test_an_account_that_may_not_impersonate(issuer: FakeIssuer) -> None:
    """403 names the role."""
    with FakeGoogleCloud(issuer) as cloud:
        assert "serviceAccountOpenIdTokenCreator" in hint_of(cloud.environ(impersonate=ACCOUNT))


@pytest.mark.parametrize(
    "marker", ["GCE_METADATA_HOST", "GCE_METADATA_IP", "CLOUD_RUN_JOB", "BUILDER_OUTPUT", "K_SERVICE"]
)
def test_runtimes_that_say_what_they_are(marker: str) -> None:
    """Documented variables only; nothing is probed."""
    assert detect_provider({marker: "x"}) == "google-cloud"


@pytest.mark.parametrize(
    "environ",
    [
        {"K_SERVICE": "x", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        {"GCE_METADATA_HOST": "x", "NO_GCE_CHECK": "true"},
        {"GOOGLE_CLOUD_PROJECT": "x"},
    ],
    ids=["knative", "switched off", "a project is no machine"],
)
def test_what_is_not_a_google_machine(environ: dict[str, str]) -> None:
    """Knative sets K_SERVICE on any cluster."""
    assert detect_provider(environ) is None


def test_a_plain_machine_is_chosen_by_name(issuer: FakeIssuer) -> None:
    """And NO_GCE_CHECK does not stand in the way of an explicit choice."""
    with FakeGoogleCloud(issuer) as cloud:
        environ = {**cloud.environ(), "NO_GCE_CHECK": "true", "KEYLESS_PROVIDER": "google-cloud"}

        assert claims_of(environ)["aud"] == AUDIENCE
    assert find({"KEYLESS_PROVIDER": "google-cloud"}).provider == "google-cloud"


def test_a_machine_without_a_service_account(issuer: FakeIssuer) -> None:
    """404."""
    with FakeGoogleCloud(issuer, has_account=False) as cloud:
        error = failure(cloud.environ())

    assert isinstance(error, MintError)
    assert "no service account" in (error.hint or "")


def test_metadata_blocked_is_said_within_seconds(issuer: FakeIssuer) -> None:
    """A container without a way to it: capped, not the whole deadline."""
    with FakeGoogleCloud(issuer) as cloud:
        cloud.misbehave("slow")
        error = failure({**cloud.environ(), "GCE_METADATA_TIMEOUT": "0.2"}, seconds=30)
        cloud.behave()

    assert isinstance(error, MintUnavailableError)
    assert "169.254.169.254" in (error.hint or "")


@pytest.mark.parametrize("timeout", ["", "x", "nan", "-1", "0", "1e9"])
def test_a_strange_timeout_is_the_default(issuer: FakeIssuer, timeout: str) -> None:
    """No crash, no endless wait."""
    with FakeGoogleCloud(issuer) as cloud:
        assert mint({**cloud.environ(), "GCE_METADATA_TIMEOUT": timeout})


@pytest.mark.parametrize(("text", "google"), [("Google\n", True), ("Google Compute Engine", True), ("KVM", False)])
def test_the_firmware_tells_a_google_machine(tmp_path: object, text: str, google: bool) -> None:
    """Used for a hint only: a machine's identity is never taken silently."""
    from pathlib import Path

    path = Path(str(tmp_path)) / "product_name"
    path.write_text(text)

    assert is_google_machine(str(path)) is google
    assert not is_google_machine(f"{path}-absent")
