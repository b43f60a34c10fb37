"""Kubernetes: a projected token, or one that the cluster makes on request (S11)."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from keyless.errors import AudienceError, MintError
from keyless.http.deadline import Deadline
from keyless.providers import kubernetes
from keyless.providers.detect import detect_provider
from keyless.providers.kubernetes import TokenRequest
from keyless.testing import FakeIssuer, unverified_claims
from keyless.testing.kubernetes import FakeKubernetes
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint
from tests.support.certificates import make_authority, server_context
from tests.support.job import make_id_token
from tests.support.stub import Answer, StubServer


def test_a_mounted_token_is_read_anew(issuer: FakeIssuer) -> None:
    """The kubelet rotates it by exchanging a link; `aud` is always a list."""
    with FakeKubernetes(issuer, audience=AUDIENCE) as pod:
        found = find(pod.environ())
        first = claims_of(pod.environ())
        pod.rotate()
        second = claims_of(pod.environ())

    assert (found.provider, found.mints_anew) == ("kubernetes", True)
    assert first["aud"] == [AUDIENCE]
    assert first["jti"] != second["jti"]


def test_the_documented_place_needs_no_variable(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A volume mounted for keyless is a decision; the place is moved for this test."""
    place = tmp_path / "token"
    monkeypatch.setattr(kubernetes, "TOKEN_PATH", str(place))
    absent = detect_provider({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    place.write_text(make_id_token([AUDIENCE]))

    assert absent is None
    assert mint({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == place.read_text()


def test_a_pod_alone_is_no_identity() -> None:
    """The default token is for the API server and is sent nowhere; the hint is the volume to add."""
    hint = hint_of({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})

    assert f'audience: "{AUDIENCE}"' in hint
    assert "mountPath: /var/run/secrets/keyless" in hint
    assert "subPath" in hint


def test_the_default_token_is_recognised(issuer: FakeIssuer) -> None:
    """Wrong audience: reported before anything is sent."""
    with FakeKubernetes(issuer) as pod:
        path = f"{pod.service_account_directory}/token"
        error = failure({**pod.environ(), "KEYLESS_KUBERNETES_TOKEN_FILE": path})

    assert isinstance(error, AudienceError)
    assert "kubernetes.default.svc" in str(error)
    assert AUDIENCE in (error.hint or "")


def test_a_missing_file_shows_the_volume() -> None:
    """File absent."""
    hint = hint_of({"KEYLESS_KUBERNETES_TOKEN_FILE": "/nonexistent/token"})

    assert f'audience: "{AUDIENCE}"' in hint


def test_a_clouds_file_serves_its_own_audience_only(tmp_path: Path) -> None:
    """EKS mounts one for STS: good for that, and for nothing else."""
    (tmp_path / "token").write_text(make_id_token(["sts.amazonaws.com"]))
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}

    assert find(environ, "sts.amazonaws.com").provider == "kubernetes"
    assert "Kubernetes pod" in hint_of(environ)


def request(pod: FakeKubernetes) -> str:
    found = TokenRequest(pod.origin, pod.service_account_directory)
    return found.mint(AUDIENCE, deadline=Deadline(5), environ={}).reveal()


def test_the_cluster_makes_a_token_for_our_audience(issuer: FakeIssuer) -> None:
    """TokenRequest with the pod's own API token."""
    with FakeKubernetes(issuer, may_create_tokens=True) as pod:
        claims = unverified_claims(request(pod))

    assert claims["aud"] == [AUDIENCE]
    assert pod.requests[0].json()["kind"] == "TokenRequest"


def test_a_role_that_may_not_is_told_the_rule(issuer: FakeIssuer) -> None:
    """403: the RBAC rule."""
    with FakeKubernetes(issuer) as pod, pytest.raises(MintError) as caught:
        request(pod)

    assert "serviceaccounts/token" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["token", "namespace", "ca.crt"])
def test_a_pod_without_an_api_token(issuer: FakeIssuer, name: str) -> None:
    """automountServiceAccountToken: false."""
    with FakeKubernetes(issuer, may_create_tokens=True) as pod:
        (Path(pod.service_account_directory) / name).unlink()
        with pytest.raises(MintError) as caught:
            request(pod)

    assert "automountServiceAccountToken" in (caught.value.hint or "")


def test_an_explicit_choice_asks_the_cluster() -> None:
    """Without a volume, and only in a pod."""
    chosen = {"KEYLESS_PROVIDER": "kubernetes"}

    assert isinstance(find({**chosen, "KUBERNETES_SERVICE_HOST": "fd00::1"}), TokenRequest)
    assert "KUBERNETES_SERVICE_HOST" in hint_of(chosen)


@pytest.mark.parametrize("trusted", [True, False])
def test_only_the_clusters_own_authority_counts(issuer: FakeIssuer, tmp_path: Path, trusted: bool) -> None:
    """The API server is checked with the pod's ca.crt and nothing else."""
    authority, _ = make_authority("127.0.0.1")
    (tmp_path / "ca.crt").write_text(authority.read_text() if trusted else _other_authority())
    (tmp_path / "namespace").write_text("ci")
    (tmp_path / "token").write_text(make_id_token("api", sub="system:serviceaccount:ci:builder"))
    with StubServer(tls=server_context("127.0.0.1")) as api:
        api.on("/api/v1/namespaces/ci/serviceaccounts/builder/token", Answer(201, {"status": {"token": "abc"}}))
        found = TokenRequest(api.url, str(tmp_path))
        if trusted:
            assert found.mint(AUDIENCE, deadline=Deadline(5), environ={}).reveal() == "abc"
        else:
            with pytest.raises(MintError, match="not trusted"):
                found.mint(AUDIENCE, deadline=Deadline(5), environ={})


def _other_authority() -> str:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None:
        pytest.skip("this machine has no bundle of other authorities")
    return Path(paths.cafile).read_text()
