"""Signing in at an identity provider: who gets in, as what, and every way in which the answer must not count."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from keyless.jose.signing import SigningKey
from keyless.server.people.attempt_at_provider import ATTEMPT_SECONDS
from keyless.server.people.credentials import LOGIN_SECONDS
from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.store.admin import People
from keyless.testing import DROP
from tests.server.service import Service
from tests.server.ui.browser import HOST, SAME_ORIGIN, Browser, text_of
from tests.server.ui.provider import FakeProvider
from tests.support.asgi import Answer

ML: dict[str, Any] = {"groups": ["ml"], "preferred_username": "Mo"}


def begin(browser: Browser, *, to: str = "/ui/resources") -> str:
    """Follow the button; return where it leads."""
    answer = browser.follow("/sign-in/provider", {"Sec-Fetch-Site": "same-origin"}, next=to)
    assert answer.status == 303, answer.body
    return answer.headers["location"]


def sign_in(service: Service, provider: FakeProvider, browser: Browser | None = None, **claims: Any) -> Browser:
    """Sign somebody in, who must be let in."""
    browser = browser or Browser(service)
    answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), **{**ML, **claims}))
    assert (answer.status, answer.headers["location"]) == (303, "/ui/resources"), text_of(answer)
    return browser


def refused(browser: Browser, answer: Answer, words: str, status: int = 401) -> None:
    """Check that an answer is a page that says why, and that nobody is signed in."""
    assert (answer.status, words in text_of(answer)) == (status, True), text_of(answer)
    assert browser.get("/").status == 401


# --- who gets in -----------------------------------------------------------------------------------------------------


def test_the_button_leads_to_the_provider(sso: Service, provider: FakeProvider) -> None:
    """D13: code flow with PKCE, state and nonce; the way back is the one address that is registered."""
    browser = Browser(sso)
    page = browser.get("/audit")
    assert 'href="/ui/sign-in/provider?next=%2Fui%2Faudit"' in page.body.decode()
    assert "Sign in with Acme" in text_of(page)
    asked = parse_qs(urlsplit(begin(browser)).query)

    assert asked["redirect_uri"] == [f"http://{HOST}/ui/sign-in/callback"]
    assert asked["scope"] == ["openid profile"]
    assert len({asked[name][0] for name in ("state", "nonce", "code_challenge")}) == 3
    assert "prompt" not in asked
    assert browser.attempt not in str(asked)
    with sso.administration.reading() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM web_sign_in").all())
    assert not [value for value in (browser.attempt, asked["state"][0], asked["nonce"][0]) if value in kept]


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["ml", "others"], {RoleGrant(Role.OWNER, "acme"), RoleGrant(Role.VIEWER, "labs")}),
        ("platform", {RoleGrant(Role.ADMIN)}),
        (["audit"], {RoleGrant(Role.VIEWER)}),
    ],
)
def test_roles_come_from_a_claim(sso: Service, provider: FakeProvider, groups: object, roles: set[RoleGrant]) -> None:
    """D13: each value of the claim stands for what the operator says, and nothing else."""
    browser = sign_in(sso, provider, groups=groups)
    found = People(sso.administration).get("mo")

    assert set(found.roles) == roles
    assert found.provider == provider.url
    assert browser.get("/resources/models/acme/model").status == 200
    assert browser.get("/people").status == (403 if groups == ["ml", "others"] else 200)


@pytest.mark.parametrize("groups", [DROP, [], ["ML"], "m", ["others"], {"ml": True}, [["ml"]], 7, "ml,platform"])
def test_who_has_no_role_is_told_why(sso: Service, provider: FakeProvider, groups: object) -> None:
    """Deny by default: the page says what is missing, and a stranger leaves no row."""
    browser = Browser(sso)
    claims = {**ML, "groups": groups}
    if groups is DROP:
        del claims["groups"]
    answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), **claims))

    refused(browser, answer, "gives you a role here", 403)
    assert People(sso.administration).all() == []


def test_people_are_their_subject(sso: Service, provider: FakeProvider) -> None:
    """T36: neither a name nor an e-mail address makes somebody somebody else."""
    people = People(sso.administration)
    people.add("mo", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.ADMIN)])
    sign_in(sso, provider, email="mo@example.org")
    sign_in(sso, provider, sub="another", email="mo@example.org")
    sign_in(sso, provider, preferred_username="Renamed <b>")
    first, *others = people.all()

    assert (first.name, first.provider, first.roles) == ("mo", None, (RoleGrant(Role.ADMIN),))
    assert [(person.name.startswith("mo."), person.provider) for person in others] == [(True, provider.url)] * 2


def test_nobody_waits_under_the_first_admins_name(sso: Service, provider: FakeProvider) -> None:
    """D13: whoever calls itself `admin` at the provider does not become what the bootstrap code makes of that name."""
    waiting = sign_in(sso, provider, preferred_username="admin", groups=["audit"])
    code = People(sso.administration).make_bootstrap_code().reveal()
    answer = Browser(sso).sign_in(code)

    assert answer.status == 422
    assert "another name" in text_of(answer)
    assert waiting.get("/people").status == 200
    assert waiting.post("/people", name="mallory", role="admin").status == 403
    assert Browser(sso).sign_in(code, name="root").status == 303


def test_a_name_is_made_where_none_fits(sso: Service, provider: FakeProvider) -> None:
    """What the provider says is text from outside."""
    for sub, name in (("1", "\u202e<b>"), ("2", 7), ("3", "x" * 500), ("4", "Zoë Q. O'Hara")):
        sign_in(sso, provider, sub=sub, preferred_username=name)

    names = [person.name for person in People(sso.administration).all()]
    assert {name[:7] for name in names} == {"b", "person-", "xxxxxxx", "zo-q.-o"}


def test_what_the_provider_takes_away_is_gone(sso: Service, provider: FakeProvider) -> None:
    """Roles are those of the last sign-in, the last admin's as well; sessions that there are lose theirs at once."""
    browser = sign_in(sso, provider, groups=["platform"])
    assert browser.get("/people").status == 200
    late = Browser(sso)
    answer = late.get("/sign-in/callback", **provider.authorize(begin(late), groups=["none"]))

    refused(late, answer, "gives you a role here", 403)
    assert People(sso.administration).get("mo").roles == ()
    assert browser.get("/people").status == 403
    assert browser.get("/resources/models/acme/model").status == 404


