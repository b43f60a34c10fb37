"""What the job of a package's publisher needs in its file: the audience, the variable, and the command. Pure."""

from __future__ import annotations

from keyless.resource import PACKAGE_TYPES, ResourceType
from keyless.server.doors.package import find_door
from keyless.trust.publisher import Publisher


def id_token_audience(publisher: Publisher) -> str:
    """Return the `aud` that an id token for this publisher must carry.

    A package registry's is derived from its URL, where its settings do not name another.
    """
    if publisher.resource.type not in PACKAGE_TYPES:
        return publisher.audience
    return find_door(publisher.resource.type).audiences(publisher.audience)[0]


def package_job_lines(publisher: Publisher) -> list[str]:
    """Return the lines of the CI file, or nothing for a platform we cannot write it for."""
    url, name, audience = publisher.audience, publisher.resource.name, id_token_audience(publisher)
    commands = {
        ResourceType.PYPI: f"uv publish --trusted-publishing always --publish-url {url}/",
        ResourceType.NPM: f"npm publish --registry {url}/",
        ResourceType.OCI: f"keyless exec --for oci --endpoint {url} --resource {name} -- skopeo copy …",
    }
    command = commands.get(publisher.resource.type)
    if command is None:
        return []
    if publisher.issuer_kind == "github":
        return ["permissions:", "  contents: read", "  id-token: write", "steps:", f"  - run: {command}"]
    if publisher.issuer_kind == "gitlab":
        # uv and the PyPA's tools derive the variable's name from the audience.
        derived = f"{''.join(c if c.isalnum() else '_' for c in audience.upper())}_ID_TOKEN"
        names = {ResourceType.PYPI: derived, ResourceType.NPM: "NPM_ID_TOKEN", ResourceType.OCI: "KEYLESS_ID_TOKEN"}
        variable = names[publisher.resource.type]
        return ["id_tokens:", f"  {variable}:", f"    aud: {audience}", "script:", f"  - {command}"]
    return []
