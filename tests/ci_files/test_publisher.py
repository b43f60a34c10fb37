"""The publisher that goes with a CI file: our commands make it, and it accepts the platform's job."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from keyless.ci_files import HUB, PLATFORMS, Job
from keyless.ci_files.publisher import ISSUER_KINDS, NEEDS, Identity, on_our_service, on_the_hub, settings_page
from keyless.issuers import profile_for
from keyless.resource import parse_resource
from keyless.server.cli import trust
from keyless.server.store import open_store
from keyless.server.store.admin import Administration
from tests.server.platforms import TWELVE, Platform

SERVICE = "https://hub.example.org"
MODEL = parse_resource("acme/awesome-model")
JOB = Job((MODEL,), endpoint=SERVICE)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_pins_are_those_that_the_service_demands(platform: str) -> None:
    """M00, D10: a form that asks for something else would be refused."""
    needs = NEEDS[platform]
    profile = profile_for(ISSUER_KINDS.get(platform, platform))
    pins = {pin.claim for pin in needs.pins}

    if profile.kind == "generic":
        assert pins == {"sub"}
    else:
        assert pins == {*profile.pin_claims, *profile.id_claims}
        assert (needs.shared == profile.kind) == (profile.default_url is not None)


@pytest.mark.parametrize("platform", TWELVE, ids=lambda platform: platform.name)
def test_the_commands_make_the_publisher(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S10: with the ids filled in, each line is accepted as it stands."""
    monkeypatch.setenv("KEYLESS_PUBLIC_URL", SERVICE)
    issuer = None if NEEDS[platform.name].shared else f"https://ci.example.org{platform.path}"
    repository = "acme/widgets" if NEEDS[platform.name].repository else None
    identity = Identity(repository=repository, issuer=issuer, pins=platform.pins)
    steps = on_our_service(platform.name, JOB, identity)

    assert steps.missing == ()
    database = tmp_path / "keyless.db"
    for line in steps.commands:
        words = shlex.split(line)
        assert words[:2] == ["keyless", "trust"]
        assert trust.run([*words[2:], "--db", str(database)]) == 0, capsys.readouterr().err
    with open_store(database) as store, Administration(store, actor="test") as administration:
        made = administration.publishers(MODEL)
    assert [{pin.claim: pin.value for pin in publisher.pins} for publisher in made] == [dict(platform.pins)]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_not_known_is_named_with_its_place(platform: str) -> None:
    """Every placeholder in a command is explained, and every explanation is of one that is there."""
    steps = on_our_service(platform, JOB, Identity())

    for name, where in steps.missing:
        assert where
        assert any(name in line for line in steps.commands)
    capitals = {word for line in steps.commands for word in shlex.split(line) if word.isupper() and len(word) > 1}
    assert capitals <= {name for name, _ in steps.missing}


def test_the_hubs_form() -> None:
    """The real Hub has a form; its fields are filled from the same facts."""
    job = Job((MODEL,), endpoint=HUB, environment="production", file_name="train.yml")

    assert on_the_hub("github", job, Identity(repository="acme/widgets")) == [
        ("Provider", "GitHub"),
        ("Repository", "acme/widgets"),
        ("Branch", "main"),
        ("Workflow", "train.yml"),
        ("Environment", "production"),
    ]
    assert on_the_hub("jenkins", job, Identity()) == []
    assert settings_page(parse_resource("datasets/acme/data"), HUB) == f"{HUB}/datasets/acme/data/settings"
