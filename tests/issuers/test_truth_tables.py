"""What holds for the tokens of every kind: the ordinary one is accepted, and nothing that differs in a named claim."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.errors import ClaimError
from keyless.issuers import PROFILES
from keyless.oidc.issuer import ReplayMode
from keyless.testing.claims import DROP
from tests.issuers.samples import SAMPLES, Sample

KINDS = list(SAMPLES.values())
TIMES_AND_AUDIENCE = {"aud", "iat", "nbf", "exp", "iss"}


def each(kinds: list[Sample] = KINDS) -> pytest.MarkDecorator:
    """Run a test for every kind."""
    return pytest.mark.parametrize("sample", kinds, ids=lambda sample: sample.kind)


def each_claim() -> pytest.MarkDecorator:
    """Run a test for every claim of every kind, also those inside objects."""
    return pytest.mark.parametrize(
        ("sample", "path"),
        [
            pytest.param(sample, path, id=f"{sample.kind}:{'.'.join(path)}")
            for sample in KINDS
            for path in _paths(sample.claims)
            if path[0] not in TIMES_AND_AUDIENCE
        ],
    )


def _paths(claims: object, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(claims, dict):
        return [above]
    return [path for name, value in claims.items() for path in _paths(value, (*above, name))]


def changed(sample: Sample, path: tuple[str, ...], value: object) -> dict[str, object]:
    """Return the change that sets what lies at a path; `DROP` removes it."""
    claims = copy.deepcopy(dict(sample.claims))
    if len(path) == 1:
        return {path[0]: value}
    inner = claims
    for step in path[:-1]:
        inner = inner[step]  # type: ignore[assignment]  # an object, or `_paths` would not have gone in
    if value is DROP:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return {path[0]: claims[path[0]]}


def everything(sample: Sample) -> dict[str, str]:
    """Return a condition for each attribute of the token that may be one."""
    return {name: value for name, value in sample.attributes().items() if value and sample.profile.may_condition(name)}


def attributes_or_none(sample: Sample, changes: dict[str, object]) -> dict[str, str] | None:
    """Return what conditions see of the changed token, or nothing when it is refused always."""
    try:
        return sample.attributes(**changes)
    except ClaimError:
        return None


@pytest.mark.parametrize("kind", list(PROFILES))
def test_every_kind_has_a_sample(kind: str) -> None:
    """V14."""
    assert SAMPLES[kind].kind == kind


@each()
def test_the_ordinary_token_is_accepted(sample: Sample) -> None:
    """V16: by the narrowest publisher, by an ordinary one, and by one that names all there is."""
    assert sample.decide() == []
    assert sample.decide(conditions=sample.needed) == []
    assert sample.decide(conditions=everything(sample)) == []


@each()
def test_each_pin_is_demanded_and_compared(sample: Sample) -> None:
    """M00, D10, T36, T60: at match too; and an id of another is another's."""
    assert tuple(sample.pins) == sample.profile.required_pins(sample.issuer)
    for claim in sample.pins:
        without = {name: value for name, value in sample.pins.items() if name != claim}
        assert sample.decide(pins=without) == [claim]
        assert claim in sample.decide(pins={**sample.pins, claim: f"{sample.pins[claim]}0"})
        assert claim in sample.decide(pins={**sample.pins, claim: ""})


@each()
def test_each_condition_is_compared(sample: Sample) -> None:
    """V16: one demand off is a refusal that names it."""
    named = everything(sample)
    for claim in named:
        assert sample.decide(conditions={**named, claim: f"{named[claim]}x"}) == [claim]


@each()
def test_each_needed_claim_has_to_be_named(sample: Sample) -> None:
    """V15."""
    for claim in sample.needed:
        conditions = {name: value for name, value in sample.needed.items() if name != claim}
        assert sample.decide(conditions=conditions) == [claim]


@each_claim()
def test_a_removed_claim_is_refused_or_was_not_named(sample: Sample, path: tuple[str, ...]) -> None:
    """M02, V14: whatever a publisher demands is gone with its claim."""
    change = changed(sample, path, DROP)
    left = attributes_or_none(sample, change)
    lost = set(sample.attributes()) - set(left or {})
    for conditions in (everything(sample), {**sample.needed, **sample.named}, dict(sample.needed)):
        wrong = sample.decide(change, conditions=conditions)
        assert wrong or not lost & {*conditions, *sample.pins}
        assert left is not None or wrong[0].startswith("refused: ")
    if lost & set(everything(sample)):
        assert sample.decide(change, conditions=everything(sample))


