"""Forward auth through its endpoint: one good request, and a refusal for each single change (V20, T91, T106, T18)."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from keyless.testing import FakeIssuer
from keyless.trust.publisher import Operation
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import Answer, ask

RULES = Path(__file__).resolve().parents[3] / "deploy" / "forward-auth" / "hub.toml"
WRITE = "/api/models/acme/model/commit/main"


class Proxy:
    """A reverse proxy that holds requests and asks about them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        credential = service.app.store.renew_resource_server_credential("hub", actor="test")
        assert credential is not None
        self.credential = f"hub:{credential.reveal()}"
        self.token = str(service.exchange().json["access_token"])

    def headers(self, token: str | None, method: str, uri: str) -> dict[str, str]:
        """The headers of a question."""
        headers = {"X-Keyless-Proxy": self.credential, "X-Original-Method": method, "X-Original-URI": uri}
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}

    def ask(self, token: str | None, method: str = "POST", uri: str = WRITE) -> Answer:
        """Ask about a request."""
        return ask(self.service.app.inside, "GET", "/auth/check", headers=self.headers(token, method, uri))

    def ask_with(self, headers: dict[str, str]) -> Answer:
        """Ask about the good request with these headers instead of its own; an empty one is left out."""
        changed = {**self.headers(self.token, "POST", WRITE), **headers}
        return ask(self.service.app.inside, "GET", "/auth/check", headers={k: v for k, v in changed.items() if v})


@pytest.fixture
def service(tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> Iterator[Service]:
    """A service with the shipped rules, that trusts one publisher of acme/model."""
    directory = tmp_path / "service"
    shutil.copytree(first_start, directory)
    service = Service(directory, issuer, forward_auth=RULES)
    service.add_publisher()
    yield service
    service.administration.close()
    service.app.close()


@pytest.fixture
def proxy(service: Service) -> Proxy:
    """The proxy in front of the hub."""
    return Proxy(service)


def test_good_request_goes_on_with_who_it_is(proxy: Proxy) -> None:
    """V20: publisher, resource, operations and CI job reach the upstream; no cache keeps the answer."""
    answer = proxy.ask(proxy.token)
    publisher = proxy.service.administration.publishers()[0]

    assert answer.status == 200
    assert answer.headers["x-keyless-publisher"] == publisher.id
    assert answer.headers["x-keyless-resource"] == "models/acme/model"
    assert answer.headers["x-keyless-operations"] == "create read write"
    assert answer.headers["x-keyless-issuer"] == proxy.service.issuer.url
    assert answer.headers["x-keyless-subject"] == "repo:acme/widgets:ref:refs/heads/main"
    assert answer.headers["cache-control"] == "no-store"
    assert proxy.token not in str(answer)


@pytest.mark.parametrize(
    "method, uri",
    [
        ("POST", "/api/models/acme/other/commit/main"),
        ("POST", "/api/models/ACME/model/commit/main"),
        ("POST", "/api/models/acme/Model/commit/main"),
        ("POST", "/api/datasets/acme/model/commit/main"),
        ("POST", "/api/kernels/acme/model/commit/main"),
        ("POST", "/api/model/acme/model/commit/main"),
    ],
)
def test_token_of_another_repository_is_403(proxy: Proxy, method: str, uri: str) -> None:
    """V18, T90: one token, one target; the answer says which kind of refusal it is."""
    answer = proxy.ask(proxy.token, method, uri)

    assert (answer.status, answer.headers["x-keyless-reason"]) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource"'
    )


@pytest.mark.parametrize(
    "method, uri, reason",
    [
        ("PUT", WRITE, "no_rule"),
        ("post", WRITE, "no_rule"),
        ("POST", "/API/models/acme/model/commit/main", "no_rule"),
        ("POST", "/api/models/acme/model/settings", "no_rule"),
        ("POST", "/api/models/acme/other/../model/commit/main", "uri_not_canonical"),
        ("POST", "/api/models/acme/other/%2e%2e/model/commit/main", "uri_not_canonical"),
        ("POST", "/api/models/acme/model/commit/x%2F..%2F..%2Fother", "uri_not_canonical"),
        ("POST", "//api/models/acme/model/commit/main", "uri_not_canonical"),
        ("POST", "/api/models/acme%2fmodel/commit/main", "no_rule"),
        ("POST", "/api/models/acme/%6dodel/commit/main", "uri_not_canonical"),
        ("POST", "/api/models/acme/model/commit/%C0%AFx", "uri_not_canonical"),
        ("POST", "/api/models/acme/m\u00f6del/commit/main", "uri_not_canonical"),
    ],
)
def test_address_that_no_rule_names_is_403(proxy: Proxy, method: str, uri: str, reason: str) -> None:
    """T18: path tricks end here, with the best of tokens and without one."""
    for token in (proxy.token, None):
        answer = proxy.ask(token, method, uri)

        assert (answer.status, answer.headers["x-keyless-reason"]) == (403, reason)


def test_missing_token_is_401_without_error_code(proxy: Proxy) -> None:
    """RFC 6750 section 3.1: a caller who sent nothing is told the scheme only."""
    answer = proxy.ask(None)

    assert answer.status == 401
    assert "error=" not in answer.headers["www-authenticate"]


def test_public_address_needs_no_token_but_refuses_a_bad_one(proxy: Proxy) -> None:
    """T101: a token that is not good is never read as "no token"."""
    uri = "/api/models/acme/model"

    assert proxy.ask(None, "GET", uri).status == 200
    assert "x-keyless-resource" not in proxy.ask(None, "GET", uri).headers
    assert proxy.ask(proxy.token, "GET", uri).headers["x-keyless-resource"] == "models/acme/model"
    assert proxy.ask(proxy.token + "A", "GET", uri).status == 401


