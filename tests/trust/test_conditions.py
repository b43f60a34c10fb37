"""One claim against one demand."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyless.issuers.generic import GENERIC
from keyless.issuers.github import GITHUB
from keyless.issuers.gitlab import GITLAB
from keyless.issuers.profile import Profile
from keyless.trust.conditions import glob_matches, holds
from keyless.trust.publisher import Condition, Operator


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("main", "main", True), ("main", "Main", False), ("main", "main ", False), ("main", "mai", False),
        ("main", "", False), ("", "", True), ("", "a", False),
        ("*", "", True), ("*", "main", True), ("*", "a/b", False), ("*", "a:b", False), ("*", "a*b", True),
        ("v*", "v1.0", True), ("v*", "v", True), ("v*", "xv1", False), ("v*", "v1/x", False), ("v*", "v1:x", False),
        ("*-rc", "v1-rc", True), ("*-rc", "v1-rc2", False), ("*-rc", "a/v1-rc", False),
        ("release/*", "release/1", True), ("release/*", "release/1/2", False), ("release/*", "release", False),
        ("release/*", "xrelease/1", False), ("release*", "release-evil", True), ("release*", "release/x", False),
        ("*/main", "a/main", True), ("*/main", "a/b/main", False), ("*/main", "/main", True), ("*/main", "main", False),
        ("a*a", "a", False), ("a*a", "aa", True), ("a*a", "aXa", True), ("ab*ba", "aba", False),
        ("*a*", "bab", True), ("*a*", "bbb", False), ("*a*", "a", True), ("*a*", "/a", False), ("*a*", "a/", False),
        ("**", "x", True), ("**", "", True), ("**", "a/b", False), ("a**b", "ab", True), ("a**b", "axb", True),
        ("*/*", "a/b", True), ("*/*", "a/b/c", False), ("*/*", "/", True), ("*/*", "ab", False),
        ("v*.*", "v1.2", True), ("v*.*", "v1", False), ("v*.*", "v.", True), ("v*.*", "v1.2/3", False),
        ("*x/y*", "xxx/yy", True), ("*x/y*", "x/yx/y", False), ("*x/y*", "/x/y", False), ("*x/y*", "x/y", True),
        ("refs/*/v*", "refs/tags/v1", True), ("refs/*/v*", "refs/heads/x/v1", False), ("refs/*/v*", "refs//v", True),
        ("*/a/*", "b/a/c", True), ("*/a/*", "b/a/a/c", False), ("*:*", "a:b", True), ("*:*", "a/b", False),
        ("*a/*", "ba/c", True), ("*a/*", "a:a/c", False),
        ("***", "x", False), ("a*b*c*d", "abcd", False),
        (".*", "main", False), ("[a-z]*", "main", False), ("mai?", "main", False), ("(a|b)*", "a", False),
        ("m\\*", "m*", False), ("^main$", "main", False), ("*", "ма́in", True), ("*", "a\nb", True),
    ],
    ids=lambda value: ascii(value) if isinstance(value, str) else None,
)  # fmt: skip
def test_the_truth_table_of_patterns(pattern: str, value: str, expected: bool) -> None:
    """M06, T64, T68: a star crosses no separator, there are two at most, and nothing else is special."""
    assert glob_matches(pattern, value) is expected


def reference(pattern: str, value: str) -> bool:
    """Say what M06 says, by way of a regular expression."""
    if pattern.count("*") > 2:
        return False
    return re.fullmatch("[^/:]*".join(map(re.escape, pattern.split("*"))), value) is not None


few_letters = st.text("ab/:*", max_size=8)


@given(few_letters, few_letters)
def test_patterns_mean_what_the_reference_says(pattern: str, value: str) -> None:
    """M06."""
    assert glob_matches(pattern, value) == reference(pattern, value)


@given(st.lists(st.text("ab/:", max_size=4), min_size=1, max_size=4), st.lists(st.text("ab/:", max_size=3), max_size=3))
def test_patterns_that_nearly_fit_mean_what_the_reference_says(parts: list[str], fills: list[str]) -> None:
    """M06: values made from the pattern, so that most of them are close."""
    value = "".join(part + fill for part, fill in zip(parts, [*fills, "", "", "", ""], strict=False))

    assert glob_matches("*".join(parts), value) == reference("*".join(parts), value)


@pytest.mark.parametrize("pattern", ["*a*b", "*a/a*", "a*a*", "*aa*a", "*" + "a" * 1000 + "*b"])
def test_a_long_value_costs_little(pattern: str) -> None:
    """M06, T68: linear, whatever is compared."""
    start = time.process_time()
    for _ in range(20):
        glob_matches(pattern, "a" * 30_000)

    assert time.process_time() - start < 0.5


def condition(operator: Operator, claim: str, *values: str) -> Condition:
    """Return one condition."""
    return Condition(claim, operator, values)


@pytest.mark.parametrize("operator", list(Operator))
@pytest.mark.parametrize("received", [None, ""], ids=["absent", "empty"])
@pytest.mark.parametrize("wanted", ["", "*", "None", "null"])
def test_an_absent_claim_satisfies_nothing(operator: Operator, received: str | None, wanted: str) -> None:
    """M02, T73, T80, T81: not even the empty text or a star."""
    assert not holds(condition(operator, "branch", wanted), received, GITHUB)


@pytest.mark.parametrize("operator", list(Operator))
def test_a_condition_without_values_holds_for_nobody(operator: Operator) -> None:
    """T80: no vacuous truth."""
    assert not holds(condition(operator, "branch"), "main", GITHUB)


@pytest.mark.parametrize(("received", "expected"), [("main", True), ("Main", False), ("main2", False), ("mai", False)])
def test_equal_is_equal(received: str, expected: bool) -> None:
    """D11: branches are compared exactly."""
    assert holds(condition(Operator.EQUALS, "branch", "main"), received, GITHUB) is expected


def test_a_star_in_an_exact_condition_is_a_star() -> None:
    """M06: patterns only where a pattern was asked for."""
    assert not holds(condition(Operator.EQUALS, "branch", "v*"), "v1", GITHUB)
    assert holds(condition(Operator.ONE_OF, "branch", "v*", "x"), "v*", GITHUB)


@pytest.mark.parametrize(
    ("received", "expected"), [("main", True), ("next", True), ("mainnext", False), ("main,next", False)]
)
def test_one_of_is_one_of(received: str, expected: bool) -> None:
    """D11, T83: never joined text."""
    assert holds(condition(Operator.ONE_OF, "branch", "main", "next"), received, GITHUB) is expected


@pytest.mark.parametrize(
    ("profile", "claim", "wanted", "received", "expected"),
    [
        pytest.param(GITHUB, "repository", "Acme/Widgets", "acme/WIDGETS", True, id="github-repository"),
        pytest.param(GITHUB, "environment", "Prod", "prod", True, id="github-environment"),
        pytest.param(GITHUB, "branch", "Main", "main", False, id="github-branch"),
        pytest.param(GITHUB, "workflow", "Train.yml", "train.yml", False, id="github-workflow"),
        pytest.param(GITHUB, "repository", "acme/\u212ait", "acme/kit", False, id="kelvin-sign"),
        pytest.param(GITHUB, "environment", "\u0130", "i", False, id="dotted-i"),
        pytest.param(GITLAB, "project_path", "Acme/Widgets", "acme/widgets", True, id="gitlab-path"),
        pytest.param(GITLAB, "environment", "Prod", "prod", False, id="gitlab-environment"),
        pytest.param(GENERIC, "sub", "Job", "job", False, id="generic-subject"),
    ],
)
def test_case_is_folded_only_where_the_platform_folds_it(
    profile: Profile, claim: str, wanted: str, received: str, expected: bool
) -> None:
    """M04, T79."""
    assert holds(condition(Operator.EQUALS, claim, wanted), received, profile) is expected


@pytest.mark.parametrize(
    "claim", ["repository", "repository_id", "environment", "workflow", "job_workflow", "event_name"]
)
def test_a_pattern_on_another_claim_holds_for_nobody(claim: str) -> None:
    """M06: although it should never have been saved."""
    assert not holds(condition(Operator.GLOB, claim, "*"), "anything", GITHUB)


@pytest.mark.parametrize(
    ("received", "expected"), [("v1", True), ("release/2", True), ("main", False), ("release/2/3", False)]
)
def test_several_patterns_are_alternatives(received: str, expected: bool) -> None:
    """D11."""
    assert holds(condition(Operator.GLOB, "branch", "v*", "release/*"), received, GITHUB) is expected
