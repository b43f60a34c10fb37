"""The door of a PyPI-like index: `/_/oidc/…` as uv, maturin, pdm and the PyPA's action call it.

Neither the audience nor the mint call names a project: one token covers every project whose publisher trusts the job on
the same terms, and lists them. Errors are HTTP 422 with `message` and `errors`, without which twine does not get by.
"""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar, Final

from keyless.errors import (
    ClaimError,
    NoMatchingPublisherError,
    ReplayedTokenError,
    RequestError,
    TokenError,
)
from keyless.resource import ResourceType
from keyless.secret import Secret
from keyless.server.doors.errors import ErrorProfile, answer_for, log_error, retry_headers
from keyless.server.doors.http import Receive, Scope, Send, caller_of, read_body, send_json
from keyless.server.doors.package import PackageDoor, Routes, host_word
from keyless.server.services.token_request import (
    MAX_BODY_BYTES,
    MAX_SUBJECT_TOKEN_CHARS,
    TokenRequest,
    parse_json_members,
)

_log = logging.getLogger("keyless.server")


class PyPIDoor(PackageDoor):
    """Serve the calls of a PyPI-like index's trusted publishing."""

    type: ClassVar = ResourceType.PYPI
    ttl_seconds: ClassVar = 900

    @classmethod
    def audiences(cls, url: str) -> tuple[str, ...]:
        """Return the one word that tools learn from `/_/oidc/audience`."""
        return (host_word(url),)

    def routes(self) -> Routes:
        """Return the endpoints. They stand at the root of the index's host, wherever the index itself stands."""
        mint = {"POST": self._mint}
        return {
            "/_/oidc/audience": {"GET": self._audience},
            "/_/oidc/mint-token": mint,
            "/_/oidc/github/mint-token": mint,  # its older name, which maturin still calls
            "/_/oidc/burn-token": {"POST": self._burn},
        }

    async def _audience(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        content = {"audience": self.lent.terms.audiences[0]}
        await send_json(send, 200, content, request_id=caller_of(scope).request_id)

    async def _mint(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        try:
            token = await _read_token(scope, receive)
            request = TokenRequest(Secret(token), None, None, frozenset(), ResourceType.PYPI)
            issued = await self.lent.exchange.exchange(request, caller, self.lent.terms)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        _log.info(
            "granted %s door=pypi publisher=%s resource=%s also=%d",
            caller.request_id,
            issued.publisher_id,
            issued.resource,
            issued.also,
        )
        content = {"success": True, "token": issued.access_token.reveal(), "expires": issued.expires_at}
        await send_json(send, 200, content, request_id=caller.request_id)

    async def _burn(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        try:
            token = await _read_token(scope, receive)
            await asyncio.to_thread(self.lent.live.revoke, token, request_id=caller.request_id, audience=self.lent.url)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._refuse(send, error, caller.request_id)
            return
        # Whether or not it was one of ours: RFC 7009 section 2.2 wants no oracle here.
        await send_json(send, 200, {"success": True}, request_id=caller.request_id)

    async def _refuse(self, send: Send, error: Exception, request_id: str) -> None:
        answer = answer_for(error, ErrorProfile.HUGGINGFACE, audience=self.lent.terms.audiences[0])
        log_error(error, answer, request_id)
        await send_json(
            send,
            answer.status if answer.status >= 500 or answer.status in {413, 429} else 422,
            {
                "message": "the token request was refused" if answer.status < 500 else answer.description,
                "errors": [{"code": _code(error), "description": answer.description}],
                "reason": answer.reason,
                "request_id": request_id,
            },
            request_id=request_id,
            headers=retry_headers(answer),
        )


def _code(error: Exception) -> str:
    match error:
        case RequestError():
            return "invalid-payload"
        case ReplayedTokenError():
            return "invalid-reuse-token"
        case NoMatchingPublisherError():
            return "invalid-publisher"
        case ClaimError():
            return "invalid-token"
        case TokenError():
            return "invalid-payload"
        case _:
            return "temporarily-unavailable"


async def _read_token(scope: Scope, receive: Receive) -> str:
    """Return the one member of the body.

    Raises:
        RequestError: The body is not a JSON object with a text `token`.
    """
    token = parse_json_members(await read_body(scope, receive, max_bytes=MAX_BODY_BYTES)).get("token")
    if not token or len(token) > MAX_SUBJECT_TOKEN_CHARS:
        raise RequestError(f"the body must be a JSON object whose token has 1-{MAX_SUBJECT_TOKEN_CHARS} characters")
    return token


DOOR: Final = PyPIDoor
