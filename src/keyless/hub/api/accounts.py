"""Who am I, and small things the client asks before its work."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from keyless.hub.body import read_body
from keyless.hub.call import Call
from keyless.hub.errors import credentials_missing

MAX_README_BYTES = 4_000_000


async def whoami(call: Call) -> Response:
    """Answer `GET /api/whoami-v2` (`hf auth whoami`): the namespace the token acts in, and the job behind it."""
    token = call.identity.token
    if token is None:
        raise credentials_missing("No token was sent")
    role = "write" if "write" in token.operations and not call.identity.is_user else "read"
    return JSONResponse(
        {
            "type": "user",
            "name": token.resource.namespace,
            "fullname": call.identity.name,
            "orgs": [],  # required: without it the client ends in a KeyError
            "isPro": False,
            "auth": {
                "type": "oidc",
                "resource": token.resource.short,
                "operations": sorted(token.operations),
                "publisher": token.publisher_id,
                "accessToken": {"displayName": call.identity.name, "role": role},
            },
        }
    )


async def validate_yaml(call: Call) -> Response:
    """Answer `POST /api/validate-yaml`, which the client asks for every README.

    A model card's YAML is not judged here: the hub has no catalogue to fill from it.
    """
    if call.identity.is_anonymous:
        raise credentials_missing("A token is needed to upload")
    await read_body(call.request, MAX_README_BYTES)
    return JSONResponse({"errors": [], "warnings": []})


async def agent_harnesses(_call: Call) -> Response:
    """Answer `GET /api/agent-harnesses`; the client caches an object for a day and a 404 not at all."""
    return JSONResponse({})
