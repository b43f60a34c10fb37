"""S8: nothing secret is left in what people read, whatever the length, order or encoding."""

from __future__ import annotations

import json
import string
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.http.curl import curl_line
from keyless.http.redact import MASK, clean_text, quote_text, redact_body, redact_header, redact_text, redact_url
from tests.support.job import make_id_token

SECRET_NAMES = [
    "subject_token",
    "actor_token",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "device_code",
    "password",
    "token",
    "jwt",
    "value",
    "oidcToken",
    "something_else",
]
ALPHABETS = [string.ascii_letters + string.digits + "-_", string.printable[:95], string.ascii_letters + "+/=%&\"'\\"]
secrets = st.sampled_from(ALPHABETS).flatmap(lambda alphabet: st.text(alphabet, min_size=40, max_size=3000))


def slices_of(secret: str, text: str) -> list[str]:
    """Return the 12-character slices of a secret that are in a text."""
    return [secret[i : i + 12] for i in range(len(secret) - 11) if secret[i : i + 12] in text]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, str, list[str]]:
    """A request body in JSON or form, with secrets under sensitive names among harmless fields, up to 1 MB."""
    names = draw(st.lists(st.sampled_from(SECRET_NAMES), min_size=1, max_size=6, unique=True))
    values = {name: draw(secrets) for name in names}
    harmless = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "resource": "acme/model"}
    padding = {"padding": "x" * draw(st.sampled_from([0, 10, 990, 5_000, 1_000_000]))}
    items = draw(st.permutations(list({**harmless, **values, **padding}.items())))
    if draw(st.booleans()):
        return urlencode(items).encode(), "application/x-www-form-urlencoded; charset=utf-8", list(values.values())
    body: object = dict(items)
    for _ in range(draw(st.integers(0, 3))):
        body = draw(st.sampled_from([{"inner": body}, [body, 1]]))
    escaped = draw(st.booleans())
    return json.dumps(body, ensure_ascii=escaped).encode(), "application/json", list(values.values())


@given(bodies())
def test_no_slice_of_a_secret_is_in_the_curl_line(sample: tuple[bytes, str, list[str]]) -> None:
    """S8: any length, any order, JSON or form: no 12 characters of a secret are logged."""
    body, content_type, values = sample

    line = curl_line("POST", "https://hub.example.org/oauth/token", {"Content-Type": content_type}, body, [])

    assert [slices_of(value, line) for value in values] == [[]] * len(values)
    assert len(line) < 2_000


@given(secrets, st.text(max_size=200), st.text(max_size=200), st.integers(0, 200), st.integers(12, 3000))
def test_no_slice_of_a_known_secret_is_in_a_quoted_answer(
    secret: str, before: str, after: str, start: int, length: int
) -> None:
    """S8: a server that echoes the token, or a piece of it, does not make us print it."""
    echoed = f"{before} {secret[start : start + length]} {secret} {after}"

    shown = quote_text(echoed, [secret])

    own_words = f"{clean_text(before)} {clean_text(after)}"
    assert [piece for piece in slices_of(secret, shown) if piece not in own_words] == []


def test_the_length_of_the_body_makes_no_difference() -> None:
    """protocols.md 1.5: a token that starts before the cut and ends behind it is what leaked elsewhere."""
    token = make_id_token("https://hub.example.org", padding="x" * 4000)
    body = json.dumps({"grant_type": "g", "subject_token": token, "resource": "acme/model"}).encode()

    shown = redact_body(body, "application/json")

    assert shown == '{"grant_type":"g","subject_token":"***","resource":"acme/model"}'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"subject_token": "abcdefghijklmnop', "application/json"),
        (b'"abcdefghijklmnop"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"abcdefghijklmnop", "application/x-www-form-urlencoded"),
        (b"subject_token=abc\xff", "application/x-www-form-urlencoded"),
        (b"abcdefghijklmnop", "text/plain"),
        (b"abcdefghijklmnop", ""),
    ],
)
def test_of_a_body_that_cannot_be_parsed_only_the_size_is_told(body: bytes, content_type: str) -> None:
    """S8: what cannot be understood is not shown."""
    assert redact_body(body, content_type) == f"<{len(body)} bytes>"


def test_a_secret_of_digits_is_masked_and_a_lifetime_is_not() -> None:
    """A number is shown only under a name that is known to be harmless."""
    body = json.dumps({"token": 123456789012345678901234567890, "expires_in": 3600, "flag": True}).encode()

    assert redact_body(body, "application/json") == '{"token":"***","expires_in":3600,"flag":true}'


def test_a_name_that_is_a_secret_is_masked() -> None:
    """A client with swapped name and value must not leak either."""
    secret = "s" * 41

    assert secret not in redact_body(json.dumps({secret: "token"}).encode(), "application/json")
    assert secret not in redact_body(f"{secret}=token".encode(), "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    "token",
    [
        make_id_token("x"),
        make_id_token("x")[:60],
        "hf_jwt_abcdefghijkl.mnop-q",
        "kl_abcdefgh",
        "ghp_abcdefghijklmnopqrstuv",
        "glpat-abcdefghijklmnopqrstuv",
        "AAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBB.CCCCCCCCCCCCCCCCCCCC",
    ],
)
def test_what_looks_like_a_token_is_masked_anywhere(token: str) -> None:
    """A token nobody told us about is recognised by its shape, whole or cut."""
    assert redact_text(f"error near {token}, sorry") == f"error near {MASK}, sorry"


def test_a_quoted_answer_cannot_steer_the_terminal() -> None:
    """Control characters, escape sequences and line breaks of a stranger become blanks."""
    assert quote_text("a\x1b[31mred\x1b]0;title\x07\r\n::set-env b\x00\u202ec") == "a red ::set-env b c"


def test_a_quoted_answer_is_cut_after_redaction() -> None:
    """500 characters are enough for a message."""
    shown = quote_text("y" * 10_000)

    assert (len(shown), shown[-1]) == (500, "…")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abcdefghijkl", "Bearer ***"),
        ("authorization", "abcdefghijkl", "***"),
        ("Proxy-Authorization", "Basic dXNlcjpw", "Basic ***"),
        ("Cookie", "session=1", "***"),
        ("X-Api-Key", "k", "***"),
        ("Content-Type", "application/json", "application/json"),
        ("User-Agent", "keyless/1", "keyless/1"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    """Only headers that are known to be harmless are shown."""
    assert redact_header(name, value) == shown


def test_urls_lose_user_information_and_unknown_query_values() -> None:
    """The request URL's own query is kept readable, a token in it is not."""
    url = "https://user:pw@host/path?api-version=2.0&audience=https%3A%2F%2Fhub&token=abcdef"

    assert redact_url(url) == "https://host/path?api-version=2.0&audience=https://hub&token=***"
