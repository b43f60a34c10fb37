"""OCI registries: the token realm that the registry itself names, asked once for a token that serves as a password."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode, urlsplit

from keyless.client.exchange import GRANT_TYPE, ID_TOKEN_TYPE
from keyless.client.registries.calls import call, read_token, text
from keyless.client.registries.files import write_private
from keyless.client.registries.login import host_of, root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.client.exchange import ExchangedToken
    from keyless.client.registries.calls import Members
    from keyless.http.deadline import Deadline
    from keyless.secret import Secret

NEEDS_PACKAGE: Final = True
USER: Final = "keyless"  # the realm does not look at it; tools want one


def read_audience(endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]) -> str:
    """Return the audience of the realm in front of a registry: its host, with the port."""
    del deadline, environ
    return f"oci:{urlsplit(endpoint).netloc}"


def exchange(
    id_token: Secret, endpoint: str, package: str, *, deadline: Deadline, environ: Mapping[str, str]
) -> ExchangedToken:
    """Exchange an id token for one that is good as a password for one repository of images."""
    form = {
        "grant_type": GRANT_TYPE,
        "subject_token_type": ID_TOKEN_TYPE,
        "subject_token": id_token.reveal(),
        "resource": f"oci/{package}",
    }
    answer = call(
        "POST",
        f"{root_of(endpoint)}/oci/token",
        id_token=id_token,
        body=urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        explain=_explain,
        deadline=deadline,
        environ=environ,
    )
    expires_in = answer.get("expires_in")
    return read_token(answer, "access_token", expires_in=expires_in if isinstance(expires_in, int) else None)


def variables(endpoint: str, token: Secret, folder: str) -> dict[str, str]:
    """Return what skopeo, podman, buildah, docker and oras read: one file, under both of its names."""
    login = base64.b64encode(f"{USER}:{token.reveal()}".encode()).decode("ascii")
    path = write_private(folder, "config.json", json.dumps({"auths": {host_of(endpoint): {"auth": login}}}))
    return {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": path}


def _explain(members: Members) -> str:
    errors = members.get("errors")
    told = [text(error, "message") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return "; ".join(part for part in told if part) or text(members, "error_description")
