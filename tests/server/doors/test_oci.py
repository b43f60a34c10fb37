"""The token realm of an OCI registry: what clients ask, what the registry gets to read, and every refusal."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from keyless.jose.algorithms import verify_signature
from keyless.oidc.issuer import ReplayMode
from keyless.server.doors.oci import registry_key_id
from keyless.server.services.certificates import certificate_of
from keyless.trust.publisher import Operation
from tests.server.doors.registries import Registries
from tests.server.service import GRANT, ID_TOKEN, PUBLIC_URL
from tests.support.asgi import Answer, ask

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask_realm(registries: Registries, password: str | None, *scopes: str, service: str = "oci.example.org") -> Answer:
    """Ask with a Basic login."""
    query = urlencode([("service", service), *(("scope", scope) for scope in scopes)])
    login = (
        {} if password is None else {"Authorization": f"Basic {base64.b64encode(f'ci:{password}'.encode()).decode()}"}
    )
    return ask(registries.app.public, "GET", "/oci/token", query=query, headers=login)


def read(answer: Answer, part: int = 1) -> dict[str, Any]:
    """Return header (0) or claims (1) of the registry's token."""
    assert answer.status == 200, answer.body
    assert answer.json["token"] == answer.json["access_token"]
    segment = answer.json["token"].split(".")[part]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return found


def refused(answer: Answer, status: int, code: str) -> str:
    """Return the text of a refusal."""
    assert answer.status == status, answer.body
    [error] = answer.json["errors"]
    assert error["code"] == code
    return str(error["message"])


def test_id_token_is_a_password_for_its_repository(registries: Registries) -> None:
    """S10: signed as the registry verifies it, for five minutes, with the actions that were asked for."""
    publisher = registries.add_publisher("oci/acme/app")
    answer = ask_realm(registries, registries.mint_for("oci"), "repository:acme/app:pull,push")
    claims, header = read(answer), read(answer, 0)
    key = registries.app.signing_keys.active()

    assert claims["access"] == [{"type": "repository", "name": "acme/app", "actions": ["pull", "push"]}]
    assert (claims["iss"], claims["aud"], claims["sub"]) == (PUBLIC_URL, "oci.example.org", publisher.id)
    assert claims["exp"] - claims["iat"] == answer.json["expires_in"] == 300
    assert (header["kid"], header["alg"], header["typ"]) == (registry_key_id(key), "ES256", "JWT")
    certificate = x509.load_pem_x509_certificate(certificate_of(key, name=PUBLIC_URL).encode())
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signed, _, signature = answer.json["token"].rpartition(".")
    verify_signature("ES256", public, signed.encode(), base64.urlsafe_b64decode(signature + "=="))


def test_key_id_is_the_registrys_form(registries: Registries) -> None:
    """The distribution registry finds keys by libtrust's fingerprint: twelve groups of four."""
    groups = registry_key_id(registries.app.signing_keys.active()).split(":")

    assert [len(group) for group in groups] == [4] * 12


@pytest.mark.parametrize(
    ("operations", "asked", "granted"),
    [
        (list(Operation), "pull,push", ["pull", "push"]),
        (list(Operation), "pull", ["pull"]),
        (list(Operation), "*", ["pull", "push"]),
        (list(Operation), "delete,pull", ["pull"]),
        ([Operation.READ], "pull,push", ["pull"]),
        ([Operation.WRITE], "pull,push", ["push"]),
    ],
)
def test_actions_are_operations(
    registries: Registries, operations: list[Operation], asked: str, granted: list[str]
) -> None:
    """S10: pull is read, push is write; never more than the publisher's."""
    registries.add_publisher("oci/app", operations=operations)

    [access] = read(ask_realm(registries, registries.mint_for("oci"), f"repository:app:{asked}"))["access"]
    assert access["actions"] == granted


def test_second_repository_is_granted_only_to_whom_it_trusts(registries: Registries) -> None:
    """T90: a push that mounts layers asks for two repositories and gets those that trust the job."""
    registries.add_publisher("oci/mine")
    scopes = ("repository:mine:pull,push", "repository:theirs:pull")

    assert [item["name"] for item in read(ask_realm(registries, registries.mint_for("oci"), *scopes))["access"]] == [
        "mine"
    ]
    registries.add_publisher("oci/theirs", operations=[Operation.READ])
    access = read(ask_realm(registries, registries.mint_for("oci"), *scopes))["access"]
    assert [(item["name"], item["actions"]) for item in access] == [("mine", ["pull", "push"]), ("theirs", ["pull"])]


def test_login_proves_the_password_and_spends_nothing(registries: Registries) -> None:
    """`docker login` asks without a scope: the token it gets opens nothing."""
    registries.add_publisher("oci/app", replay=ReplayMode.ONCE)
    token = registries.mint_for("oci")

    assert read(ask_realm(registries, token))["access"] == []
    assert read(ask_realm(registries, token, "repository:app:push"))["access"]
    refused(ask_realm(registries, registries.mint()), 401, "UNAUTHORIZED")


