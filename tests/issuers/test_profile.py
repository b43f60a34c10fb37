"""What all claim profiles have in common."""

from __future__ import annotations

import pytest

from keyless.errors import ConfigurationError
from keyless.issuers import PROFILES, Profile, profile_for
from keyless.issuers.profile import as_text, fold_ascii, name_ref


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), ("", ""), (" a ", " a "), (7, "7"), (-7, "-7"), (0, "0"), (2**63 - 1, "9223372036854775807"),
        (True, "true"), (False, "false"), (1.0, None), (None, None), (["a"], None), ({"a": "b"}, None), ([], None),
    ],
    ids=repr,
)  # fmt: skip
def test_values_are_compared_as_canonical_text(value: object, text: str | None) -> None:
    """M01, T82, T83."""
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        ("ACME/Widgets", "acme/widgets"),
        ("\u0130", "\u0130"),
        ("\u212aey", "\u212aey"),  # the Kelvin sign, whose lower case is an ASCII k
        ("ÀB", "Àb"),
        ("ẞS", "ẞs"),
        ("\uff21", "\uff21"),
    ],
    ids=ascii,
)
def test_only_ascii_letters_are_folded(value: str, folded: str) -> None:
    """M04, T79: no two different letters become one."""
    assert fold_ascii(value) == folded


@pytest.mark.parametrize("kind", list(PROFILES))
def test_a_profile_is_found_by_its_kind(kind: str) -> None:
    """V14."""
    assert profile_for(kind).kind == kind


@pytest.mark.parametrize("kind", ["", "GitHub", "jenkins", "azure_devops", "__class__"])
def test_another_kind_is_a_configuration_error(kind: str) -> None:
    """V14: never a default profile."""
    with pytest.raises(ConfigurationError):
        profile_for(kind)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_patterns_are_for_ref_like_claims_only(profile: Profile) -> None:
    """M06: never ids, repositories, subjects or environments."""
    assert profile.glob_claims <= {"branch", "tag", "ref", "ref_path"}
    assert not profile.glob_claims & profile.folded_claims


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_ids_are_required_and_may_be_named(profile: Profile) -> None:
    """M00, V14: an id that must be pinned is in every token, and is compared exactly."""
    assert set(profile.id_claims) <= set(profile.required_claims)
    assert set(profile.id_claims) <= profile.condition_claims
    assert not set(profile.id_claims) & profile.folded_claims


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_what_must_be_pinned_is_in_every_token_and_compared_exactly(profile: Profile) -> None:
    """M00, M06: and may be named, so that a condition can bind it too."""
    always = {*profile.required_claims, *profile.required_nested, *profile.derived_claims}

    assert set(profile.pin_claims) <= always
    assert set(profile.pin_claims) <= profile.condition_claims
    assert not set(profile.pin_claims) & (profile.folded_claims | profile.glob_claims)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_an_attribute_has_one_source(profile: Profile) -> None:
    """T69: a claim at the top cannot pose as one that lies inside an object, or in a list."""
    top = {*profile.required_claims, *profile.optional_claims}

    assert not top & {*profile.nested_claims, *profile.list_claims}
    assert set(profile.required_nested) <= set(profile.nested_claims)
    assert not any(":" in name for name in (*top, *profile.nested_claims, *profile.derived_claims))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_what_has_to_be_named_may_be_named(profile: Profile) -> None:
    """M03, V15: or nobody could write such a publisher."""
    assert profile.repository_claim is None or profile.may_condition(profile.repository_claim)
    assert all(profile.may_condition(claim) for claim in profile.guarded)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("refs/heads/main", {"ref": "refs/heads/main", "branch": "main"}),
        ("refs/tags/v1", {"ref": "refs/tags/v1", "tag": "v1"}),
        ("refs/heads/refs/tags/v1", {"ref": "refs/heads/refs/tags/v1", "branch": "refs/tags/v1"}),
        ("refs/pull/1/merge", {"ref": "refs/pull/1/merge"}),
        ("main", {"ref": "main"}),
        ("Refs/heads/main", {"ref": "Refs/heads/main"}),
        ("", {"ref": ""}),
    ],
)
def test_a_ref_is_a_branch_or_a_tag_by_its_prefix(ref: str, expected: dict[str, str]) -> None:
    """T88."""
    claims: dict[str, str] = {}
    name_ref(claims, ref)

    assert claims == expected


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.kind)
def test_hidden_claims_are_no_conditions(profile: Profile) -> None:
    """T84."""
    assert not profile.hidden_claims & profile.condition_claims
    assert not any(profile.may_condition(claim) for claim in profile.hidden_claims)
