"""Debian's nginx with `auth_request`, the shipped configuration, in front of the reference hub (T18, V20, T91).

Two hubs stand behind it. One checks tokens itself, as hubs do. The other believes everybody, so that whatever it was
not asked to do was kept from it by nginx alone.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn

from keyless.hub import Hub, create_hub
from keyless.resource import Resource, parse_resource
from keyless.server.store.admin import NewPublisher
from keyless.testing import FakeCI, FakeIssuer
from keyless.trust.publisher import Operation
from tests.hub.running import FakeToken
from tests.support.nginx import ROOT, run_nginx, site
from tests.support.running import RunningService, free_port

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

RULES = ROOT / "deploy" / "forward-auth" / "hub.toml"
TRUST: dict[str, Any] = {
    "claims": {"repository": ["acme/widgets"], "branch": ["main"]},
    "pins": {"repository_id": "456789", "repository_owner_id": "123456"},
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONNECTIONS = 4
REQUESTS = 2_500 * CONNECTIONS


class AnyResource(Resource):
    """A resource that is whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource)

    def __hash__(self) -> int:
        return 0


class Credulous:
    """A verifier that believes everybody everything."""

    def verify(self, token: str, /) -> FakeToken:
        """Believe."""
        del token
        own = parse_resource("acme/model")
        return FakeToken(AnyResource(own.type, own.namespace, own.name), frozenset({"read", "write", "create"}))


@dataclass
class Recorded:
    """The credulous hub, and what reached it."""

    hub: Hub
    port: int
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def commits(self, resource: str) -> int:
        """Count the commits of a repository."""
        repository = self.hub.store.find(parse_resource(resource))
        assert repository is not None
        return len(repository.history(repository.resolve("main"), 1000))


