"""The grammar of a resource: what a token is good for.

Two spellings are accepted and one is written. The Hugging Face Hub's short names (`acme/model`, `datasets/acme/data`,
`spaces/…`, `kernels/…`, `buckets/…`, or a bare user name), the canonical form (`models/acme/model`, `users/acme`), and
both below the service's own public URL. What lies in a package registry has one spelling: `pypi/NAME`, `npm/NAME`,
`npm/@SCOPE/NAME`, `oci/PATH`, `cargo/NAME`, `gem/NAME`. Everything inside the project carries a `Resource`. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keyless.errors import ResourceSyntaxError

MAX_RESOURCE_CHARS: Final = 255  # longer than any name the Hub allows (96 per repository id), plus a base URL


class ResourceType(StrEnum):
    """Name the kinds of resource: of the Hub, the account itself, and what package registries hold."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"
    KERNEL = "kernel"
    BUCKET = "bucket"
    USER = "user"
    PYPI = "pypi"
    NPM = "npm"
    OCI = "oci"
    CARGO = "cargo"
    GEM = "gem"

    @property
    def plural(self) -> str:
        """Return the path segment that names the type, for example `datasets`; a registry's is its bare word."""
        return self.value if self in PACKAGE_TYPES else f"{self.value}s"


PACKAGE_TYPES: Final = frozenset(
    {ResourceType.PYPI, ResourceType.NPM, ResourceType.OCI, ResourceType.CARGO, ResourceType.GEM}
)
HUB_TYPES: Final = frozenset(ResourceType) - PACKAGE_TYPES
_TYPE_BY_PLURAL: Final = {kind.plural: kind for kind in ResourceType}
RESERVED_NAMESPACES: Final = frozenset(_TYPE_BY_PLURAL) | {"api", "oauth", "resolve", "settings", "login", "static"}
_SEGMENT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_OCI_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PACKAGE_NAMES: Final = {
    # "Names and normalization" of the Python packaging specifications
    ResourceType.PYPI: re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"),
    # npm's `package.json` document: lower case, safe in a URL, no leading dot or underscore, 214 characters
    ResourceType.NPM: re.compile(r"(?=.{1,214}\Z)(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"),
    # OCI distribution specification, "Pulling manifests": <name>
    ResourceType.OCI: re.compile(rf"{_OCI_COMPONENT}(?:/{_OCI_COMPONENT})*"),
    # Cargo's manifest reference, "The name field", and the public registry's own narrower rule
    ResourceType.CARGO: re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}"),
    # RubyGems' specification reference, "name"
    ResourceType.GEM: re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"),
}


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """Name one repository or package, or one account when `name` is empty.

    A package's `namespace` is the word of its registry: whoever runs the registry gives out its names. Make one with
    `parse_resource`; the constructor checks nothing.
    """

    type: ResourceType
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        """Return the canonical spelling, for example `datasets/acme/data` or `users/acme`."""
        if self.type is ResourceType.USER:
            return f"users/{self.namespace}"
        if self.type in PACKAGE_TYPES:
            return f"{self.type.value}/{self.name}"
        return f"{self.type.plural}/{self.namespace}/{self.name}"

    @property
    def short(self) -> str:
        """Return the Hub's spelling: models have no prefix, an account is its bare name."""
        if self.type is ResourceType.USER:
            return self.namespace
        if self.type is ResourceType.MODEL:
            return f"{self.namespace}/{self.name}"
        return str(self)


def _segment(text: str, value: str) -> str:
    if not _SEGMENT.fullmatch(value) or ".." in value or "--" in value or value.lower().endswith(".git"):
        raise ResourceSyntaxError(
            f"{value[:100]!r} in resource {text[:MAX_RESOURCE_CHARS]!r} is not a valid name",
            hint="Names are 1-96 letters, digits, '.', '_' and '-'; they start and end with a letter or digit.",
        )
    return value


def _package(text: str, type_: ResourceType, name: str) -> Resource:
    if not _PACKAGE_NAMES[type_].fullmatch(name) or ".." in name:
        raise ResourceSyntaxError(
            f"{name[:100]!r} in resource {text[:MAX_RESOURCE_CHARS]!r} is not a name of the {type_.value} registry",
            hint="Write pypi/NAME, npm/NAME, npm/@SCOPE/NAME or oci/PATH, as the registry itself spells it.",
        )
    if type_ is ResourceType.PYPI:
        name = re.sub(r"[-_.]+", "-", name).lower()  # every tool means one project by all these spellings
    return Resource(type_, type_.value, name)


def parse_resource(text: str, *, base_url: str | None = None) -> Resource:
    """Parse a resource name in any accepted spelling.

    Args:
        text: For example `acme/model`, `datasets/acme/data`, `models/acme/model`, `acme`, or one of these after
            `base_url` and a slash.
        base_url: The service's public URL without trailing slash, or `None` when URIs are not accepted.

    Raises:
        ResourceSyntaxError: The text does not fit the grammar; the message names the part.
    """
    if not text or len(text) > MAX_RESOURCE_CHARS:
        raise ResourceSyntaxError(f"a resource has 1-{MAX_RESOURCE_CHARS} characters, this one {len(text)}")
    path = text
    if base_url is not None and text.startswith(f"{base_url}/"):
        path = text[len(base_url) + 1 :]
    parts = path.split("/")
    match parts:
        case [prefix, *rest] if prefix in _TYPE_BY_PLURAL and _TYPE_BY_PLURAL[prefix] in PACKAGE_TYPES and rest:
            return _package(text, _TYPE_BY_PLURAL[prefix], "/".join(rest))
        case [user] if user not in RESERVED_NAMESPACES:
            return Resource(ResourceType.USER, _segment(text, user))
        case ["users", user]:
            return Resource(ResourceType.USER, _segment(text, user))
        case [namespace, name] if namespace not in RESERVED_NAMESPACES:
            return Resource(ResourceType.MODEL, _segment(text, namespace), _segment(text, name))
        case [prefix, namespace, name] if (
            prefix in _TYPE_BY_PLURAL and prefix != "users" and namespace not in RESERVED_NAMESPACES
        ):
            return Resource(_TYPE_BY_PLURAL[prefix], _segment(text, namespace), _segment(text, name))
        case _:
            raise ResourceSyntaxError(
                f"resource {text!r} is neither namespace/name, TYPE/namespace/name nor a user name",
                hint="TYPE is one of models, datasets, spaces, kernels, buckets; packages: pypi/…, npm/…, oci/….",
            )


def namespace_of(text: str) -> str | None:
    """Return the namespace of a resource in any spelling, or `None` when the text is no resource."""
    try:
        return parse_resource(text).namespace
    except ResourceSyntaxError:
        return None
