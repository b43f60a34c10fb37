"""Generic OAuth clients, unmodified, get a token from `/oauth/token` of a real service process (S4, D22).

None of them knows us. Each is pointed at the service the way its documentation says, gives it what a CI platform would
hand over, and prints the token; the token must then be good for the one resource. They live in `.venvs/clients`, the
one for node in `.venvs/openid-client`.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from keyless.errors import TokenError
from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.testing import FakeCI, FakeIssuer
from keyless.testing.github import FakeGitHub
from keyless.verifier import Introspection, VerifiedAccessToken, Verifier
from tests.support.running import RunningService

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venvs" / "clients" / "bin" / "python"
NODE = ROOT / ".venvs" / "node" / "bin" / "node"
OPENID_CLIENT = ROOT / ".venvs" / "openid-client"

GOOGLE_AUTH = """
import os
from google.auth import exceptions, identity_pool
from google.auth.transport.requests import Request

source = {
    "url": f"{os.environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={os.environ['SERVICE']}",
    "headers": {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    "format": {"type": "json", "subject_token_field_name": "value"},
}
credentials = identity_pool.Credentials(
    audience=os.environ["AUDIENCE"],
    subject_token_type="urn:ietf:params:oauth:token-type:jwt",
    token_url=f"{os.environ['SERVICE']}/oauth/token",
    credential_source=source,
)
credentials.refresh(Request())
assert credentials.valid and credentials.expiry is not None
print(credentials.token)
"""
OPENAI = """
import os
from openai import OpenAI
from openai.auth import WorkloadIdentityAuth

identity = {
    "identity_provider_id": os.environ["PUBLISHER"],
    "service_account_id": "anything",
    "provider": {"token_type": os.environ["TOKEN_TYPE"], "get_token": lambda: os.environ["ID_TOKEN"]},
}
auth = WorkloadIdentityAuth(
    workload_identity=identity, token_exchange_url=f"{os.environ['SERVICE']}/oauth/token"
)
print(auth.get_token())
"""
AUTHLIB = """
import os
from authlib.integrations.requests_client import OAuth2Session

session = OAuth2Session(client_id="a-ci-job", token_endpoint_auth_method="none")
token = session.fetch_token(
    f"{os.environ['SERVICE']}/oauth/token",
    grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token=os.environ["ID_TOKEN"],
    subject_token_type="urn:ietf:params:oauth:token-type:id_token",
    resource="acme/model",
)
print(token["access_token"])
"""
REQUESTS_OAUTHLIB = """
import os
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

client = BackendApplicationClient(client_id="a-ci-job")
client.grant_type = "urn:ietf:params:oauth:grant-type:token-exchange"
token = OAuth2Session(client=client).fetch_token(
    f"{os.environ['SERVICE']}/oauth/token",
    include_client_id=True,
    subject_token=os.environ["ID_TOKEN"],
    subject_token_type="urn:ietf:params:oauth:token-type:id_token",
    resource="acme/model",
)
print(token["access_token"])
"""
# It finds the token endpoint in our metadata and names nothing but a client: the publisher.
DATABRICKS = """
from databricks.sdk.core import Config

print(Config().authenticate()["Authorization"].removeprefix("Bearer "))
"""
OPENID_CLIENT_PROGRAM = """
import * as client from 'openid-client'

const options = { execute: [client.allowInsecureRequests] }
if (process.env.ALGORITHM) options.algorithm = process.env.ALGORITHM
const config = await client.discovery(new URL(process.env.SERVICE), 'a-ci-job', undefined, client.None(), options)
const tokens = await client.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
  subject_token: process.env.ID_TOKEN,
  subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
  resource: 'acme/model',
})
console.log(tokens.access_token)
"""
# From the resource to the token service, and from there to its endpoints (RFC 9728, RFC 8414).
OAUTH4WEBAPI_PROGRAM = """
import * as oauth from 'oauth4webapi'