@pytest.mark.parametrize("change", ["revoke", "remove", "disable", "lock", "issuer off", "expire"])
def test_end_of_trust_counts_at_the_next_request(proxy: Proxy, change: str) -> None:
    """V20, T91, T109, D16: nothing is remembered past a revocation."""
    assert proxy.ask(proxy.token).status == 200
    service = proxy.service
    administration, publisher = service.administration, service.administration.publishers()[0]
    match change:
        case "revoke":
            assert service.post({"token": proxy.token}, "/oauth/revoke").status == 200
        case "remove":
            administration.remove_publisher(publisher.id)
        case "disable":
            administration.set_publisher_enabled(publisher.id, enabled=False)
        case "lock":
            administration.set_resource_state(publisher.resource, "locked")
        case "issuer off":
            administration.set_issuer_enabled(service.issuer.url, enabled=False)
        case _:
            service.clock.advance(3600)

    answer = proxy.ask(proxy.token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_token_that_only_reads_does_not_write(proxy: Proxy) -> None:
    """V20: the operation counts, not only the resource."""
    proxy.service.add_publisher("acme/readable", operations=(Operation.READ,))
    token = str(proxy.service.exchange(resource="acme/readable").json["access_token"])

    assert proxy.ask(token, "POST", "/api/models/acme/readable/commit/main").status == 403
    assert proxy.ask(token, "POST", "/api/repos/create").status == 403
    assert proxy.ask(proxy.token, "POST", "/api/repos/create").status == 200


def test_token_of_another_resource_server_is_401(proxy: Proxy) -> None:
    """T106: made by the same service for somebody else."""
    proxy.service.administration.add_resource_server("registry", audience="https://registry.example.org")
    proxy.service.add_publisher("acme/elsewhere", resource_server="registry")
    token = str(proxy.service.exchange(resource="acme/elsewhere").json["access_token"])

    assert proxy.ask(token, "POST", "/api/models/acme/elsewhere/commit/main").status == 401


@pytest.mark.parametrize(
    "value", ["", "hub:", "hub", ":", "hub:wrong", "nobody:x", "HUB:x", "hub:klrs_" + "A" * 43, "\u00fc:\u00fc"]
)
def test_unknown_proxy_is_407(proxy: Proxy, value: str) -> None:
    """T106: strangers inside the network may not try tokens out; and no client is told that its token is wrong."""
    answer = proxy.ask_with({"X-Keyless-Proxy": value})

    assert (answer.status, answer.headers["x-keyless-reason"]) == (407, "proxy_unknown")


def test_proxy_without_rules_is_407(proxy: Proxy) -> None:
    """V20: a resource server whose requests nobody described gets no answer about them."""
    credential = proxy.service.administration.add_resource_server("registry", audience="https://registry.example.org")

    assert proxy.ask_with({"X-Keyless-Proxy": f"registry:{credential.reveal()}"}).status == 407


@pytest.mark.parametrize("name", ["X-Original-URI", "X-Original-Method", "Authorization", "X-Keyless-Proxy"])
def test_second_header_of_a_name_is_refused(proxy: Proxy, name: str) -> None:
    """T18: one from the proxy and one that the client smuggled in: nobody chooses between them."""
    headers = proxy.headers(proxy.token, "POST", WRITE)
    pairs = [*headers.items(), (name, headers[name])]

    assert ask(proxy.service.app.inside, "GET", "/auth/check", headers=pairs).status in {401, 403, 407}


@pytest.mark.parametrize("name", ["X-Original-URI", "X-Original-Method"])
def test_missing_header_is_refused(proxy: Proxy, name: str) -> None:
    """T18: a proxy that says less than it must is not guessed at; another proxy's headers count for nothing."""
    assert proxy.ask_with({name: ""}).status == 403
    assert proxy.ask_with({name: "", "X-Forwarded-Uri": WRITE, "X-Forwarded-Method": "POST"}).status == 403


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Basic !!!", "Basic /w==", "Digest x", "\u00fc", "Bearer \u00fc", "Basic Og=="],
)
def test_any_authorization_is_answered(proxy: Proxy, authorization: str) -> None:
    """V01: whatever it holds, 401; never 5xx and never 200."""
    assert proxy.ask_with({"Authorization": authorization}).status == 401


def test_basic_carries_the_token_as_password(proxy: Proxy) -> None:
    """D19: git, pip and twine speak Basic."""
    text = base64.b64encode(f"__token__:{proxy.token}".encode()).decode()
    assert proxy.ask_with({"Authorization": f"Basic {text}"}).status == 200


def test_outage_is_503_and_never_a_refusal(proxy: Proxy) -> None:
    """D9: not knowing is an outage."""
    proxy.service.app.store.close()
    answer = proxy.ask(proxy.token)

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_not_on_the_public_listener(proxy: Proxy) -> None:
    """D19: only proxies ask, and only inside."""
    assert ask(proxy.service.app.public, "GET", "/auth/check").status == 404


def test_subject_of_any_letters_is_visible_ascii(proxy: Proxy) -> None:
    """T18: what the CI calls the job is one header line, and can be read back."""
    subject = "repo:acme/w\u00efdgets:environment:100 % \u2603"
    token = str(proxy.service.exchange(proxy.service.mint(sub=subject)).json["access_token"])
    value = proxy.ask(token).headers["x-keyless-subject"]

    assert value == "repo:acme/w%C3%AFdgets:environment:100 %25 %E2%98%83"
    assert unquote(value) == subject
