"""The token request: two encodings, one meaning, or a refusal that names the parameter."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import Error, RequestError, UnsupportedGrantError
from keyless.server.services.token_request import (
    ACCESS_TOKEN_TYPE,
    FORM,
    JSON,
    MAX_FIELDS,
    MAX_SUBJECT_TOKEN_CHARS,
    SUBJECT_TOKEN_TYPES,
    TOKEN_EXCHANGE_GRANT,
    TokenRequest,
    parse_form,
    parse_json_members,
    parse_token_request,
    printable,
    read_members,
)

PUBLIC_URL = "https://hub.example.com"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"
GOOD = {
    "grant_type": TOKEN_EXCHANGE_GRANT,
    "subject_token": "eyJ.eyJ.sig",
    "subject_token_type": ID_TOKEN_TYPE,
    "resource": "acme/model",
}

OPTIONAL = ("audience", "scope", "client_id", "identity_provider_id", "requested_token_type", "actor_token")


def request(**changes: str | None) -> TokenRequest:
    """Read a good request with parameters changed; `None` leaves one out."""
    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return parse_token_request(members, public_url=PUBLIC_URL)


def target(**changes: str | None) -> str | None:
    """Return what a request is for: a resource's canonical name, or a publisher's id."""
    read = request(**{"resource": None, **changes})
    return str(read.resource) if read.resource is not None else read.publisher_id


@pytest.mark.parametrize("content_type", [FORM, JSON])
def test_both_encodings_mean_the_same(content_type: str) -> None:
    """V01, S4: the RFC's form, and the JSON that the Hub's clients send."""
    body = urlencode(GOOD) if content_type == FORM else json.dumps(GOOD)

    assert read_members(content_type, body.encode()) == GOOD


@pytest.mark.parametrize(
    "content_type", [f"{JSON}; charset=utf-8", "Application/JSON", f" {JSON} ", f"{JSON};charset=x;y=z"]
)
def test_a_content_type_may_have_parameters_and_any_case(content_type: str) -> None:
    """V01, RFC 9110 section 8.3.1."""
    assert read_members(content_type, b"{}") == {}


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/json", "application/json-seq", "multipart/form-data; boundary=x", "application/xml",
     "application/jsonx", ";application/json", "application/json,text/plain"],
)  # fmt: skip
def test_another_content_type_is_refused(content_type: str) -> None:
    """V01, T104: nothing that a browser's form can send across sites but the one form encoding."""
    with pytest.raises(RequestError):
        read_members(content_type, b"{}")


def test_a_good_request_is_read() -> None:
    """V01, S4."""
    read = request(scope="read write  read")

    assert read.subject_token.reveal() == "eyJ.eyJ.sig"
    assert str(read.resource) == "models/acme/model"
    assert read.publisher_id is None
    assert read.scope == {"read", "write"}


def test_a_request_does_not_print_its_token() -> None:
    """S8."""
    assert "eyJ" not in repr(request())


# --- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "members"),
    [
        (b"", {}),
        (b"&&&", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=", {"a": ""}),
        (b"a", {"a": ""}),
        (b"=x", {}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=b+c", {"a": "b c"}),
        (b"a=b%2Bc", {"a": "b+c"}),
        (b"res%6Furce=acme%2Fmodel", {"resource": "acme/model"}),
        (b"a=%C3%A9", {"a": "é"}),
        ("a=é".encode(), {"a": "é"}),
        (b"a=%", {"a": "%"}),
        (b"a=%zz", {"a": "%zz"}),
        (b"a=%2", {"a": "%2"}),
        (b"a=1;b=2", {"a": "1;b=2"}),
        (b"a=%00", {"a": "\0"}),
        (b"A=1&a=2", {"A": "1", "a": "2"}),
    ],
)
def test_a_form_is_decoded(body: bytes, members: dict[str, str]) -> None:
    """V01."""
    assert parse_form(body) == members


@pytest.mark.parametrize(
    "body", [b"a=1&a=1", b"a=1&a=2", b"a=&a=1", b"a=1&b=2&a=3", b"a=1&%61=2", b"a&a", b"unknown=1&unknown=2"]
)
def test_a_repeated_parameter_is_refused(body: bytes) -> None:
    """V01, T09: also when it is spelled differently, empty or unknown."""
    with pytest.raises(RequestError):
        parse_form(body)


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff", b"%ff=a", b"a=%ED%A0%80", b"a=%C0%AF"])
def test_a_form_that_is_not_utf_8_is_refused(body: bytes) -> None:
    """V01."""
    with pytest.raises(RequestError):
        parse_form(body)


def test_a_form_has_a_bounded_number_of_parameters() -> None:
    """V01, T11."""
    parse_form(b"&".join(b"p%d=1" % n for n in range(MAX_FIELDS)))

    with pytest.raises(RequestError):
        parse_form(b"&".join(b"p%d=1" % n for n in range(MAX_FIELDS + 1)))


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=8))
def test_what_is_sent_as_a_form_is_read_back(members: dict[str, str]) -> None:
    """V01."""
    assert parse_form(urlencode(members).encode()) == members


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*GOOD, *OPTIONAL])
@pytest.mark.parametrize("value", [7, 1.5, True, ["acme/model"], {"a": "b"}, []], ids=repr)
def test_a_known_parameter_is_a_text(name: str, value: object) -> None:
    """V01: an array of resources is not the first of them."""
    with pytest.raises(RequestError):
        parse_json_members(json.dumps({**GOOD, name: value}).encode())