def test_who_is_switched_off_stays_out(sso: Service, provider: FakeProvider) -> None:
    """T92: the provider's word does not switch anybody on."""
    browser = sign_in(sso, provider)
    People(sso.administration).set_enabled("mo", enabled=False)
    assert browser.get("/").status == 401
    late = Browser(sso)

    refused(late, late.get("/sign-in/callback", **provider.authorize(begin(late), **ML)), "switched off", 403)


# --- changing trust --------------------------------------------------------------------------------------------------


def test_changing_trust_wants_a_new_proof_there(sso: Service, provider: FakeProvider) -> None:
    """D13, T110: after a quarter of an hour the provider must ask for the password again, and say when it did."""
    publisher = sso.administration.publishers()[0]
    browser = sign_in(sso, provider)
    sso.clock.advance(LOGIN_SECONDS)
    stale = browser.forge(
        f"/publishers/{publisher.id}/switch",
        {**SAME_ORIGIN, "Referer": f"http://{HOST}/ui/publishers/{publisher.id}"},
        to="off",
    )
    assert stale.status == 401
    assert "Go on with Acme" in text_of(stale)
    before, url = browser.cookie, begin(browser, to=f"/ui/publishers/{publisher.id}")
    asked = parse_qs(urlsplit(url).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    back = browser.get("/sign-in/callback", **provider.authorize(url, **ML))

    assert (back.status, back.headers["location"]) == (303, f"/ui/publishers/{publisher.id}")
    assert browser.cookie != before
    assert browser.post(f"/publishers/{publisher.id}/switch", to="off").status == 303
    assert not sso.administration.publisher(publisher.id).enabled


@pytest.mark.parametrize("auth_time", [-31, -3600, "now", None, True, 1 << 60])
def test_an_old_proof_is_no_new_one(sso: Service, provider: FakeProvider, auth_time: object) -> None:
    """T110: a provider that lets its session pass, or does not say, leaves everything as it was."""
    browser = sign_in(sso, provider)
    sso.clock.advance(LOGIN_SECONDS)
    said = sso.clock() + auth_time if isinstance(auth_time, int) and auth_time not in {True, 1 << 60} else auth_time
    answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML, auth_time=said))

    assert answer.status == 401
    assert "cannot be believed" in text_of(answer)
    publisher = sso.administration.publishers()[0]
    assert browser.get("/").status == 200
    assert browser.post(f"/publishers/{publisher.id}/switch", to="off").status == 401
    assert sso.administration.publisher(publisher.id).enabled