const options = { [oauth.allowInsecureRequests]: true }
const hub = new URL(process.env.SERVICE)
const resource = await oauth.processResourceDiscoveryResponse(hub, await oauth.resourceDiscoveryRequest(hub, options))
const issuer = new URL(resource.authorization_servers[0])
const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
const server = await oauth.processDiscoveryResponse(issuer, found)
const client = { client_id: 'a-ci-job' }
const parameters = new URLSearchParams({
  subject_token: process.env.ID_TOKEN,
  subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
  resource: 'acme/model',
})
const grant = 'urn:ietf:params:oauth:grant-type:token-exchange'
const answer = await oauth.genericTokenEndpointRequest(server, client, oauth.None(), grant, parameters, options)
const tokens = await oauth.processGenericTokenEndpointResponse(server, client, answer)
const gone = await oauth.revocationRequest(server, client, oauth.None(), tokens.access_token, options)
await oauth.processRevocationResponse(gone)
console.log(tokens.access_token)
"""
AUTHLIB_METADATA = """
import json, sys
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

metadata = AuthorizationServerMetadata(json.load(sys.stdin))
metadata.validate_issuer(); metadata.validate_token_endpoint(); metadata.validate_jwks_uri()
metadata.validate_authorization_endpoint(); metadata.validate_revocation_endpoint()
metadata.validate_grant_types_supported(); metadata.validate_token_endpoint_auth_methods_supported()
print("valid")
"""


@dataclass
class Platform:
    """A CI platform and the service it publishes through."""

    service: RunningService
    github: FakeGitHub
    verifier: Verifier
    publisher: str

    def environment(self, **more: str) -> dict[str, str]:
        """What the program sees: the job's variables, the service, a fresh id token; no other login."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.service.directory),
            "SERVICE": self.service.url,
            "PUBLISHER": self.publisher,
            "ID_TOKEN": self.service.mint(),
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
            "AUTHLIB_INSECURE_TRANSPORT": "1",
            **self.github.environ(),
            **more,
        }

    def run(
        self, command: list[str], *, given: str = "", cwd: Path | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a client; a missing one is a failure."""
        if not Path(command[0]).exists():
            pytest.fail(f"{command[0]} is missing: run `make journeys`")
        environment = self.environment(**(more or {}))
        return subprocess.run(
            command, env=environment, cwd=cwd, input=given, capture_output=True, text=True, timeout=60, check=False
        )

    def python(self, program: str, **more: str) -> VerifiedAccessToken:
        """Run a Python client that must work; return its token, verified and live."""
        return self.verified(self.run([str(PYTHON), "-c", program], more=more))

    def verified(self, done: subprocess.CompletedProcess[str]) -> VerifiedAccessToken:
        """Return the token that a client printed, as the hub would see it."""
        assert done.returncode == 0, done.stderr[-3000:]
        return self.verifier.verify(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A service that trusts one publisher, and the platform whose jobs it accepts."""
    with FakeIssuer() as issuer, FakeCI.github(issuer) as github:
        service = RunningService(tmp_path_factory.mktemp("service"), issuer)
        administration = service.administration()
        publisher = administration.publishers()[0].id
        administration.close()
        service.start()
        done = subprocess.run(
            [str(ROOT / ".venv/bin/keyless"), "trust", "resource-server", "credential", "hub", "--json", "--config",
             "keyless.toml"],
            cwd=service.directory, capture_output=True, check=True, text=True, timeout=60,
        )  # fmt: skip
        credential = Secret(json.loads(done.stdout)["credential"])
        inside = f"http://127.0.0.1:{service.inside_port}/oauth/introspect"
        with Verifier(service.url, service.url, introspection=Introspection(inside, "hub", credential)) as verifier:
            yield Platform(service, github, verifier, publisher)
        service.stop()


def good(token: VerifiedAccessToken, platform: Platform) -> bool:
    """Tell whether a token is for the one resource, of the one publisher."""
    return (token.resource, token.publisher_id) == (parse_resource("acme/model"), platform.publisher)


@pytest.mark.parametrize("audience", ["acme/model", "models/acme/model", "{SERVICE}/acme/model"])
def test_google_auth_identity_pool(platform: Platform, audience: str) -> None:
    """S4, D22: form, `audience` names the resource; it mints from GitHub's URL by itself."""
    assert good(platform.python(GOOGLE_AUTH, AUDIENCE=audience.format(SERVICE=platform.service.url)), platform)


@pytest.mark.parametrize("token_type", ["id", "jwt"])
def test_openai_sdk(platform: Platform, token_type: str) -> None:
    """S4, D22: JSON, `identity_provider_id` names the publisher."""
    assert good(platform.python(OPENAI, TOKEN_TYPE=token_type), platform)


def test_authlib(platform: Platform) -> None:
    """S4: form with a charset, public client."""
    assert good(platform.python(AUTHLIB), platform)


def test_requests_oauthlib(platform: Platform) -> None:
    """S4: form with the client's id in the body."""
    assert good(platform.python(REQUESTS_OAUTHLIB), platform)


def test_databricks_sdk_with_client_id(platform: Platform) -> None:
    """S4, D22: finds the endpoint by discovery, mints on GitHub, and `client_id` names the publisher."""
    url = platform.service.url
    token = platform.python(
        DATABRICKS,
        DATABRICKS_HOST=url,
        DATABRICKS_AUTH_TYPE="github-oidc",
        DATABRICKS_CLIENT_ID=platform.publisher,
        DATABRICKS_TOKEN_AUDIENCE=url,
        DATABRICKS_DISCOVERY_URL=f"{url}/.well-known/oauth-authorization-server",
    )

    assert good(token, platform)


@pytest.mark.parametrize("algorithm", ["", "oidc", "oauth2"])
def test_openid_client_with_discovery(platform: Platform, algorithm: str) -> None:
    """S4, RFC 8414: discovery as it is by default and the other way, then the exchange."""
    done = platform.run(
        [str(NODE), "--input-type=module", "-e", OPENID_CLIENT_PROGRAM],
        cwd=OPENID_CLIENT,
        more={"ALGORITHM": algorithm},
    )

    assert good(platform.verified(done), platform)


def test_from_the_resource_to_its_token_service(platform: Platform) -> None:
    """RFC 9728, RFC 8414, RFC 7009: oauth4webapi goes the whole way, and gives the token back at the end."""
    done = platform.run([str(NODE), "--input-type=module", "-e", OAUTH4WEBAPI_PROGRAM], cwd=OPENID_CLIENT)

    assert done.returncode == 0, done.stderr
    assert introspected(platform, done.stdout.split()[-1]) == "token_revoked"


def introspected(platform: Platform, token: str) -> str:
    """Return the code of the refusal of a token."""
    with pytest.raises(TokenError) as caught:
        platform.verifier.verify(token)
    return caught.value.code


def test_metadata_is_what_the_standard_wants(platform: Platform) -> None:
    """RFC 8414: Authlib's own check of each member."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.service.port, timeout=20)
    connection.request("GET", "/.well-known/oauth-authorization-server")
    document = connection.getresponse().read().decode()
    connection.close()
    done = platform.run([str(PYTHON), "-c", AUTHLIB_METADATA], given=document)

    assert done.stdout.strip() == "valid", done.stderr


REFUSED = {
    "google-auth": (GOOGLE_AUTH, "OAuthError"),
    "openai": (OPENAI, "OAuthError"),
    "authlib": (AUTHLIB, "OAuthError"),
    "requests-oauthlib": (REQUESTS_OAUTHLIB, "invalid_grant"),
}


@pytest.mark.parametrize("client", REFUSED)
def test_refusal_is_read_as_one(platform: Platform, client: str) -> None:
    """D9: the client raises its own error for an OAuth refusal and shows our text, and no token."""
    program, error = REFUSED[client]
    spent = platform.service.mint(ref="refs/heads/other", sub="repo:acme/widgets:ref:refs/heads/other")
    wrong = {"ID_TOKEN": spent, "TOKEN_TYPE": "id", "AUDIENCE": "acme/nothing", "PUBLISHER": "pub_nobody"}
    done = platform.run([str(PYTHON), "-c", program], more=wrong)

    assert done.returncode != 0
    assert error in done.stderr
    assert "no trusted publisher" in done.stderr
    assert spent not in done.stderr


def test_client_that_authenticates_itself_is_no_obstacle(platform: Platform) -> None:
    """RFC 6749 section 2.3: Authlib's default is Basic; a public client is one whatever it sends."""
    body = urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": platform.service.mint(),
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "resource": "acme/model",
        }
    )
    connection = http.client.HTTPConnection("127.0.0.1", platform.service.port, timeout=20)
    basic = base64.b64encode(b"a-ci-job:").decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "Authorization": f"Basic {basic}"}
    connection.request("POST", "/oauth/token", body, headers)
    answer = connection.getresponse()
    content: dict[str, Any] = json.loads(answer.read())
    connection.close()

    assert answer.status == 200
    assert (content["token_type"], type(content["expires_in"])) == ("Bearer", int)