@each_claim()
@pytest.mark.parametrize("value", ["other", "", None, True, 12345], ids=repr)
def test_a_changed_claim_is_refused_where_it_is_named(sample: Sample, path: tuple[str, ...], value: object) -> None:
    """V16, M01, M02: the one-claim-off family of each accepted token."""
    change = changed(sample, path, value)
    after = attributes_or_none(sample, change)
    wrong = sample.decide(change, conditions=everything(sample))

    if after is None or any(after.get(name) != wanted for name, wanted in everything(sample).items()):
        assert wrong
    if not wrong:
        assert after is not None
        assert sample.pins.items() <= after.items()


@each_claim()
@pytest.mark.parametrize("value", [["x"], {"a": "b"}, 1.5, "a\nb", "a\u202eb"], ids=ascii)
def test_an_uncomparable_claim_is_refused_or_not_read(sample: Sample, path: tuple[str, ...], value: object) -> None:
    """V10, T18, T83: never a match, never an unexpected error."""
    change = changed(sample, path, value)
    after = attributes_or_none(sample, change)
    wrong = sample.decide(change, conditions=everything(sample))

    assert wrong or after == sample.attributes()


@given(data=st.data())
def test_whatever_is_removed_only_those_who_do_not_name_it_accept(data: st.DataObject) -> None:
    """M02, T80: any claims removed, any publisher."""
    sample = data.draw(st.sampled_from(KINDS))
    removed = data.draw(st.sets(st.sampled_from(sorted(set(sample.claims) - TIMES_AND_AUDIENCE))))
    possible = everything(sample)
    conditions = {name: possible[name] for name in data.draw(st.sets(st.sampled_from(sorted(possible))))}
    change: dict[str, object] = dict.fromkeys(removed, DROP)
    left = attributes_or_none(sample, change)

    if not sample.decide(change, conditions=conditions):
        assert left is not None
        assert {*conditions, *sample.pins} <= set(left)


@each()
def test_what_is_refused_and_guarded_is_told(sample: Sample) -> None:
    """D12: the table a person reads names the claims that the code refuses."""
    profile = sample.profile
    known = {*profile.condition_claims, *profile.required_claims, *profile.optional_claims, "sub", "aud"}
    known |= {"oidc.circleci.com/ssh-rerun"}  # a boolean that is only ever refused

    assert set(profile.denied) <= known
    assert set(profile.guarded) <= profile.condition_claims
    assert set(profile.notes) <= known | set(profile.nested_claims) | set(profile.list_claims) | {"jti"}
    assert sample.guarded() <= set(profile.guarded)


@pytest.mark.parametrize(
    ("kind", "replay"),
    [
        *((kind, ReplayMode.ONCE) for kind in ("github", "forgejo", "buildkite", "azure-devops")),
        *(
            (kind, ReplayMode.COUNTED)
            for kind in ("gitlab", "bitbucket", "circleci", "google", "kubernetes", "spiffe", "generic")
        ),
    ],
)
def test_a_token_counts_once_where_a_job_can_mint_again(kind: str, replay: ReplayMode) -> None:
    """D8."""
    assert PROFILES[kind].replay is replay


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("github", 900), ("gitlab", 21600), ("circleci", 7200), ("bitbucket", 7200), ("buildkite", 7200),
        ("azure-devops", 900), ("google", 3600), ("kubernetes", 7200), ("spiffe", 3600), ("forgejo", 3600),
        ("generic", 3600),
    ],
)  # fmt: skip
def test_a_token_has_a_longest_life(kind: str, seconds: int) -> None:
    """V12."""
    sample = SAMPLES[kind]

    assert (PROFILES[kind].max_lifetime_seconds, PROFILES[kind].max_age_seconds) == (seconds, seconds)
    assert sample.decide({"exp": sample.proven({}).issued_at + seconds}) == []
    assert sample.decide({"exp": sample.proven({}).issued_at + seconds + 1}) == ["refused: exp"]


@pytest.mark.parametrize("kind", [kind for kind in PROFILES if kind != "spiffe"])
def test_a_new_issuer_signs_with_rsa_unless_its_operator_says_otherwise(kind: str) -> None:
    """V04."""
    assert PROFILES[kind].algorithms == ("RS256",)
