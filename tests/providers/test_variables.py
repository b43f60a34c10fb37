"""Platforms that are a row of the table (S11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.errors import AudienceError, IdTokenPermissionError, MintError
from keyless.providers.variables import ROWS, Row
from keyless.testing import FakeIssuer
from keyless.testing.variables import FakeVariableCI
from tests.providers.asking import AUDIENCE, failure, find, mint
from tests.support.job import make_id_token


@pytest.mark.parametrize("name", ROWS)
def test_each_row_gives_the_jobs_token(issuer: FakeIssuer, name: str) -> None:
    """Where the platform fixes the audience, the service has to accept it: nothing is checked here."""
    ci = FakeVariableCI(issuer, name, audience=AUDIENCE)
    found = find(ci.environ())

    assert mint(ci.environ()) == ci.id_token
    assert (found.provider, found.mints_anew) == (name, False)
    assert (ci.audience == AUDIENCE) is not ROWS[name].audience_is_fixed


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.marker is not None])
def test_a_job_without_its_token_is_told_what_to_configure(issuer: FakeIssuer, name: str) -> None:
    """The platform is known by its marker."""
    error = failure(FakeVariableCI(issuer, name, configured=False).environ())

    assert isinstance(error, IdTokenPermissionError)
    assert ROWS[name].TITLE in str(error)
    assert error.hint
    assert "{audience}" not in error.hint


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.audience_is_fixed])
def test_a_wrong_audience_is_reported(issuer: FakeIssuer, name: str) -> None:
    """Where the user chooses it."""
    error = failure(FakeVariableCI(issuer, name, audience="https://other.example").environ())

    assert isinstance(error, AudienceError)
    assert AUDIENCE in (error.hint or "")


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("value", ["$(TOKEN)", "a.b.c", "é", "x" * 40_000])
def test_what_is_not_a_token_is_said_to_be_that(name: str, value: str) -> None:
    """Unresolved placeholders, too."""
    error = failure({ROWS[name].variables[0]: value})

    assert isinstance(error, MintError)
    assert value not in str(error)


def test_of_several_tagged_tokens_the_one_for_us_is_taken() -> None:
    """HCP Terraform: TFC_WORKLOAD_IDENTITY_TOKEN_<TAG>."""
    ours = make_id_token(AUDIENCE)
    environ = {
        "TFC_RUN_ID": "run-1",
        "TFC_WORKLOAD_IDENTITY_TOKEN": make_id_token("vault"),
        "TFC_WORKLOAD_IDENTITY_TOKEN_HUB": ours,
        "TFC_WORKLOAD_IDENTITY_TOKEN_AWS": make_id_token("aws"),
    }

    assert mint(environ) == ours
    assert find(environ).variables == ("TFC_WORKLOAD_IDENTITY_TOKEN_HUB",)


def test_a_variable_that_names_a_file(tmp_path: Path) -> None:
    """Vercel: VERCEL_OIDC_TOKEN_FILE, read anew."""
    path = tmp_path / "token"
    path.write_text(make_id_token("https://vercel.com/acme"))
    environ = {"VERCEL": "1", "VERCEL_OIDC_TOKEN_FILE": str(path)}

    assert mint(environ) == path.read_text()
    assert find(environ).mints_anew


def test_a_file_that_is_always_at_the_same_place(tmp_path: Path) -> None:
    """Spacelift and Pulumi write one; used where the variable did not come along."""
    path = tmp_path / "token"
    path.write_text(make_id_token("acme"))
    row = Row("x", "X", marker=("X", None), variables=("X_TOKEN",), setup="s", hint="h", file=str(path))
    found = row.detect({"X": "1"}, "acme")

    assert found is not None
    assert found.provider == "x"


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.file])
def test_the_file_is_for_who_chooses_the_platform(name: str) -> None:
    """Without the variable there is no marker, so the user says it."""
    assert find({"KEYLESS_PROVIDER": name}).provider == name
    assert str(ROWS[name].file) in str(failure({"KEYLESS_PROVIDER": name}))
