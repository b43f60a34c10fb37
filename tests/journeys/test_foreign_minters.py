"""FakeCI is honest: other people's unmodified clients mint from it.

They live in environments of their own, which `make journeys` makes from `requirements/minters.txt` and from the
package lock in `actions_core/`. A missing one is a failure, not a skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from keyless.errors import MintUnavailableError
from keyless.http.deadline import Deadline
from keyless.providers.detect import find_mint
from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.aws import ROLE_ARN
from keyless.testing.azure_devops import AUDIENCE as AZURE_AUDIENCE
from tests.support.certificates import make_authority, server_context
from tests.support.stub import Answer, StubServer

pytestmark = pytest.mark.journey

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venvs/minters/bin/python"
UV = ROOT / ".venvs/minters/bin/uv"
ACTIONS_CORE = ROOT / ".venvs/actions-core"
NODE = ROOT / ".venvs/node/bin/node"

AUDIENCE = "https://hub.example.org"
AUDIENCE_VARIABLE = "HTTPS___HUB_EXAMPLE_ORG_ID_TOKEN"

ID = f"import id; print(id.detect_credential({AUDIENCE!r}))"
# It knows one file and one host name of Google's machines; only these two are given others, the code is its own.
ID_ON_GOOGLE = """
import os, id._internal.oidc.ambient as ambient
ambient._GCP_PRODUCT_NAME_FILE = os.environ["PRODUCT_NAME_FILE"]
for name in [name for name in vars(ambient) if name.startswith("_GCP") and name.endswith("_URL")]:
    setattr(ambient, name, getattr(ambient, name).replace("metadata/", os.environ["GCE_METADATA_HOST"] + "/", 1))
"""
GOOGLE_AUTH = f"""
import google.auth.transport.requests as transport, google.oauth2.id_token as id_token
print(id_token.fetch_id_token(transport.Request(), {AUDIENCE!r}))
"""
IDENTITY_POOL = """
import json, os, google.auth.transport.requests as transport
from google.auth import identity_pool
credentials = identity_pool.Credentials(
    audience="//iam.example.org/pool", subject_token_type="urn:ietf:params:oauth:token-type:jwt",
    token_url="http://127.0.0.1:9/never", credential_source=json.loads(os.environ["SOURCE"]))
print(credentials.retrieve_subject_token(transport.Request()))
"""
BOTO3 = f"""
import boto3
answer = boto3.client("sts").get_web_identity_token(Audience=[{AUDIENCE!r}], SigningAlgorithm="RS256")
print(answer["WebIdentityToken"])
"""
DATABRICKS = f"""
import os
from databricks.sdk.oidc_token_supplier import AzureDevOpsOIDCTokenSupplier, GitHubOIDCTokenSupplier
supplier = AzureDevOpsOIDCTokenSupplier() if os.environ.get("TF_BUILD") else GitHubOIDCTokenSupplier()
print(supplier.get_oidc_token({AUDIENCE!r}))
"""
SPIFFE = f"""
import warnings; warnings.simplefilter("ignore")
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_jwt_svid(audience={{{AUDIENCE!r}}}).token)
"""
TOOLKIT = f"""
import * as core from "@actions/core";
console.log(await core.getIDToken({AUDIENCE!r}));
"""


def run(words: Sequence[str | Path], environ: Mapping[str, str], cwd: Path | None = None) -> str:
    """Run a foreign program with the job's variables and return what it printed."""
    program = Path(words[0])
    if not program.exists():
        pytest.fail(f"{program} is missing: run `make journeys`")
    finished = subprocess.run(
        [str(word) for word in words],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-1000:] + finished.stderr[-2000:]
    return finished.stdout


def mint(program: str, environ: Mapping[str, str]) -> dict[str, object]:
    """Run a Python program in the foreign environment, and read the claims of the token it prints last."""
    return unverified_claims(run([PYTHON, "-c", program], environ).split()[-1])


@pytest.mark.parametrize("platform", ["github", "forgejo", "circleci", "buildkite"])
def test_id(issuer: FakeIssuer, platform: str) -> None:
    """What twine and sigstore-python mint with."""
    with getattr(FakeCI, platform)(issuer) as ci:
        assert mint(ID, ci.environ())["aud"] == AUDIENCE


