"""npm, pnpm and yarn, unmodified, against verdaccio behind nginx: no secret is stored anywhere."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.demo.children import Finished
from keyless.oidc.issuer import ReplayMode
from tests.journeys.registries import Registries, make_package, program

pytestmark = pytest.mark.journey

SCOPED = "@acme/ui"
YARNRC = "unsafeHttpWhitelist: [127.0.0.1]\n"  # FakeCI mints over plain http


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """A running registry."""
    with Registries(tmp_path_factory.mktemp("npm"), ["npm"]) as running:
        yield running


def tool(registries: Registries, environment: dict[str, str], name: str, *words: object, folder: Path) -> Finished:
    """Run npm, pnpm or yarn as a job of a package's repository would."""
    node = program("node", "bin/node")
    url = registries.urls["npm"]
    environment = {
        **environment,
        "PATH": f"{node.parent}:{environment['PATH']}",
        "NODE_EXTRA_CA_CERTS": str(registries.authority),
        "npm_config_cafile": str(registries.authority),
        "npm_config_registry": f"{url}/",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
        "YARN_NPM_REGISTRY_SERVER": url,
        "YARN_HTTPS_CA_FILE_PATH": str(registries.authority),
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_ENABLE_IMMUTABLE_INSTALLS": "0",
    }
    return registries.run(environment, [node, program("npm-tools", f"node_modules/.bin/{name}"), *words], folder=folder)


def gitlab_job(registries: Registries, **claims: Any) -> dict[str, str]:
    """Return the environment of a GitLab job with an id token for the registry, where npm looks for it."""
    return registries.gitlab_job("npm:127.0.0.1", "NPM_ID_TOKEN", **claims)


def npm_publish(registries: Registries, environment: dict[str, str], folder: Path) -> Finished:
    """Publish with npm."""
    return tool(registries, environment, "npm", "publish", "--loglevel", "verbose", folder=folder)


def reader(registries: Registries, package: str) -> dict[str, str]:
    """Return the environment of a step that has a token to read a package, and nothing else of its job."""
    job = registries.github_job()
    command = ["token", "--for", "npm", "--endpoint", registries.urls["npm"], "--resource", package]
    done = registries.run(job, [program("pypi-tools", "bin/keyless"), *command])
    assert done.status == 0, done.output
    environment = registries.environment()
    host = registries.urls["npm"].removeprefix("https:")
    (Path(environment["HOME"]) / ".npmrc").write_text(f"{host}/:_authToken={done.stdout.strip()}\n")
    return environment


def published(registries: Registries, done: Finished, package: str, folder: Path, place: Path) -> None:
    """Check that a tool succeeded, that `npm install` gets the package, and that the bytes are those of the source."""
    assert done.status == 0, done.output
    place.mkdir()
    (place / "package.json").write_text('{"name": "consumer", "version": "1.0.0"}')
    got = tool(registries, reader(registries, package), "npm", "install", package, folder=place)
    assert got.status == 0, got.output
    source = (folder / "index.js").read_bytes()
    assert (place / "node_modules" / package / "index.js").read_bytes() == source
    name = f"{package.rpartition('/')[2]}-1.0.0.tgz"
    kept = registries.folder / "npm" / "packages" / package / name
    packed = tool(registries, reader(registries, package), "npm", "pack", package, folder=place)
    assert packed.status == 0, packed.output
    tarball = place / (package.removeprefix("@").replace("/", "-") + "-1.0.0.tgz")
    assert tarball.read_bytes() == kept.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(kept.read_bytes())) as archive:
        member = archive.extractfile("package/index.js")
        assert member is not None
        assert member.read() == source


@pytest.mark.parametrize("package", [SCOPED, "plain"])
def test_npm_publishes_from_github(registries: Registries, tmp_path: Path, package: str) -> None:
    """S10: npm exchanges for this package, publishes, and leaves provenance alone although the repository is public."""
    registries.trust(f"npm/{package}")
    folder = make_package(tmp_path / "package", package, "1.0.0")
    done = npm_publish(registries, registries.github_job(repository_visibility="public"), folder)

    published(registries, done, package, folder, tmp_path / "place")
    assert "provenance" not in done.output.lower() or "sigstore" not in done.output.lower()


