"""The exchange through its endpoint: one accepted request, and every change of it that must be refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from keyless.jose.compact import b64url_encode
from keyless.jose.signing import SigningKey
from keyless.oidc.issuer import ReplayMode
from keyless.server.doors.http import BODY_SECONDS
from keyless.testing import DROP, FakeIssuer, Fault, unverified_claims
from keyless.verifier.access_token import verify_access_token
from tests.server.service import PUBLIC_URL, Service
from tests.support.asgi import Answer, ask, request

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def refused(answer: Answer, reason: str, error: str = "invalid_grant", status: int = 400) -> None:
    """Assert a refusal by its stable parts, and what every answer carries (V19)."""
    assert (answer.status, answer.json["error"], answer.json["reason"]) == (status, error, reason)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert "access_token" not in answer.json


def test_accepted_request_gets_a_token_for_its_target_only(service: Service) -> None:
    """S4, V18, V19: the answer of RFC 8693 section 2.2.1, and a token bound to publisher, resource and operations."""
    answer = service.exchange()

    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert answer.json["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert answer.headers["cache-control"] == "no-store"
    token = verify_access_token(
        answer.json["access_token"],
        keys=service.app.signing_keys.key_set(),
        issuer=PUBLIC_URL,
        audience=PUBLIC_URL,
        prefixes=("kl_",),
        now=service.clock(),
    )
    assert str(token.resource) == "models/acme/model"
    assert token.operations == frozenset(answer.json["scope"].split(" "))
    assert token.ci_issuer == service.issuer.url


def test_form_and_json_are_the_same_request(service: Service) -> None:
    """V01: the RFC's form encoding and the JSON that the Hub's clients send."""
    members = service.members(service.mint())
    as_form = ask(service.app.public, "POST", "/oauth/token", body=urlencode(members).encode(), headers=FORM)

    assert as_form.status == 200
    assert service.exchange().status == 200


def test_body_may_arrive_in_pieces(service: Service) -> None:
    """V01: what matters is the body, not how it was cut."""
    body = json.dumps(service.members(service.mint())).encode()
    pieces = [body[:10], b"", body[10:700], body[700:]]

    assert ask(service.app.public, "POST", "/oauth/token", chunks=pieces, headers=JSON).status == 200


def swap_payload(token: str, **changes: object) -> str:
    """Change claims and keep the signature."""
    header, _, signature = token.split(".")
    claims = {**unverified_claims(token), **changes}
    return f"{header}.{b64url_encode(json.dumps(claims).encode())}.{signature}"


def hmac_with_public_key(service: Service) -> str:
    """Sign with HMAC, using as secret what everybody can download (T02)."""
    import hashlib
    import hmac

    header = {"alg": "HS256", "kid": service.issuer.key.kid, "typ": "JWT"}
    payload = service.mint().split(".")[1]
    signing_input = f"{b64url_encode(json.dumps(header).encode())}.{payload}"
    secret = json.dumps(service.issuer.key.public_jwk()).encode()
    return f"{signing_input}.{b64url_encode(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"


def without_signature(service: Service, spelling: str) -> str:
    """An unsigned token (T01)."""
    header = {"alg": spelling, "kid": service.issuer.key.kid, "typ": "JWT"}
    return f"{b64url_encode(json.dumps(header).encode())}.{service.mint().split('.')[1]}."


def with_raw_payload(service: Service, payload: bytes) -> str:
    """A correctly signed token with these payload bytes."""
    from keyless.jose.algorithms import sign

    key = service.issuer.key
    header = b64url_encode(json.dumps({"alg": "RS256", "kid": key.kid}).encode())
    signing_input = f"{header}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(sign('RS256', key.material, signing_input.encode()))}"


def claims_bytes(service: Service, **changes: object) -> bytes:
    """The payload of an accepted token, with changes."""
    return json.dumps({**unverified_claims(service.mint()), **changes}).encode()


def forged_key(service: Service) -> SigningKey:
    """A stranger's key under the issuer's kid."""
    return SigningKey(service.issuer.key.kid, "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048))


def flip(token: str, position: int) -> str:
    """Replace one character of the token by another of the alphabet."""
    replacement = "A" if token[position] != "A" else "B"
    return token[:position] + replacement + token[position + 1 :]


TOKEN_MUTATIONS: dict[str, Callable[[Service], str]] = {
    "V02 two segments": lambda s: s.mint().rpartition(".")[0],
    "V02 four segments": lambda s: s.mint() + ".AAAA",
    "V02 five segments": lambda s: s.mint() + ".AAAA.AAAA",
    "V02 empty signature": lambda s: s.mint().rpartition(".")[0] + ".",
    "V02 padding": lambda s: s.mint() + "=",
    "V02 leading space": lambda s: " " + s.mint(),
    "V02 newline at the end": lambda s: s.mint() + "\n",
    "V02 standard base64 alphabet": lambda s: s.mint()[:-4] + "+/+/",
    "V02 not a token": lambda s: "hello",
    "V02 thousands of dots": lambda s: "." * 30_000,
    "V03 crit": lambda s: s.mint(header={"crit": ["exp"]}),
    "V03 b64": lambda s: s.mint(header={"b64": False}),
    "V03 zip": lambda s: s.mint(header={"zip": "DEF"}),
    "V03 jwk": lambda s: s.mint(header={"jwk": s.issuer.key.public_jwk()}),
    "V03 jku": lambda s: s.mint(header={"jku": "https://evil.example/jwks"}),
    "V03 x5u": lambda s: s.mint(header={"x5u": "https://evil.example/cert"}),
    "V03 access token type": lambda s: s.mint(header={"typ": "at+jwt"}),
    "V03 logout token type": lambda s: s.mint(header={"typ": "logout+jwt"}),
    "V03 typ not a text": lambda s: s.mint(header={"typ": 7}),
    "V04 none": lambda s: without_signature(s, "none"),
    "V04 NonE": lambda s: without_signature(s, "NonE"),
    "V04 HMAC with the public key": hmac_with_public_key,
    "V04 alg not the issuer's": lambda s: s.mint(header={"alg": "RS512"}),
    "V04 alg missing": lambda s: s.mint(header={"alg": None}),
    "V05 payload is a list": lambda s: with_raw_payload(s, b"[]"),
    "V05 payload not JSON": lambda s: with_raw_payload(s, b"{"),
    "V05 duplicate name": lambda s: with_raw_payload(s, claims_bytes(s)[:-1] + b',"sub":"x"}'),
    "V05 NaN": lambda s: with_raw_payload(s, claims_bytes(s)[:-1] + b',"x":NaN}'),
    "V05 huge integer": lambda s: with_raw_payload(s, claims_bytes(s)[:-1] + b',"x":9223372036854775808}'),
    "V05 nests 9,000 deep": lambda s: with_raw_payload(s, b'{"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}"),
    "V05 not UTF-8": lambda s: with_raw_payload(s, b'{"iss":"\xff"}'),
    "V05 half a surrogate pair": lambda s: with_raw_payload(s, claims_bytes(s)[:-1] + b',"x":"\\ud800"}'),
    "V05 lookalike claim name": lambda s: s.mint(ISS="x"),
    "V06 issuer with a slash": lambda s: s.mint(iss=f"{s.issuer.url}/"),
    "V06 issuer in capitals": lambda s: s.mint(iss=s.issuer.url.upper()),
    "V06 issuer missing": lambda s: s.mint(iss=DROP),
    "V06 issuer a number": lambda s: s.mint(iss=1),
    "V07 no kid": lambda s: s.mint(header={"kid": None}),
    "V07 empty kid": lambda s: s.mint(header={"kid": ""}),
    "V07 kid of 257 characters": lambda s: s.mint(header={"kid": "k" * 257}),
    "V07 kid with a control character": lambda s: s.mint(header={"kid": "a\nb"}),
    "V09 another key under the same kid": lambda s: s.mint(key=forged_key(s)),
    "V09 claims changed after signing": lambda s: swap_payload(s.mint(), ref="refs/heads/other"),
    "V09 last character of the signature": lambda s: flip(s.mint(), -20),
    "V09 signature of another token": lambda s: s.mint().rpartition(".")[0] + "." + s.mint().rpartition(".")[2],
    "V10 exp a text": lambda s: s.mint(exp=str(int(s.clock()) + 300)),
    "V10 exp a boolean": lambda s: s.mint(exp=True),
    "V10 exp missing": lambda s: s.mint(exp=DROP),
    "V10 exp null": lambda s: s.mint(exp=None),
    "V10 exp beyond the calendar": lambda s: s.mint(exp=1e18),
    "V10 iat missing": lambda s: s.mint(iat=DROP),
    "V10 iat a list": lambda s: s.mint(iat=[1]),
    "V10 nbf a text": lambda s: s.mint(nbf="0"),
    "V10 sub missing": lambda s: s.mint(sub=DROP),
    "V10 sub empty": lambda s: s.mint(sub=""),
    "V10 sub a number": lambda s: s.mint(sub=1),
    "V10 sub with a newline": lambda s: s.mint(sub="a\nb"),
    "V10 jti a number": lambda s: s.mint(jti=1),
    "V10 jti empty": lambda s: s.mint(jti=""),
    "V12 lives too long": lambda s: s.mint(exp=int(s.clock()) + 901),
    "V12 ends before it begins": lambda s: s.mint(iat=int(s.clock()) + 20, exp=int(s.clock()) + 10),
    "V13 aud missing": lambda s: s.mint(aud=DROP),
    "V13 aud empty list": lambda s: s.mint(aud=[]),
    "V13 aud a number": lambda s: s.mint(aud=7),
    "V13 aud list of a number": lambda s: s.mint(aud=[7]),
    "V14 no repository": lambda s: s.mint(repository=DROP),
    "V14 no repository_id": lambda s: s.mint(repository_id=DROP),
    "V14 empty repository_owner_id": lambda s: s.mint(repository_owner_id=""),
    "V14 repository_id a list": lambda s: s.mint(repository_id=["456789"]),
    "V14 no event_name": lambda s: s.mint(event_name=DROP),
    "V14 repository with a control character": lambda s: s.mint(repository="acme/wid\x00gets"),
}


@pytest.mark.parametrize("mutation", TOKEN_MUTATIONS)
def test_changed_token_is_refused(service: Service, mutation: str) -> None:
    """V02-V14: each change of the accepted token ends in the one refusal of its class, never in 200 or 5xx."""
    refused(service.exchange(TOKEN_MUTATIONS[mutation](service)), "token_rejected")


NAMED_MUTATIONS: dict[str, tuple[Callable[[Service], str], str]] = {
    "V11 expired 1 s past the leeway": (
        lambda s: s.mint(iat=int(s.clock()) - 330, exp=int(s.clock()) - 31),
        "token_expired",
    ),
    "V11 exactly at the leeway": (lambda s: s.mint(iat=int(s.clock()) - 330, exp=int(s.clock()) - 30), "token_expired"),
    "V11 nbf 1 s past the leeway": (lambda s: s.mint(nbf=int(s.clock()) + 31), "token_not_yet_valid"),
    "V11 iat 1 s past the leeway": (
        lambda s: s.mint(iat=int(s.clock()) + 31, exp=int(s.clock()) + 331),
        "token_not_yet_valid",
    ),
    "V13 another audience": (lambda s: s.mint(aud="https://huggingface.co"), "audience_mismatch"),
    "V13 audience with a slash": (lambda s: s.mint(aud=f"{PUBLIC_URL}/"), "audience_mismatch"),
    "V13 two audiences": (lambda s: s.mint(aud=[PUBLIC_URL, "https://other.example"]), "audience_mismatch"),
    "V15 pull_request_target": (lambda s: s.mint(event_name="pull_request_target"), "no_matching_publisher"),
    "V15 workflow_run": (lambda s: s.mint(event_name="workflow_run"), "no_matching_publisher"),
    "V15 issue_comment": (lambda s: s.mint(event_name="issue_comment"), "no_matching_publisher"),
    "V16 another branch": (lambda s: s.mint(ref="refs/heads/dev"), "no_matching_publisher"),
    "V16 a tag of the branch's name": (
        lambda s: s.mint(ref="refs/tags/main", ref_type="tag"),
        "no_matching_publisher",
    ),
    "V16 another repository": (lambda s: s.mint(repository="acme/other"), "no_matching_publisher"),
    "V16 the repository's id is another's": (lambda s: s.mint(repository_id="456780"), "no_matching_publisher"),
    "V16 the owner's id is another's": (lambda s: s.mint(repository_owner_id="1"), "no_matching_publisher"),
    "V16 another workflow file": (
        lambda s: s.mint(
            workflow_ref="acme/widgets/.github/workflows/evil.yml@refs/heads/main",
            job_workflow_ref="acme/widgets/.github/workflows/evil.yml@refs/heads/main",
        ),
        "no_matching_publisher",
    ),
    "M05 a reusable workflow nobody named": (
        lambda s: s.mint(job_workflow_ref="evil/actions/.github/workflows/train.yml@refs/heads/main"),
        "no_matching_publisher",
    ),
}


@pytest.mark.parametrize("mutation", NAMED_MUTATIONS)
def test_changed_token_is_refused_with_its_reason(service: Service, mutation: str) -> None:
    """V11, V13, V15, V16: a genuine token's refusal says which class it is, so that a person knows what to change."""
    change, reason = NAMED_MUTATIONS[mutation]

    refused(service.exchange(change(service)), reason)