@pytest.mark.parametrize("value", [7, None, ["x"], {"a": {"b": "c"}}], ids=repr)
def test_an_unknown_parameter_is_ignored(value: object) -> None:
    """V01, RFC 6749 section 3.2."""
    assert parse_json_members(json.dumps({**GOOD, "x": value}).encode()) == GOOD


def test_null_is_absent() -> None:
    """V01."""
    assert parse_json_members(json.dumps({**GOOD, "scope": None}).encode()) == GOOD


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'"x"', b"null", b"{", b'{"a":"b"} x', b'{"resource":"a/b","resource":"c/d"}',
        rb'{"resource":"a/b","\u0072esource":"c/d"}', b'{"a":{"b":1,"b":2}}', b'{"a":NaN}', b"\xef\xbb\xbf{}",
        '{"a":"b"}'.encode("utf-16"), b'{"a":"\xff"}', rb'{"a":"\ud800"}', b'{"a":' + b"[" * 20_000, b"a=b",
    ],
    ids=lambda body: ascii(body[:24]),
)  # fmt: skip
def test_a_body_that_is_not_one_strict_object_is_refused(body: bytes) -> None:
    """V01, T09, T11."""
    with pytest.raises(RequestError):
        parse_json_members(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{" + b",".join(b'"%x":0' % n for n in range(6000)) + b"}", id="many-members"),
        pytest.param(b'{"a":"' + b"%" * 60_000 + b'"}', id="long-text"),
        pytest.param(b'{"a":' + b"9" * 60_000 + b"}", id="long-number"),
    ],
)
def test_the_largest_json_body_costs_little(body: bytes) -> None:
    """T11: a hundred times what it takes, for slow machines."""
    start = time.process_time()
    with suppress(RequestError):
        parse_json_members(body)

    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("body", [b"%" * 65_536, b"a=" + b"%25" * 21_000, b"+" * 65_536, b"a=" + b"%zz" * 21_000])
def test_the_largest_form_body_costs_little(body: bytes) -> None:
    """T11."""
    start = time.process_time()
    parse_form(body)

    assert time.process_time() - start < 0.5


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grant_type", "subject_token", "subject_token_type"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_a_required_parameter_is_there(name: str, value: str | None) -> None:
    """V01, RFC 8693 section 2.1: an empty one is absent; the refusal names it."""
    with pytest.raises(RequestError, match=name):
        request(**{name: value})


@pytest.mark.parametrize("value", ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer",
                                   TOKEN_EXCHANGE_GRANT.upper(), f"{TOKEN_EXCHANGE_GRANT} "])  # fmt: skip
def test_another_grant_is_refused_as_such(value: str) -> None:
    """V01, T115."""
    with pytest.raises(UnsupportedGrantError):
        request(grant_type=value)


@pytest.mark.parametrize("value", sorted(SUBJECT_TOKEN_TYPES))
def test_an_id_token_may_be_called_a_jwt(value: str) -> None:
    """RFC 8693 section 3."""
    request(subject_token_type=value)


@pytest.mark.parametrize(
    "value", [ACCESS_TOKEN_TYPE, "urn:ietf:params:oauth:token-type:saml2", "id_token", "jwt", ID_TOKEN_TYPE + " "]
)
def test_another_subject_token_type_is_refused(value: str) -> None:
    """V01, T100: access tokens are not exchanged again."""
    with pytest.raises(RequestError):
        request(subject_token_type=value)


@pytest.mark.parametrize("value", [None, "", ACCESS_TOKEN_TYPE])
def test_an_access_token_may_be_asked_for(value: str | None) -> None:
    """RFC 8693 section 2.1."""
    request(requested_token_type=value)


@pytest.mark.parametrize("value", ["urn:ietf:params:oauth:token-type:refresh_token", ID_TOKEN_TYPE, "x"])
def test_nothing_else_is_issued(value: str) -> None:
    """T107: never a refresh token."""
    with pytest.raises(RequestError):
        request(requested_token_type=value)


def test_nobody_acts_for_another() -> None:
    """T100."""
    with pytest.raises(RequestError):
        request(actor_token="eyJ.eyJ.sig")
    request(actor_token="")