def test_npm_publishes_from_gitlab(registries: Registries, tmp_path: Path) -> None:
    """S11: the id token of GitLab's `id_tokens:` block."""
    registries.trust("npm/from-gitlab", platform="gitlab")
    registries.trust("npm/from-gitlab")  # who reads it
    folder = make_package(tmp_path / "package", "from-gitlab", "1.0.0")

    done = npm_publish(registries, gitlab_job(registries), folder)
    published(registries, done, "from-gitlab", folder, tmp_path / "place")


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_pnpm_publishes(registries: Registries, tmp_path: Path, platform: str) -> None:
    """S10, S11: pnpm exchanges at the root with the audience without the port."""
    package = f"@acme/of-pnpm-{platform}"
    registries.trust(f"npm/{package}")  # on GitLab for the reader
    if platform == "gitlab":
        registries.trust(f"npm/{package}", platform=platform)
    job = registries.github_job() if platform == "github" else gitlab_job(registries)
    folder = make_package(tmp_path / "package", package, "1.0.0")

    words = ["publish", "--no-git-checks", "--registry", f"{registries.urls['npm']}/"]
    done = tool(registries, job, "pnpm", *words, folder=folder)
    published(registries, done, package, folder, tmp_path / "place")


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_yarn_publishes(registries: Registries, tmp_path: Path, platform: str) -> None:
    """S10, S11: yarn names the port in its audience where it asks for the id token itself."""
    package = f"@acme/of-yarn-{platform}"
    registries.trust(f"npm/{package}")  # on GitLab for the reader
    if platform == "gitlab":
        registries.trust(f"npm/{package}", platform=platform)
    job = registries.github_job() if platform == "github" else gitlab_job(registries)
    folder = make_package(tmp_path / "package", package, "1.0.0")
    (folder / "yarn.lock").touch()
    (folder / ".yarnrc.yml").write_text(YARNRC)
    done = tool(registries, registries.environment(), "yarn", "install", folder=folder)
    assert done.status == 0, done.output

    done = tool(registries, job, "yarn", "npm", "publish", folder=folder)
    published(registries, done, package, folder, tmp_path / "place")


def test_install_under_exec(registries: Registries, tmp_path: Path) -> None:
    """D23: `exec` writes the npmrc; the command has no means to mint."""
    registries.trust("npm/private")
    folder = make_package(tmp_path / "package", "private", "1.0.0")
    assert npm_publish(registries, registries.github_job(), folder).status == 0
    place = tmp_path / "place"
    place.mkdir()
    (place / "package.json").write_text('{"name": "consumer", "version": "1.0.0"}')
    job = registries.github_job()
    job |= {
        "PATH": f"{program('node', 'bin/node').parent}:{job['PATH']}",
        "npm_config_cafile": str(registries.authority),
    }
    npm = [
        program("node", "bin/node"),
        program("npm-tools", "node_modules/.bin/npm"),
        "install",
        "--no-audit",
        "private",
    ]
    command = ["exec", "--for", "npm", "--endpoint", registries.urls["npm"], "--resource", "private", "--", *npm]
    done = registries.run(job, [program("pypi-tools", "bin/keyless"), *command], folder=place)

    assert done.status == 0, done.output
    assert (place / "node_modules" / "private" / "index.js").read_bytes() == (folder / "index.js").read_bytes()


# --- refusals ---


def refused(registries: Registries, done: Finished, package: str, *told: str) -> None:
    """Check that a tool failed, said why, and that nothing was uploaded."""
    assert done.status != 0
    for text in told:
        assert text in done.output, done.output
    assert not (registries.folder / "npm" / "packages" / package).exists()


@pytest.mark.parametrize(
    ("package", "claims", "told"),
    [
        ("other-branch", {"ref": "refs/heads/dev"}, "no trusted publisher"),
        ("other-repository", {"repository_id": "1"}, "no trusted publisher"),
    ],
)
def test_wrong_claims(registries: Registries, tmp_path: Path, package: str, claims: dict[str, Any], told: str) -> None:
    """S10: npm falls back to having no token, says so, and logs the registry's own words."""
    registries.trust(f"npm/{package}")
    folder = make_package(tmp_path / "package", package, "1.0.0")

    refused(registries, npm_publish(registries, registries.github_job(**claims), folder), package, "ENEEDAUTH", told)