ACCEPTED_MUTATIONS: dict[str, Callable[[Service], str]] = {
    "V03 typ absent": lambda s: with_raw_payload(s, claims_bytes(s)),
    "V03 typ application/JWT": lambda s: s.mint(header={"typ": "application/JWT"}),
    "V03 x5c is ignored": lambda s: s.mint(header={"x5c": ["AAAA"]}),
    "V11 expired within the leeway": lambda s: s.mint(iat=int(s.clock()) - 200, exp=int(s.clock()) - 29),
    "V11 iat ahead within the leeway": lambda s: s.mint(iat=int(s.clock()) + 29),
    "V13 a list of one audience": lambda s: s.mint(aud=[PUBLIC_URL]),
    "V14 a claim nobody knows": lambda s: s.mint(repo_property_team="ml", new_claim={"a": [1]}),
    "V17 no jti": lambda s: s.mint(jti=DROP),
    "M04 repository in other case": lambda s: s.mint(
        repository="Acme/Widgets",
        workflow_ref="Acme/Widgets/.github/workflows/train.yml@refs/heads/main",
        job_workflow_ref="Acme/Widgets/.github/workflows/train.yml@refs/heads/main",
    ),
}


@pytest.mark.parametrize("mutation", ACCEPTED_MUTATIONS)
def test_harmless_change_is_accepted(service: Service, mutation: str) -> None:
    """V03, V11, V13, V14: what the rules allow must work, or operators loosen them."""
    assert service.exchange(ACCEPTED_MUTATIONS[mutation](service)).status == 200


