"""PyPI-like indexes: `/_/oidc/…` at the root of the index's host, as uv and the PyPA's tools call it."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

from keyless.client.registries.calls import call, read_token, text
from keyless.client.registries.files import write_private
from keyless.client.registries.login import root_of
from keyless.errors import ResponseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from keyless.client.exchange import ExchangedToken
    from keyless.client.registries.calls import Members
    from keyless.http.deadline import Deadline
    from keyless.secret import Secret

NEEDS_PACKAGE: Final = False  # one token covers what this job may publish there
USER: Final = "__token__"


def read_audience(endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]) -> str:
    """Ask the index which audience it expects."""
    answer = call("GET", f"{root_of(endpoint)}/_/oidc/audience", explain=_explain, deadline=deadline, environ=environ)
    audience = text(answer, "audience")
    if not audience or not audience.isprintable():
        raise ResponseError(f"the registry at {endpoint} names no audience")
    return audience


def exchange(
    id_token: Secret, endpoint: str, package: str, *, deadline: Deadline, environ: Mapping[str, str]
) -> ExchangedToken:
    """Mint a token at the index."""
    del package
    answer = call(
        "POST",
        f"{root_of(endpoint)}/_/oidc/mint-token",
        id_token=id_token,
        body=json.dumps({"token": id_token.reveal()}).encode(),
        headers={"Content-Type": "application/json"},
        explain=_explain,
        deadline=deadline,
        environ=environ,
    )
    expires = answer.get("expires")
    left = int(expires - time.time()) if isinstance(expires, int) and not isinstance(expires, bool) else 900
    return read_token(answer, "token", expires_in=left)


def revoke(token: Secret, endpoint: str, *, deadline: Deadline, environ: Mapping[str, str]) -> None:
    """Burn a token."""
    call(
        "POST",
        f"{root_of(endpoint)}/_/oidc/burn-token",
        id_token=token,
        body=json.dumps({"token": token.reveal()}).encode(),
        headers={"Content-Type": "application/json"},
        explain=_explain,
        deadline=deadline,
        environ=environ,
    )


def variables(endpoint: str, token: Secret, folder: str) -> dict[str, str]:
    """Return what twine, uv, maturin and their like read to publish, and the netrc that pip and uv read to install."""
    value = token.reveal()
    netrc = f"machine {urlsplit(endpoint).hostname} login {USER} password {value}\n"
    return {
        "NETRC": write_private(folder, "netrc", netrc),
        "TWINE_REPOSITORY_URL": endpoint,
        "TWINE_USERNAME": USER,
        "TWINE_PASSWORD": value,
        "TWINE_NON_INTERACTIVE": "1",
        "UV_PUBLISH_URL": endpoint,
        "UV_PUBLISH_TOKEN": value,
        "MATURIN_REPOSITORY_URL": endpoint,
        "MATURIN_PYPI_TOKEN": value,
        "PDM_PUBLISH_REPO": endpoint,
        "PDM_PUBLISH_USERNAME": USER,
        "PDM_PUBLISH_PASSWORD": value,
        "FLIT_INDEX_URL": endpoint,
        "FLIT_USERNAME": USER,
        "FLIT_PASSWORD": value,
        "HATCH_INDEX_REPO": endpoint,
        "HATCH_INDEX_USER": USER,
        "HATCH_INDEX_AUTH": value,
    }


def _explain(members: Members) -> str:
    errors = members.get("errors")
    told = (
        [text(error, "description") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    )
    return "; ".join(part for part in told if part) or text(members, "message")
