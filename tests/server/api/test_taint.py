"""A thousand exchanges at debug level, then everything that can be read: no slice of a secret anywhere (S8, T97)."""

from __future__ import annotations

import base64
import io
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlencode

import pytest

from keyless.secret import Secret
from keyless.server.cli import audit
from keyless.server.log import configure_logging
from tests.jose.keys import signing_key
from tests.server.api.manager import Manager
from tests.server.api.operations import OPERATIONS, path_of
from tests.server.doors.test_live import introspect, revoke
from tests.server.service import Service
from tests.support.asgi import Answer, ask

EXCHANGES = 1000
SLICE = 12
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
Way = Callable[[Service, str], Answer]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger says, at debug level."""
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)


def as_form(service: Service, token: str) -> Answer:
    """The same request as the RFC has it."""
    body = urlencode(service.members(token)).encode()
    return ask(service.app.public, "POST", "/oauth/token", body=body, headers=FORM)


def in_the_wrong_place(service: Service, token: str) -> Answer:
    """A client that puts the token where none belongs: header, query and path."""
    headers = {"Authorization": f"Bearer {token}", **FORM}
    ask(service.app.public, "POST", f"/oauth/token/{token}", headers=headers)
    return ask(service.app.public, "POST", "/oauth/token", body=b"", headers=headers, query=f"subject_token={token}")


def broken_json(service: Service, token: str) -> Answer:
    """A body that ends in the middle of the token."""
    body = json.dumps(service.members(token)).encode()[:-40]
    return ask(service.app.public, "POST", "/oauth/token", body=body, headers={"Content-Type": "application/json"})


WAYS: dict[str, tuple[Callable[[Service], str], Way]] = {
    "granted": (lambda s: s.mint(), lambda s, t: s.exchange(t)),
    "granted, as a form": (lambda s: s.mint(), as_form),
    "replayed": (lambda s: s.mint(), lambda s, t: [s.exchange(t), s.exchange(t)][1]),
    "no match": (lambda s: s.mint(ref="refs/heads/dev"), lambda s, t: s.exchange(t)),
    "a stranger": (lambda s: s.mint(repository_id="1"), lambda s, t: s.exchange(t)),
    "explained": (lambda s: s.mint(), lambda s, t: s.post(s.members(t), "/oauth/explain")),
    "expired": (lambda s: s.mint(iat=1, nbf=1, exp=300), lambda s, t: s.exchange(t)),
    "another audience": (lambda s: s.mint(aud="https://x.example"), lambda s, t: s.exchange(t)),
    "an unknown issuer": (lambda s: s.mint(iss="https://x.example"), lambda s, t: s.exchange(t)),
    "a forged signature": (lambda s: s.mint(key=signing_key("RS256")), lambda s, t: s.exchange(t)),
    "a claim of a wrong type": (lambda s: s.mint(environment=["x"]), lambda s, t: s.exchange(t)),
    "cut short": (lambda s: s.mint()[:-9], lambda s, t: s.exchange(t)),
    "as resource": (lambda s: s.mint(), lambda s, t: s.exchange(t, resource=t)),
    "as audience": (lambda s: s.mint(), lambda s, t: s.exchange(t, resource=None, audience=f"x/{t}", client_id="x")),
    "as client": (lambda s: s.mint(header={"x5t": None}), lambda s, t: s.exchange(t, resource=None, client_id=t[60:])),
    "as client, whole": (lambda s: s.mint(), lambda s, t: s.exchange(t, resource=None, client_id=t)),
    "as scope": (lambda s: s.mint(), lambda s, t: s.exchange(t, scope=t)),
    "as its own type": (lambda s: s.mint(), lambda s, t: s.exchange(t, subject_token_type=t)),
    "as grant": (lambda s: s.mint(), lambda s, t: s.exchange(t, grant_type=t)),
    "as a member nobody knows": (lambda s: s.mint(), lambda s, t: s.post({**s.members("x"), t: t})),
    "in the wrong place": (lambda s: s.mint(), in_the_wrong_place),
    "in broken JSON": (lambda s: s.mint(), broken_json),
}


def slices(texts: Iterable[str]) -> set[str]:
    """Return every run of twelve characters of the secrets."""
    return {text[start : start + SLICE] for text in texts for start in range(len(text) - SLICE + 1)}


def without_header(token: str) -> str:
    """Return a token less its header: algorithm and key id are the same in all, and public."""
    return token.partition(".")[2]


def key_texts(service: Service) -> list[str]:
    """Return the private parts of the service's own keys, in the spellings they could leak in."""
    der = service.app.signing_keys.active().to_pkcs8()
    scalar = der[-170:] if len(der) > 300 else der[30:70]
    spelled = [base64.b64encode(scalar).decode(), base64.urlsafe_b64encode(scalar).decode(), scalar.hex()]
    return [*spelled, *(path.read_text() for path in service.directory.glob("*.key"))]


def readable(manager: Manager, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return whatever an operator can read: the API, the inside listener, the exported audit."""
    service = manager.service
    texts = {}
    for operation in OPERATIONS:
        if operation.method == "GET":
            query = "limit=500" if operation.path == "/audit" else ""
            answer = manager.call("GET", path_of(operation, manager), query=query)
            texts[f"/api/v1{operation.path}"] = answer.body.decode() + repr(dict(answer.headers))
    for path, methods in service.app.inside._doors.items():
        if "GET" in methods:
            answer = ask(service.app.inside, "GET", path)
            texts[path] = answer.body.decode() + repr(dict(answer.headers))
    capsys.readouterr()
    assert audit.run(["export", "--jsonl", "--db", str(service.directory / "keyless.db")]) == 0
    texts["audit export"] = capsys.readouterr().out
    return texts


@pytest.mark.slow
def test_a_thousand_exchanges_leave_no_slice_of_a_secret(
    manager: Manager, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """S8, T97: id tokens, access tokens, credentials and keys; in the log, refusals, API, metrics, audit export."""
    service = manager.service
    credential = service.administration.add_resource_server("registry", audience="https://r.example.org")
    hub = service.administration.renew_resource_server_credential("hub")
    secrets = [credential.reveal(), hub.reveal(), *manager.logins.values(), *key_texts(service)]
    said, outcomes = [], Counter[int]()
    for _, (mint, send) in zip(range(EXCHANGES), itertools.cycle(WAYS.values()), strict=False):
        token = mint(service)
        secrets.append(without_header(token))
        answer = send(service, token)
        outcomes[answer.status] += 1
        if answer.status == 200 and "access_token" in answer.json:
            access_token = str(answer.json["access_token"])
            secrets.append(without_header(access_token))
            said.append(introspect(service, access_token, Secret(hub.reveal())).body.decode())
            said.append(service.exchange(access_token).body.decode())
            said.append(revoke(service, access_token).body.decode())
        else:
            said.append(answer.body.decode() + repr(dict(answer.headers)))
    places = {"log": log.getvalue(), "answers": "\n".join(said), **readable(manager, capsys)}

    assert outcomes[200] > 100
    assert outcomes[400] > 500
    assert len(places["audit export"].splitlines()) > 300
    assert len(places["log"]) > 50_000
    tainted = slices(secrets)
    found = {
        name: text[max(0, start - 60) : start + 40]
        for name, text in places.items()
        for start in range(len(text) - SLICE + 1)
        if text[start : start + SLICE] in tainted
    }
    assert found == {}