REQUEST_MUTATIONS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "V01 no grant_type": ({"grant_type": None}, "request_malformed", "invalid_request"),
    "V01 empty grant_type": ({"grant_type": ""}, "request_malformed", "invalid_request"),
    "V01 another grant": ({"grant_type": "password"}, "unsupported_grant_type", "unsupported_grant_type"),
    "V01 no subject_token": ({"subject_token": None}, "request_malformed", "invalid_request"),
    "V01 empty subject_token": ({"subject_token": ""}, "request_malformed", "invalid_request"),
    "V01 huge subject_token": ({"subject_token": "a" * 33_000}, "request_malformed", "invalid_request"),
    "V01 no subject_token_type": ({"subject_token_type": None}, "request_malformed", "invalid_request"),
    "V01 an access token as subject": (
        {"subject_token_type": "urn:ietf:params:oauth:token-type:access_token"},
        "request_malformed",
        "invalid_request",
    ),
    "V01 asks for a refresh token": (
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        "request_malformed",
        "invalid_request",
    ),
    "V01 actor_token": ({"actor_token": "x"}, "request_malformed", "invalid_request"),
    "V16 no resource": ({"resource": None}, "request_malformed", "invalid_request"),
    "V16 malformed resource": ({"resource": "a/b/c/d"}, "request_malformed", "invalid_request"),
    "V16 another service's URI": (
        {"resource": "https://other.example/acme/model"},
        "request_malformed",
        "invalid_request",
    ),
    "V16 another resource": ({"resource": "datasets/acme/model"}, "no_matching_publisher", "invalid_grant"),
    "V16 no such resource": ({"resource": "nobody/nothing"}, "no_matching_publisher", "invalid_grant"),
    "D22 no such publisher": (
        {"resource": None, "client_id": "pub_aaaaaaaaaaaaaaaaaaaa"},
        "no_matching_publisher",
        "invalid_grant",
    ),
}