def test_one_id_token_serves_a_whole_push(registries: Registries) -> None:
    """D8: counted here, also for an issuer whose id tokens count once elsewhere."""
    registries.add_publisher("oci/app")
    token = registries.mint_for("oci")

    assert [ask_realm(registries, token, "repository:app:push").status for _ in range(3)] == [200] * 3


def exchange(registries: Registries, **changes: str) -> Answer:
    """Exchange for an access token that serves as a password."""
    members = {
        "grant_type": GRANT,
        "subject_token_type": ID_TOKEN,
        "subject_token": registries.mint_for("oci"),
        "resource": "oci/app",
        **changes,
    }
    return ask(registries.app.public, "POST", "/oci/token", body=urlencode(members).encode(), headers=FORM)


def test_access_token_is_a_password_until_it_ends(registries: Registries) -> None:
    """D5, D7: for 900 s, for its repository alone, and not after its revocation; what it gave ends by itself."""
    registries.add_publisher("oci/app")
    token = exchange(registries).json["access_token"]
    assert token.startswith("oci_kl_")
    assert read(ask_realm(registries, token, "repository:app:push"))["access"]
    assert "oci/app" in refused(ask_realm(registries, token, "repository:other:pull"), 401, "UNAUTHORIZED")

    registries.clock.advance(800)
    answer = ask_realm(registries, token, "repository:app:pull")
    assert answer.json["expires_in"] == 100  # never beyond the token it was given for
    registries.clock.advance(100)
    refused(ask_realm(registries, token, "repository:app:pull"), 401, "UNAUTHORIZED")


def test_revoked_access_token_is_no_password(registries: Registries) -> None:
    """V20: at the next question."""
    registries.add_publisher("oci/app")
    token = exchange(registries).json["access_token"]
    ask(registries.app.public, "POST", "/oauth/revoke", body=f"token={token}".encode(), headers=FORM)

    refused(ask_realm(registries, token, "repository:app:pull"), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repository_id": "1"}, "no trusted publisher"),
        ({"ref": "refs/heads/dev"}, "no trusted publisher"),
        ({"aud": "oci.example.org"}, "audience"),
        ({"aud": PUBLIC_URL}, "audience"),
        ({"lifetime_seconds": -60}, "expired"),
    ],
    ids=str,
)
def test_one_change_is_refused(registries: Registries, changes: dict[str, Any], told: str) -> None:
    """S10, V11, V13, T43: with the text that clients show."""
    registries.add_publisher("oci/app")
    token = registries.mint(**{"aud": "oci:oci.example.org", **changes})

    assert told in refused(ask_realm(registries, token, "repository:app:push"), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("scopes", "service", "status"),
    [
        (["repository:app:push"], "another", 400),
        (["repository:App:push"], "oci.example.org", 400),
        (["repository:a/../b:pull"], "oci.example.org", 400),
        (["registry:catalog:*"], "oci.example.org", 400),
        (["repository:app:delete"], "oci.example.org", 400),
        ([f"repository:a{number}:pull" for number in range(9)], "oci.example.org", 400),
    ],
)
def test_what_cannot_be_served_is_said(registries: Registries, scopes: list[str], service: str, status: int) -> None:
    """V01: the catalogue is nobody's, names are the registry's own."""
    answer = ask_realm(registries, registries.mint_for("oci"), *scopes, service=service)

    refused(answer, status, "UNSUPPORTED")


def test_nobody_is_anonymous_and_nothing_is_refreshed(registries: Registries) -> None:
    """T107: a refresh token would outlive the job."""
    registries.add_publisher("oci/app")
    refused(ask_realm(registries, None, "repository:app:pull"), 401, "UNAUTHORIZED")
    body = urlencode({"grant_type": "refresh_token", "refresh_token": "x", "service": "oci.example.org"})
    answer = ask(registries.app.public, "POST", "/oci/token", body=body.encode(), headers=FORM)
    refused(answer, 400, "UNSUPPORTED")


def test_post_takes_the_password_too(registries: Registries) -> None:
    """Distribution's OAuth2 form of the same question."""
    registries.add_publisher("oci/app")
    fields = {
        "grant_type": "password",
        "username": "ci",
        "password": registries.mint_for("oci"),
        "service": "oci.example.org",
        "scope": "repository:app:pull",
        "client_id": "docker",
    }
    answer = ask(registries.app.public, "POST", "/oci/token", body=urlencode(fields).encode(), headers=FORM)

    assert read(answer)["access"][0]["actions"] == ["pull"]


@pytest.mark.parametrize("query", ["", "service=%ff", "service=a&service=b", "&".join(["x=1"] * 40), "scope=x"])
@pytest.mark.parametrize("authorization", ["", "Basic !!!", "Basic /w==", "Bearer x"])
def test_any_question_ends_in_a_4xx(registries: Registries, query: str, authorization: str) -> None:
    """V01: never a 5xx."""
    headers = {"Authorization": authorization} if authorization else {}

    assert 400 <= ask(registries.app.public, "GET", "/oci/token", query=query, headers=headers).status < 500
