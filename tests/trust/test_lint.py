"""Each rule finds what it is for, and a tight publisher has nothing to be found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyless.issuers import PROFILES
from keyless.oidc.issuer import Issuer, PinnedKeys, ReplayMode
from keyless.trust.lint import CODES, DAY_SECONDS, LintFinding, Severity, lint
from keyless.trust.publisher import Operation, Pin, Publisher
from tests.trust.identities import GENERIC, GITHUB_COM, GITLAB_COM, IDS, NOW, is_exactly, is_like, publisher

E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741 - a column of a table
REPOSITORY = is_exactly("repository", "acme/widgets")
BRANCH, TAG = is_exactly("branch", "main"), is_like("tag", "v*")
WORKFLOW = is_exactly("workflow", "train.yml")
PROTECTED = is_exactly("ref_protected", "true")
ENVIRONMENT = is_exactly("environment", "prod")
PROJECT = (Pin("project_id", "20"), Pin("namespace_id", "72"))
WAITING = (Pin("repository_id", None, lapses_at=NOW + 60), Pin("repository_owner_id", None, lapses_at=NOW + 60))
LAPSED = tuple(replace(pin, lapses_at=NOW) for pin in WAITING)
AZURE = Issuer(id=5, url="https://vstoken.dev.azure.com/00000000-0000-0000-0000-000000000000", kind="azure-devops")
CIRCLECI = Issuer(id=6, url="https://oidc.circleci.com/org/x", kind="circleci")
OFF = replace(GITHUB_COM, id=7, enabled=False)
ENDING = replace(GITHUB_COM, id=8, pinned_keys=PinnedKeys("{}", NOW + 14 * DAY_SECONDS - 1))
LASTING = replace(GITHUB_COM, id=9, pinned_keys=PinnedKeys("{}", NOW + 14 * DAY_SECONDS))
ISSUERS = {issuer.id: issuer for issuer in (GITHUB_COM, GITLAB_COM, GENERIC, AZURE, CIRCLECI, OFF, ENDING, LASTING)}


def tight(*more: Any, **changes: Any) -> Publisher:
    """Return a publisher with nothing loose, or what differs from that."""
    settings = {name: changes.pop(name) for name in ("ttl_seconds", "replay", "last_used_at") if name in changes}
    record = publisher(REPOSITORY, BRANCH, WORKFLOW, PROTECTED, *more, created_at=NOW, **changes)
    return replace(record, **settings)


def loose(*conditions: Any, **changes: Any) -> Publisher:
    """Return a publisher with these conditions only."""
    return publisher(REPOSITORY, *conditions, created_at=changes.pop("created_at", NOW), **changes)


def found(record: Publisher, **options: Any) -> list[LintFinding]:
    """Look at one publisher."""
    return lint([record], ISSUERS, PROFILES, now=NOW, **options)


def codes(record: Publisher, **options: Any) -> list[tuple[str, Severity]]:
    """Return what is found, without words."""
    return [(finding.code, finding.severity) for finding in found(record, **options)]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(tight(), id="branch and workflow"),
        pytest.param(loose(TAG, WORKFLOW, PROTECTED), id="tags of one form"),
        pytest.param(loose(ENVIRONMENT, BRANCH, WORKFLOW, PROTECTED), id="environment and branch"),
        pytest.param(loose(is_exactly("event_name", "push"), BRANCH, WORKFLOW, PROTECTED), id="a harmless event"),
        pytest.param(
            publisher(BRANCH, WORKFLOW, PROTECTED, pins=PROJECT, issuer=GITLAB_COM, created_at=NOW), id="gitlab"
        ),
        pytest.param(
            publisher(
                is_exactly("sub", "a"), is_exactly("ref", "refs/heads/main"), pins=(), issuer=GENERIC, created_at=NOW
            ),
            id="generic with more than its subject",
        ),
        pytest.param(tight(last_used_at=NOW - 89 * DAY_SECONDS), id="used within the quarter"),
        pytest.param(tight(ttl_seconds=301), id="tokens that live long enough"),
        pytest.param(tight(replay=ReplayMode.ONCE), id="replay as its issuer has it"),
        pytest.param(tight(issuer=LASTING), id="pinned keys that last"),
    ],
)
def test_a_tight_publisher_has_no_finding(record: Publisher) -> None:
    """M07: a linter that cries wolf is switched off."""
    assert codes(record) == []


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(loose(), [("whole-repository", E)], id="M07 neither ref nor workflow"),
        pytest.param(loose(WORKFLOW), [("no-ref", W)], id="M07 workflow, no ref"),
        pytest.param(loose(BRANCH, PROTECTED), [("no-workflow", W)], id="M07 ref, no workflow"),
        pytest.param(loose(is_like("branch", "*"), WORKFLOW), [("wide-glob", W)], id="T64 any branch"),
        pytest.param(loose(is_like("tag", "*/*"), WORKFLOW), [("wide-glob", W)], id="T64 any tag with a slash"),
        pytest.param(
            loose(is_like("branch", "main", "*"), WORKFLOW), [("wide-glob", W)], id="T64 one of two takes anything"
        ),
        pytest.param(
            loose(is_like("branch", "*")), [("whole-repository", E), ("wide-glob", W)], id="T63 any branch, any file"
        ),
        pytest.param(loose(BRANCH, WORKFLOW), [("unprotected-ref", I)], id="T72 branch that nobody protects"),
        pytest.param(loose(ENVIRONMENT, WORKFLOW), [("unprotected-environment", I)], id="T73 environment alone"),
        pytest.param(
            publisher(ENVIRONMENT, WORKFLOW, pins=PROJECT, issuer=GITLAB_COM, created_at=NOW),
            [("unprotected-environment", I)],
            id="T73 environment_protected not pinned",
        ),
        pytest.param(loose(BRANCH, TAG, WORKFLOW, PROTECTED), [("branch-and-tag", E)], id="branch and tag at once"),
        pytest.param(
            tight(is_exactly("event_name", "push", "pull_request_target")), [("guarded-value", E)], id="T74 event"
        ),
        pytest.param(
            tight(is_exactly("event_name", "workflow_run"), operations=(Operation.READ,)),
            [("guarded-value", W)],
            id="T74 event, to read only",
        ),
        pytest.param(
            publisher(
                BRANCH,
                WORKFLOW,
                PROTECTED,
                is_exactly("pipeline_source", "merge_request_event"),
                pins=PROJECT,
                issuer=GITLAB_COM,
                created_at=NOW,
            ),
            [("guarded-value", E)],
            id="T75 merge requests",
        ),
        pytest.param(
            publisher(
                BRANCH,
                WORKFLOW,
                PROTECTED,
                is_exactly("job_project_id", "21"),
                pins=PROJECT,
                issuer=GITLAB_COM,
                created_at=NOW,
            ),
            [("guarded-value", E)],
            id="T75 a fork's project",
        ),
        pytest.param(
            publisher(is_exactly("sub", "a"), pins=(), issuer=GENERIC, created_at=NOW),
            [("sub-only", W)],
            id="T84 generic with only sub",
        ),
        pytest.param(tight(pins=IDS[:1]), [("id-missing", E)], id="M00 an id that nobody pins"),
        pytest.param(tight(pins=WAITING), [("id-unpinned", W)], id="T86 waits for its first use"),
        pytest.param(tight(pins=LAPSED), [("id-lapsed", W)], id="D10 the wait is over"),
        pytest.param(tight(ttl_seconds=300), [("short-ttl", W)], id="D7 tokens that are over at once"),
        pytest.param(tight(replay=ReplayMode.COUNTED), [("replay-counted", W)], id="D8 counted where once would do"),
        pytest.param(tight(expires_at=NOW), [("expired", I)], id="T92 expired"),
        pytest.param(tight(enabled=False), [("disabled", I)], id="T92 disabled"),
        pytest.param(replace(tight(), pending_until=NOW), [("pending-lapsed", I)], id="T93 waited too long"),
        pytest.param(replace(tight(), max_live_tokens=0), [("no-cap", W)], id="T117 any number of tokens"),
        pytest.param(tight(issuer=OFF), [("issuer-disabled", I)], id="T109 issuer switched off"),
        pytest.param(tight(issuer=ENDING), [("keys-end", W)], id="K13 pinned keys that end soon"),
        pytest.param(tight(last_used_at=NOW - 90 * DAY_SECONDS), [("unused", W)], id="T92 unused"),
        pytest.param(replace(tight(), created_at=NOW - 90 * DAY_SECONDS), [("never-used", W)], id="T92 never used"),
    ],
)
def test_each_looseness_is_found(record: Publisher, expected: list[tuple[str, Severity]]) -> None:
    """M07, T63, T72, T73, T84, T92: and nothing else is said of the same publisher."""
    assert codes(record) == expected


def test_a_platform_with_one_audience_for_all_is_named() -> None:
    """T43: nothing in a publisher can make that narrower."""
    record = publisher(BRANCH, pins=(Pin("org_id", "o"), Pin("prj_id", "p"), Pin("def_id", "7")), issuer=AZURE)

    assert ("generic-audience", W) in codes(record)


def test_a_claim_that_always_has_to_be_named_is_no_finding() -> None:
    """T75: CircleCI's `vcs-origin` has to be named whatever it is, so naming it is right."""
    profile = PROFILES["circleci"]
    origin = next(guard.claim for guard in profile.guards({"oidc.circleci.com/vcs-origin": "x"}))
    record = publisher(BRANCH, is_exactly(origin, "github.com/acme/widgets"), pins=(), issuer=CIRCLECI)

    assert "guarded-value" not in {code for code, _ in codes(record)}