@pytest.mark.parametrize("mutation", REQUEST_MUTATIONS)
def test_changed_request_is_refused(service: Service, mutation: str) -> None:
    """V01, V16, D22: each change of the accepted request ends in a documented 4xx."""
    changes, reason, error = REQUEST_MUTATIONS[mutation]

    refused(service.exchange(**changes), reason, error)


BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no body": (b"", JSON, 400),
    "not JSON": (b"{", JSON, 400),
    "a JSON list": (b"[]", JSON, 400),
    "a repeated JSON name": (b'{"grant_type":"a","grant_type":"b"}', JSON, 400),
    "a member that is no text": (b'{"grant_type":1}', JSON, 400),
    "20,000 levels deep": (b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}", JSON, 400),
    "a repeated form name": (b"grant_type=a&grant_type=b", FORM, 400),
    "a form that is not UTF-8": (b"grant_type=%ff", FORM, 400),
    "a form with broken escapes": (b"grant_type=%zz%", FORM, 400),
    "a form of a hundred members": (b"&".join(b"a%d=1" % n for n in range(100)), FORM, 400),
    "another content type": (b"<x/>", {"Content-Type": "text/xml"}, 400),
    "no content type": (b"grant_type=x", {}, 400),
    "larger than 64 KiB": (b"a" * 65_537, FORM, 413),
    "announced larger than 64 KiB": (b"", {**FORM, "Content-Length": "99999999999"}, 413),
}


