"""A `keyring` backend (extra `keyring`): pip, uv and twine find this job's token of a private index by themselves.

`KEYLESS_PYPI_ENDPOINT` names the index, or several separated by commas. Nobody else is ever given a token, whatever URL
a tool asks about: an id token must not go to an index that the user did not name.
"""

from __future__ import annotations

import os
import time
from typing import Final
from urllib.parse import urlsplit

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import PasswordDeleteError, PasswordSetError

from keyless.client.exchange import ExchangedToken
from keyless.client.registries.login import host_of, registry_login
from keyless.client.registries.pypi import USER

VARIABLE: Final = "KEYLESS_PYPI_ENDPOINT"
MARGIN_SECONDS: Final = 60.0  # a token with less is not worth starting with

_tokens: dict[str, ExchangedToken] = {}


class KeylessKeyring(KeyringBackend):
    """Exchange this job's id token when a tool asks for the password of a named index."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the base class has no annotations here

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - a property of the class
        """Come before keyrings of desktops where an index is named, and not at all elsewhere."""
        if not _endpoints():
            raise RuntimeError(f"{VARIABLE} is not set")
        return 9.0

    def get_password(self, service: str, username: str) -> str | None:
        """Return a token, or `None` when the service is not a named index or another user's name is given.

        Raises:
            OIDCError: It is a named index, and no token could be had.
        """
        if username and username != USER:
            return None
        endpoint = _endpoint_of(service)
        if endpoint is None:
            return None
        known = _tokens.get(endpoint)
        if known is None or known.expires_at - time.monotonic() < MARGIN_SECONDS:
            known = _tokens[endpoint] = registry_login("pypi", endpoint=endpoint)
        return known.access_token.reveal()

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return user and token as `get_password` does."""
        password = self.get_password(service, username or USER)
        return None if password is None else SimpleCredential(USER, password)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refuse: nothing is stored here."""
        del service, username, password
        raise PasswordSetError("keyless stores no passwords")

    def delete_password(self, service: str, username: str) -> None:
        """Refuse: nothing is stored here."""
        del service, username
        raise PasswordDeleteError("keyless stores no passwords")


def _endpoints() -> list[str]:
    return [text.strip().rstrip("/") for text in os.environ.get(VARIABLE, "").split(",") if text.strip()]


def _endpoint_of(service: str) -> str | None:
    """Return the named index that a tool means: by a URL at its host over the same scheme, or by the bare host."""
    parts = urlsplit(service) if "://" in service else None
    for endpoint in _endpoints():
        named = urlsplit(endpoint)
        if (
            (parts.scheme, parts.netloc.rpartition("@")[2]) == (named.scheme, named.netloc)
            if parts
            else (service == host_of(endpoint))
        ):
            return endpoint
    return None
