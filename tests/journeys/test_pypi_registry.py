"""The tools of Python's packaging, unmodified, against pypiserver behind nginx: no secret is stored anywhere."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from keyless.demo.children import Finished
from keyless.oidc.issuer import ReplayMode
from tests.journeys.registries import Registries, make_wheel, program

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """A running index."""
    with Registries(tmp_path_factory.mktemp("pypi"), ["pypi"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _clean(registries: Registries) -> Iterator[None]:
    """Leave no publisher to the next test: one token would cover its projects too."""
    yield
    registries.distrust()


def audience(registries: Registries) -> tuple[str, str]:
    """Return the audience of the index and the CI variable that tools derive from it on GitLab."""
    word = registries.urls["pypi"].removeprefix("https://").replace(".", "-").replace(":", "-")
    return word, f"{word.upper().replace('-', '_')}_ID_TOKEN"


def gitlab_job(registries: Registries, **claims: Any) -> dict[str, str]:
    """Return the environment of a GitLab job with an id token for the index."""
    return registries.gitlab_job(*audience(registries), **claims)


def uv(registries: Registries, environment: dict[str, str], *words: object) -> Finished:
    """Run uv."""
    environment = {**environment, "UV_CACHE_DIR": f"{environment['HOME']}/uv", "UV_NO_CONFIG": "1"}
    return registries.run(environment, [program("pypi-tools", "bin/uv"), *words])


def uv_publish(registries: Registries, environment: dict[str, str], *wheels: Path) -> Finished:
    """Publish with uv as its documentation says for an index of one's own."""
    options = ["--publish-url", f"{registries.urls['pypi']}/", "--trusted-publishing", "always"]
    return uv(registries, environment, "publish", *options, *wheels)


def keyless(registries: Registries, environment: dict[str, str], *words: object) -> Finished:
    """Run our own command line from the tools' environment."""
    return registries.run(environment, [program("pypi-tools", "bin/keyless"), *words])


def pip_get(
    registries: Registries, environment: dict[str, str], name: str, folder: Path, *, verb: str = "download"
) -> Finished:
    """Download or install with pip, which asks its keyring for the password."""
    environment = {
        **environment,
        "KEYLESS_PYPI_ENDPOINT": registries.urls["pypi"],
        "PIP_CERT": environment["SSL_CERT_FILE"],
        "PIP_CONFIG_FILE": "/dev/null",
    }
    options = ["-vvv", "--no-deps", "--disable-pip-version-check", "--keyring-provider", "import", "--no-input"]
    options += [
        "--index-url",
        f"{registries.urls['pypi']}/simple/",
        "--dest" if verb == "download" else "--target",
        str(folder),
    ]
    return registries.run(environment, [program("pypi-tools", "bin/python"), "-m", "pip", verb, *options, name])


def published(registries: Registries, done: Finished, wheel: Path) -> None:
    """Check that a tool succeeded and that the index keeps the very bytes."""
    assert done.status == 0, done.output
    assert (registries.folder / "pypi" / "packages" / wheel.name).read_bytes() == wheel.read_bytes()


# --- publishing ---


def test_uv_publishes_two_projects_from_github(registries: Registries, tmp_path: Path) -> None:
    """S10, T90: one mint for both projects of the job; uv burns the token when it is done; pip gets the same bytes."""
    for name in ("acme-one", "acme-two"):
        registries.trust(f"pypi/{name}")
    wheels = [make_wheel(tmp_path, name, "1.0") for name in ("acme-one", "acme-two")]
    before = len(registries.audit("token.granted"))
    done = uv_publish(registries, registries.github_job(), *wheels)

    for wheel in wheels:
        published(registries, done, wheel)
    granted = registries.audit("token.granted")[before:]
    assert sorted(granted) == [("pypi/acme-one", None), ("pypi/acme-two", None)]
    assert registries.audit("token.revoked")
    got = pip_get(registries, registries.github_job(), "acme-two", tmp_path / "got")
    assert got.status == 0, got.output
    assert (tmp_path / "got" / wheels[1].name).read_bytes() == wheels[1].read_bytes()
    installed = pip_get(registries, registries.github_job(), "acme-one", tmp_path / "place", verb="install")
    assert installed.status == 0, installed.output
    with zipfile.ZipFile(wheels[0]) as archive:
        assert (tmp_path / "place" / "acme_one.py").read_bytes() == archive.read("acme_one.py")


def test_uv_publishes_from_gitlab_and_uv_installs(registries: Registries, tmp_path: Path) -> None:
    """S11: GitLab's one token of the job is used for all of it; the keyring gives uv the password to install."""
    registries.trust("pypi/from-gitlab", platform="gitlab")
    wheel = make_wheel(tmp_path, "from-gitlab", "1.0")
    job = gitlab_job(registries)

    published(registries, uv_publish(registries, job, wheel), wheel)
    place = tmp_path / "installed"
    url = registries.urls["pypi"].replace("https://", "https://__token__@")
    environment = {
        **job,
        "KEYLESS_PYPI_ENDPOINT": registries.urls["pypi"],
        "PATH": f"{program('pypi-tools', 'bin/keyring').parent}:{job['PATH']}",
    }
    options = ["--target", place, "--keyring-provider", "subprocess", "--default-index", f"{url}/simple/"]
    done = uv(registries, environment, "pip", "install", *options, "from-gitlab")
    assert done.status == 0, done.output
    with zipfile.ZipFile(wheel) as archive:
        assert (place / "from_gitlab.py").read_bytes() == archive.read("from_gitlab.py")


