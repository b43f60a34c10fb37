"""What writes a payload piece by piece writes what the encoder would."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from keyless.jose.json import compact_encoder
from keyless.resource import Resource, ResourceType, parse_resource
from keyless.server.services.token_writer import token_writer
from keyless.trust.publisher import Operation, Publisher
from keyless.verifier.access_token import access_token_claims

PUBLISHER = Publisher(
    id="pub_aaaaaaaaaaaaaaaaaaaa",
    version=1,
    resource=parse_resource("acme/model"),
    issuer_id=1,
    issuer_url="https://ci.example",
    issuer_kind="github",
    operations=(Operation.READ, Operation.WRITE),
    conditions=(),
    pins=(),
    audience="https://hub.example",
    token_prefix="kl_",
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
ALSO = st.lists(st.tuples(st.builds(Resource, st.just(ResourceType.PYPI), st.just("pypi"), TEXTS), TEXTS), max_size=3)


@given(
    issuer=TEXTS, audience=TEXTS, ci_issuer=TEXTS, subject=st.text(st.characters(exclude_categories=["Cs"])),
    jti=TEXTS, issued_at=st.integers(0, 2**40), lifetime=st.integers(1, 3600), also=ALSO,
)  # fmt: skip
def test_a_payload_is_what_the_encoder_writes(
    issuer: str,
    audience: str,
    ci_issuer: str,
    subject: str,
    jti: str,
    issued_at: int,
    lifetime: int,
    also: list[tuple[Resource, str]],
) -> None:
    """D17: to the byte, whatever the texts hold, so that there is one form of our tokens (D6)."""
    publisher = replace(PUBLISHER, audience=audience)
    write = token_writer(
        issuer=issuer,
        publisher=publisher,
        resource=publisher.resource,
        operations=publisher.operations,
        ci_issuer=ci_issuer,
        also=also,
    )

    written = write(jti, issued_at, issued_at + lifetime, subject)

    claims = access_token_claims(
        issuer=issuer,
        audience=audience,
        publisher_id=publisher.id,
        jti=jti,
        issued_at=issued_at,
        expires_at=issued_at + lifetime,
        resource=publisher.resource,
        operations=publisher.operations,
        ci_issuer=ci_issuer,
        ci_subject=subject,
        prefix=publisher.token_prefix,
        also=also,
    )
    assert written == compact_encoder(ensure_ascii=False)(claims).encode()
