"""Signing in: codes are good once, for a time and a few tries; logins are short and end at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keyless.errors import ConfigurationError
from keyless.secret import Secret
from keyless.server.people.credentials import CODE_SECONDS, LOGIN_SECONDS, Code
from keyless.server.people.principal import PrincipalKind
from keyless.server.store.admin import People
from keyless.server.store.admin.logins import LoginRefusedError
from keyless.server.store.admin.principals import parse_role
from tests.server.api.manager import Manager
from tests.server.service import Service
from tests.support.asgi import Answer, ask


def sign_in(service: Service, code: str, **more: str) -> Answer:
    """Bring a code to the API."""
    import json

    body = json.dumps({"code": code, **more}).encode()
    headers = {"content-type": "application/json"}
    return ask(service.app.inside, "POST", "/api/v1/login", body=body, headers=headers)


def wrong(code: Code) -> str:
    """A code with the same selector and another secret."""
    return Code(code.selector, Code.new().secret).reveal()


@pytest.fixture
def people(service: Service) -> People:
    return People(service.administration)


def test_the_bootstrap_code_makes_the_first_admin(service: Service, people: People) -> None:
    """D13: code, login, and the login manages; the answer is in no cache."""
    code = people.make_bootstrap_code().reveal()
    answer = sign_in(service, code, name="alice")

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["principal"]["roles"] == [{"role": "admin", "namespace": None}]
    assert answer.json["expires_in"] == LOGIN_SECONDS == 900
    headers = {"authorization": f"Bearer {answer.json['token']}"}
    seen = ask(service.app.inside, "GET", "/api/v1/publishers", headers=headers)
    assert [item["resource"] for item in seen.json["items"]] == ["models/acme/model"]


def test_a_bootstrap_code_is_good_once(service: Service, people: People) -> None:
    """D13: used is used."""
    code = people.make_bootstrap_code().reveal()

    assert sign_in(service, code).status == 201
    assert sign_in(service, code).status == 401


def test_a_bootstrap_code_is_void_once_an_admin_exists(service: Service, people: People) -> None:
    """D13: and none can be made any more."""
    code = people.make_bootstrap_code().reveal()
    people.add("alice", kind=PrincipalKind.PERSON, roles=[parse_role("admin")])

    assert sign_in(service, code).status == 401
    with pytest.raises(ConfigurationError, match="admin already"):
        people.make_bootstrap_code()


def test_a_new_bootstrap_code_replaces_the_old_one(service: Service, people: People) -> None:
    """D13: there is never a second one lying about."""
    old, new = people.make_bootstrap_code().reveal(), people.make_bootstrap_code().reveal()

    assert sign_in(service, old).status == 401
    assert sign_in(service, new).status == 201


@pytest.mark.parametrize("guess", ["same selector", "another selector", "nonsense"])
def test_five_wrong_tries_end_the_bootstrap_code(people: People, guess: str) -> None:
    """D13: whatever is guessed while the first admin is awaited counts as a guess at that code."""
    code = people.make_bootstrap_code()
    text = {"same selector": wrong(code), "another selector": Code.new().reveal(), "nonsense": "letmein"}[guess]
    for _ in range(5):
        with pytest.raises(LoginRefusedError):
            people.redeem(Secret(text))

    with pytest.raises(LoginRefusedError):
        people.redeem(Secret(code.reveal()))


def test_four_wrong_tries_leave_the_fifth(people: People) -> None:
    """D13: five tries, not four."""
    code = people.make_bootstrap_code()
    for _ in range(4):
        with pytest.raises(LoginRefusedError):
            people.redeem(Secret(wrong(code)))

    assert people.redeem(Secret(code.reveal())).signed_in.is_admin


def test_a_code_ends_after_thirty_minutes(manager: Manager) -> None:
    """D13: to the second, and a login code like the bootstrap code."""
    last_moment = manager.people.make_login_code("owner").reveal()
    manager.service.clock.advance(CODE_SECONDS - 1)
    assert sign_in(manager.service, last_moment).status == 201
    too_late = manager.people.make_login_code("owner").reveal()
    manager.service.clock.advance(CODE_SECONDS)

    assert sign_in(manager.service, too_late).status == 401


def test_five_wrong_tries_end_a_login_code(manager: Manager) -> None:
    """D13: of a person who is known, too."""
    code = manager.people.make_login_code("owner")
    for _ in range(5):
        assert sign_in(manager.service, wrong(code)).status == 401

    assert sign_in(manager.service, code.reveal()).status == 401


def test_guessing_is_slowed_down(manager: Manager) -> None:
    """T106: ten failures a minute from one address, then nothing is compared any more, right or wrong."""
    for _ in range(10):
        assert sign_in(manager.service, Code.new().reveal()).status == 401
    good = manager.people.make_login_code("owner").reveal()

    refused = sign_in(manager.service, good)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    manager.service.clock.advance(60)
    assert sign_in(manager.service, good).status == 201


def test_guessed_logins_are_slowed_down_and_good_ones_are_not(manager: Manager) -> None:
    """T106: whoever shares an address with a guesser goes on working."""
    answers = [manager.call("GET", "/publishers", login=f"klp_{'x' * 43}").status for _ in range(12)]

    assert answers == [401] * 10 + [429] * 2
    assert manager.call("GET", "/publishers").status == 200


def test_a_login_ends_after_fifteen_minutes(manager: Manager) -> None:
    """D13: a person's login is short."""
    login = sign_in(manager.service, manager.people.make_login_code("owner").reveal()).json["token"]
    manager.service.clock.advance(LOGIN_SECONDS - 1)
    assert manager.call("GET", "/login", login=login).status == 200
    manager.service.clock.advance(1)

    assert manager.call("GET", "/login", login=login).status == 401