def test_maturin_uploads_from_github(registries: Registries, tmp_path: Path) -> None:
    """The deprecated command still mints by the older path."""
    registries.trust("pypi/of-maturin")
    wheel = make_wheel(tmp_path, "of-maturin", "1.0")
    options = ["upload", "--non-interactive", "--repository-url", f"{registries.urls['pypi']}/"]
    job = {**registries.github_job(), "MATURIN_CA_BUNDLE": str(registries.authority)}

    published(registries, registries.run(job, [program("pypi-tools", "bin/maturin"), *options, wheel]), wheel)


def test_maturin_uploads_from_gitlab_under_exec(registries: Registries, tmp_path: Path) -> None:
    """D23, S11: maturin mints on GitHub only; elsewhere it finds the token under `exec`."""
    registries.trust("pypi/of-maturin-gitlab", platform="gitlab")
    wheel = make_wheel(tmp_path, "of-maturin-gitlab", "1.0")
    job = {**gitlab_job(registries), "MATURIN_CA_BUNDLE": str(registries.authority)}
    maturin = [program("pypi-tools", "bin/maturin"), "upload", "--non-interactive"]
    url = f"{registries.urls['pypi']}/"
    options = ["--repository-url", url, wheel]

    done = keyless(registries, job, "exec", "--for", "pypi", "--endpoint", url, "--", *maturin, *options)
    published(registries, done, wheel)


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_twine_uploads_under_exec(registries: Registries, tmp_path: Path, platform: str) -> None:
    """D23: twine knows no index but the public ones; under `exec` it finds the token, which ends with the command."""
    name = f"of-twine-{platform}"
    registries.trust(f"pypi/{name}", platform=platform)
    wheel = make_wheel(tmp_path, name, "1.0")
    job = registries.github_job() if platform == "github" else gitlab_job(registries)
    job = {**job, "TWINE_CERT": str(registries.authority)}
    twine = [program("pypi-tools", "bin/twine"), "upload", "--disable-progress-bar"]
    done = keyless(
        registries, job, "exec", "--for", "pypi", "--endpoint", f"{registries.urls['pypi']}/", "--", *twine, wheel
    )

    published(registries, done, wheel)
    assert (f"pypi/{name}", "revoked by its holder") in registries.audit("token.revoked")


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_install_under_exec(registries: Registries, tmp_path: Path, tool: str) -> None:
    """D23: `exec` writes the netrc that pip and uv read."""
    name = f"private-{tool}"
    registries.trust(f"pypi/{name}")
    wheel = make_wheel(registries.folder / "pypi" / "packages", name, "1.0")
    del wheel
    job = {**registries.github_job(), "PIP_CERT": str(registries.authority), "UV_NO_CONFIG": "1"}
    index = f"{registries.urls['pypi']}/simple/"
    commands: dict[str, Sequence[str | Path]] = {
        "pip": [program("pypi-tools", "bin/pip"), "install", "--no-input", "--no-deps", "--index-url", index],
        "uv": [program("pypi-tools", "bin/uv"), "pip", "install", "--no-cache", "--default-index", index],
    }
    command = [*commands[tool], "--target", str(tmp_path / "place"), name]
    done = keyless(registries, job, "exec", "--for", "pypi", "--endpoint", registries.urls["pypi"], "--", *command)

    assert done.status == 0, done.output
    assert (tmp_path / "place" / f"private_{tool}.py").exists()


# --- refusals ---


def refused(registries: Registries, done: Finished, wheel: Path, *told: str) -> None:
    """Check that a tool failed, said why, and that nothing was uploaded."""
    assert done.status not in {0, None}
    for text in told:
        assert text in done.output.replace("\n", " "), done.output
    assert wheel.name not in registries.published()


def test_wrong_claims(registries: Registries, tmp_path: Path) -> None:
    """S10: a job of another branch; uv shows the index's own words."""
    registries.trust("pypi/guarded")
    wheel = make_wheel(tmp_path, "guarded", "1.0")

    done = uv_publish(registries, registries.github_job(ref="refs/heads/dev"), wheel)
    refused(registries, done, wheel, "invalid-publisher", "no trusted publisher", "refs/heads/dev")


def test_wrong_project(registries: Registries, tmp_path: Path) -> None:
    """T90: a token for one project does not upload another's file."""
    registries.trust("pypi/mine")
    wheel = make_wheel(tmp_path, "theirs", "1.0")

    refused(registries, uv_publish(registries, registries.github_job(), wheel), wheel, "403", "not for pypi/theirs")


