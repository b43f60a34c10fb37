"""The fake pod has what a kubelet and an API server give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.kubernetes import API_AUDIENCE
from tests.testing.calls import http

URL = "/api/v1/namespaces/ci/serviceaccounts/builder/token"


def test_the_projected_file_is_rotated_by_a_link(issuer: FakeIssuer) -> None:
    """The path stays, the content is another; a list as audience."""
    with FakeCI.kubernetes(issuer, audience="x") as pod:
        path = Path(pod.environ()["KEYLESS_KUBERNETES_TOKEN_FILE"])
        first = path.read_text()
        pod.rotate()

        assert path.is_symlink()
        assert path.read_text() != first
    assert unverified_claims(first)["aud"] == ["x"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("allowed", "path", "token", "body", "status"),
    [
        (True, URL, None, {"kind": "TokenRequest", "spec": {"audiences": ["x"]}}, 201),
        (True, URL, None, {"kind": "TokenRequest", "spec": {"expirationSeconds": 599}}, 422),
        (True, URL, None, {"kind": "Pod"}, 400),
        (True, URL, "guess", {}, 401),
        (True, URL.replace("builder", "other"), None, {}, 404),
        (False, URL, None, {"kind": "TokenRequest", "spec": {}}, 403),
    ],
)
def test_the_api_makes_tokens(
    issuer: FakeIssuer, allowed: bool, path: str, token: str | None, body: object, status: int
) -> None:
    """TokenRequest."""
    with FakeCI.kubernetes(issuer, may_create_tokens=allowed) as pod:
        own = (Path(pod.service_account_directory) / "token").read_text()
        answer = http("POST", f"{pod.origin}{path}", {"Authorization": f"Bearer {token or own}"}, body)

    assert answer[0] == status
    assert unverified_claims(own)["aud"] == [API_AUDIENCE]
    if status == 201:
        assert unverified_claims(json.loads(answer[1])["status"]["token"])["aud"] == ["x"]