def test_id_on_gitlab(issuer: FakeIssuer) -> None:
    """The variable named for the audience."""
    ci = FakeCI.gitlab(issuer, audience=AUDIENCE, variable=AUDIENCE_VARIABLE)

    assert mint(ID, ci.environ())["aud"] == AUDIENCE


def test_id_on_google(issuer: FakeIssuer, tmp_path: Path) -> None:
    """Google's machine under another address: a test cannot be one."""
    product_name = tmp_path / "product_name"
    product_name.write_text("Google Compute Engine\n")
    with FakeCI.google_cloud(issuer) as cloud:
        claims = mint(ID_ON_GOOGLE + ID, {**cloud.environ(), "PRODUCT_NAME_FILE": str(product_name)})

    assert claims["aud"] == AUDIENCE


@pytest.mark.parametrize("platform", ["github", "forgejo"])
def test_actions_core(issuer: FakeIssuer, platform: str) -> None:
    """GitHub's own toolkit, by which JavaScript actions mint; it masks the token and then hands it over."""
    if not (ACTIONS_CORE / "node_modules/@actions/core").is_dir():
        pytest.fail(f"{ACTIONS_CORE} is missing: run `make journeys`")
    with getattr(FakeCI, platform)(issuer) as ci:
        output = run([NODE, "--input-type=module", "-e", TOOLKIT], ci.environ(), cwd=ACTIONS_CORE)

    *_, masked, token = output.split()  # it logs the URL before
    assert masked == f"::add-mask::{token}"
    assert unverified_claims(token)["aud"] == AUDIENCE


@pytest.fixture
def index() -> Iterator[StubServer]:
    """A package index that names its audience and takes any id token, over TLS as uv demands."""
    with StubServer(tls=server_context()) as server:
        server.on("/_/oidc/audience", Answer(200, {"audience": AUDIENCE}))
        server.on("/_/oidc/mint-token", Answer(200, {"success": True, "token": "pypi-minted-by-the-index"}))
        server.on("/legacy/", Answer(200, b""))
        yield server


def uv_platform(issuer: FakeIssuer, platform: str) -> AbstractContextManager[Any]:
    if platform == "gitlab":
        return nullcontext(FakeCI.gitlab(issuer, audience=AUDIENCE, variable=AUDIENCE_VARIABLE))
    made: AbstractContextManager[Any] = getattr(FakeCI, platform)(issuer)
    return made