@pytest.mark.parametrize(("age", "status"), [(0, 303), (LOGIN_SECONDS - 1, 303), (LOGIN_SECONDS, 401), (None, 401)])
def test_a_session_at_the_provider_is_as_fresh_as_its_proof(
    sso: Service, provider: FakeProvider, age: int | None, status: int
) -> None:
    """T110: who was signed in there since the morning may look around, and proves itself before it changes trust."""
    publisher = sso.administration.publishers()[0]
    claims: dict[str, Any] = {} if age is None else {"auth_time": int(sso.clock()) - age}
    if age is None:
        provider.ways.token = {"auth_time": DROP}
    browser = sign_in(sso, provider, **claims)

    assert browser.get("/").status == 200
    assert browser.post(f"/publishers/{publisher.id}/switch", to="off").status == status


def test_nobody_proves_it_for_somebody_else(sso: Service, provider: FakeProvider) -> None:
    """T110: the session of one and the password of another are no proof."""
    browser = sign_in(sso, provider)
    answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), sub="another", **ML))

    assert answer.status == 403
    assert "somebody else" in text_of(answer)
    assert "mo" in text_of(browser.get("/sessions"))


# --- what must not count ---------------------------------------------------------------------------------------------


def test_a_browser_that_asked_for_nothing_gets_nothing(sso: Service, provider: FakeProvider) -> None:
    """Login CSRF (T104) and code injection: an answer is worth nothing in another browser than the one that asked."""
    mallory, victim, busy = Browser(sso), Browser(sso), Browser(sso)
    answer = provider.authorize(begin(mallory), **ML)
    begin(busy)

    refused(victim, victim.get("/sign-in/callback", **answer), "obody began this sign-in in this browser")
    refused(busy, busy.get("/sign-in/callback", **answer), "another attempt to sign in")
    assert "/token" not in provider.requests


def test_a_stolen_code_is_worth_nothing_in_another_attempt(sso: Service, provider: FakeProvider) -> None:
    """Code injection: beside the thief's own state the code fails at the provider (PKCE)."""
    victim, thief = Browser(sso), Browser(sso)
    stolen = provider.authorize(begin(victim), **ML)
    own = provider.authorize(begin(thief), sub="thief", groups=[])

    refused(thief, thief.get("/sign-in/callback", **{**own, "code": stolen["code"]}), "does not take its code back")


def test_an_id_token_of_another_attempt_does_not_count(sso: Service, provider: FakeProvider) -> None:
    """T104: even a provider without PKCE is held to the nonce."""
    browser = Browser(sso)
    url = begin(browser)
    answer = provider.authorize(url, **ML, nonce="n-0S6_WzA2Mj")

    refused(browser, browser.get("/sign-in/callback", **answer), "another attempt")


def test_an_answer_counts_once(sso: Service, provider: FakeProvider) -> None:
    """Replay: whoever reads the address in a history or a log has nothing."""
    browser = Browser(sso)
    attempt_url = begin(browser)
    attempt = browser.attempt
    answer = provider.authorize(attempt_url, **ML)
    assert browser.get("/sign-in/callback", **answer).status == 303
    assert not browser.attempt
    thief = Browser(sso)
    thief.attempt = attempt

    refused(thief, thief.get("/sign-in/callback", **answer), "obody began")


def test_an_attempt_ends(sso: Service, provider: FakeProvider) -> None:
    """Ten minutes, for a password and a second factor."""
    browser = Browser(sso)
    answer = provider.authorize(begin(browser), **ML)
    sso.clock.advance(ATTEMPT_SECONDS)

    refused(browser, browser.get("/sign-in/callback", **answer), "too long ago")


def test_an_answer_of_another_provider_is_not_taken(sso: Service, provider: FakeProvider) -> None:
    """T104, mix-up (RFC 9207): `iss` is compared, a provider that says it names itself must, and no code is sent."""
    for changed in ({"iss": "https://evil.example"}, {"iss": f"{provider.url}/"}, {"iss": ""}, {}):
        browser = Browser(sso)
        answer = provider.authorize(begin(browser), **ML)
        del answer["iss"]
        refused(browser, browser.get("/sign-in/callback", **answer, **changed), "not of the provider that was asked")
    assert "/token" not in provider.requests


def test_a_provider_that_never_names_itself_need_not(sso: Service, provider: FakeProvider) -> None:
    """RFC 9207 section 2.4: older providers have no such parameter."""
    provider.ways.document = {"authorization_response_iss_parameter_supported": DROP}
    provider.ways.document = {"authorization_response_iss_parameter_supported": False}
    provider.ways.without_iss = True

    sign_in(sso, provider)


