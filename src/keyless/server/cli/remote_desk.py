"""Trust over the API: the same methods as `Administration` over the store, for the verbs that take `--url`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from keyless.errors import ConfigurationError, ConflictError
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource
from keyless.secret import Secret
from keyless.server.api.cursor import encode_cursor
from keyless.server.audit.reader import AuditFilter, AuditRecord
from keyless.server.audit.verify import ChainReport
from keyless.server.cli.api_client import ApiClient, path_of
from keyless.server.cli.store_access import open_administration
from keyless.server.representations import reading
from keyless.server.representations.audit import audit_from_json
from keyless.server.representations.issuer import issuer_from_json
from keyless.server.representations.new_issuer import new_issuer_json
from keyless.server.representations.new_publisher import new_publisher_json, publisher_terms_json
from keyless.server.representations.publisher import publisher_from_json
from keyless.server.representations.resource import locks_from_json, resource_from_json
from keyless.server.representations.resource_server import resource_server_from_json
from keyless.server.representations.signing_key import signing_key_from_json
from keyless.server.store import SigningKeyRow
from keyless.server.store.admin import Administration, Locks, NewIssuer, NewPublisher, ResourceState
from keyless.server.store.records import ResourceServer
from keyless.trust.publisher import Publisher


@dataclass(frozen=True, slots=True)
class RemoteDesk:
    """Ask the API."""

    client: ApiClient

    # --- publishers ---

    def publishers(self, resource: Resource | None = None) -> list[Publisher]:
        """Return the publishers of a resource, or all that the login may see."""
        named = None if resource is None else str(resource)
        return [publisher_from_json(item) for item in self.client.pages("/publishers", resource=named)]

    def publisher(self, publisher_id: str) -> Publisher:
        """Return one publisher."""
        return publisher_from_json(self.client.get(path_of("publishers", publisher_id)).content)

    def add_publisher(self, new: NewPublisher) -> Publisher:
        """Add a Trusted Publisher."""
        return publisher_from_json(self.client.create("/publishers", new_publisher_json(new)).content)

    def set_publisher_enabled(self, publisher_id: str, *, enabled: bool, reason: str | None = None) -> Publisher:
        """Switch a publisher on or off, as it is now."""
        path = path_of("publishers", publisher_id)
        body: dict[str, object] = {"enabled": enabled, **({} if reason is None else {"reason": reason})}
        headers = {"If-Match": self.client.get(path).etag}
        return publisher_from_json(self.client.call("PATCH", path, body=body, headers=headers).content)

    def change_publisher(
        self, publisher_id: str, new: NewPublisher, *, expected_version: int | None = None
    ) -> Publisher:
        """Make a publisher fit a description, if it has the version that the caller saw."""
        path = path_of("publishers", publisher_id)
        found = self.client.get(path)
        before = publisher_from_json(found.content)
        if expected_version is not None and before.version != expected_version:
            raise ConflictError(f"publisher {publisher_id} was changed meanwhile")
        headers = {"If-Match": found.etag}
        return publisher_from_json(
            self.client.call("PATCH", path, body=publisher_terms_json(new), headers=headers).content
        )

    def remove_publisher(self, publisher_id: str) -> Publisher:
        """Remove a publisher for good, as it is now."""
        path = path_of("publishers", publisher_id)
        found = self.client.get(path)
        self.client.call("DELETE", path, headers={"If-Match": found.etag})
        return publisher_from_json(found.content)

    # --- resources, namespaces, everything ---

    def resource_state(self, resource: Resource) -> ResourceState:
        """Return what is true of a resource."""
        return resource_from_json(self.client.get(_resource_path(resource)).content)

    def set_resource_state(self, resource: Resource, state: str, *, reason: str | None = None) -> None:
        """Lock a resource or open it again."""
        self._patch(_resource_path(resource), {"state": state, "reason": reason})

    def set_publishers_only(self, resource: Resource, *, publishers_only: bool) -> None:
        """Say whether a resource takes tokens of trusted publishers alone."""
        self._patch(_resource_path(resource), {"publishers_only": publishers_only})

    def set_namespace_locked(self, name: str, *, locked: bool, reason: str | None = None) -> None:
        """Lock a namespace and everything in it, or open it again."""
        self._patch(path_of("namespaces", name), {"state": "locked" if locked else "active", "reason": reason})

    def set_all_locked(self, *, locked: bool, reason: str | None = None) -> None:
        """Stop every exchange and every token, or let them go on."""
        self._patch("/locks", {"everything": locked, "reason": reason})

    def locks(self) -> Locks:
        """Return everything that is locked."""
        return locks_from_json(self.client.get("/locks").content)

    def _patch(self, path: str, body: Mapping[str, object]) -> None:
        headers = {"If-Match": self.client.get(path).etag}
        given = {name: value for name, value in body.items() if value is not None}
        self.client.call("PATCH", path, body=given, headers=headers)

    # --- issuers ---

    def issuers(self) -> list[Issuer]:
        """Return all issuers, oldest first."""
        return [issuer_from_json(item) for item in self.client.pages("/issuers")]

    def issuer(self, url: str) -> Issuer:
        """Return one issuer."""
        for item in self.client.pages("/issuers", url=url):
            return issuer_from_json(item)
        raise ConfigurationError(f"issuer {url} is not configured", hint="See: keyless trust issuer list")

    def add_issuer(self, new: NewIssuer) -> Issuer:
        """Add an issuer."""
        return issuer_from_json(self.client.create("/issuers", new_issuer_json(new)).content)

    def set_issuer_enabled(self, url: str, *, enabled: bool) -> Issuer:
        """Switch an issuer on or off, as it is now."""
        path = path_of("issuers", str(self.issuer(url).id))
        headers = {"If-Match": self.client.get(path).etag}
        return issuer_from_json(self.client.call("PATCH", path, body={"enabled": enabled}, headers=headers).content)

    # --- resource servers ---

    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """Return all resource servers, the first one made leading."""
        return tuple(resource_server_from_json(item) for item in self.client.pages("/resource-servers"))

    def add_resource_server(self, name: str, *, audience: str, profile: str = "keyless") -> Secret:
        """Add a resource server and return its credential, this once."""
        body = {"name": name, "audience": audience, "profile": profile}
        return Secret(reading.text(self.client.create("/resource-servers", body).content, "credential"))

    def renew_resource_server_credential(self, name: str) -> Secret:
        """Give a resource server a new credential and return it, this once."""
        path = f"{path_of('resource-servers', name)}/credential"
        return Secret(reading.text(self.client.create(path).content, "credential"))

    def remove_resource_server(self, name: str) -> None:
        """Remove a resource server that no publisher names."""
        path = path_of("resource-servers", name)
        self.client.call("DELETE", path, headers={"If-Match": self.client.get(path).etag})

    # --- looking ---

    def audit_events(
        self, *, wanted: AuditFilter, limit: int, before: tuple[int, int] | None = None
    ) -> list[AuditRecord]:
        """Return the latest audit events of a filter, the newest last."""
        found = self.client.pages(
            "/audit",
            at_most=limit,
            after=None if before is None else encode_cursor(before),
            resource=wanted.resource,
            publisher=wanted.publisher_id,
            kind=wanted.kind,
            actor=wanted.actor,
            since=wanted.since,
            until=wanted.until,
        )
        return [audit_from_json(item) for item in found][::-1]

    def audit_event(self, name: str) -> list[AuditRecord]:
        """Return the events of a request id, a token's `jti`, or `WRITER:SEQUENCE`."""
        writer, colon, sequence = name.partition(":")
        if colon:
            return [audit_from_json(self.client.get(path_of("audit", writer, sequence)).content)]
        return [
            audit_from_json(item) for item in reading.objects(self.client.get(path_of("audit", name)).content, "items")
        ]

    def verify_audit(self) -> ChainReport:
        """Let the service check the chain of every audit writer."""
        content = self.client.call("POST", "/audit/verify").content
        return ChainReport(
            writers=reading.number(content, "writers"),
            events=reading.number(content, "events"),
            problems=reading.texts(content, "problems"),
            checkpoints=reading.number(content, "checkpoints"),
            notes=reading.texts(content, "notes"),
        )

    def signing_keys(self) -> list[SigningKeyRow]:
        """Return the service's own signing keys, oldest first."""
        return [signing_key_from_json(item) for item in self.client.pages("/signing-keys")]

    def explain(self, resource: Resource, question: Mapping[str, object]) -> Mapping[str, object]:
        """Ask what the publishers of a resource make of a job; return what `explanation_json` writes."""
        return self.client.call("POST", "/explain", body={"resource": str(resource), **question}).content


def _resource_path(resource: Resource) -> str:
    return f"/resources{path_of(*str(resource).split('/'))}"


@contextmanager
def open_desk(options: argparse.Namespace, *, create: bool = False) -> Iterator[Administration | RemoteDesk]:
    """Open the door to trust: over the API when `--url` is given, else at the store."""
    if options.api_url is not None:
        yield RemoteDesk(ApiClient.signed_in(options.api_url))
        return
    with open_administration(options, create=create) as administration:
        yield administration
