"""What a Kubernetes service account's token means."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from keyless.issuers.kubernetes import KUBERNETES
from keyless.testing.claims import DROP
from tests.issuers.samples import AUDIENCE, SAMPLES, uuid

SAMPLE = SAMPLES["kubernetes"]
ROOT = "kubernetes.io"


def inside(path: str, value: object) -> dict[str, object]:
    """Return the change of what lies at a dotted path inside `kubernetes.io`; `DROP` removes it."""
    claim: Any = copy.deepcopy(SAMPLE.claims[ROOT])
    *above, last = path.split(".")
    at = claim
    for step in above:
        at = at[step]
    if value is DROP:
        del at[last]
    else:
        at[last] = value
    return {ROOT: claim}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        pytest.param({}, [], id="ordinary"),
        pytest.param({"aud": AUDIENCE}, [], id="V13-audience-as-text"),
        pytest.param({"aud": [AUDIENCE, "https://kubernetes.default.svc"]}, ["refused: aud"], id="T42-another-too"),
        pytest.param(inside("serviceaccount.uid", uuid(7)), ["service_account_uid"], id="T60-created-again"),
        pytest.param(inside("serviceaccount.uid", DROP), ["refused: service_account_uid"], id="V14-no-uid"),
        pytest.param(inside("serviceaccount.uid", ""), ["refused: service_account_uid"], id="M02-empty-uid"),
        pytest.param(inside("serviceaccount.uid", [uuid(1)]), ["refused: service_account_uid"], id="T83-uids"),
        pytest.param(inside("serviceaccount.name", "admin"), ["refused: sub"], id="V16-another-name-than-the-subject"),
        pytest.param(inside("serviceaccount", DROP), ["refused: service_account_name"], id="V14-no-account"),
        pytest.param(inside("serviceaccount", "publisher"), [f"refused: {ROOT}"], id="V10-account-as-text"),
        pytest.param(inside("namespace", "evil"), ["refused: sub"], id="V16-another-namespace-than-the-subject"),
        pytest.param(inside("namespace", DROP), ["refused: namespace"], id="V14-no-namespace"),
        pytest.param({ROOT: DROP}, ["refused: namespace"], id="V14-an-ordinary-login"),
        pytest.param({ROOT: []}, [f"refused: {ROOT}"], id="V10-no-object"),
        pytest.param({"sub": "system:serviceaccount:ci:admin"}, ["refused: sub"], id="T112-another-subject"),
        pytest.param({"sub": "publisher"}, ["refused: sub"], id="T17-no-service-account"),
        pytest.param(
            {"sub": "system:serviceaccount:evil:publisher", **inside("namespace", "evil")},
            ["service_account", "namespace"], id="V16-another-namespace",
        ),
        pytest.param(inside("pod", DROP), [], id="V14-no-pod"),
        pytest.param(inside("pod.name", "other"), [], id="V16-another-pod"),
        pytest.param(
            {"sub": "system:serviceaccount:ci:x/publisher", **inside("serviceaccount.name", "x/publisher")},
            ["refused: sub"], id="T67-slash",
        ),
        pytest.param(
            {ROOT: DROP, "namespace": "ci", "service_account_name": "publisher", "service_account_uid": uuid(1)},
            ["refused: namespace"], id="T69-posing-as-nested",
        ),
        pytest.param(
            {ROOT: DROP, "kubernetes.io/serviceaccount/namespace": "ci"}, ["refused: namespace"], id="V14-legacy-token"
        ),
    ],
)  # fmt: skip
def test_the_truth_table(changes: dict[str, object], wrong: list[str]) -> None:
    """V16, T60, T67, T83: one claim off is one refusal."""
    assert SAMPLE.decide(changes) == wrong


def test_two_accounts_are_never_one() -> None:
    """T67: the text that names both halves can be read in one way only."""
    attributes = SAMPLE.attributes(sub="system:serviceaccount:ci-a:b", **{ROOT: {
        "namespace": "ci-a", "serviceaccount": {"name": "b", "uid": uuid(1)}
    }})  # fmt: skip

    assert attributes["service_account"] == "ci-a/b"


@pytest.mark.parametrize("claim", ["sub", "pod", "pod_uid", "node", "service_account_name", ROOT])
def test_what_a_pod_chooses_is_no_condition(claim: str) -> None:
    """T84."""
    assert not KUBERNETES.may_condition(claim)


@pytest.mark.parametrize(
    ("claim", "value", "good"),
    [
        ("service_account", "ci/publisher", True),
        ("service_account", "ci/publisher.v2", True),
        ("service_account", "publisher", False),
        ("service_account", "ci/*", False),
        ("service_account", "system:serviceaccount:ci:publisher", False),
        ("service_account_uid", uuid(1), True),
        ("service_account_uid", "publisher", False),
    ],
)
def test_the_form_of_a_pin(claim: str, value: str, good: bool) -> None:
    """D10, M06."""
    assert (KUBERNETES.pin_problem(claim, value) is None) is good