@pytest.mark.parametrize("body", BODIES)
def test_malformed_body_is_refused(service: Service, body: str) -> None:
    """V01, T11: whatever an outsider posts is answered with a documented 4xx."""
    content, headers, status = BODIES[body]

    answer = ask(service.app.public, "POST", "/oauth/token", body=content, headers=headers)

    assert answer.status == status
    assert answer.json["reason"] in {"request_malformed", "unsupported_grant_type", "body_too_large"}


def test_body_that_does_not_arrive_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """T28: a caller that stops sending does not hold a connection for ever."""
    monkeypatch.setattr("keyless.server.doors.http.BODY_SECONDS", BODY_SECONDS / 1000)
    headers = {**JSON, "Content-Length": "100"}

    async def stall() -> Answer:
        pieces = [b"{"]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def half() -> Any:
                if not pieces:
                    await asyncio.sleep(60)
                return {"type": "http.request", "body": pieces.pop(), "more_body": True}

            await service.app.public(scope, half, send)

        return await request(app, "POST", "/oauth/token", headers=headers)

    assert asyncio.run(stall()).status == 400


def test_other_method_is_told_which_one_to_use(service: Service) -> None:
    """V01: POST only."""
    answer = ask(service.app.public, "GET", "/oauth/token")

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_unconfigured_issuer_causes_no_request(service: Service, other_issuer: FakeIssuer) -> None:
    """V06, S01: nothing in a token makes us fetch anything."""
    before = dict(other_issuer.fetches)
    token = other_issuer.mint(unverified_claims(service.mint()) | {"iss": other_issuer.url})

    refused(service.exchange(token), "token_rejected")
    assert other_issuer.fetches == before


def test_key_of_another_issuer_does_not_verify(service: Service, other_issuer: FakeIssuer) -> None:
    """K01, T34: keys belong to their issuer."""
    refused(service.exchange(service.mint(key=other_issuer.key)), "token_rejected")


