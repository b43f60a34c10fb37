"""Caps, alarms, locks, waits and re-runs, as a job and a hub see them (T76, T78, T91, T93, T101, T109, T117)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from keyless.resource import parse_resource
from keyless.secret import Secret
from keyless.server.audit.reader import AuditFilter
from keyless.server.services.refusals import ROWS_PER_IDENTITY
from keyless.server.store.admin import description_of
from keyless.trust.publisher import Publisher
from tests.server.doors.test_live import introspect
from tests.server.service import Service


@pytest.fixture
def credential(service: Service) -> Secret:
    """The credential of the hub."""
    found = service.app.store.renew_resource_server_credential("hub", actor="test")
    assert found is not None
    return found


def change(service: Service, **changes: Any) -> Publisher:
    """Change the one publisher."""
    publisher = service.administration.publishers()[0]
    new = dataclasses.replace(description_of(publisher), **changes)
    return service.administration.change_publisher(publisher.id, new)


# --- the cap ---------------------------------------------------------------------------------------------------------


def test_one_token_too_many_is_told_when_to_come_back(service: Service) -> None:
    """T117, D9: 429, a stable reason, and when the first token ends; the id token can be exchanged then."""
    change(service, max_live_tokens=2, ttl_seconds=600)
    assert [service.exchange().status for _ in range(2)] == [200, 200]
    service.clock.advance(100)
    token = service.mint()

    answer = service.exchange(token)

    assert (answer.status, answer.json["error"], answer.json["reason"]) == (429, "slow_down", "too_many_tokens")
    assert answer.headers["retry-after"] == "500"
    publisher = service.administration.publishers()[0]
    assert publisher.id not in str(answer.json)
    assert service.audit()[-1] == ("exchange.refused", "too_many_tokens")
    granted = AuditFilter(kind="token.granted")
    first = service.app.store.audit_events(wanted=granted)[0].jti
    assert first is not None
    service.app.store.revoke_token(first, reason="done")
    assert service.exchange(token).status == 200


def test_a_job_that_revokes_its_token_makes_room(service: Service) -> None:
    """T117: `keyless exec` does so at the end of its command."""
    change(service, max_live_tokens=1)
    for _ in range(5):
        answer = service.exchange()
        assert answer.status == 200
        service.post({"token": answer.json["access_token"]}, path="/oauth/revoke")


def test_the_service_has_a_cap_of_its_own(service: Service) -> None:
    """T117: a hundred, where the publisher says nothing."""
    assert service.app.settings.max_live_tokens == 100
    statuses = [service.exchange().status for _ in range(101)]

    assert statuses == [200] * 100 + [429]


# --- the alarm -------------------------------------------------------------------------------------------------------


def test_an_alarm_stops_the_publisher_and_its_tokens(service: Service, credential: Secret) -> None:
    """T78, T91: to the job it is no publisher any more; to the hub its tokens are over; the owner resumes it."""
    publisher = change(service, max_grants_per_hour=3)
    answers = [service.exchange() for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 200, 400, 400]
    assert answers[-1].json["reason"] == "no_matching_publisher"
    token = answers[0].json["access_token"]
    assert introspect(service, token, credential).json == {"active": False}
    assert ("publisher.paused", "volume_alarm") in service.audit()
    service.administration.set_publisher_enabled(publisher.id, enabled=True)
    assert introspect(service, token, credential).json["active"] is True
    assert service.exchange().status == 200


# --- locks -----------------------------------------------------------------------------------------------------------


def test_everything_can_be_stopped(service: Service, credential: Secret) -> None:
    """T109, D9: at the exchange and at the use; it is an outage, not a refusal, and the id token stays unused."""
    held = service.exchange().json["access_token"]
    token = service.mint()
    service.administration.set_all_locked(locked=True, reason="incident")

    answer = service.exchange(token)
    assert (answer.status, answer.json["reason"]) == (503, "locked")
    assert "retry-after" in answer.headers
    assert service.post(service.members(token), path="/oauth/explain").status == 503
    assert introspect(service, held, credential).json == {"active": False}
    assert ("exchange.refused", "locked") in service.audit()
    service.administration.set_all_locked(locked=False)
    assert service.exchange(token).status == 200
    assert introspect(service, held, credential).json["active"] is True


@pytest.mark.parametrize("what", ["resource", "namespace"])
def test_a_lock_looks_like_no_publisher(service: Service, credential: Secret, what: str) -> None:
    """T94, T109: a stranger must not see that something is locked."""
    held = service.exchange().json["access_token"]
    unknown = service.exchange(resource="acme/unknown")
    if what == "resource":
        service.administration.set_resource_state(parse_resource("acme/model"), "locked")
    else:
        service.administration.set_namespace_locked("acme", locked=True)

    answer = service.exchange()
    assert (answer.status, answer.json["reason"]) == (unknown.status, unknown.json["reason"])
    assert introspect(service, held, credential).json == {"active": False}


# --- re-runs ---------------------------------------------------------------------------------------------------------


def test_a_re_run_is_refused_where_the_publisher_says_so(service: Service) -> None:
    """T76: the owner's job is told which claim it was."""
    change(service, max_run_attempt=1)

    assert service.exchange(service.mint(run_attempt="1")).status == 200
    answer = service.exchange(service.mint(run_attempt="2"))
    assert (answer.status, answer.json["reason"]) == (400, "no_matching_publisher")
    assert "run_attempt '2'" in answer.json["error_description"]


# --- a name that does not exist yet ----------------------------------------------------------------------------------


def test_the_first_job_of_a_new_repository(service: Service, credential: Secret) -> None:
    """T93: the token may create it, and works; whoever else waited is refused."""
    service.add_publisher("acme/new", pending=True)
    service.add_publisher("acme/new", pending=True, pins={"repository_id": "1", "repository_owner_id": "2"})
    squatter = service.mint(repository_id="1", repository_owner_id="2")

    answer = service.exchange(resource="acme/new")

    assert answer.status == 200
    assert "create" in answer.json["scope"].split()
    assert introspect(service, answer.json["access_token"], credential).json["active"] is True
    assert service.exchange(squatter, resource="acme/new").json["reason"] == "no_matching_publisher"
    assert service.exchange(resource="acme/new").status == 200


def test_a_pending_name_looks_like_an_unknown_one(service: Service) -> None:
    """T94: who is not trusted with it learns nothing."""
    service.add_publisher("acme/new", pending=True)
    stranger = {"repository_id": "1", "repository_owner_id": "2", "repository": "evil/squat"}

    pending = service.exchange(service.mint(**stranger), resource="acme/new")
    unknown = service.exchange(service.mint(**stranger), resource="acme/old")

    def said(answer: Any) -> str:
        return str(answer.json["error_description"]).replace("acme/new", "X").replace("acme/old", "X")

    assert (pending.status, said(pending)) == (unknown.status, said(unknown))


# --- the audit of what is refused ------------------------------------------------------------------------------------


def test_a_job_cannot_fill_the_disk_with_replays(service: Service) -> None:
    """D15, T108: after a valid signature a refusal has a row, within the identity's budget; grants always have one."""
    token = service.mint()
    assert service.exchange(token).status == 200
    for _ in range(ROWS_PER_IDENTITY + 15):
        assert service.exchange(token).json["reason"] == "token_replayed"
    assert service.exchange().status == 200

    kinds = [kind for kind, _ in service.audit()]
    assert kinds.count("exchange.refused") == ROWS_PER_IDENTITY
    assert kinds.count("token.granted") == 2