def test_the_subject_token_has_a_bound() -> None:
    """V01, T11."""
    request(subject_token="a" * MAX_SUBJECT_TOKEN_CHARS)

    with pytest.raises(RequestError):
        request(subject_token="a" * (MAX_SUBJECT_TOKEN_CHARS + 1))


@pytest.mark.parametrize("scope", [None, "", "   "])
def test_no_scope_is_no_wish(scope: str | None) -> None:
    """RFC 6749 section 3.3."""
    assert request(scope=scope).scope == frozenset()


# --- the target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"resource": "acme/model"}, "models/acme/model", id="resource"),
        pytest.param({"resource": "datasets/acme/data"}, "datasets/acme/data", id="dataset"),
        pytest.param({"resource": "acme"}, "users/acme", id="user"),
        pytest.param({"resource": f"{PUBLIC_URL}/acme/model"}, "models/acme/model", id="uri"),
        pytest.param({"audience": "acme/model"}, "models/acme/model", id="audience"),
        pytest.param({"client_id": "pub-1"}, "pub-1", id="client-id"),
        pytest.param({"identity_provider_id": "pub-2"}, "pub-2", id="identity-provider-id"),
        pytest.param({"resource": "a/b", "audience": "c/d", "client_id": "p"}, "models/a/b", id="resource-first"),
        pytest.param({"audience": "c/d", "client_id": "p"}, "models/c/d", id="audience-second"),
        pytest.param({"client_id": "p", "identity_provider_id": "q"}, "p", id="client-id-third"),
        pytest.param({"audience": "https://other.example", "client_id": "p"}, "p", id="foreign-audience"),
        pytest.param({"audience": PUBLIC_URL, "client_id": "p"}, "p", id="our-own-url-names-no-resource"),
        pytest.param({"resource": "", "audience": "c/d"}, "models/c/d", id="empty-resource"),
        pytest.param(
            {"resource": "", "audience": "", "client_id": "", "identity_provider_id": "q"}, "q", id="all-empty"
        ),
    ],
)
def test_the_target_is_chosen_in_a_fixed_order(parameters: dict[str, str], expected: str) -> None:
    """D22."""
    assert target(**parameters) == expected


@pytest.mark.parametrize(
    "parameters",
    [{}, {"resource": ""}, {"audience": "https://other.example"}, {"audience": "sts.example/x/y/z"}, {"client_id": ""}],
    ids=["nothing", "empty", "foreign-audience", "path-like-audience", "empty-client"],
)
def test_a_request_without_a_target_is_refused(parameters: dict[str, str]) -> None:
    """D22, T90: never "whatever matches"."""
    with pytest.raises(RequestError):
        target(**parameters)


@pytest.mark.parametrize(
    "resource",
    [
        *("../acme/model", "acme/../model", "acme//model", "/acme/model", "acme/model/", "acme/..", "a" * 300),
        *("acme/model\n", "a b/c", "acme/mo\0del", "acme/mod\u00e8l", "acme/model.git", "%61cme/model"),
        *("https://evil.example/acme/model", f"{PUBLIC_URL}.evil/acme/model", f"{PUBLIC_URL}//acme/model"),
        *("datasets/acme", "models/datasets/x", "acme/model?x=1"),
    ],
)
@pytest.mark.parametrize("others", [{}, {"audience": "acme/model", "client_id": "pub-1"}], ids=["alone", "with-others"])
def test_a_resource_that_is_none_is_refused_whatever_else_is_named(resource: str, others: dict[str, str]) -> None:
    """D22, T90: no second guess."""
    with pytest.raises(RequestError):
        target(resource=resource, **others)


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("main", "'main'"), ('a"b\\c', "'a?b?c'"), ("a\nb\x1b[0m", "'a?b?[0m'"), ("é\u202e", "'??'"), ("", "''"),
        ("x" * 81, "'" + "x" * 80 + "...'"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_callers_text_is_shown_in_the_characters_of_the_rfc(text: str, shown: str) -> None:
    """V19, T18, RFC 6749 section 5.2."""
    assert printable(text) == shown


@given(st.sampled_from([FORM, JSON, "", "x"]), st.binary(max_size=300))
def test_any_body_ends_in_a_request_or_our_error(content_type: str, body: bytes) -> None:
    """V09: nothing escapes the error tree."""
    try:
        parse_token_request(read_members(content_type, body), public_url=PUBLIC_URL)
    except Error:
        return


any_text = st.text(max_size=30) | st.sampled_from([*GOOD.values(), PUBLIC_URL, f"{PUBLIC_URL}/a/b", "datasets/"])


@given(st.dictionaries(st.sampled_from([*GOOD, "audience", "client_id", "scope", "requested_token_type"]), any_text))
def test_any_members_end_in_a_request_or_our_error(changes: Mapping[str, str]) -> None:
    """V09."""
    try:
        parse_token_request({**GOOD, **changes}, public_url=PUBLIC_URL)
    except Error:
        return
