"""The registered claims are typed, and time has edges."""

from __future__ import annotations

import pytest

from keyless.errors import ExpiredTokenError, ImmatureTokenError, InvalidClaimError, MissingClaimError
from keyless.jose.claims import MAX_NUMERIC_DATE, check_times, numeric_date, require_text

NOW = 1_795_348_800


@pytest.mark.parametrize("value", [0, 1, NOW, NOW + 0.5, MAX_NUMERIC_DATE])
def test_a_number_is_a_date(value: float) -> None:
    """V10: fractions are allowed (RFC 7519 section 2)."""
    assert numeric_date({"exp": value}, "exp", required=True) == value


@pytest.mark.parametrize(
    "value",
    [None, "", "1795348800", True, False, -1, -0.5, MAX_NUMERIC_DATE + 1, 2**63, 1e300, [NOW], {"a": NOW}],
    ids=repr,
)
@pytest.mark.parametrize("required", [True, False])
def test_anything_else_is_refused_and_never_read_as_absent(value: object, required: bool) -> None:
    """V10, T14, T15: `exp: "never"` must not mean that there is no `exp`."""
    with pytest.raises(InvalidClaimError) as caught:
        numeric_date({"exp": value}, "exp", required=required)

    assert caught.value.claim == "exp"


def test_an_absent_date_is_refused_only_where_it_is_required() -> None:
    """V10."""
    assert numeric_date({}, "nbf", required=False) is None
    with pytest.raises(MissingClaimError):
        numeric_date({}, "exp", required=True)


@pytest.mark.parametrize("value", [7, True, ["a"], {"a": 1}, 0, False], ids=repr)
def test_a_text_claim_is_a_text(value: object) -> None:
    """V10."""
    with pytest.raises(InvalidClaimError):
        require_text({"sub": value}, "sub")


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sub": ""}, {"Sub": "a"}], ids=repr)
def test_a_required_text_is_there(claims: dict[str, object]) -> None:
    """V10, T16: names are compared byte for byte."""
    with pytest.raises(MissingClaimError):
        require_text(claims, "sub")


@pytest.mark.parametrize(
    ("now", "error"),
    [(NOW, None), (NOW + 29, None), (NOW + 29.999, None), (NOW + 30, ExpiredTokenError), (NOW + 31, ExpiredTokenError)],
)
def test_expiry_is_exclusive_after_the_leeway(now: float, error: type[Exception] | None) -> None:
    """V11: now < exp + leeway."""
    times = {"now": now, "expires_at": NOW, "not_before": None, "issued_at": None, "leeway_seconds": 30}
    if error is None:
        check_times(**times)  # type: ignore[arg-type]  # one table for both outcomes
        return

    with pytest.raises(error):
        check_times(**times)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("claim", ["not_before", "issued_at"])
def test_the_beginning_is_inclusive_before_the_leeway(claim: str) -> None:
    """V11: nbf <= now + leeway and iat <= now + leeway."""
    times = {"not_before": None, "issued_at": None}
    check_times(now=NOW, expires_at=NOW + 300, leeway_seconds=30, **{**times, claim: NOW + 30})

    with pytest.raises(ImmatureTokenError) as caught:
        check_times(now=NOW, expires_at=NOW + 300, leeway_seconds=30, **{**times, claim: NOW + 30.001})
    assert caught.value.claim == {"not_before": "nbf", "issued_at": "iat"}[claim]
