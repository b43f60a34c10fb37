"""The worked examples of the standards: those we do, and those we must refuse although they are genuine."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode

import pytest

from keyless.errors import Error, InvalidSignatureError, MalformedTokenError
from keyless.jose.algorithms import verify_signature
from keyless.jose.compact import parse_compact
from keyless.jose.json import parse_json_object
from keyless.jose.jwk import parse_jwk, parse_jwks
from keyless.oidc.id_token import check_header
from tests.jose.keys import KeyVector, UnusableVector, signing_key, vectors

KEYS = [vector for source in ("rfc7517", "rfc8037") for vector in vectors(source)["keys"]]
UNUSABLE = [vector for source in ("rfc7515", "rfc7519", "rfc7520") for vector in vectors(source)["unusable"]]


def decoded(text: str) -> bytes:
    """Decode base64url with the standard library."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("vector", KEYS, ids=lambda vector: vector["name"])
def test_the_keys_of_the_standards_are_taken_when_they_verify(vector: KeyVector) -> None:
    """V08, RFC 7517 section 3 and appendix A, RFC 8037 appendix A: keys to encrypt, wrap or agree never verify."""
    if vector["usable"]:
        assert parse_jwk(vector["jwk"]).kid == vector["jwk"].get("kid")
    else:
        with pytest.raises(MalformedTokenError):
            parse_jwk(vector["jwk"])


def test_of_the_example_key_set_the_usable_key_is_left() -> None:
    """K08, T32, RFC 7517 section 5: what cannot be used is skipped."""
    jwks = json.dumps({"keys": [vector["jwk"] for vector in KEYS]}).encode()

    assert parse_jwks(jwks).kids == {
        "Public key used in JWS spec Appendix A.3 example",
        "2011-04-29",
    }


@pytest.mark.parametrize("vector", UNUSABLE, ids=lambda vector: vector["name"])
def test_genuine_examples_of_what_we_do_not_do_are_refused(vector: UnusableVector) -> None:
    """V02, V04, T01, T02: HMAC, no signature, JSON serialisation, detached payload; by shape, header or algorithm."""
    token = vector["token"]
    if vector["hmac_key"] is not None:
        signing_input, _, signature = token.rpartition(".")
        mac = hmac.digest(decoded(vector["hmac_key"]), signing_input.encode(), hashlib.sha256)
        assert mac == decoded(signature)

    with pytest.raises((MalformedTokenError, InvalidSignatureError)):
        _read(token)


def _read(token: str) -> None:
    jws = parse_compact(token)
    algorithm, _kid = check_header({"kid": "k", **jws.unverified_header}, types=frozenset({"", "jwt"}))
    for signer in ("RS256", "ES256", "EdDSA"):
        material = signing_key(signer).public_key().material
        try:
            verify_signature(algorithm, material, jws.signing_input, jws.signature)
        except InvalidSignatureError:
            continue
        return
    raise InvalidSignatureError("no key of ours verifies it")


@pytest.mark.parametrize("vector", vectors("rfc7519")["unusable"], ids=lambda vector: vector["name"])
def test_the_claims_of_the_example_are_read_to_the_letter(vector: UnusableVector) -> None:
    """V05, RFC 7519 section 3.1: carriage returns and all."""
    payload = decoded(vector["token"].split(".")[1])

    assert parse_json_object(payload) == vectors("rfc7519")["claims"]


def test_every_file_names_its_source() -> None:
    """A vector without a source proves nothing."""
    for source in ("rfc7515", "rfc7517", "rfc7519", "rfc7520", "rfc7638", "rfc8037"):
        assert vectors(source)["source"].startswith(f"RFC {source.removeprefix('rfc')}, ")


def test_our_errors_have_one_root() -> None:
    """V09: whoever catches `Error` catches both refusals."""
    assert issubclass(MalformedTokenError, Error)
    assert issubclass(InvalidSignatureError, Error)
