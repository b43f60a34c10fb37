"""The door to administration: one object, one method for each thing a person does."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from keyless.errors import ConfigurationError, UnavailableError
from keyless.oidc.issuer import Issuer, PinnedKeys
from keyless.resource import Resource
from keyless.secret import Secret
from keyless.server.audit.chain import Chain
from keyless.server.database_url import PostgresUrl
from keyless.server.people.principal import PrincipalKind
from keyless.server.store import tables
from keyless.server.store.admin import issuers, publisher_rows, publishers, resource_servers, resources
from keyless.server.store.admin.change import Change
from keyless.server.store.admin.description import NewPublisher
from keyless.server.store.admin.issuers import NewIssuer
from keyless.server.store.admin.publisher_rows import PageKey
from keyless.server.store.admin.resources import Locks, ResourceState
from keyless.server.store.database import open_database
from keyless.server.store.engine import READ_ONLY, admin_engine
from keyless.server.store.records import ResourceServer
from keyless.server.store.store import Store
from keyless.trust.publisher import Publisher


class Administration:
    """Change and list trust in the database of a `Store`, over connections of its own.

    Every method raises `ConfigurationError` for what cannot be, and `UnavailableError` when the database does not
    answer; then nothing was changed.

    Args:
        store: An open store, or where the database is.
        actor: Who the audit names, for example `cli:alice`.
        clock: Unix seconds; the store's when `None`.
        second_person: A publisher that a person adds or changes waits until another person lets it in (T110).
    """

    def __init__(
        self,
        store: Store | Path | PostgresUrl,
        *,
        actor: str,
        clock: Callable[[], float] | None = None,
        second_person: bool = False,
    ) -> None:
        self._store = store if isinstance(store, Store) else None
        self._database = store.database if isinstance(store, Store) else open_database(store)
        self._clock = clock or (store.clock if isinstance(store, Store) else time.time)
        self._actor = actor
        self._second_person = second_person
        self._engine = admin_engine(self._database)
        self._chain = Chain()
        self._lock = threading.Lock()  # one chain, one change at a time
        self._request_id: str | None = None
        self._together: Change | None = None

    def acting_as(self, actor: str, *, request_id: str | None = None) -> Self:
        """Return a view of this object in whose changes the audit names somebody else. Use it from one thread.

        Args:
            actor: Who the audit names, for example `person:alice`.
            request_id: The request that the changes come from.
        """
        view = copy.copy(self)
        view._actor, view._request_id, view._together = actor, request_id, None
        return view

    @contextmanager
    def together(self) -> Iterator[Change]:
        """Make one transaction of all that is read and changed within: all of it counts, or nothing.

        Use it on what `acting_as` returned, from one thread.
        """
        if self._together is not None:
            yield self._together
            return
        with self._change() as change:
            self._together = change
            try:
                yield change
            finally:
                self._together = None

    def now(self) -> int:
        """Return the time in Unix seconds, as changes record it."""
        return int(self._clock())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that reads, within `together` what was changed there already."""
        with self._read() as connection:
            yield connection

    # --- publishers ---

    def add_publisher(self, new: NewPublisher) -> Publisher:
        """Add a Trusted Publisher; its issuer is configured, or one that everybody knows and is added with it."""
        with self._change() as change:
            return publishers.add(change, new, issuers.find_or_known(change, new.issuer_url))

    def change_publisher(
        self, publisher_id: str, new: NewPublisher, *, expected_version: int | None = None
    ) -> Publisher:
        """Make a publisher fit a description; see `description_of`. Without a difference nothing is written."""
        with self._change() as change:
            issuer = issuers.find_or_known(change, new.issuer_url)
            return publishers.change_to(change, publisher_id, new, issuer, expected_version=expected_version)

    def publishers(self, resource: Resource | None = None) -> list[Publisher]:
        """Return the publishers of a resource or of all, whatever their state, oldest first."""
        with self._read() as connection:
            return publisher_rows.find(connection, resource=resource)

    def publisher_page(
        self,
        *,
        namespaces: Collection[str] | None,
        resource: Resource | None = None,
        after: Sequence[int | str] | None = None,
        limit: int = 100,
    ) -> list[tuple[PageKey, Publisher]]:
        """Return a page of publishers with their keys; see `publishers.page`."""
        with self._read() as connection:
            return publisher_rows.page(connection, namespaces=namespaces, resource=resource, after=after, limit=limit)

    def publisher(self, publisher_id: str) -> Publisher:
        """Return one publisher."""
        with self._read() as connection:
            return publisher_rows.get(connection, publisher_id)

    def remove_publisher(self, publisher_id: str, *, resource: Resource | None = None) -> Publisher:
        """Remove a publisher for good; its tokens stop working with it."""
        with self._change() as change:
            return publishers.remove(change, publisher_id, resource=resource)

    def set_publisher_enabled(self, publisher_id: str, *, enabled: bool, reason: str | None = None) -> Publisher:
        """Switch a publisher on or off, for a reason."""
        with self._change() as change:
            return publishers.set_enabled(change, publisher_id, enabled=enabled, reason=reason)

    # --- resources, namespaces, everything ---

    def resource_state(self, resource: Resource) -> ResourceState:
        """Return what is true of a resource."""
        with self._read() as connection:
            return resources.state_of(connection, resource)

    def set_resource_state(self, resource: Resource, state: str, *, reason: str | None = None) -> None:
        """Lock a resource or make it active again; a locked one gets no tokens and its live ones stop working."""
        if state not in {resources.ACTIVE, resources.LOCKED}:
            raise ConfigurationError(f"resource state {state!r} is not known", hint="Use active or locked.")
        with self._change() as change:
            resources.set_locked(change, resource, locked=state == resources.LOCKED, reason=reason)

    def set_publishers_only(self, resource: Resource, *, publishers_only: bool) -> None:
        """Say whether a resource takes tokens of trusted publishers alone (T101)."""
        with self._change() as change:
            resources.set_publishers_only(change, resource, publishers_only=publishers_only)

    def note_existence(self, resource: Resource) -> bool:
        """Note that a resource came into being; who waited for it is removed. False when nobody did (T93)."""
        with self._change() as change:
            return resources.note_existence(change, resource)

    def set_namespace_locked(self, name: str, *, locked: bool, reason: str | None = None) -> None:
        """Lock a namespace and everything in it, or open it again."""
        with self._change() as change:
            resources.set_namespace_locked(change, name, locked=locked, reason=reason)

    def set_all_locked(self, *, locked: bool, reason: str | None = None) -> None:
        """Stop every exchange and every token, or let them go on (T109)."""
        with self._change() as change:
            resources.set_all_locked(change, locked=locked, reason=reason)

    def locks(self) -> Locks:
        """Return everything that is locked."""
        with self._read() as connection:
            return resources.locks(connection)

    # --- issuers ---

    def add_issuer(self, new: NewIssuer) -> Issuer:
        """Add an issuer."""
        with self._change() as change:
            return issuers.add(change, new)

    def ensure_provider(self, provider: str) -> Issuer:
        """Return the issuer that everybody means by a provider's name, added on first use."""
        with self._change() as change:
            return issuers.ensure_provider(change, provider)

    def issuer(self, url: str) -> Issuer:
        """Return one issuer."""
        with self._read() as connection:
            return issuers.get(connection, url)

    def issuers(self) -> list[Issuer]:
        """Return all issuers, oldest first."""
        with self._read() as connection:
            return issuers.read_all(connection)

    def issuer_page(self, *, url: str | None = None, after: int | None = None, limit: int = 100) -> list[Issuer]:
        """Return a page of issuers, oldest first: those behind the number `after`."""
        with self._read() as connection:
            return issuers.page(connection, url=url, after=after, limit=limit)

    def set_issuer_enabled(self, url: str, *, enabled: bool) -> Issuer:
        """Switch an issuer on or off."""
        with self._change() as change:
            return issuers.set_enabled(change, url, enabled=enabled)

    def pin_issuer_keys(self, url: str, pinned: PinnedKeys | None) -> Issuer:
        """Pin an issuer's keys, or with `None` believe again what it publishes."""
        with self._change() as change:
            return issuers.pin_keys(change, url, pinned)

    def set_issuer_key_trusted(self, url: str, kid: str, *, trusted: bool) -> Issuer:
        """Distrust one key of an issuer, or trust it again; counts at the next exchange of every process."""
        with self._change() as change:
            return issuers.set_key_trusted(change, url, kid, trusted=trusted)

    def refresh_issuer_keys(self, url: str) -> Issuer:
        """Let every process fetch an issuer's keys anew before it believes the next token."""
        with self._change() as change:
            return issuers.ask_for_refresh(change, url)

    # --- resource servers ---

    def add_resource_server(self, name: str, *, audience: str, profile: str = "keyless") -> Secret:
        """Add a resource server and return its credential, this once."""
        with self._change() as change:
            return resource_servers.add(change, name, audience=audience, profile=profile)

    def resource_server(self, name: str) -> ResourceServer:
        """Return one resource server."""
        with self._read() as connection:
            return resource_servers.get(connection, name)

    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """Return all resource servers, the first one made leading."""
        with self._read() as connection:
            return resource_servers.read_all(connection)

    def resource_server_page(self, *, after: int | None = None, limit: int = 100) -> list[tuple[int, ResourceServer]]:
        """Return a page of resource servers with their numbers, the first one made leading."""
        with self._read() as connection:
            return resource_servers.page(connection, after=after, limit=limit)

    def renew_resource_server_credential(self, name: str) -> Secret:
        """Give a resource server a new credential and return it, this once; the old one ends."""
        with self._change() as change:
            return resource_servers.renew_credential(change, name)

    def remove_resource_server(self, name: str) -> None:
        """Remove a resource server that no publisher names."""
        with self._change() as change:
            resource_servers.remove(change, name)

    # --- the object itself ---

    def trust_version(self) -> int:
        """Return the number that grows with every change."""
        meta = tables.meta
        with self._read() as connection:
            return int(connection.execute(select(meta.c.value).where(meta.c.key == "trust_version")).scalar_one())

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _change(self) -> Iterator[Change]:
        if self._together is not None:
            yield self._together
            return
        with self._lock, _translated():
            try:
                with self._engine.begin() as connection:
                    yield Change(
                        connection,
                        self._chain,
                        self._actor,
                        int(self._clock()),
                        self._request_id,
                        self._second_person and self._actor.startswith(f"{PrincipalKind.PERSON.value}:"),
                    )
            except BaseException:
                self._chain.discard()
                raise
            self._chain.confirm()
        if self._store is not None:
            self._store.note_trust_changed()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self._together is not None:
            yield self._together.connection
            return
        options: dict[str, Any] = {READ_ONLY: True}
        with _translated(), self._engine.connect().execution_options(**options) as connection:
            yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # `from None`: SQLAlchemy's message quotes the statement's parameters.
        raise UnavailableError(f"the database did not take the change: {error.orig}") from None
    except PoolTimeoutError:
        raise UnavailableError("too many changes are under way", retry_after=2) from None
