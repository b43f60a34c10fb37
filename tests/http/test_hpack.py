"""Header blocks: the RFC's own examples, every symbol, and anything else without a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.http.hpack import HeaderBlockError, HeaderDecoder, encode_headers

REQUESTS = [
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    [
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    [
        (":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
]  # fmt: skip


@pytest.mark.parametrize(
    "blocks",
    [
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ],
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
    ],
    ids=["C.3 plain", "C.4 Huffman"],
)
def test_requests_of_the_rfc(blocks: list[str]) -> None:
    """RFC 7541 appendix C.3 and C.4: later blocks refer to earlier ones."""
    decoder = HeaderDecoder()

    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == REQUESTS


def test_a_response_of_the_rfc() -> None:
    """RFC 7541 appendix C.6.1."""
    block = (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ]

    assert HeaderDecoder().decode(bytes.fromhex(block)) == expected


def test_a_table_that_shrinks_forgets() -> None:
    """Sections 4.3 and 6.3: what is evicted has no index any more."""
    decoder = HeaderDecoder()
    decoder.decode(bytes.fromhex("400a637573746f6d2d6b65790c637573746f6d2d76616c7565"))
    assert decoder.decode(b"\xbe") == [("custom-key", "custom-value")]

    with pytest.raises(HeaderBlockError):
        decoder.decode(b"\x20\xbe")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # of an empty table
        b"\xff\xff\xff\xff\xff\x7f",  # a number without measure
        b"\x3f\xe2\x1f",  # a table of 4097 bytes
        b"\x00\x05ab",  # too short
        b"\x00",
        b"\x00\x01a\x84\xff\xff\xff\xff",  # the end of the string inside it
        b"\x00\x01a\x81\x00",  # padding of zeros
        b"\x00\x01a\x82\x1f\xff",  # a whole byte of padding
        b"\x82" * 129,
    ],
    ids=bytes.hex,
)
def test_blocks_that_are_none(block: bytes) -> None:
    """One error for all of them."""
    with pytest.raises(HeaderBlockError):
        HeaderDecoder().decode(block)


@given(
    st.lists(
        st.tuples(st.text("abc-", min_size=1), st.text(st.characters(max_codepoint=126), max_size=600)), max_size=9
    )
)
def test_what_is_written_is_read(headers: list[tuple[str, str]]) -> None:
    """Lengths beyond one byte, too."""
    assert HeaderDecoder().decode(encode_headers(headers)) == headers


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_any_bytes_are_headers_or_our_error(blocks: list[bytes]) -> None:
    """No crash, and no table that grows."""
    decoder = HeaderDecoder()
    for block in blocks:
        try:
            decoder.decode(block)
        except HeaderBlockError:
            return

    assert sum(len(name) + len(value) + 32 for name, value in decoder._dynamic) <= 4096