BAD_TOKENS: list[dict[str, Any]] = [
    {"iss": "https://evil.example"},
    {"aud": "another"},
    {"aud": ["another", "one"]},
    {"azp": "another"},
    {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
    {"nonce": DROP},
    {"nonce": ["x"]},
    {"sub": DROP},
    {"sub": ""},
    {"exp": 1},
    {"iat": 1},
    {"nbf": 1 << 33},
    {"auth_time": 1 << 33},
    {"auth_time": "soon"},
]


@pytest.mark.parametrize("change", BAD_TOKENS, ids=str)
def test_an_id_token_is_held_to_every_rule(sso: Service, provider: FakeProvider, change: dict[str, Any]) -> None:
    """V04, V10, V11, V13, V14: OpenID Connect Core 3.1.3.7, one change at a time."""
    browser = Browser(sso)
    provider.ways.token = change

    refused(browser, browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML)), "cannot be believed")


def test_several_audiences_need_a_party(sso: Service, provider: FakeProvider) -> None:
    """OpenID Connect Core 3.1.3.7, points 3 to 5."""
    client = parse_qs(urlsplit(begin(Browser(sso))).query)["client_id"][0]
    for azp, good in ((DROP, False), ("another", False), (client, True)):
        browser = Browser(sso)
        provider.ways.token = {"aud": [client, "another"], "azp": azp}
        answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML))
        assert (answer.status == 303) is good


def test_a_forged_signature_does_not_count(sso: Service, provider: FakeProvider) -> None:
    """V04, V08, T01: a stranger's key under the provider's name, and no signature at all."""
    genuine = provider.key
    for key, header in (
        (SigningKey.generate("RS256", kid=genuine.kid), {}),
        (SigningKey.generate("ES256", kid=genuine.kid), {}),
        (genuine, {"alg": "none"}),
        (genuine, {"jku": "https://evil.example/keys"}),
    ):
        browser = Browser(sso)
        provider.ways.token = {"key": key, "header": header}
        answer = browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML))
        refused(browser, answer, "cannot be believed")


def test_a_session_that_was_planted_is_worth_nothing(sso: Service, provider: FakeProvider) -> None:
    """Session fixation: signing in makes a new cookie, and ends what was there."""
    browser = sign_in(sso, provider)
    planted = browser.cookie
    sign_in(sso, provider, browser)

    assert browser.cookie != planted
    thief = Browser(sso)
    thief.cookie = planted
    assert thief.get("/").status == 401


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/ui//evil.example", "/ui/\\evil", "x"])
def test_signing_in_leads_to_pages_of_ours_only(sso: Service, provider: FakeProvider, wanted: str) -> None:
    """Open redirect: by the link, and by what comes back."""
    browser = Browser(sso)
    answer = provider.authorize(begin(browser, to=wanted), **ML)
    back = browser.get("/sign-in/callback", **answer, next=wanted)

    assert (back.status, back.headers["location"]) == (303, "/ui/")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_other_site_begins_a_sign_in(sso: Service, provider: FakeProvider, site: str) -> None:
    """CSRF (T104): the link works from our own pages, or typed."""
    browser = Browser(sso)
    answer = browser.follow("/sign-in/provider", {"Sec-Fetch-Site": site})

    assert (answer.status, answer.headers["location"]) == (303, "/ui/sign-in")
    assert not browser.attempt


def test_the_cookie_of_an_attempt_is_for_the_way_back(sso: Service, provider: FakeProvider) -> None:
    """Not for scripts, not sent along with other sites' forms, and to the sign-in only."""
    line = Browser(sso).get("/sign-in/provider").headers["set-cookie"]

    assert line.startswith("keyless_sign_in=")
    assert "; Path=/ui/sign-in; Max-Age=600; HttpOnly; SameSite=Lax" in line


# --- when the provider is away ---------------------------------------------------------------------------------------


def unavailable(answer: Answer) -> bool:
    return answer.status == 503 and "cannot" in text_of(answer)


def test_a_provider_that_is_down_is_no_refusal(sso: Service, provider: FakeProvider) -> None:
    """D9: 503 on a page that says so, whichever part is down; signing in with a code goes on."""
    browser = Browser(sso)
    provider.misbehave("server_error", on=["discovery"])
    assert unavailable(browser.get("/sign-in/provider"))
    assert unavailable(browser.get("/sign-in/provider"))
    assert provider.requests.count("/.well-known/openid-configuration") == 1  # a failure is asked about once
    assert Browser(sso).sign_in(People(sso.administration).make_bootstrap_code().reveal(), name="root").status == 303
    provider.behave()
    sso.monotonic.advance(60)

    answer = provider.authorize(begin(browser), **ML)
    provider.ways.status = 502
    assert unavailable(browser.get("/sign-in/callback", **answer))
    provider.ways.status = None
    answer = provider.authorize(begin(browser), **ML)
    provider.misbehave("server_error", on=["jwks"])
    assert unavailable(browser.get("/sign-in/callback", **answer))
    provider.behave()
    sso.monotonic.advance(60)
    assert browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML)).status == 303


