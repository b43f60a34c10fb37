"""What the store says about trust right now, for the verbs that judge without exchanging."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keyless.errors import ConfigurationError, MalformedTokenError
from keyless.jose.json import parse_json_object
from keyless.oidc.issuer import Issuer
from keyless.resource import Resource
from keyless.server.cli.store_access import actor, open_local
from keyless.server.services.owner_explain import OwnerExplain
from keyless.server.settings import StoreSettings
from keyless.server.store import Store
from keyless.server.store.admin import Administration
from keyless.trust.explain import Explanation
from keyless.trust.publisher import Publisher

MAX_FILE_BYTES: Final = 1024 * 1024


class TrustSnapshot:
    """Read publishers, whatever their state, and judge claims that nobody proved.

    Args:
        store: An open store.
        administration: Over the same store.
        settings: The settings that named it.
    """

    def __init__(self, store: Store, administration: Administration, settings: StoreSettings) -> None:
        self.store = store
        self.settings = settings
        self.judge = OwnerExplain(store, administration)
        self._administration = administration
        self.issuers: dict[int, Issuer] = {issuer.id: issuer for issuer in administration.issuers()}

    def publishers(self, resource: Resource | None = None) -> list[Publisher]:
        """Return the publishers of a resource or of all, oldest first."""
        return self._administration.publishers(resource)

    def explain(self, resource: Resource, issuer_url: str, claims: Mapping[str, object], *, now: int) -> Explanation:
        """Say what the publishers of a resource make of an issuer's claims."""
        return self.judge.of_claims(resource, issuer_url, claims, now=now)


@contextmanager
def open_snapshot(options: argparse.Namespace) -> Iterator[TrustSnapshot]:
    """Open the store that the options and settings name, to read only.

    Raises:
        ConfigurationError: It does not exist, or cannot be used.
    """
    with open_local(options) as (store, settings), Administration(store, actor=actor()) as administration:
        yield TrustSnapshot(store, administration, settings)


def read_input(path: str) -> bytes:
    """Read a file, or standard input for `-`.

    Raises:
        ConfigurationError: It cannot be read, or is larger than anything of its kind.
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def read_json_object(path: str) -> dict[str, object]:
    """Read a JSON object from a file, or from standard input for `-`.

    Raises:
        ConfigurationError: It cannot be read, or is not one JSON object.
    """
    try:
        return parse_json_object(read_input(path))
    except MalformedTokenError as error:
        raise ConfigurationError(f"{path} is not a JSON object: {error}") from None
