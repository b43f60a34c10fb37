"""All registries at once: the tool of each is refused with every other's token, and nothing is uploaded (T106)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.demo.children import Finished
from tests.journeys.registries import Registries, make_package, make_wheel, program
from tests.journeys.test_npm_registry import npm_publish
from tests.journeys.test_oci_registry import make_image, skopeo
from tests.journeys.test_pypi_registry import upload_with

pytestmark = pytest.mark.journey

KINDS = ("pypi", "npm", "oci")
# What each tool says to a token that is not its registry's.
TOLD = {"pypi": "401", "npm": "your authentication token seems to be invalid", "oci": "unauthorized"}


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """The three registries behind one nginx, before one token service; the same job is trusted at all of them."""
    with Registries(tmp_path_factory.mktemp("every"), KINDS) as running:
        for kind in KINDS:
            running.trust(f"{kind}/thing")
        yield running


def token_for(registries: Registries, kind: str) -> str:
    """Return a token of a door, for what is called `thing` there."""
    if kind == "hub":
        return str(registries.service.exchange()[1]["access_token"])
    command = ["token", "--for", kind, "--endpoint", registries.urls[kind], "--resource", "thing"]
    done = registries.run(registries.github_job(), [program("pypi-tools", "bin/keyless"), *command])
    assert done.status == 0, done.output
    return done.stdout.strip()


def publish(registries: Registries, kind: str, token: str, folder: Path) -> Finished:
    """Publish `thing` with the tool of a registry and the token at hand, outside any CI."""
    if kind == "pypi":
        return upload_with(registries, token, make_wheel(folder, "thing", "1.0"))
    if kind == "oci":
        return skopeo(registries, "push", make_image(folder / "image"), "thing:1.0", password=token)
    environment = registries.environment()
    host = registries.urls["npm"].removeprefix("https:")
    (Path(environment["HOME"]) / ".npmrc").write_text(f"{host}/:_authToken={token}\n")
    return npm_publish(registries, environment, make_package(folder / "package", "thing", "1.0.0"))


def kept(registries: Registries, kind: str) -> bool:
    """Tell whether a registry keeps anything that is called `thing`."""
    folder = registries.folder / kind / "packages"
    return any("thing" in str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_only_its_own_token_publishes(registries: Registries, tmp_path: Path, kind: str) -> None:
    """T106: every other door's token first, then its own."""
    for other in ("hub", *KINDS):
        if other == kind:
            continue
        done = publish(registries, kind, token_for(registries, other), tmp_path / other)
        assert done.status != 0, (other, done.output)
        assert TOLD[kind] in done.output, (other, done.output)
        assert not kept(registries, kind), other

    done = publish(registries, kind, token_for(registries, kind), tmp_path / kind)
    assert done.status == 0, done.output
    assert kept(registries, kind)
