"""The fake agent answers as the specification says; the real client and server are in the journeys."""

from __future__ import annotations

import pytest

from keyless.http.deadline import Deadline
from keyless.http.grpc import Answer, call, connect_unix, read_fields, write_field
from keyless.testing import FakeCI, FakeIssuer, unverified_claims
from keyless.testing.spiffe import METHOD, FakeSpire

GOOD = {"workload.spiffe.io": "true"}


def ask(spire: FakeSpire, message: bytes, *, method: str = METHOD, metadata: dict[str, str] | None = None) -> Answer:
    sock = connect_unix(spire.socket_path, Deadline(5))
    return call(sock, method, message, metadata=GOOD if metadata is None else metadata, deadline=Deadline(5))


def test_an_svid_for_every_audience(issuer: FakeIssuer) -> None:
    """A list as audience, no jti, and the id beside the token."""
    with FakeCI.spiffe(issuer) as spire:
        answer = ask(spire, write_field(1, b"x") + write_field(1, b"y"))
    ((number, svid),) = read_fields(answer.message)
    fields = dict(read_fields(svid))
    claims = unverified_claims(fields[2].decode())

    assert number == 1
    assert (claims["aud"], "jti" in claims) == (["x", "y"], False)
    assert fields[1].decode() == claims["sub"]


@pytest.mark.parametrize(
    ("message", "method", "metadata", "registered", "status"),
    [
        (b"", METHOD, GOOD, True, 3),
        (write_field(1, b"x"), METHOD, {}, True, 3),
        (write_field(1, b"x"), METHOD, {"workload.spiffe.io": "yes"}, True, 3),
        (write_field(1, b"x"), METHOD, GOOD, False, 7),
        (write_field(1, b"x") + write_field(2, b"spiffe://other"), METHOD, GOOD, True, 7),
        (write_field(1, b"x"), "/SpiffeWorkloadAPI/Other", GOOD, True, 12),
    ],
    ids=["no audience", "no header", "another header", "not registered", "another's identity", "another call"],
)
def test_what_it_refuses(
    issuer: FakeIssuer, message: bytes, method: str, metadata: dict[str, str], registered: bool, status: int
) -> None:
    """With gRPC's numbers."""
    with FakeCI.spiffe(issuer, registered=registered) as spire:
        answer = ask(spire, message, method=method, metadata=metadata)

    assert (answer.status, answer.message) == (status, b"")