def test_access_token_cannot_be_exchanged_again(service: Service) -> None:
    """T100, T17: what we issued is never a subject token."""
    access_token = service.exchange().json["access_token"]

    refused(service.exchange(access_token), "token_rejected")
    refused(service.exchange(access_token.removeprefix("kl_")), "token_rejected")


def test_switched_off_issuer_is_refused_at_once(service: Service) -> None:
    """T109, D16: the kill switch counts at the next exchange."""
    service.administration.set_issuer_enabled(service.issuer.url, enabled=False)

    refused(service.exchange(), "token_rejected")


def test_same_github_token_twice_is_refused_with_the_way_out(service: Service) -> None:
    """D8, V17, T45: a job that can mint again must; the text names both ways to change it."""
    token = service.mint()
    first, second = service.exchange(token), service.exchange(token)

    assert first.status == 200
    refused(second, "token_replayed")
    assert "id-token: write" in second.json["error_description"]
    assert "counted" in second.json["error_description"]


def test_token_without_jti_is_replayed_by_its_signing_input(service: Service) -> None:
    """T49: the guard does not depend on the issuer's goodwill."""
    token = service.mint(jti=DROP)

    assert service.exchange(token).status == 200
    refused(service.exchange(token), "token_replayed")


def test_counted_token_serves_a_job_that_got_it_once(service: Service) -> None:
    """D8: 64 uses, then a refusal."""
    service.set_replay(ReplayMode.COUNTED)
    token = service.mint()

    assert [service.exchange(token).status for _ in range(64)] == [200] * 64
    refused(service.exchange(token), "token_replayed")


def test_refused_exchange_does_not_spend_the_token(service: Service) -> None:
    """T50, V17: a wrong resource costs the job nothing."""
    token = service.mint()

    refused(service.exchange(token, resource="acme/other"), "no_matching_publisher")
    assert service.exchange(token).status == 200


def test_unknown_resource_and_foreign_resource_have_one_answer(service: Service) -> None:
    """T94: nobody can tell a private resource from one that does not exist."""
    service.add_publisher("acme/private", pins={"repository_id": "1", "repository_owner_id": "2"})
    there, nowhere = service.exchange(resource="acme/private"), service.exchange(resource="acme/missing")

    def shape(answer: Answer) -> str:
        return str(answer.json["error_description"]).replace("acme/private", "R").replace("acme/missing", "R")

    assert shape(there) == shape(nowhere)


def test_stranger_learns_nothing_of_what_is_expected(service: Service) -> None:
    """T95, D12: expected values never leave; who owns the pinned ids learns which of his claims differ."""
    stranger = service.exchange(service.mint(repository_id="1", ref="refs/heads/dev"))
    owner = service.exchange(service.mint(ref="refs/heads/dev"))

    assert "branch" not in stranger.json["error_description"]
    assert "branch 'dev'" in owner.json["error_description"]
    for answer in (stranger, owner):
        assert "main" not in answer.json["error_description"].replace("refs/heads/main", "")


def test_description_has_only_the_characters_oauth_allows(service: Service) -> None:
    """V19, RFC 6749 section 5.2: printable ASCII without quote and backslash, whatever the claims hold."""
    answer = service.exchange(service.mint(ref='refs/heads/"x"\\ü', environment="päd'\""))

    description = answer.json["error_description"]
    assert all(" " <= c <= "~" and c not in '"\\' for c in description)


def test_every_granted_and_every_proven_refusal_has_a_row(service: Service) -> None:
    """D14, D15, T108: one row each after a good signature, none before."""
    service.exchange()
    service.exchange(service.mint(ref="refs/heads/dev"))
    service.exchange(service.mint(aud="https://other.example"))
    service.exchange(service.mint(key=forged_key(service)))

    assert [row for row in service.audit() if row[0].startswith(("token.", "exchange."))] == [
        ("token.granted", None),
        ("exchange.refused", "no_matching_publisher"),
        ("exchange.refused", "audience_mismatch"),
    ]


