"""Which doors there are, and which audiences none of them may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyless.errors import ConfigurationError
from keyless.server.app import TokenService
from keyless.server.doors.package import find_door, terms_of
from keyless.server.settings import DoorSettings, Settings
from keyless.server.store import open_store
from keyless.server.store.admin import Administration
from tests.server.doors.registries import Registries


def start(directory: Path, doors: dict[str, dict[str, str]]) -> None:
    """Start a service with these doors."""
    configured = {name: DoorSettings.model_validate(door) for name, door in doors.items()}
    settings = Settings(public_url="https://hub.example.org", database=directory / "keyless.db", doors=configured)
    TokenService(settings, inside_url="http://127.0.0.1:1").close()


OTHERS = ["pypi", "testpypi", "PyPI", "sigstore", "npm:registry.example.org", "npm:registry.", "default"]
OTHERS += ["https://huggingface.co", "npm:github.com", "oci:gitlab.com"]


@pytest.mark.parametrize("audience", OTHERS)
def test_audience_of_others_is_refused(audience: str) -> None:
    """T43: an id token made for a public registry must not be good here."""
    with pytest.raises(ConfigurationError, match="audience of another service"):
        terms_of("pypi", find_door("pypi"), DoorSettings(url="https://pypi.example.org", audience=audience))


@pytest.mark.parametrize(
    ("name", "url"),
    [("pypi", "https://pypi"), ("pypi", "https://testpypi"), ("npm", "https://registry.example.org/npm")],
)
def test_url_whose_audience_is_others_stops_the_start(tmp_path: Path, name: str, url: str) -> None:
    """T43: also when it is derived from the host."""
    with pytest.raises(ConfigurationError, match="audience of another service"):
        start(tmp_path, {name: {"url": url}})


def test_unknown_door_stops_the_start(tmp_path: Path) -> None:
    """A slip of the pen is named."""
    with pytest.raises(ConfigurationError, match="there is no such door"):
        start(tmp_path, {"pipy": {"url": "https://pypi.example.org"}})


@pytest.mark.parametrize(
    "doors",
    [
        pytest.param({"pypi": {"url": "https://hub.example.org"}}, id="the hub's URL"),
        pytest.param(
            {"pypi": {"url": "https://pypi.example.org", "audience": "https://hub.example.org"}}, id="its aud"
        ),
    ],
)
def test_doors_share_neither_url_nor_audience(tmp_path: Path, doors: dict[str, dict[str, str]]) -> None:
    """D19, T43: an id token says with its audience which door it is for."""
    with pytest.raises(ConfigurationError, match="already"):
        start(tmp_path, doors)


def test_resource_server_of_another_kind_is_not_taken_over(tmp_path: Path) -> None:
    """T106: a hub that happens to be called `npm` keeps its audience, and so do its publishers' tokens."""
    start(tmp_path, {})
    with open_store(tmp_path / "keyless.db") as store, Administration(store, actor="test") as administration:
        administration.add_resource_server("npm", audience="https://other.example.org")
    with pytest.raises(ConfigurationError, match="of kind hub"):
        start(tmp_path, {"npm": {"url": "https://npm.example.org"}})
    with pytest.raises(ConfigurationError, match="of kind hub"):
        start(tmp_path, {"pypi": {"url": "https://other.example.org"}})

    with open_store(tmp_path / "keyless.db") as store:
        assert [(s.name, s.kind) for s in store.resource_servers()] == [("hub", "hub"), ("npm", "hub")]


@pytest.mark.parametrize("door", ["pypi", "npm", "oci"])
def test_explain_takes_the_audience_of_the_packages_door(registries: Registries, door: str) -> None:
    """D12: a job asks with the id token it has, which is made for its registry; the hub's is refused there too."""
    registries.add_publisher(f"{door}/thing")
    members = registries.members(registries.mint_for(door), resource=f"{door}/thing")
    answer = registries.post(members, "/oauth/explain")
    wrong = registries.post({**members, "subject_token": registries.mint()}, "/oauth/explain")
    other = registries.post(
        {**members, "subject_token": registries.mint_for(door, ref="refs/heads/dev")}, "/oauth/explain"
    )

    assert (answer.status, answer.json["accepted"], answer.json["resource"]) == (200, True, f"{door}/thing")
    assert (wrong.status, wrong.json["reason"]) == (400, "audience_mismatch")
    assert registries.audience(door) in wrong.json["error_description"]
    assert (other.status, other.json["accepted"]) == (200, False)