@pytest.mark.parametrize(
    ("error", "status"),
    [("access_denied", 401), ("login_required", 401), ("<script>", 401), ("server_error", 503)],
)
def test_what_the_provider_says_instead_of_a_code(
    sso: Service, provider: FakeProvider, error: str, status: int
) -> None:
    """OpenID Connect Core 3.1.2.6: a refusal, or an outage; its own words are not repeated."""
    browser = Browser(sso)
    answer = provider.authorize(begin(browser))
    del answer["code"]
    page = browser.get("/sign-in/callback", **answer, error=error, error_description="<b>boo</b>")

    assert page.status == status
    assert "boo" not in page.body.decode()
    assert "<script>" not in page.body.decode()


def test_our_own_mistake_there_is_no_refusal(sso: Service, provider: FakeProvider) -> None:
    """D9: a wrong secret is an outage of ours."""
    sso.app._provider.__dict__["_secret"] = type(sso.app._provider._secret)("wrong")  # type: ignore[union-attr]
    browser = Browser(sso)

    assert unavailable(browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_endpoint", "http://169.254.169.254/token"),
        ("token_endpoint", "http://10.0.0.1/token"),
        ("token_endpoint", "file:///etc/passwd"),
        ("token_endpoint", "http://127.0.0.1:22/token"),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", None),
        ("jwks_uri", "http://127.0.0.1:1/keys"),
        ("end_session_endpoint", "https://user@evil.example/"),
        ("issuer", "https://evil.example"),
    ],
)
def test_a_providers_document_leads_nowhere_else(
    sso: Service, provider: FakeProvider, name: str, value: str | None
) -> None:
    """S01, S03, S04, T24: what it names is held against the operator's record, or nobody is sent or asked anywhere."""
    provider.ways.document = {name: value}
    browser = Browser(sso)
    page = browser.get("/sign-in/provider")
    if page.status == 303:  # the address is one, and the fetch is refused
        answer = provider.authorize(page.headers["location"], **ML)
        page = browser.get("/sign-in/callback", **answer)

    assert page.status == 503


def test_beginning_is_bounded(sso: Service, provider: FakeProvider) -> None:
    """T105: nobody fills the store with attempts, and old ones go."""
    browser = Browser(sso)
    statuses = [browser.get("/sign-in/provider").status for _ in range(125)]

    assert statuses.count(303) == 120
    assert statuses[-1] == 429
    sso.clock.advance(ATTEMPT_SECONDS)
    begin(browser)
    with sso.administration.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM web_sign_in").scalar_one() <= 21


def test_wrong_answers_are_bounded_as_wrong_codes_are(sso: Service, provider: FakeProvider) -> None:
    """Brute force: ten failures a minute from one address, codes and answers together."""
    for _ in range(10):
        browser = Browser(sso)
        answer = provider.authorize(begin(browser))
        assert browser.get("/sign-in/callback", **{**answer, "code": "guess"}).status == 401
    browser = Browser(sso)

    assert browser.get("/sign-in/callback", **provider.authorize(begin(browser), **ML)).status == 429
    assert browser.sign_in("klc-aaaaaaaa-aaaaa-aaaaa-aaaaa-aaaaa").status == 429


# --- and out ---------------------------------------------------------------------------------------------------------


def test_signing_out_leads_to_the_providers_own(sso: Service, provider: FakeProvider) -> None:
    """RP-initiated logout: the session here ends at once, and the page says where that of the provider does."""
    browser = sign_in(sso, provider)
    answer = browser.post("/sign-out")
    assert (answer.status, answer.headers["location"]) == (303, "/ui/signed-out")
    page = browser.get("/signed-out")

    assert browser.get("/").status == 401
    assert f'href="{provider.url}/logout?client_id=' in page.body.decode()
    assert "post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A8081%2Fui%2Fsign-in" in page.body.decode()
    provider.misbehave("server_error", on=["discovery"])
    sso.monotonic.advance(700)
    assert "You are signed out" in text_of(browser.get("/signed-out"))


def test_without_a_provider_there_is_no_such_page(service: Service) -> None:
    """What is not set up is not there."""
    browser = Browser(service)

    for path in ("/sign-in/provider", "/sign-in/callback", "/signed-out"):
        assert browser.get(path).status == 404
    assert "provider" not in browser.get("/sign-in").body.decode()
