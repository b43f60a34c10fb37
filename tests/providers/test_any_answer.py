"""Whatever a platform answers, minting ends in a token or in an error of ours that shows no credential."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyless.errors import MintError
from keyless.http.deadline import Deadline
from keyless.providers.base import CanMint
from keyless.providers.kubernetes import TokenRequest
from tests.providers.asking import AUDIENCE, find
from tests.support.job import make_id_token
from tests.support.stub import Answer, Recorded, StubServer

SECRET = "credential-0123456789abcdefghijklmnopqrstuvwxyz"
Way = Callable[[str, Path], tuple[CanMint, dict[str, str]]]


class AnyPathServer(StubServer):
    """Answer every request the same, whatever its path."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Answer()

    def _next(self, request: Recorded) -> Answer:
        return self.answer


@pytest.fixture(scope="module")
def server() -> Iterator[AnyPathServer]:
    with AnyPathServer() as running:
        yield running


def by_variables(make: Callable[[str], dict[str, str]]) -> Way:
    def way(url: str, folder: Path) -> tuple[CanMint, dict[str, str]]:
        del folder
        return find(make(url)), make(url)

    return way


def by_token_request(url: str, folder: Path) -> tuple[CanMint, dict[str, str]]:
    (folder / "token").write_text(make_id_token("api", sub="system:serviceaccount:ci:builder"))
    (folder / "namespace").write_text("ci")
    (folder / "ca.crt").write_text("")
    return TokenRequest(url, str(folder)), {}


def request_variables(url: str) -> dict[str, str]:
    return {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/x?y=z", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET}


def aws_variables(url: str) -> dict[str, str]:
    return {"KEYLESS_PROVIDER": "aws", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": url}


WAYS: dict[str, Way] = {
    "github": by_variables(lambda url: {"GITHUB_ACTIONS": "true", **request_variables(url)}),
    "forgejo": by_variables(lambda url: {"FORGEJO_ACTIONS": "true", **request_variables(url)}),
    "buildkite": by_variables(
        lambda url: {
            "BUILDKITE_AGENT_ACCESS_TOKEN": SECRET,
            "BUILDKITE_JOB_ID": "1",
            "BUILDKITE_AGENT_ENDPOINT": url,
        }
    ),
    "azure-devops": by_variables(
        lambda url: {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": url, "SYSTEM_ACCESSTOKEN": SECRET}
    ),
    "google-cloud": by_variables(lambda url: {"GCE_METADATA_HOST": url.removeprefix("http://")}),
    "google-cloud as another": by_variables(
        lambda url: {
            "GCE_METADATA_HOST": url.removeprefix("http://"),
            "GOOGLE_SERVICE_ACCOUNT_NAME": "a@b",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": url,
        }
    ),
    "aws": by_variables(
        lambda url: {**aws_variables(url), "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    ),
    "aws container": by_variables(
        lambda url: {
            **aws_variables(url),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
        }
    ),
    "aws instance": by_variables(lambda url: {**aws_variables(url), "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}),
    "kubernetes": by_token_request,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a.b.c"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["value", "token", "oidcToken", "access_token", "status", "AccessKeyId", "SecretAccessKey", "Token"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
XML = st.text("<>/WebIdentityTokenCode abc.", max_size=60).map(str.encode)


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=st.binary(max_size=120) | XML | JSON, status=st.sampled_from([200, 200, 201, 400, 403, 404, 500]))
def test_any_answer_ends_in_a_token_or_our_error(
    server: AnyPathServer, tmp_path: Path, name: str, body: object, status: int
) -> None:
    """Issue 4: any bytes from a mint endpoint never crash minting."""
    server.answer = Answer(status, body)
    found, environ = WAYS[name](server.url, tmp_path)
    try:
        token = found.mint(AUDIENCE, deadline=Deadline(5), environ=environ)
    except MintError as error:
        shown = f"{error!r} {error} {error.hint}"
    else:
        shown = repr(token)

    assert SECRET not in shown
