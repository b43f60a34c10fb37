"""Every token against every door: each is good at its own and useless everywhere else (T106, T43, V13)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from keyless.secret import Secret
from tests.server.doors.registries import URLS, Registries
from tests.server.service import GRANT, ID_TOKEN, PUBLIC_URL
from tests.support.asgi import Answer, ask

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DOORS = ("hub", "pypi", "npm", "oci")
RESOURCES = {"hub": "acme/model", "pypi": "pypi/thing", "npm": "npm/thing", "oci": "oci/thing"}
SERVERS = {"hub": PUBLIC_URL, **URLS}


def basic(password: str) -> dict[str, str]:
    """A Basic login with this password."""
    return {"Authorization": "Basic " + base64.b64encode(f"ci:{password}".encode()).decode()}


def at_hub(registries: Registries, id_token: str) -> Answer:
    """Exchange at the hub's door."""
    return registries.exchange(id_token)


def at_pypi(registries: Registries, id_token: str) -> Answer:
    """Mint at the index's door."""
    return registries.mint_pypi(id_token)


def at_npm(registries: Registries, id_token: str) -> Answer:
    """Exchange at the npm registry's door."""
    path = "/-/npm/v1/oidc/token/exchange/package/thing"
    return ask(registries.app.public, "POST", path, headers={"Authorization": f"Bearer {id_token}"})


def at_oci(registries: Registries, id_token: str) -> Answer:
    """Exchange at the realm for an access token."""
    grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
    kind = "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token"
    body = f"grant_type={grant}&subject_token_type={kind}&subject_token={id_token}&resource=oci%2Fthing"
    return ask(registries.app.public, "POST", "/oci/token", body=body.encode(), headers=FORM)


def realm(registries: Registries, password: str, scope: str = "repository:thing:pull,push") -> Answer:
    """Ask the realm as a registry's client does."""
    query = f"service=oci.example.org&scope={scope}"
    return ask(registries.app.public, "GET", "/oci/token", query=query, headers=basic(password))


EXCHANGES: Mapping[str, Callable[[Registries, str], Answer]] = {
    "hub": at_hub,
    "pypi": at_pypi,
    "npm": at_npm,
    "oci": at_oci,
}


def id_token_for(registries: Registries, door: str) -> str:
    """Mint an id token for a door."""
    return registries.mint(aud=PUBLIC_URL if door == "hub" else registries.audience(door))


def token_of(answer: Answer) -> str:
    """Return the token of a good answer of any door."""
    assert answer.status in {200, 201}, answer.body
    return str(answer.json.get("access_token") or answer.json["token"])


@pytest.fixture
def everywhere(registries: Registries) -> Registries:
    """A service where the same job is trusted with something at every door."""
    for resource in RESOURCES.values():
        registries.add_publisher(resource)
    return registries


def good_at(registries: Registries, token: str) -> set[str]:
    """Return the names of the resource servers that would take a token, by introspection and by forward auth."""
    found = set()
    for name in DOORS:
        credential = registries.app.store.renew_resource_server_credential(name, actor="test")
        assert credential is not None
        answer = ask(
            registries.app.inside,
            "POST",
            "/oauth/introspect",
            body=f"token={token}".encode(),
            headers={**FORM, **login(name, credential)},
        )
        if answer.json["active"]:
            found.add(name)
    return found


def login(name: str, credential: Secret) -> dict[str, str]:
    """The Authorization header of a resource server."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{credential.reveal()}".encode()).decode()}


@pytest.mark.parametrize("place", DOORS)
@pytest.mark.parametrize("door", DOORS)
def test_id_token_is_good_at_the_door_it_was_made_for(everywhere: Registries, door: str, place: str) -> None:
    """T43, V13: the audience says which door a job meant; no other door takes it, and nothing is spent by trying."""
    id_token = id_token_for(everywhere, door)
    answer = EXCHANGES[place](everywhere, id_token)

    assert (200 <= answer.status < 300) is (door == place)
    if door != place:
        assert 400 <= answer.status < 500
        assert 200 <= EXCHANGES[door](everywhere, id_token).status < 300


@pytest.mark.parametrize("door", DOORS)
def test_token_is_good_at_the_registry_it_was_made_for(everywhere: Registries, door: str) -> None:
    """T106: every resource server takes the tokens of its own door and no others."""
    token = token_of(EXCHANGES[door](everywhere, id_token_for(everywhere, door)))

    assert good_at(everywhere, token) == {door}


@pytest.mark.parametrize("place", DOORS)
@pytest.mark.parametrize("door", DOORS)
def test_token_of_a_door_is_no_id_token_anywhere(everywhere: Registries, door: str, place: str) -> None:
    """T17: nothing that we made can be exchanged for something else, at its own door neither."""
    token = token_of(EXCHANGES[door](everywhere, id_token_for(everywhere, door)))
    answer = EXCHANGES[place](everywhere, token)

    assert 400 <= answer.status < 500
    bare = token[token.index("eyJ") :]
    assert 400 <= EXCHANGES[place](everywhere, bare).status < 500


@pytest.mark.parametrize("door", DOORS)
def test_only_its_own_token_is_a_password_of_the_realm(everywhere: Registries, door: str) -> None:
    """T106: the realm takes its own access token; another door's is refused, whatever it is for."""
    token = token_of(EXCHANGES[door](everywhere, id_token_for(everywhere, door)))
    answer = realm(everywhere, token)

    assert answer.status == (200 if door == "oci" else 401)
    if door != "oci":
        assert answer.json["errors"][0]["code"] == "UNAUTHORIZED"


def test_registrys_own_token_opens_nothing_of_ours(everywhere: Registries) -> None:
    """T17: what the realm signs for the registry is no access token, no id token and no password."""
    token = str(realm(everywhere, id_token_for(everywhere, "oci")).json["token"])

    assert good_at(everywhere, token) == set()
    assert good_at(everywhere, f"oci_kl_{token}") == good_at(everywhere, f"kl_{token}") == set()
    assert realm(everywhere, token).status == realm(everywhere, f"oci_kl_{token}").status == 401
    for exchange in EXCHANGES.values():
        assert 400 <= exchange(everywhere, token).status < 500


@pytest.mark.parametrize("resource", [name for name in RESOURCES.values() if name != "acme/model"])
def test_hub_door_serves_hub_resources_only(everywhere: Registries, resource: str) -> None:
    """T90: naming another type's resource at `/oauth/token` gives nothing, with any audience."""
    for door in DOORS:
        members: dict[str, Any] = {
            "grant_type": GRANT,
            "subject_token_type": ID_TOKEN,
            "subject_token": id_token_for(everywhere, door),
            "resource": resource,
        }
        body = json.dumps(members).encode()
        headers = {"Content-Type": "application/json"}
        assert ask(everywhere.app.public, "POST", "/oauth/token", body=body, headers=headers).status == 400