def test_how_long_unused_is_too_long_can_be_chosen() -> None:
    """T92."""
    record = tight(last_used_at=NOW - 10 * DAY_SECONDS)

    assert codes(record, unused_days=11) == []
    assert codes(record, unused_days=10) == [("unused", W)]


def test_errors_come_first_for_each_publisher_in_their_order() -> None:
    """A person reads from the top."""
    worst = replace(loose(BRANCH, TAG, id="pub-1"), ttl_seconds=60)
    report = lint([worst, tight(id="pub-2"), loose(id="pub-3")], ISSUERS, PROFILES, now=NOW)

    assert [(finding.publisher.id, finding.code) for finding in report] == [
        ("pub-1", "branch-and-tag"),
        ("pub-1", "no-workflow"),
        ("pub-1", "short-ttl"),
        ("pub-1", "unprotected-ref"),
        ("pub-3", "whole-repository"),
    ]


def test_a_fix_narrows_the_very_publisher() -> None:
    """What is right already stays; what has to be filled in stands in capitals."""
    (finding,) = found(loose(WORKFLOW))

    assert finding.fix == (
        "keyless trust add acme/model --provider github --repository acme/widgets --workflow train.yml"
        " --branch BRANCH --repository-id 456789 --repository-owner-id 123456 --operations read,write"
        " && keyless trust remove pub-1"
    )


def test_a_fix_that_changes_settings_only_removes_first() -> None:
    """The same publisher cannot be added beside itself."""
    (finding,) = found(tight(ttl_seconds=300))

    assert finding.fix.startswith("keyless trust remove pub-1 && keyless trust add acme/model ")
    assert "--ttl" not in finding.fix


def test_every_code_is_tried_here_and_documented() -> None:
    """A stable name is a promise."""
    here = Path(__file__)
    page = here.parents[2] / "docs" / "explain.md"

    for code in CODES:
        assert f'"{code}"' in here.read_text()
        assert f"`{code}`" in page.read_text()