def test_signing_out_ends_the_login(manager: Manager) -> None:
    """D13: at once, and only this one."""
    second = manager.logins["owner"]
    first = manager.sign_in("owner")
    assert manager.call("DELETE", "/login", login=first).status == 204

    assert manager.call("GET", "/login", login=first).status == 401
    assert manager.call("GET", "/login", login=second).status == 200


@pytest.mark.parametrize("what", ["disable", "remove"])
def test_who_is_switched_off_is_out_at_once(manager: Manager, what: str) -> None:
    """D13: no login outlives the person's account."""
    if what == "disable":
        manager.people.set_enabled("owner", enabled=False)
    else:
        manager.people.remove("owner")

    assert manager.call("GET", "/login", who="owner").status == 401


def test_a_role_that_was_taken_away_counts_at_once(manager: Manager) -> None:
    """D13: roles are read at each request, not at sign-in."""
    manager.people.set_roles("owner", [])

    assert manager.call("GET", f"/publishers/{manager.publisher.id}", who="owner").status == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda people: people.set_enabled("admin", enabled=False),
        lambda people: people.remove("admin"),
        lambda people: people.set_roles("admin", []),
    ],
    ids=["disable", "remove", "roles"],
)
def test_the_last_admin_stays(manager: Manager, change: Callable[[People], object]) -> None:
    """D13: nobody locks everybody out over the network."""
    with pytest.raises(ConfigurationError, match="last admin"):
        change(manager.people)


def test_no_code_and_no_login_is_stored_or_recorded(service: Service, people: People) -> None:
    """D13, T97: hashes only; neither the database nor the audit in it has a piece of them."""
    code = people.make_bootstrap_code()
    token = sign_in(service, code.reveal()).json["token"]
    service.app.store.checkpoint()

    stored = service.kept()
    for secret in (code.secret.reveal(), token.removeprefix("klp_")):
        assert [n for n in range(len(secret) - 11) if secret[n : n + 12] in stored] == []
    assert code.selector in stored  # what is looked for would be found


def test_every_step_is_in_the_audit(service: Service, people: People) -> None:
    """D15: who made a code, who signed in, who failed, and who ended it."""
    code = people.make_bootstrap_code()
    sign_in(service, wrong(code))
    token = sign_in(service, code.reveal(), name="alice").json["token"]
    ask(service.app.inside, "DELETE", "/api/v1/login", headers={"authorization": f"Bearer {token}"})

    kinds = [kind for kind, _ in service.audit()]
    assert kinds[-5:] == ["login_code.made", "login.refused", "principal.added", "login.started", "login.ended"]
    assert service.app.store.verify_chain().intact


def test_strangers_cannot_fill_the_audit(service: Service, people: People) -> None:
    """D15: a wrong guess at nothing leaves no row; one at a code leaves five at most."""
    people.add("alice", kind=PrincipalKind.PERSON, roles=[parse_role("admin")])
    code = people.make_login_code("alice")
    before = len(service.audit())
    for _ in range(20):
        for text in (wrong(code), Code.new().reveal(), "x"):
            with pytest.raises(LoginRefusedError):
                people.redeem(Secret(text))

    assert len(service.audit()) == before + 5


def test_a_login_changes_no_trust_and_empties_no_cache(manager: Manager) -> None:
    """D4: signing in is no change of trust."""
    before = manager.service.app.store.trust_version()
    manager.sign_in("owner")

    assert manager.service.app.store.trust_version() == before
