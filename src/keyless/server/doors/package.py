"""What every door of a package registry has in common. A new one is one more file beside this, named after its type.

A door translates: what a registry's tools send into the one exchange there is, and its answer or refusal back into
their dialect. It decides nothing. Its class says on what terms it exchanges; settings say where the registry stands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar, Final
from urllib.parse import urlsplit

from keyless.errors import ConfigurationError
from keyless.jose.signing import SigningKey
from keyless.oidc.issuer import ReplayMode
from keyless.resource import PACKAGE_TYPES, ResourceType
from keyless.server.doors.http import Door
from keyless.server.services.exchange import ExchangeService
from keyless.server.services.live import LiveTokens
from keyless.server.services.terms import Terms
from keyless.server.services.verification import IdTokenVerification
from keyless.server.settings import GENERIC_HOSTS, GENERIC_WORDS, DoorSettings

Routes = Mapping[str, Mapping[str, Door]]
"""Endpoint by path and method; a path that ends in `*` stands for all that begin so."""

# Public registries' and services' own: an id token that a job made for one of them must not be good here (T43).
_FOREIGN_AUDIENCES: Final = GENERIC_WORDS | {"pypi", "testpypi", "npm", "oci", "docker", "crates", "rubygems"}
_FOREIGN_PREFIXES: Final = ("npm:registry.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """Hold what the service lends to a door.

    `public_url` is the service's own URL and `url` the registry's: the audience of the tokens handed out for it.
    """

    public_url: str
    url: str
    terms: Terms
    exchange: ExchangeService
    verification: IdTokenVerification
    live: LiveTokens
    signing_key: Callable[[], SigningKey]
    clock: Callable[[], float]


class PackageDoor(ABC):
    """The door of one package registry.

    Attributes:
        type: What the registry holds.
        ttl_seconds: Lifetime of its tokens where neither settings nor publisher say another (D7).
        replay: How often an id token counts here when that is not for its issuer to say (D8).
    """

    type: ClassVar[ResourceType]
    ttl_seconds: ClassVar[int]
    replay: ClassVar[ReplayMode | None] = None

    def __init__(self, lent: Lent) -> None:
        self.lent = lent

    @classmethod
    @abstractmethod
    def audiences(cls, url: str) -> tuple[str, ...]:
        """Return the audiences that the registry's tools ask the CI for, given its URL."""

    @abstractmethod
    def routes(self) -> Routes:
        """Return the endpoints."""


def find_door(name: str) -> type[PackageDoor]:
    """Return the door of a type of package.

    Raises:
        ConfigurationError: There is none of that name.
    """
    known = sorted(kind.value for kind in PACKAGE_TYPES if find_spec(f"{__package__}.{kind.value}"))
    if name not in known:
        raise ConfigurationError(f"doors.{name}: there is no such door", hint=f"Doors: {', '.join(known)}.")
    door: object = import_module(f"{__package__}.{name}").DOOR
    assert isinstance(door, type) and issubclass(door, PackageDoor)  # noqa: S101 - for the type checker
    return door


def terms_of(name: str, door: type[PackageDoor], settings: DoorSettings) -> Terms:
    """Return the terms of a door as it is configured.

    Raises:
        ConfigurationError: Its audience is one that other services use too.
    """
    audiences = (settings.audience,) if settings.audience else door.audiences(settings.url)
    for audience in audiences:
        word = audience.lower()
        host = word.rpartition("://")[2].rpartition("npm:")[2].rpartition("oci:")[2].partition("/")[0]
        if word in _FOREIGN_AUDIENCES or host in GENERIC_HOSTS or word.startswith(_FOREIGN_PREFIXES):
            raise ConfigurationError(
                f"doors.{name}: {audience!r} is the audience of another service, whose id tokens would be good here",
                hint="Give the registry a host name of its own, or name another audience.",
            )
    return Terms(
        door=name,
        audiences=audiences,
        resource_types=frozenset({door.type}),
        ttl_seconds=settings.token_ttl_seconds or door.ttl_seconds,
        replay=door.replay,
    )


def host_word(url: str) -> str:
    """Return a registry's host and port as one word of letters, digits and dashes.

    Tools derive the name of a CI variable from an audience, so it must not be a whole URL.
    """
    return "".join(c if c.isalnum() else "-" for c in urlsplit(url).netloc.lower())