def test_mistyped_known_claim_is_refused_with_a_row(service: Service) -> None:
    """V10, D15: a list where the platform sends a text is refused, and the refusal is kept."""
    refused(service.exchange(service.mint(job_workflow_ref=["acme/widgets"])), "token_rejected")
    assert service.audit()[-1] == ("exchange.refused", "claim_invalid")


def test_publisher_id_does_not_tell_what_it_belongs_to(service: Service) -> None:
    """T94: a caller who names somebody's publisher is not told its resource."""
    other = service.add_publisher("acme/private", pins={"repository_id": "1", "repository_owner_id": "2"})
    answer = service.exchange(resource=None, client_id=other.id)

    refused(answer, "no_matching_publisher")
    assert "private" not in answer.body.decode()


def test_flood_of_refusals_fills_no_disk(service: Service) -> None:
    """D15: an identity gets twenty rows a minute; what goes over is refused all the same."""
    answers = {service.exchange(service.mint(ref="refs/heads/dev")).status for _ in range(40)}

    assert answers == {400}
    assert len([row for row in service.audit() if row[0] == "exchange.refused"]) == 20


def test_publisher_removed_between_two_exchanges_grants_nothing(service: Service) -> None:
    """D16: removal is exact."""
    assert service.exchange().status == 200
    for publisher in service.administration.publishers():
        service.administration.remove_publisher(publisher.id)

    refused(service.exchange(), "no_matching_publisher")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"resource": "models/acme/model"}, 200, id="canonical"),
        pytest.param({"resource": f"{PUBLIC_URL}/acme/model"}, 200, id="our URI"),
        pytest.param({"resource": None, "audience": "acme/model"}, 200, id="audience that is a resource"),
        pytest.param({"resource": None, "audience": "https://sts.example", "client_id": "PUB"}, 200, id="client_id"),
        pytest.param({"resource": None, "audience": "sts.example", "client_id": "PUB"}, 200, id="one-word audience"),
        pytest.param({"resource": None, "identity_provider_id": "PUB"}, 200, id="identity_provider_id"),
        pytest.param({"resource": "acme/other", "client_id": "PUB"}, 400, id="resource wins"),
    ],
)
def test_target_is_selected_in_the_documented_order(
    service: Service, changes: dict[str, str | None], status: int
) -> None:
    """D22, T90: resource, else an audience that is one, else a named publisher; never whatever matches."""
    publisher_id = service.administration.publishers()[0].id
    named = {name: publisher_id if value == "PUB" else value for name, value in changes.items()}

    assert service.exchange(**named).status == status


def test_caller_can_narrow_but_not_widen(service: Service) -> None:
    """RFC 6749 section 3.3: `scope` takes away; words we do not know change nothing and the answer says what is."""
    assert service.exchange(scope="read").json["scope"] == "read"
    assert "write" in service.exchange(scope="all-apis").json["scope"]
    assert service.exchange(scope="read admin").json["scope"] == "read"


def test_publisher_lifetime_wins_over_the_default(service: Service) -> None:
    """D7: lower per publisher."""
    service.add_publisher("datasets/acme/data", ttl_seconds=600)

    assert service.exchange(resource="datasets/acme/data").json["expires_in"] == 600


def test_cold_issuer_that_is_down_is_an_outage(service: Service, issuer: FakeIssuer) -> None:
    """D9, K06, T96: 503 with Retry-After, and the token is not spent."""
    token = service.mint()
    issuer.misbehave(Fault.SERVER_ERROR)
    try:
        answer = service.exchange(token)
    finally:
        issuer.behave()

    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_client_that_sends_the_token_with_other_bytes_around_it(service: Service) -> None:
    """T12: one token has one spelling; base64 with other unused bits is not it."""
    header, payload, signature = service.mint().split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    same_bytes = signature[:-1] + alphabet[last ^ 1]
    padded = signature + "=" * (-len(signature) % 4)
    assert base64.urlsafe_b64decode(same_bytes + "==") == base64.urlsafe_b64decode(padded)

    refused(service.exchange(f"{header}.{payload}.{same_bytes}"), "token_rejected")
