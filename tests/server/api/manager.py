"""People with logins at a real service, and the requests they send to its management API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keyless.secret import Secret
from keyless.server.people.principal import PrincipalKind
from keyless.server.store.admin import People
from keyless.server.store.admin.principals import parse_role
from keyless.trust.publisher import Publisher
from tests.server.service import Service
from tests.support.asgi import Answer, ask

PERSONS = {
    "admin": "admin",
    "owner": "owner:acme",
    "viewer": "viewer:acme",
    "other": "owner:other",
    "auditor": "viewer",
}


def add_people(service: Service) -> dict[str, str]:
    """Add the people and the machine; return their logins."""
    people = People(service.administration)
    logins = {}
    for name, role in PERSONS.items():
        people.add(name, kind=PrincipalKind.PERSON, roles=[parse_role(role)])
        logins[name] = people.redeem(Secret(people.make_login_code(name).reveal())).secret.reveal()
    people.add("machine", kind=PrincipalKind.MACHINE, roles=[parse_role("viewer:acme")])
    logins["machine"] = people.make_reading_token("machine", seconds=3600).secret.reveal()
    return logins


class Manager:
    """Send requests to the API as one of several people."""

    def __init__(self, service: Service, logins: Mapping[str, str]) -> None:
        self.service = service
        self.people = People(service.administration)
        self.logins = dict(logins)

    def sign_in(self, name: str) -> str:
        """Give a person a new login."""
        code = self.people.make_login_code(name)
        self.logins[name] = self.people.redeem(Secret(code.reveal())).secret.reveal()
        return self.logins[name]

    @property
    def publisher(self) -> Publisher:
        """The first publisher of the service."""
        return self.service.administration.publishers()[0]

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: str | None = "admin",
        login: str | None = None,
        match: str | None = None,
        key: str | None = None,
        query: str = "",
        address: str = "192.0.2.7",
        **headers: str,
    ) -> Answer:
        """Send one request; `path` is below `/api/v1`, `match` and `key` are headers."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if login is None and who is not None:
            login = self.logins[who]
        if login is not None:
            sent["authorization"] = f"Bearer {login}"
        if body is not None:
            sent.setdefault("content-type", "application/json")
        if match is not None:
            sent["if-match"] = match
        if key is not None:
            sent["idempotency-key"] = key
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        app, whole = self.service.app.inside, f"/api/v1{path}"
        return ask(app, method, whole, body=content, headers=sent, query=query, address=address)

    def description(self, resource: str = "acme/new", **changes: Any) -> dict[str, Any]:
        """Describe a publisher that can be added."""
        base = {
            "resource": resource,
            "issuer": self.service.issuer.url,
            "claims": {"repository": "acme/train", "branch": ["main", "release/*"]},
            "pins": {"repository_id": "11", "repository_owner_id": "22"},
        }
        return {name: value for name, value in {**base, **changes}.items() if value is not None}

    def add(self, resource: str = "acme/new", *, who: str = "admin", **changes: Any) -> dict[str, Any]:
        """Add a publisher over the API."""
        answer = self.call("POST", "/publishers", self.description(resource, **changes), who=who)
        assert answer.status == 201, answer.body
        return answer.json

    def kinds(self) -> list[str]:
        """Return the kinds of all audit events, oldest first."""
        return [kind for kind, _ in self.service.audit()]
