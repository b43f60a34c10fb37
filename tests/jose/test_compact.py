"""One token has one spelling."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import MalformedTokenError
from keyless.jose.compact import MAX_TOKEN_CHARS, b64url_decode, b64url_encode, parse_compact

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
HEADER = b64url_encode(b'{"alg":"RS256"}')
TOKEN = f"{HEADER}.e30.AAAA"


@given(st.binary(max_size=400))
def test_bytes_come_back(data: bytes) -> None:
    """V02: every value has a spelling."""
    assert b64url_decode(b64url_encode(data)) == data


@given(st.text(ALPHABET + "=+/ \n.é", max_size=12))
def test_a_text_is_decoded_only_if_it_is_the_one_spelling_of_its_bytes(text: str) -> None:
    """T12: decoding and encoding are each other's inverse, so no two texts mean the same."""
    try:
        data = b64url_decode(text)
    except MalformedTokenError:
        return

    assert b64url_encode(data) == text


@pytest.mark.parametrize("lead", ["A", "AA", "AAA", "AAAAA"], ids=len)
def test_the_last_character_has_no_spare_bits(lead: str) -> None:
    """T12: of all 64 last characters, exactly those are taken that the encoder writes (RFC 4648 section 3.5)."""
    padding = "=" * (-(len(lead) + 1) % 4)
    canonical = {c for c in ALPHABET if (len(lead) + 1) % 4 != 1 and b64url_encode(
        urlsafe_b64decode(lead + c + padding)) == lead + c}  # fmt: skip
    accepted = set()
    for character in ALPHABET:
        try:
            b64url_decode(lead + character)
        except MalformedTokenError:
            continue
        accepted.add(character)

    assert accepted == canonical
    assert len(accepted) == {2: 4, 3: 16, 0: 64}[(len(lead) + 1) % 4]


@pytest.mark.parametrize("length", [1, 5, 9, 4097])
def test_a_length_that_no_bytes_have_is_refused(length: int) -> None:
    """V02: one character is six bits."""
    with pytest.raises(MalformedTokenError):
        b64url_decode("A" * length)


@pytest.mark.parametrize(
    "text",
    [
        "QQ==",
        "QUI=",
        "QQ=",
        "=",
        "Q Q",
        "QUJD\n",
        "\nQUJD",
        "QU\tJD",
        "QU+D",
        "QU/D",
        "QU%3D",
        "QUJ\uff24",
        "QUJ\0",
        "\ud800A",
    ],
    ids=ascii,
)
def test_another_alphabet_padding_or_blank_is_refused(text: str) -> None:
    """V02, T12."""
    with pytest.raises(MalformedTokenError):
        b64url_decode(text)


@pytest.mark.parametrize("byte", [b for b in range(256) if chr(b) not in ALPHABET], ids=hex)
def test_a_foreign_byte_is_refused(byte: int) -> None:
    """V02, exhaustively."""
    with pytest.raises(MalformedTokenError):
        b64url_decode(b"AAA" + bytes([byte]))


def test_the_parts_of_a_token_are_its_own_bytes() -> None:
    """V09: what is verified is exactly what was received."""
    jws = parse_compact(f"{HEADER}.{b64url_encode(b'pay')}.{b64url_encode(b'sig')}")

    assert jws.unverified_header == {"alg": "RS256"}
    assert jws.header_segment == HEADER
    assert jws.unverified_payload == b"pay"
    assert jws.signature == b"sig"
    assert jws.signing_input == f"{HEADER}.{b64url_encode(b'pay')}".encode()


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("...", id="dots"),
        pytest.param("..", id="three-empty"),
        pytest.param(HEADER, id="one-segment"),
        pytest.param(f"{HEADER}.e30", id="two-segments"),
        pytest.param(f"{HEADER}.e30.", id="no-signature"),
        pytest.param(f"{HEADER}..AAAA", id="no-payload"),
        pytest.param(".e30.AAAA", id="no-header"),
        pytest.param(f"{TOKEN}.", id="trailing-dot"),
        pytest.param(f"{HEADER}.e30.AAAA.BBBB.CCCC", id="five-segments-like-jwe"),
        pytest.param("." * 30_000, id="thousands-of-dots"),
        pytest.param(f" {TOKEN}", id="leading-space"),
        pytest.param(f"{TOKEN}\n", id="trailing-newline"),
        pytest.param(f"{HEADER}.e30=.AAAA", id="padding"),
        pytest.param(f"{HEADER}.e30.AAA+", id="standard-alphabet"),
        pytest.param(f"{HEADER}.e30.AB", id="spare-bits-in-signature"),
        pytest.param(f"{HEADER}.e31.AAAA", id="spare-bits-in-payload"),
        pytest.param(f"{HEADER}\uff0ee30\uff0eAAAA", id="fullwidth-dots"),
        pytest.param(f"{HEADER}.e30.\uff21AAA", id="fullwidth-letter"),
        pytest.param(f"{HEADER}.e30.\ud800AAA", id="surrogate"),
        pytest.param(f"{b64url_encode(b'[]')}.e30.AAAA", id="header-is-a-list"),
        pytest.param(f"{b64url_encode(b'{}x')}.e30.AAAA", id="header-with-a-tail"),
        pytest.param(f"{b64url_encode(bytes(3))}.e30.AAAA", id="header-of-nuls"),
        pytest.param(f"{b64url_encode(b'{' + b'[' * 20_000)}.e30.AAAA", id="deep-header"),
        pytest.param(f"""{b64url_encode(b'{"alg":"RS256","alg":"none"}')}.e30.AAAA""", id="two-algorithms"),
    ],
)
def test_another_shape_is_refused(token: str) -> None:
    """V02, V03, T09, T10, T11, T12."""
    with pytest.raises(MalformedTokenError):
        parse_compact(token)


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    """V01, T11: one character more than the bound is one too many."""
    fitting = TOKEN + "A" * ((MAX_TOKEN_CHARS - len(TOKEN)) // 4 * 4)
    parse_compact(fitting)

    with pytest.raises(MalformedTokenError):
        parse_compact(fitting, max_chars=len(fitting) - 1)
    with pytest.raises(MalformedTokenError):
        parse_compact(TOKEN + "A" * MAX_TOKEN_CHARS)


@given(st.text(max_size=300) | st.text("e30.AB=", max_size=60))
def test_any_text_ends_in_a_token_or_in_our_error(text: str) -> None:
    """V09."""
    try:
        parse_compact(text)
    except MalformedTokenError:
        return
