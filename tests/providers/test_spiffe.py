"""SPIFFE / SPIRE by the agent's program (S11)."""

from __future__ import annotations

import json

import pytest

from keyless.errors import IdTokenPermissionError, MintError, MintUnavailableError
from keyless.testing import FakeIssuer
from keyless.testing.mint_server import Ran
from keyless.testing.spiffe import SOCKET_PATH, FakeSpire
from tests.providers.asking import AUDIENCE, claims_of, failure, find, hint_of, mint


def test_a_registered_workload_gets_an_svid(issuer: FakeIssuer) -> None:
    """Audience by argument, socket without its scheme, JSON out."""
    with FakeSpire(issuer) as spire:
        found = find(spire.environ())
        claims = claims_of(spire.environ())

    assert (found.provider, found.mints_anew) == ("spiffe", True)
    assert (claims["aud"], claims["sub"]) == ([AUDIENCE], "spiffe://example.org/ns/ci/sa/builder")
    assert spire.requests[0].option("-output") == "json"


def test_one_of_several_identities_can_be_chosen(issuer: FakeIssuer) -> None:
    """The first is the default."""
    with FakeSpire(issuer) as spire:
        mint({**spire.environ(), "KEYLESS_SPIFFE_ID": "spiffe://example.org/ns/ci/sa/builder"})

    assert spire.requests[0].option("-spiffeID") == "spiffe://example.org/ns/ci/sa/builder"


@pytest.mark.parametrize("text", [f"unix://{SOCKET_PATH}", f"unix:{SOCKET_PATH}", SOCKET_PATH])
def test_spellings_of_the_socket(issuer: FakeIssuer, text: str) -> None:
    """Two of the URI, and the bare path that one client has."""
    with FakeSpire(issuer) as spire:
        assert mint({**spire.environ(), "SPIFFE_ENDPOINT_SOCKET": text})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("tcp://127.0.0.1:8081", "KEYLESS_ID_TOKEN_FILE"),
        ("unix://host/run/api.sock", "absolute path"),
        ("relative/api.sock", "absolute path"),
        ("unix:", "absolute path"),
        ("unix:///run/\x1b[2J", "absolute path"),
    ],
)
def test_sockets_that_cannot_be_used(text: str, word: str) -> None:
    """Each with what to write."""
    error = failure({"SPIFFE_ENDPOINT_SOCKET": text})

    assert isinstance(error, IdTokenPermissionError)
    assert word in (error.hint or "")


def test_no_program(issuer: FakeIssuer) -> None:
    """Agent missing: the file way."""
    with FakeSpire(issuer) as spire:
        assert "KEYLESS_ID_TOKEN_FILE" in hint_of({**spire.environ(), "PATH": "/nonexistent"})


def test_an_unregistered_workload_may_try_again(issuer: FakeIssuer) -> None:
    """providers.md 2.10: PermissionDenied means not registered (yet)."""
    with FakeSpire(issuer, registered=False) as spire:
        error = failure(spire.environ())

    assert isinstance(error, MintUnavailableError)
    assert "selectors" in (error.hint or "")


@pytest.mark.parametrize(
    ("complaint", "kind", "word"),
    [
        ("rpc error: code = Unavailable desc = dial unix: no such file or directory", MintUnavailableError, "socket"),
        ("rpc error: code = DeadlineExceeded", MintUnavailableError, "in time"),
        ("rpc error: code = InvalidArgument desc = security header missing", MintError, "something other"),
        ("flag provided but not defined: -output", MintError, "too old"),
        ("something new", MintError, "spire-agent api fetch jwt"),
    ],
)
def test_known_complaints_have_hints(issuer: FakeIssuer, complaint: str, kind: type[MintError], word: str) -> None:
    """What to do, and whether trying again helps."""
    with FakeSpire(issuer) as spire:
        spire.misprint(Ran(status=1, complaint=complaint))
        error = failure(spire.environ())

    assert type(error) is kind
    assert word in (error.hint or "")


@pytest.mark.parametrize(
    "output",
    ["", "[]", "null", "[[]]", '[{"svids": []}]', '[{"svids": [1]}]', '[{"svids": [{"svid": "a b"}]}]', "[" * 60_000],
)
def test_output_without_an_svid(issuer: FakeIssuer, output: str) -> None:
    """Never a crash."""
    with FakeSpire(issuer) as spire:
        spire.misprint(Ran(output=output))

        assert isinstance(failure(spire.environ()), MintError)


def test_the_order_of_the_two_answers_does_not_matter(issuer: FakeIssuer) -> None:
    """SVIDs and bundles are two documents of one list."""
    with FakeSpire(issuer) as spire:
        spire.misprint(Ran(output=json.dumps([{"bundles": {}}, {"svids": [{"svid": "a.b.c"}]}])))

        assert mint(spire.environ()) == "a.b.c"


def test_an_audience_with_a_comma_would_be_two(issuer: FakeIssuer) -> None:
    """The program splits it, so it is refused before."""
    with FakeSpire(issuer) as spire:
        assert isinstance(failure(spire.environ(), "https://a,b"), MintError)
    assert spire.mints == 0
