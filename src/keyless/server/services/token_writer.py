"""The payload of access tokens, with whatever all tokens of one publisher share written once (D17). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring as quoted
from typing import Final

from keyless.jose.json import compact_encoder
from keyless.resource import Resource
from keyless.trust.publisher import Publisher
from keyless.verifier.access_token import access_token_claims

Write = Callable[[str, int, int, str], bytes]
"""Token id, issued at, expires at (Unix seconds), CI subject -> the payload."""

_text: Final = compact_encoder(ensure_ascii=False)
# No text of ours can hold them, and none of a publisher: they are not printable, so the parts cannot be cut wrongly.
_JTI, _SUBJECT = "\x00", "\x01"
_ISSUED_AT, _EXPIRES_AT = -1, -2


def token_writer(
    *,
    issuer: str,
    publisher: Publisher,
    resource: Resource,
    operations: Iterable[str],
    ci_issuer: str,
    also: Sequence[tuple[Resource, str]] = (),
) -> Write:
    """Return what writes the claims of this publisher's tokens: `access_token_claims` as compact JSON, to the byte."""
    sample = access_token_claims(
        issuer=issuer,
        audience=publisher.audience,
        publisher_id=publisher.id,
        jti=_JTI,
        issued_at=_ISSUED_AT,
        expires_at=_EXPIRES_AT,
        resource=resource,
        operations=operations,
        ci_issuer=ci_issuer,
        ci_subject=_SUBJECT,
        prefix=publisher.token_prefix,
        also=also,
    )
    head, rest = _text(sample).split(_text(_JTI), 1)
    before_iat, rest = rest.split(str(_ISSUED_AT), 1)
    before_exp, rest = rest.split(str(_EXPIRES_AT), 1)
    before_subject, tail = rest.split(_text(_SUBJECT), 1)

    def write(jti: str, issued_at: int, expires_at: int, ci_subject: str) -> bytes:
        return (
            f"{head}{quoted(jti)}{before_iat}{issued_at}{before_exp}{expires_at}"
            f"{before_subject}{quoted(ci_subject)}{tail}"
        ).encode()

    return write