@pytest.mark.parametrize("name", ["pnpm", "yarn"])
def test_wrong_claims_with_other_tools(registries: Registries, tmp_path: Path, name: str) -> None:
    """S10: pnpm shows the registry's words, yarn that it has no token."""
    package = f"refused-{name}"
    registries.trust(f"npm/{package}")
    folder = make_package(tmp_path / "package", package, "1.0.0")
    (folder / "yarn.lock").touch()
    (folder / ".yarnrc.yml").write_text(YARNRC)
    if name == "yarn":
        assert tool(registries, registries.environment(), "yarn", "install", folder=folder).status == 0
    words = (
        ["publish", "--no-git-checks", "--registry", f"{registries.urls['npm']}/"]
        if name == "pnpm"
        else ["npm", "publish"]
    )
    done = tool(registries, registries.github_job(ref="refs/heads/dev"), name, *words, folder=folder)

    told = "no trusted publisher" if name == "pnpm" else "No authentication configured"
    refused(registries, done, package, told)


def test_wrong_package(registries: Registries, tmp_path: Path) -> None:
    """T90: a job that is trusted with another package."""
    registries.trust("npm/mine")
    folder = make_package(tmp_path / "package", "theirs", "1.0.0")

    done = npm_publish(registries, registries.github_job(), folder)
    refused(registries, done, "theirs", "ENEEDAUTH", "no trusted publisher of 'npm/theirs'")


def test_token_of_another_package(registries: Registries, tmp_path: Path) -> None:
    """T90, V20: the token itself is good for one package alone, to publish and to read."""
    registries.trust("npm/mine-alone")
    folder = make_package(tmp_path / "package", "not-mine", "1.0.0")
    environment = reader(registries, "mine-alone")

    refused(registries, npm_publish(registries, environment, folder), "not-mine", "403", "insufficient_scope")
    got = tool(registries, environment, "npm", "view", "some-other", folder=tmp_path)
    assert "403" in got.output


def test_replayed_and_expired_id_tokens(registries: Registries, tmp_path: Path) -> None:
    """V11, V17: an id token that counts once, and one from an hour ago."""
    registries.trust("npm/once", platform="gitlab", replay=ReplayMode.ONCE)
    folder = make_package(tmp_path / "package", "once", "1.0.0")
    job = gitlab_job(registries)
    assert npm_publish(registries, job, folder).status == 0
    manifest = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps({**manifest, "version": "2.0.0"}))

    done = npm_publish(registries, job, folder)
    assert (done.status != 0, "ENEEDAUTH" in done.output, "already exchanged" in done.output) == (True, True, True)
    late = registries.ci.job()
    late.lifetime_seconds = -3600
    registries.trust("npm/late")
    other = make_package(tmp_path / "other", "late", "1.0.0")
    done = npm_publish(registries, registries.environment(**late.environ()), other)
    refused(registries, done, "late", "ENEEDAUTH", "expired")


def test_revoked_token_and_tokens_of_other_doors(registries: Registries, tmp_path: Path) -> None:
    """V20, T106: npm says that it is not logged in, and nothing is uploaded."""
    registries.trust("npm/revoking")
    folder = make_package(tmp_path / "package", "revoking", "1.0.0")
    environment = reader(registries, "revoking")
    npmrc = Path(environment["HOME"]) / ".npmrc"
    token = npmrc.read_text().strip().partition("=")[2]
    command = ["curl", "-sf", "--data-urlencode", f"token={token}", f"{registries.service.url}/oauth/revoke"]
    assert registries.run(registries.environment(), command).status == 0

    refused(
        registries,
        npm_publish(registries, environment, folder),
        "revoking",
        "E401",
        "your authentication token seems to be invalid",
    )
    hub_token = str(registries.service.exchange()[1]["access_token"])
    npmrc.write_text(npmrc.read_text().replace(token, hub_token))
    refused(registries, npm_publish(registries, environment, folder), "revoking", "E401")
