"""A create that is asked for twice happens once."""

from __future__ import annotations

from tests.server.api.manager import Manager


def test_the_same_key_gives_the_same_answer_and_one_publisher(manager: Manager) -> None:
    """D13: a lost answer is fetched again, not made again."""
    first = manager.call("POST", "/publishers", manager.description(), key="k1", who="owner")
    again = manager.call("POST", "/publishers", manager.description(), key="k1", who="owner")

    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert (again.headers["etag"], again.headers["location"]) == (first.headers["etag"], first.headers["location"])
    assert again.headers["idempotency-replayed"] == "true"
    assert manager.kinds().count("publisher.added") == 2  # the fixture's and this one


def test_the_same_key_for_something_else_is_refused(manager: Manager) -> None:
    """D13: a key belongs to one request."""
    manager.call("POST", "/publishers", manager.description(), key="k1")
    other = manager.call("POST", "/publishers", manager.description("acme/b"), key="k1")
    elsewhere = manager.call("POST", "/people", {"name": "carol", "roles": []}, key="k1")

    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert elsewhere.status == 422


def test_keys_of_two_people_are_two_keys(manager: Manager) -> None:
    """T113: nobody is answered with somebody else's answer."""
    manager.call("POST", "/publishers", manager.description(), key="k1", who="owner")
    answer = manager.call("POST", "/publishers", manager.description("other/new"), key="k1", who="other")

    assert (answer.status, answer.json["resource"]) == (201, "models/other/new")


def test_a_create_that_failed_may_be_tried_again(manager: Manager) -> None:
    """D13: only what happened is kept."""
    broken = manager.description(pins={})
    assert manager.call("POST", "/publishers", broken, key="k1").status == 422

    assert manager.call("POST", "/publishers", manager.description(), key="k1").status == 201


def test_a_key_is_forgotten_after_a_day(manager: Manager) -> None:
    """D13: and its row goes with the next one."""
    manager.call("POST", "/publishers", manager.description(), key="k1")
    manager.service.clock.advance(24 * 3600 + 1)
    manager.sign_in("admin")

    assert manager.call("POST", "/publishers", manager.description("acme/b"), key="k1").status == 201
    assert manager.service.rows("SELECT count(*) FROM idempotent_answer") == [(1,)]


def test_a_secret_is_not_kept_with_the_answer(manager: Manager) -> None:
    """T97: the second answer says that it was made, and not what it is."""
    first = manager.call("POST", "/people/owner/codes", key="k1")
    again = manager.call("POST", "/people/owner/codes", key="k1")

    assert first.json["code"].startswith("klc-")
    assert again.json == {**first.json, "code": None}


def test_a_key_is_short_and_printable(manager: Manager) -> None:
    """V05: a header is input like any other."""
    for key in ("x" * 65, "a b"):
        answer = manager.call("POST", "/publishers", manager.description(), key=key)

        assert (answer.status, answer.json["code"]) == (400, "idempotency_key_invalid")