def test_wrong_project_is_not_downloaded(registries: Registries, tmp_path: Path) -> None:
    """V20: reading is checked by project too, for its page and for its files."""
    registries.trust("pypi/mine-to-read")
    make_wheel(registries.folder / "pypi" / "packages", "theirs-to-read", "1.0")

    done = pip_get(registries, registries.github_job(), "theirs-to-read", tmp_path / "got")
    assert done.status != 0
    assert "403" in done.output
    assert not list(tmp_path.glob("got/*"))


def test_replayed_id_token(registries: Registries, tmp_path: Path) -> None:
    """V17: an id token that counts once mints once."""
    registries.trust("pypi/once", platform="gitlab", replay=ReplayMode.ONCE, claims={"project_path": ["acme/once"]})
    wheels = [make_wheel(tmp_path, "once", version) for version in ("1.0", "2.0")]
    job = gitlab_job(registries, project_path="acme/once")

    published(registries, uv_publish(registries, job, wheels[0]), wheels[0])
    refused(registries, uv_publish(registries, job, wheels[1]), wheels[1], "invalid-reuse-token", "already exchanged")


def test_expired_id_token(registries: Registries, tmp_path: Path) -> None:
    """V11: an id token from an hour ago."""
    registries.trust("pypi/late")
    wheel = make_wheel(tmp_path, "late", "1.0")
    job = registries.ci.job()
    job.lifetime_seconds = -3600
    done = uv_publish(registries, registries.environment(**job.environ()), wheel)

    refused(registries, done, wheel, "invalid-token")


def minted(registries: Registries, environment: dict[str, str]) -> str:
    """Return a token of the index."""
    done = keyless(registries, environment, "token", "--for", "pypi", "--endpoint", registries.urls["pypi"])
    assert done.status == 0, done.output
    return done.stdout.strip()


def upload_with(registries: Registries, token: str, wheel: Path) -> Finished:
    """Upload with twine and a token at hand, outside any CI."""
    environment = registries.environment(
        TWINE_USERNAME="__token__",
        TWINE_PASSWORD=token,
        TWINE_REPOSITORY_URL=f"{registries.urls['pypi']}/",
        TWINE_CERT=str(registries.authority),
        TWINE_NON_INTERACTIVE="1",
    )
    twine = [program("pypi-tools", "bin/twine"), "upload", "--disable-progress-bar", "--verbose"]
    return registries.run(environment, [*twine, wheel])


def test_burned_token(registries: Registries, tmp_path: Path) -> None:
    """RFC 7009, V20: a burned token is refused at the next request."""
    registries.trust("pypi/burning")
    wheels = [make_wheel(tmp_path, "burning", version) for version in ("1.0", "2.0")]
    token = minted(registries, registries.github_job())
    published(registries, upload_with(registries, token, wheels[0]), wheels[0])
    burn = f'{{"token": "{token}"}}'
    command = ["curl", "-sf", "--data", burn, f"{registries.urls['pypi']}/_/oidc/burn-token"]
    assert registries.run(registries.environment(CURL_CA_BUNDLE=str(registries.authority)), command).status == 0

    refused(registries, upload_with(registries, token, wheels[1]), wheels[1], "401", "token_revoked")


def test_publisher_removed_meanwhile(registries: Registries, tmp_path: Path) -> None:
    """T91: who was trusted when the token was minted, and is not any more."""
    publisher = registries.trust("pypi/gone")
    wheel = make_wheel(tmp_path, "gone", "1.0")
    token = minted(registries, registries.github_job())
    registries.administration.remove_publisher(publisher)

    refused(registries, upload_with(registries, token, wheel), wheel, "401", "token_revoked")


def test_hub_token(registries: Registries, tmp_path: Path) -> None:
    """T106: a token of the hub, even for a model of the same name, opens nothing at the index."""
    wheel = make_wheel(tmp_path, "model", "1.0")
    registries.trust("acme/model", claims={"repository": ["acme/widgets"]})
    status, answer = registries.service.exchange()
    assert status == 200

    refused(registries, upload_with(registries, str(answer["access_token"]), wheel), wheel, "401")


# --- an outage ---


def test_uv_comes_back_after_a_503(registries: Registries, tmp_path: Path) -> None:
    """D9, D14: a store that is locked is an outage; the same id token is good a moment later."""
    registries.trust("pypi/patient")
    wheel = make_wheel(tmp_path, "patient", "1.0")
    job = registries.ci.job()
    log = registries.service.directory / "serve.log"
    with contextlib.closing(sqlite3.connect(registries.service.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result: list[Finished] = []
        publishing = threading.Thread(
            target=lambda: result.append(uv_publish(registries, registries.environment(**job.environ()), wheel))
        )
        publishing.start()
        while "status=503" not in log.read_text() and publishing.is_alive():
            publishing.join(0.1)
        other.execute("ROLLBACK")
        publishing.join()

    assert "status=503" in log.read_text()
    published(registries, result[0], wheel)
    assert job.mints == 1