@pytest.mark.parametrize("platform", ["github", "forgejo", "gitlab", "circleci", "buildkite"])
def test_uv_publish(issuer: FakeIssuer, index: StubServer, tmp_path: Path, platform: str) -> None:
    """Audience, mint, exchange, upload, by a program that shares no line with any Python client."""
    wheel = tmp_path / "widgets-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("widgets-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: widgets\nVersion: 1.0\n")
        archive.writestr("widgets-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("widgets-1.0.dist-info/RECORD", "")
    words: list[str | Path] = [
        UV,
        "publish",
        "--no-config",
        "--trusted-publishing",
        "always",
        "--publish-url",
        f"{index.url}/legacy/",
    ]
    with uv_platform(issuer, platform) as ci:
        environ = {"SSL_CERT_FILE": str(make_authority("127.0.0.1")[0]), "UV_CACHE_DIR": str(tmp_path / "cache")}
        run([*words, wheel], {**ci.environ(), **environ})

    sent = [request for request in index.requests if request.path == "/_/oidc/mint-token"]
    assert [unverified_claims(str(request.json()["token"]))["aud"] for request in sent] == [AUDIENCE]
    assert "/legacy/" in {request.path for request in index.requests}


@pytest.mark.parametrize("platform", ["github", "forgejo", "azure_devops"])
def test_databricks(issuer: FakeIssuer, platform: str) -> None:
    """It builds Azure's URL from five variables instead of the one."""
    with getattr(FakeCI, platform)(issuer) as ci:
        audience = mint(DATABRICKS, ci.environ())["aud"]

    assert audience == (AZURE_AUDIENCE if platform == "azure_devops" else AUDIENCE)


def test_google_auth(issuer: FakeIssuer) -> None:
    """Ping, account, identity."""
    with FakeCI.google_cloud(issuer) as cloud:
        environ = cloud.environ()

        assert mint(GOOGLE_AUTH, {**environ, "GCE_METADATA_IP": environ["GCE_METADATA_HOST"]})["aud"] == AUDIENCE


@pytest.mark.parametrize("platform", ["github", "forgejo"])
def test_google_auth_from_a_url(issuer: FakeIssuer, platform: str) -> None:
    """Workload identity federation takes its token from the platform's URL, as its configuration describes it."""
    with getattr(FakeCI, platform)(issuer) as ci:
        environ = ci.environ()
        source = {
            "url": f"{environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={AUDIENCE}",
            "headers": {"Authorization": f"bearer {environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }

        assert mint(IDENTITY_POOL, {**environ, "SOURCE": json.dumps(source)})["aud"] == AUDIENCE


def test_google_auth_from_a_file(issuer: FakeIssuer) -> None:
    """The same in a pod, from the projected token."""
    with FakeCI.kubernetes(issuer, audience=AUDIENCE) as pod:
        environ = pod.environ()
        source = {"file": environ["KEYLESS_KUBERNETES_TOKEN_FILE"]}

        assert mint(IDENTITY_POOL, {**environ, "SOURCE": json.dumps(source)})["aud"] == [AUDIENCE]


@pytest.mark.parametrize("source", ["keys", "container", "instance"])
def test_boto3(issuer: FakeIssuer, source: str) -> None:
    """AWS's own signer is accepted, by a check that knows only the documentation."""
    with FakeCI.aws(issuer) as aws:
        environ = aws.environ(source)  # type: ignore[arg-type]  # a parametrised literal
        claims = mint(BOTO3, {**environ, "AWS_DEFAULT_REGION": environ["AWS_REGION"]})

    assert (claims["aud"], claims["sub"]) == (AUDIENCE, ROLE_ARN)


def test_spiffe(issuer: FakeIssuer) -> None:
    """The reference client, over Google's gRPC."""
    with FakeCI.spiffe(issuer) as spire:
        assert mint(SPIFFE, spire.environ())["aud"] == [AUDIENCE]


GRPC_SERVER = """
import sys
from concurrent import futures
import grpc

def field(number, content):
    size, head = len(content), bytearray([number << 3 | 2])
    while size >= 128:
        head.append(size % 128 + 128)
        size //= 128
    return bytes([*head, size]) + content

def fetch(request, context):
    if dict(context.invocation_metadata()).get("workload.spiffe.io") != "true":
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
    if b"forbidden" in request:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued, " + "a long word " * 100)
    if b"late" in request:
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    token = "head." + "x" * (200_000 if b"large" in request else 900) + ".signature"
    one = field(1, b"spiffe://example.org/builder") + field(2, token.encode()) + field(3, b"hint")
    other = field(1, b"spiffe://example.org/other") + field(2, b"not.this.one")
    context.set_trailing_metadata([("x-some", "value")] * 3)
    return field(1, one) + field(1, other)

server = grpc.server(futures.ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(fetch)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", {"FetchJWTSVID": handler})])
server.add_insecure_port("unix:" + sys.argv[1])
server.start()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A workload API on Google's own gRPC server."""
    path = tmp_path_factory.mktemp("agent") / "api.sock"
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing: run `make journeys`")
    with subprocess.Popen(
        [PYTHON, "-c", GRPC_SERVER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield {"SPIFFE_ENDPOINT_SOCKET": f"unix://{path}"}
        process.terminate()


@pytest.mark.parametrize(("audience", "length"), [(AUDIENCE, 900), ("https://large.example.org", 200_000)])
def test_our_client_on_googles_grpc_server(agent: dict[str, str], audience: str, length: int) -> None:
    """The way back: HTTP/2 as the real agents speak it, with compressed headers and windows to be opened."""
    found = find_mint(agent, audience)
    token = found.mint(audience, deadline=Deadline(10), environ=agent).reveal()

    assert token == "head." + "x" * length + ".signature"


@pytest.mark.parametrize(("audience", "words"), [("forbidden", "PermissionDenied"), ("late", "in time")])
def test_what_googles_grpc_server_refuses(agent: dict[str, str], audience: str, words: str) -> None:
    """Its status is read out of its trailers."""
    with pytest.raises(MintUnavailableError, match=words):
        find_mint(agent, audience).mint(audience, deadline=Deadline(10), environ=agent)
