"""The command line that makes a publisher; `tests/server/cli/test_trust_lint.py` runs what is written here."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from keyless.issuers import profile_for
from keyless.oidc.issuer import ReplayMode
from keyless.resource import parse_resource
from keyless.trust.add_command import add_command, remove_command
from keyless.trust.publisher import Operation, Pin, Publisher
from tests.trust.identities import GENERIC, GITHUB_COM, is_exactly, is_like, publisher

ALL = tuple(Operation)
FULL = replace(
    publisher(is_exactly("repository", "acme/widgets"), is_like("branch", "rel-*", "main"), operations=ALL),
    ttl_seconds=600,
    expires_at=1_900_000_000,
    replay=ReplayMode.COUNTED,
    max_live_tokens=5,
    max_grants_per_hour=50,
    max_run_attempt=1,
    pending_until=1_900_000_000,
)
HEAD = "keyless trust add acme/model --provider github"


def command(record: Publisher, **changes: object) -> str:
    """Return the command of a publisher."""
    return add_command(record, profile_for(record.issuer_kind), **changes)  # type: ignore[arg-type]


def test_everything_a_publisher_says_is_in_its_command() -> None:
    """D13: a proposed change is a command that a person runs."""
    assert command(FULL) == (
        f"{HEAD} --repository acme/widgets --branch 'rel-*' --branch main"
        " --repository-id 456789 --repository-owner-id 123456"
        " --ttl 600 --expires 2030-03-17T17:46:40Z --replay counted"
        " --max-live-tokens 5 --max-grants-per-hour 50 --max-run-attempt 1 --pending"
    )


@pytest.mark.parametrize(
    ("record", "words"),
    [
        pytest.param(publisher(pins=(Pin("repository_id", None),)), ["--pin-first-use"], id="waits"),
        pytest.param(publisher(is_exactly("event_name", "push")), ["--claim", "event_name=push"], id="any other claim"),
        pytest.param(publisher(is_exactly("branch", "-x")), ["--branch=-x"], id="a dash in front"),
        pytest.param(publisher(is_exactly("branch", "a b;c")), ["--branch", "a b;c"], id="a value to quote"),
        pytest.param(publisher(pins=(Pin("tenant", "7"),), issuer=GENERIC), ["--pin", "tenant=7"], id="another id"),
        pytest.param(publisher(issuer=GENERIC), ["--issuer", "https://ci.example"], id="another issuer"),
        pytest.param(publisher(), ["--operations", "read,write"], id="fewer operations"),
    ],
)
def test_each_part_has_its_option(record: Publisher, words: list[str]) -> None:
    """D10, D11: and survives a shell."""
    line = shlex.split(command(record))

    assert any(line[at : at + len(words)] == words for at in range(len(line)))


def test_changes_replace_add_and_leave_out() -> None:
    """M07."""
    changed = command(FULL, claims={"branch": ["main"], "workflow": ["x.yml"], "repository": []}, settings=False)

    assert changed.startswith(f"{HEAD} --branch main --workflow x.yml --repository-id")
    assert "--ttl" not in changed
    assert "--replay" not in changed


def test_given_ids_end_the_wait() -> None:
    """D10, M03."""
    record = publisher(pins=(Pin("repository_id", None), Pin("repository_owner_id", "2")))

    assert "--pin-first-use" not in command(record, pins={"repository_id": "1"})
    assert "--pin-first-use" in command(record)


def test_what_a_user_gets_by_default_is_not_written_down() -> None:
    """D7: an account is read unless more is said."""
    user = replace(publisher(operations=(Operation.READ,)), resource=parse_resource("alice"))

    assert "--operations" not in command(user)
    assert "--operations read,write,create" in command(replace(user, operations=ALL))


def test_removing() -> None:
    """T92."""
    assert remove_command(publisher(id="pub-1")) == "keyless trust remove pub-1"
    assert GITHUB_COM.url not in command(publisher())
