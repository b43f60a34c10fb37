"""What a CI file is written from: which resources a job publishes, where, and what lets it. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from keyless.resource import PACKAGE_TYPES, Resource, ResourceType

HUB: Final = "https://huggingface.co"
WHEEL: Final = "./ci/keyless-0.1.0-py3-none-any.whl"
"""How the command line comes into a job while it is installed from a wheel that the repository carries."""

_PLAIN_YAML: Final = re.compile(r"[A-Za-z/][A-Za-z0-9._/+-]*|https?://[A-Za-z0-9._/:+-]*[A-Za-z0-9/]", re.ASCII)
_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_FOLDERS: Final = {
    ResourceType.MODEL: "./model",
    ResourceType.DATASET: "./data",
    ResourceType.SPACE: "./space",
    ResourceType.KERNEL: "./kernel",
    ResourceType.BUCKET: "./bucket",
}


@dataclass(frozen=True, slots=True)
class Job:
    """Say what a job is to publish.

    Args:
        resources: Each gets a token of its own.
        endpoint: Base URL of the service, which is the audience of the id token.
        branch: The branch that publishes.
        environment: Deployment environment of the job, or `None`.
        file_name: Name of the workflow's file, where the platform lets one choose it.
        install: What pip is given to install the command line.
        folders: What each resource's files lie in; one by its type where there are none.
        registry_audience: Audience of the id token where the resources are packages and it is not the usual one.
    """

    resources: tuple[Resource, ...]
    endpoint: str = HUB
    branch: str = "main"
    environment: str | None = None
    file_name: str = "publish.yml"
    install: str = WHEEL
    folders: tuple[str, ...] = ()
    registry_audience: str | None = None

    @property
    def packages(self) -> bool:
        """Tell whether the job publishes to a package registry, whose URL is then the endpoint."""
        return any(resource.type in PACKAGE_TYPES for resource in self.resources)

    @property
    def audience(self) -> str:
        """Return the audience of the id token: the service's URL, or what a registry's tools ask for."""
        if not self.packages:
            return self.endpoint
        return self.registry_audience or _registry_audience(self.resources[0].type, self.endpoint)

    @property
    def needs_endpoint(self) -> bool:
        """Tell whether the job has to name the service, because it is not the one that clients take by default."""
        return self.endpoint != HUB and not self.packages

    def uploads(self) -> list[tuple[Resource, str]]:
        """Return each resource with the command that publishes to it."""
        folders = self.folders or tuple(_FOLDERS.get(resource.type, "./files") for resource in self.resources)
        return [(r, _upload(r, folder)) for r, folder in zip(self.resources, folders, strict=True)]

    def commands(self) -> list[str]:
        """Return the shell commands of a job in which `keyless exec` gets the tokens."""
        if self.packages:
            pip = shlex.join(["python", "-m", "pip", "install", *_TOOLS.get(self.resources[0].type, ()), self.install])
            return [pip, *(_publish(resource, self.endpoint) for resource in self.resources)]
        pip = shlex.join(["python", "-m", "pip", "install", "huggingface_hub", self.install])
        return [pip, *(f"keyless exec --resource {r.short} -- {upload}" for r, upload in self.uploads())]


@dataclass(frozen=True, slots=True)
class CiFile:
    """Hold a file to commit.

    Args:
        path: Where it belongs, from the repository's root.
        text: All of it.
        before: What has to be done on the platform first, a sentence each.
    """

    path: str
    text: str
    before: tuple[str, ...] = ()


def scalar(value: str) -> str:
    """Return a value as YAML; in quotes wherever it might be read as something else."""
    plain = _PLAIN_YAML.fullmatch(value) and value.lower() not in _YAML_WORDS
    return value if plain else json.dumps(value)


def command(text: str) -> str:
    """Return a shell command as one YAML scalar."""
    safe = not re.search(r": | #|^[-?:&*!|>'\"%@`{\[]", text) and text == text.strip()
    return text if safe else json.dumps(text)


def block(lines: Sequence[str], *, indent: int) -> str:
    """Return lines below each other, indented, without a last line break."""
    return "\n".join(f"{' ' * indent}{line}" if line else "" for line in lines)


def _upload(resource: Resource, folder: str) -> str:
    folder = shlex.quote(folder)
    if resource.type is ResourceType.USER:
        return "./publish.sh"
    name = f"{resource.namespace}/{resource.name}"
    kind = "" if resource.type is ResourceType.MODEL else f" --repo-type {resource.type.value}"
    return f"hf upload {name} {folder}{kind}"


_TOOLS: Final = {ResourceType.PYPI: ("twine",)}


def _publish(resource: Resource, registry: str) -> str:
    """Return the command that publishes a package with its ecosystem's own tool."""
    host = urlsplit(registry).netloc
    start = f"keyless exec --for {resource.type.value} --endpoint {shlex.quote(registry)}"
    match resource.type:
        case ResourceType.PYPI:
            return f"{start} -- twine upload dist/*"
        case ResourceType.NPM:
            return f"{start} --resource {resource.short} -- npm publish"
        case ResourceType.OCI:
            image = f"docker://{host}/{resource.name}:latest"
            return f"{start} --resource {resource.short} -- skopeo copy oci-archive:image.tar {image}"
        case _:
            return f"{start} --resource {resource.short} -- ./publish.sh"


def _registry_audience(kind: ResourceType, registry: str) -> str:
    parts = urlsplit(registry)
    if kind is ResourceType.PYPI:  # tools make a variable's name of it
        return "".join(c if c.isalnum() else "-" for c in parts.netloc.lower())
    return f"{kind.value}:{parts.hostname if kind is ResourceType.NPM else parts.netloc}"
