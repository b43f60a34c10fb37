"""JSON has one meaning per text, or none."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import MalformedTokenError
from keyless.jose.json import MAX_DEPTH, parse_json, parse_json_object

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_python_writes_is_read_back(value: object) -> None:
    """V05: strictness costs no ordinary text."""
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), max_depth=40) == value


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_end_in_a_value_or_in_our_error(data: bytes) -> None:
    """V09: nothing a stranger sends escapes as another exception."""
    try:
        parse_json(data)
    except MalformedTokenError:
        return


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a":1,"a":1}', id="top"),
        pytest.param('{"a":1,"b":2,"a":3}', id="apart"),
        pytest.param('{"x":{"a":1,"a":2}}', id="nested"),
        pytest.param('{"x":[1,[{"a":1,"a":2}]]}', id="inside-lists"),
        pytest.param('[{"a":1},{"a":1,"a":2}]', id="second-of-a-list"),
        pytest.param(r'{"iss":1,"\u0069ss":2}', id="escaped-spelling"),
        pytest.param('{"":1,"":2}', id="empty-name"),
        pytest.param(r'{"a\u0000":1,"a\u0000":2}', id="nul-in-name"),
    ],
)
def test_a_repeated_name_is_refused_at_every_level(text: str) -> None:
    """V05, T09: two parsers must not be able to disagree about one text."""
    with pytest.raises(MalformedTokenError):
        parse_json(text.encode())


def test_the_same_name_in_two_objects_is_fine() -> None:
    """T09: only one object's names have to differ."""
    assert parse_json(b'[{"a":1},{"a":2},{"A":1,"a":2}]') == [{"a": 1}, {"a": 2}, {"A": 1, "a": 2}]


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "Infinity", "-Infinity", '{"exp":NaN}', "[Infinity]", "1e400", "-1e400", '{"exp":1e999}',
        pytest.param("1" + "0" * 400 + ".0", id="400-digits-and-a-fraction"),
    ],
)  # fmt: skip
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    """V05, T15: a time of infinity must not reach a comparison."""
    with pytest.raises(MalformedTokenError):
        parse_json(text.encode())


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**19, -(10**19), 10**5000], ids=lambda n: f"{n:.3e}"
                         if abs(n) < 2**70 else "5001-digits")  # fmt: skip
def test_an_integer_beyond_64_bits_is_refused(number: int) -> None:
    """V05, T15."""
    text = "1" + "0" * 5000 if number == 10**5000 else str(number)

    with pytest.raises(MalformedTokenError):
        parse_json(text.encode())


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, 2**53 + 1])
def test_an_integer_of_64_bits_is_read_exactly(number: int) -> None:
    """T15: no id loses its last digits in a float."""
    assert parse_json(str(number).encode()) == number


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'], ids=["lists", "objects", "mixed"])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 900, 20_000])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_deep_json_is_refused(opening: bytes, levels: int, closed: bool) -> None:
    """V05, T11: no RecursionError, whatever the depth."""
    closing = opening[::-1].translate(bytes.maketrans(b"[{", b"]}"), b'":a')
    text = opening * levels + b"1" + closing * levels * closed

    with pytest.raises(MalformedTokenError):
        parse_json(text)


def test_the_deepest_json_that_is_allowed_is_read() -> None:
    """V05: the bound is the documented one."""
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    """V05: an environment may be named `[[[[…`."""
    assert parse_json(b'{"environment":"' + b"[{" * 50 + b'"}') == {"environment": "[{" * 50}


@pytest.mark.parametrize(
    "text",
    [
        r'"\ud800"', r'"\udc00"', r'"\udc00\ud800"', r'{"\ud83d":1}', r'["a",{"b":"\udfff"}]', r'{"a":{"\ud800x":[]}}',
    ],
    ids=["high", "low", "swapped", "name", "nested-value", "nested-name"],
)  # fmt: skip
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    """V05: such a text could not be stored, logged or encoded again."""
    with pytest.raises(MalformedTokenError):
        parse_json(text.encode())


def test_a_whole_surrogate_pair_is_one_character() -> None:
    """V05."""
    assert parse_json(rb'"\ud83d\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"   ", id="blank"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
        pytest.param("{}".encode("utf-16"), id="utf-16"),
        pytest.param("{}".encode("utf-16-le"), id="utf-16-le"),
        pytest.param("{}".encode("utf-32"), id="utf-32"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong-utf-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate-in-utf-8"),
        pytest.param(b"{} x", id="trailing-text"),
        pytest.param(b"{}{}", id="two-objects"),
        pytest.param(b"{}\0", id="trailing-nul"),
        pytest.param(b"{}\xc2\xa0", id="no-break-space"),
        pytest.param(b"{'a':1}", id="single-quotes"),
        pytest.param(b'{"a":1,}', id="trailing-comma"),
        pytest.param(b'{"a":01}', id="leading-zero"),
        pytest.param(b'{"a":+1}', id="plus"),
        pytest.param(b'{"a":.5}', id="bare-fraction"),
        pytest.param(b'{"a":1 /*x*/}', id="comment"),
        pytest.param(b'{"a":"\n"}', id="newline-in-text"),
        pytest.param(b'{"a":"\x00"}', id="nul-in-text"),
        pytest.param('{"a":\u0661}'.encode(), id="arabic-digit"),
        pytest.param(rb'{"a":"\x41"}', id="foreign-escape"),
    ],
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    """V05: no repair, no guess at the encoding."""
    with pytest.raises(MalformedTokenError):
        parse_json(data)


@pytest.mark.parametrize("text", ["[]", '"a"', "1", "null", "true"])
def test_only_an_object_is_an_object(text: str) -> None:
    """V03, V05."""
    with pytest.raises(MalformedTokenError):
        parse_json_object(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"a":' + b"9" * 60_000 + b"}", id="integer"),
        pytest.param(b'{"a":0.' + b"1" * 60_000 + b"}", id="fraction"),
        pytest.param(b"[" + b"[]," * 20_000 + b"[]]", id="wide"),
        pytest.param(b"\n" * 60_000 + b"x", id="blank-lines"),
        pytest.param(b'"' + b"\\u0041" * 10_000 + b'"', id="escapes"),
    ],
)
def test_the_largest_body_costs_little(data: bytes) -> None:
    """T11: nothing is quadratic. The bound is a hundred times what it takes, for slow machines."""
    start = time.process_time()
    with suppress(MalformedTokenError):
        parse_json(data)

    assert time.process_time() - start < 1
