"""Addresses with two readings: none gets through (T18)."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.server.services.canonical_uri import UncanonicalUriError, canonical_path

GOOD = [
    "/",
    "/api/models/acme/model",
    "/api/models/acme/model/commit/refs%2Fpr%2F1",
    "/acme/model/resolve/main/with%20space%20%C3%BC.txt",
    "/@acme%2fwidgets",
    "/simple/",
    "/a?b=c&d=%2e%2e/..//",
    "/...",
    "/.well-known/x",
    "/a~b_c-d.e",
]
TRICKS = [
    pytest.param("", id="empty"),
    pytest.param("api/models", id="no slash"),
    pytest.param("http://hub.example.org/api", id="absolute form"),
    pytest.param("*", id="asterisk form"),
    pytest.param("/api/../admin", id="parent"),
    pytest.param("/api/./models", id="this"),
    pytest.param("/api/..", id="parent at the end"),
    pytest.param("/api/.", id="this at the end"),
    pytest.param("//api", id="two slashes first"),
    pytest.param("/api//models", id="two slashes"),
    pytest.param("/api/models//", id="two slashes last"),
    pytest.param("/api/%2e%2e/admin", id="escaped parent"),
    pytest.param("/api/%2E%2E/admin", id="escaped parent, capitals"),
    pytest.param("/api/.%2e/admin", id="half escaped parent"),
    pytest.param("/api/x%2F..%2Fy", id="parent between encoded slashes"),
    pytest.param("/api/x%2f..%2fy", id="as above, lower case"),
    pytest.param("/api/x%2F%2Fy", id="two encoded slashes"),
    pytest.param("/api/x%2F/y", id="encoded and plain slash"),
    pytest.param("/api/x%2F", id="encoded slash last"),
    pytest.param("%2Fapi", id="encoded slash first"),
    pytest.param("/api/%5Cadmin", id="encoded backslash"),
    pytest.param("/api\\..\\admin", id="backslash"),
    pytest.param("/%61pi", id="escaped letter"),
    pytest.param("/api/%252e%252e/x", id="escaped twice"),
    pytest.param("/api/%c3%bc", id="escape in lower case"),
    pytest.param("/api/%zz", id="no escape"),
    pytest.param("/api/%", id="half an escape"),
    pytest.param("/api/%2", id="half an escape at the end"),
    pytest.param("/api/%u002e", id="another escape"),
    pytest.param("/api/%00", id="NUL"),
    pytest.param("/api/%0D%0Ax", id="line end"),
    pytest.param("/api/%7F", id="DEL"),
    pytest.param("/api/%C2%85", id="next line"),
    pytest.param("/api/%E2%80%AE", id="right to left"),
    pytest.param("/api/%E2%80%8B", id="zero width"),
    pytest.param("/api/%E2%80%A8", id="line separator"),
    pytest.param("/api/%C0%AE%C0%AE/admin", id="overlong dots"),
    pytest.param("/api/%C0%AFadmin", id="overlong slash"),
    pytest.param("/api/%E0%80%AFadmin", id="overlong slash of three"),
    pytest.param("/api/%FF", id="not UTF-8"),
    pytest.param("/api/%ED%A0%80", id="half a surrogate pair"),
    pytest.param("/api/%EF%BC%8Fadmin", id="full-width slash"),
    pytest.param("/api/%EF%BC%8E%EF%BC%8E/admin", id="full-width dots"),
    pytest.param("/api/%E2%80%A6", id="ellipsis"),
    pytest.param("/api/u%CC%88", id="decomposed"),
    pytest.param("/api/\u00fc", id="raw Latin-1"),
    pytest.param("/api/\u00c3\u00bc", id="raw UTF-8"),
    pytest.param("/api/a b", id="space"),
    pytest.param("/api/a\tb", id="tab"),
    pytest.param("/api/..;/admin", id="parent with a parameter"),
    pytest.param("/api/a;b=c", id="path parameter"),
    pytest.param("/api#x", id="fragment"),
    pytest.param("/api?x#y", id="fragment after a query"),
    pytest.param("/api?\u00fc", id="raw query"),
    pytest.param("/api\n", id="line end last"),
    pytest.param("/" + "a" * 2048, id="long path"),
    pytest.param("/?" + "a" * 8192, id="long query"),
]


@pytest.mark.parametrize("target", GOOD)
def test_plain_address_is_taken_as_it_is(target: str) -> None:
    """T18: nothing is changed, the query is apart."""
    assert canonical_path(target) == target.partition("?")[0]


@pytest.mark.parametrize("target", TRICKS)
def test_trick_is_refused(target: str) -> None:
    """T18: dots, encoded and doubled slashes, second spellings, Unicode, and too much of it."""
    with pytest.raises(UncanonicalUriError):
        canonical_path(target)


@pytest.mark.hypothesis
@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """T18: nothing else comes out, whatever goes in."""
    try:
        path = canonical_path("/" + text)
    except UncanonicalUriError:
        return
    assert path == ("/" + text).partition("?")[0]


@pytest.mark.hypothesis
@given(st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=5))
def test_what_is_taken_has_one_spelling(names: list[str]) -> None:
    """T18: decode and encode, and the same comes out: no other text stands for the address that was judged."""
    target = "/" + "/".join(quote(name, safe="!$&'()*+,=:@") for name in names)
    try:
        path = canonical_path(target)
    except UncanonicalUriError:
        return
    again = "/".join(quote(unquote(part, errors="strict"), safe="!$&'()*+,=:@") for part in path.split("/"))
    assert again == path