@contextmanager
def serve_credulous(directory: Path) -> Iterator[Recorded]:
    """Run the hub that believes everybody, on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    recorded = Recorded(create_hub(directory, Credulous(), public_url="http://hub.invalid"), listener.getsockname()[1])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            recorded.requests.append((scope["method"], scope["raw_path"].decode("latin-1")))
            recorded.headers.append(
                {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            )
        await recorded.hub(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield recorded
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@dataclass
class Site:
    """What users see: nginx, on one port with the hub that checks, on another with the one that does not."""

    service: RunningService
    port: int
    credulous_port: int
    credulous: Recorded

    def token(self, resource: str = "acme/model") -> str:
        """Exchange a fresh id token."""
        status, answer = self.service.exchange(resource=resource)
        assert status == 200, answer
        return str(answer["access_token"])

    def send(
        self,
        method: str,
        target: str,
        token: str | None = None,
        body: bytes = b"",
        *,
        port: int | None = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request, its target exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            return send_over(connection, method, target, token, body, more or {})
        finally:
            connection.close()


def send_over(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    token: str | None = None,
    body: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request over a connection that is kept."""
    connection._validate_path = lambda url: None  # type: ignore[attr-defined]  # raw targets are what this is about
    connection._encode_request = lambda request: request.encode("latin-1")  # type: ignore[attr-defined]  # as above
    connection.putrequest(method, target, skip_accept_encoding=True)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= more or {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, content


def commit(path: str, content: str) -> bytes:
    """Return the body of a commit of one file."""
    lines = [
        {"key": "header", "value": {"summary": "change", "description": ""}},
        {"key": "file", "value": {"content": b64encode(content.encode()).decode(), "path": path, "encoding": "base64"}},
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service, both hubs and nginx in front of each."""
    directory = tmp_path_factory.mktemp("nginx")
    for name in ("service", "hub", "credulous-hub", "front", "credulous-front"):
        (directory / name).mkdir()
    port, credulous_port, hub_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        issuer = stack.enter_context(FakeIssuer())
        service = RunningService(
            directory / "service", issuer, front=port, settings=f"forward_auth = {json.dumps(str(RULES))}\n"
        )
        administration = service.administration()
        for resource, operations in (
            ("datasets/acme/rows", ()),
            ("acme/other", ()),
            ("acme/readable", (Operation.READ,)),
        ):
            new = NewPublisher(resource=parse_resource(resource), issuer_url=issuer.url, operations=operations, **TRUST)
            administration.add_publisher(new)
        administration.close()
        service.start()
        stack.callback(service.stop)
        credential = _credential(service)
        _start_hub(stack, directory / "hub", service, credential, hub_port)
        credulous = stack.enter_context(serve_credulous(directory / "credulous-hub"))
        for front, public, hub in (("front", port, hub_port), ("credulous-front", credulous_port, credulous.port)):
            folder = directory / front
            upstreams = {"keyless_public": service.port, "keyless_inside": service.inside_port, "keyless_hub": hub}
            text = site("hub.conf", port=public, upstreams=upstreams, directory=folder)
            stack.enter_context(run_nginx(folder, port=public, site_text=text, credential=f"hub:{credential}"))
        yield Site(service, port, credulous_port, credulous)


def _credential(service: RunningService) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "keyless", "trust", "resource-server", "credential", "hub", "--json", "--config",
         "keyless.toml"],
        cwd=service.directory, capture_output=True, check=True, text=True, timeout=60,
    )  # fmt: skip
    return str(json.loads(done.stdout)["credential"])


def _start_hub(stack: ExitStack, directory: Path, service: RunningService, credential: str, port: int) -> None:
    inside = f"http://127.0.0.1:{service.inside_port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hub_process", str(directory), service.url, inside, str(port)],
        cwd=ROOT, env={**os.environ, "HUB_CREDENTIAL": credential},
    )  # fmt: skip
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the hub did not start")


@pytest.fixture(scope="module")
def filled(stand: Site) -> Site:
    """Both hubs with the repositories that the tests write to."""
    for name, kind, resource in (
        ("model", "model", "acme/model"),
        ("other", "model", "acme/other"),
        ("rows", "dataset", "datasets/acme/rows"),
    ):
        body = json.dumps({"name": name, "organization": "acme", "type": kind}).encode()
        token = stand.token(resource)
        for port in (stand.port, stand.credulous_port):
            status, _, answer = stand.send("POST", "/api/repos/create", token, body, port=port)
            assert status in {200, 409}, answer
    return stand


def test_repo_token_writes_its_repo_and_nothing_else(filled: Site) -> None:
    """V18, T90, V20: nginx alone keeps everything else from a hub that believes everybody."""
    token, readable = filled.token(), filled.token("acme/readable")
    hub = filled.credulous
    before = {name: hub.commits(name) for name in ("acme/model", "acme/other", "datasets/acme/rows")}

    def write(resource: str, bearer: str | None) -> int:
        target = f"/api/{resource}/commit/main"
        return filled.send("POST", target, bearer, commit("a.txt", "mine"), port=filled.credulous_port)[0]

    assert write("models/acme/model", token) == 200
    assert write("models/acme/other", token) == 403
    assert write("datasets/acme/rows", token) == 403
    assert write("datasets/acme/model", token) == 403
    assert write("models/acme/model", None) == 401
    assert write("models/acme/model", token[:-1]) == 401
    assert write("models/acme/model", readable) == 403
    assert write("models/acme/readable", readable) == 403
    assert write("models/acme/model", filled.service.mint()) == 401
    assert {name: hub.commits(name) - count for name, count in before.items()} == {
        "acme/model": 1, "acme/other": 0, "datasets/acme/rows": 0,
    }  # fmt: skip


def test_body_names_the_repository_that_the_hub_compares(filled: Site) -> None:
    """T90: what no proxy can see, the hub that checks refuses."""
    body = json.dumps({"name": "stolen", "organization": "acme", "type": "model"}).encode()

    status, headers, _ = filled.send("POST", "/api/repos/create", filled.token(), body)
    assert status == 403
    assert "acme/model only" in headers["x-error-message"]


TRICKS = [
    "/api/models/acme/other/../model/commit/main",
    "/api/models/acme/model/../other/commit/main",
    "/api/models/acme/model/commit/main/../../../other/commit/main",
    "/api/models/acme/%2e%2e/acme/other/commit/main",
    "/api/models/acme/model/%2E%2E/other/commit/main",
    "/api/models/acme/model/.%2e/other/commit/main",
    "/api/models/acme/model/commit/x%2F..%2F..%2Fother",
    "/api/models/acme%2Fother/commit/main",
    "/api/models/acme%2fother/commit/main",
    "/api/models/acme/model%2F..%2Fother/commit/main",
    "/api/models/acme/other%2Fcommit%2Fmain",
    "/api//models/acme/other/commit/main",
    "//api/models/acme/other/commit/main",
    "/api/models/acme/other//commit/main",
    "/API/models/acme/other/commit/main",
    "/api/MODELS/acme/other/commit/main",
    "/api/models/ACME/other/commit/main",
    "/api/models/acme/OTHER/commit/main",
    "/api/models/acme/other/COMMIT/main",
    "/api/models/acme/%6fther/commit/main",
    "/api/models/acme/othe\u00df/commit/main",
    "/api/models/acme/%EF%BD%8Fther/commit/main",
    "/api/models/acme/model/%EF%BC%8E%EF%BC%8E/other/commit/main",
    "/api/models/acme/model/%C0%AE%C0%AE/other/commit/main",
    "/api/models/acme/model/%E0%80%AE%E0%80%AE/other/commit/main",
    "/api/models/acme/model/..;/other/commit/main",
    "/api/models/acme/model;x/../other/commit/main",
    "/api/models/acme/other/commit/main%00",
    "/api/models/acme/other/commit/main%0d%0aX:y",
    "/api/models/acme/model/..%5cother/commit/main",
    "/api/models/acme/model\\..\\other/commit/main",
    "/api/models/acme/%252e%252e/other/commit/main",
    "/oauth/token/../../api/models/acme/other/commit/main",
    "/oauth/token/%2e%2e/%2e%2e/api/models/acme/other/commit/main",
    "/.well-known/oauth-authorization-server/../../api/models/acme/other/commit/main",
    "/_keyless_check/../api/models/acme/other/commit/main",
    "/api/models/acme/other/commit/main/",
    "/api/models/acme/other/commit/" + "a" * 3000,
    "http://127.0.0.1/api/models/acme/other/commit/main",
    "/api/models/acme/other/commit/main?x=/api/models/acme/model/commit/main",
    "/api/models/acme/other/commit/main#/api/models/acme/model/commit/main",
]


@pytest.mark.parametrize("target", TRICKS)
def test_path_trick_never_arrives(filled: Site, target: str) -> None:
    """T18: `..`, `%2f`, `//`, case, Unicode, overlong: refused, and the hub behind sees nothing of it."""
    hub = filled.credulous
    seen, commits = len(hub.requests), hub.commits("acme/other")

    status, _, _ = filled.send("POST", target, filled.token(), commit("x.txt", "stolen"), port=filled.credulous_port)

    assert status in {400, 403, 404}
    assert hub.requests[seen:] == []
    assert hub.commits("acme/other") == commits


@pytest.mark.parametrize(
    "end", ["%0a", "%0d%0aX-Keyless-Resource:x", "%0a%0a", "%00", "/", "%2f", "%20", "?/../", ";x"]
)
def test_token_service_is_reached_by_its_own_addresses_only(filled: Site, end: str) -> None:
    """T18: what nginx decodes for itself does not become a line of the request behind it."""
    status, headers, _ = filled.send("POST", f"/oauth/revoke{end}", None, b"{}", port=filled.credulous_port)

    # 400 is the service's own answer to a body without a token; anything else must not have come from it.
    assert status in ({400} if end == "?/../" else {400, 403, 404})
    assert ("x-request-id" in headers) == (end == "?/../")


@pytest.mark.parametrize(
    "more",
    [
        {"X-HTTP-Method-Override": "POST"},
        {"X-Original-URI": "/api/models/acme/model/commit/main", "X-Original-Method": "POST"},
        {"X-Forwarded-Uri": "/api/models/acme/model/commit/main"},
        {"X-Original-URL": "/api/models/acme/model/commit/main"},
        {"X-Keyless-Proxy": "hub:x"},
    ],
    ids=lambda more: next(iter(more)),
)
def test_clients_own_headers_change_nothing(filled: Site, more: dict[str, str]) -> None:
    """T18: what nginx says is what the check hears."""
    target, body = "/api/models/acme/other/commit/main", commit("x.txt", "stolen")

    assert filled.send("POST", target, filled.token(), body, port=filled.credulous_port, more=more)[0] == 403


def test_identity_reaches_the_hub_and_a_forged_one_does_not(filled: Site) -> None:
    """V20, T18: the upstream hears who it is from nginx, and from nobody else."""
    forged = {"X-Keyless-Resource": "models/acme/other", "X-Keyless-Publisher": "pub_forged"}
    hub = filled.credulous

    token = filled.token()
    assert filled.send("GET", "/api/models/acme/model", token, port=filled.credulous_port, more=forged)[0] == 200
    assert hub.headers[-1]["x-keyless-resource"] == "models/acme/model"
    assert hub.headers[-1]["x-keyless-publisher"].startswith("pub_")
    assert filled.send("GET", "/api/models/acme/model", port=filled.credulous_port, more=forged)[0] == 200
    assert not [name for name in hub.headers[-1] if name.startswith("x-keyless-")]


def test_check_is_not_reachable_from_outside(filled: Site) -> None:
    """D19: the question is nginx's own."""
    assert filled.send("GET", "/_keyless_check", filled.token())[0] == 404
    assert filled.send("GET", "/auth/check", filled.token())[0] == 403
    assert filled.send("POST", "/oauth/introspect", filled.token())[0] == 403


@dataclass
class Worker(threading.Thread):
    """Send a share of the requests over one connection and note every answer that is not the right one."""

    stand: Site
    tokens: dict[str, str]
    revoking: threading.Event
    revoked: threading.Event
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    __hash__ = threading.Thread.__hash__

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Ask."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stand.port, timeout=60)
        for number in range(REQUESTS // CONNECTIONS):
            self._ask(connection, number)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        files = json.dumps({"files": [{"path": "a.txt", "sample": "YQ==", "size": 1}]}).encode()
        own, other = "/api/models/acme/model/preupload/main", "/api/models/acme/other/preupload/main"
        trick = "/api/models/acme/other/%2e%2e/model/preupload/main"
        kind, right, arguments = (
            ("own", 200, ("POST", own, self.tokens["own"], files)),
            ("other's", 403, ("POST", other, self.tokens["own"], files)),
            ("anonymous", 401, ("POST", own, None, files)),
            ("only reads", 403, ("POST", own, self.tokens["readable"], files)),
            ("public", 200, ("GET", f"/acme/model/resolve/main/file-{number % 8}.txt", None, b"")),
            ("trick", 403, ("POST", trick, self.tokens["own"], files)),
            ("ends", 200, ("POST", own, self.tokens["ends"], files)),
        )[number % 7]
        over = self.revoked.is_set()  # before the request leaves: the service has answered that the token is revoked
        status, _, body = send_over(connection, *arguments)
        if kind == "ends":
            kind, right = ("revoked", 401) if over else (kind, right)
            if not over and self.revoking.is_set() and status == 401:
                kind, right = "just now", 401  # sent while the revocation was under way: either answer is right
        self.counts[kind] += 1
        if status != right or (kind == "public" and body != f"content {number % 8}".encode()):
            self.wrong.append(f"{kind}: {status}")


def test_ten_thousand_requests_and_a_revocation_in_the_middle(filled: Site) -> None:
    """V20, T91, D5: over kept connections not one answer is wrong, and a revocation counts at the next request."""
    tokens = {"own": filled.token(), "ends": filled.token(), "readable": filled.token("acme/readable")}
    for number in range(8):
        body = commit(f"file-{number}.txt", f"content {number}")
        assert filled.send("POST", "/api/models/acme/model/commit/main", tokens["own"], body)[0] == 200
    revoking, revoked = threading.Event(), threading.Event()
    workers = [Worker(filled, tokens, revoking, revoked) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    while sum(worker.counts.total() for worker in workers) < REQUESTS // 2:
        assert any(worker.is_alive() for worker in workers)
        time.sleep(0.02)
    form = urlencode({"token": tokens["ends"]}).encode()
    revoking.set()
    status, _, _ = filled.send("POST", "/oauth/revoke", None, form, more=FORM)
    assert status == 200
    revoked.set()
    for worker in workers:
        worker.join(240)

    counts: Counter[str] = sum((worker.counts for worker in workers), Counter())
    print(f"{counts.total()} requests over {CONNECTIONS} connections: {dict(counts)}")
    assert [text for worker in workers for text in worker.wrong] == []
    assert counts.total() == REQUESTS
    assert counts["ends"] > 100
    assert counts["revoked"] > 100


def test_outage_of_the_check_is_503(tmp_path: Path, filled: Site) -> None:
    """D9: nginx calls it 500; the client is told to come again."""
    port = free_port()
    upstreams = {
        "keyless_public": filled.service.port,
        "keyless_inside": free_port(),
        "keyless_hub": filled.credulous.port,
    }
    text = site("hub.conf", port=port, upstreams=upstreams, directory=tmp_path)
    with run_nginx(tmp_path, port=port, site_text=text, credential="hub:x"):
        status, headers, _ = filled.send("GET", "/api/models/acme/model", port=port)
    assert (status, headers["retry-after"]) == (503, "5")


def test_wrong_credential_of_the_proxy_lets_nobody_through(tmp_path: Path, filled: Site) -> None:
    """T106: and no client is told that its token is wrong."""
    port = free_port()
    service = filled.service
    upstreams = {
        "keyless_public": service.port, "keyless_inside": service.inside_port, "keyless_hub": filled.credulous.port,
    }  # fmt: skip
    text = site("hub.conf", port=port, upstreams=upstreams, directory=tmp_path)
    with run_nginx(tmp_path, port=port, site_text=text, credential="hub:wrong"):
        assert filled.send("GET", "/api/models/acme/model", filled.token(), port=port)[0] == 503


def test_real_hf_uploads_through_nginx(hf: Path, filled: Site, tmp_path: Path) -> None:
    """S9, S5: the unmodified client mints, exchanges and uploads; 11 MB and an encoded slash in a revision."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    weights = os.urandom(11_000_000)
    (tmp_path / "model" / "weights \u00fc.bin").write_bytes(weights)
    with FakeCI.github(filled.service.issuer) as ci:

        def run(*arguments: str, resource: str | None = "acme/model") -> subprocess.CompletedProcess[str]:
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "HF_HOME": str(tmp_path / "hf-home"),
                "HF_ENDPOINT": filled.service.url,
                "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                **({"HF_OIDC_RESOURCE": resource, **ci.environ()} if resource else {}),
            }
            return subprocess.run(
                [hf, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
            )

        done = run("upload", "acme/model", "model", ".")
        assert done.returncode == 0, done.stdout + done.stderr
        branch = run("upload", "acme/model", "model/README.md", "README.md", "--revision", "feature/x")
        assert branch.returncode == 0, branch.stdout + branch.stderr
        refused = run("upload", "acme/other", "model", ".")
        assert refused.returncode != 0
    fetched = run("download", "acme/model", "--local-dir", "copy", resource=None)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert (tmp_path / "copy" / "weights \u00fc.bin").read_bytes() == weights
