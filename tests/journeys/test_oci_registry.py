"""skopeo, unmodified, against Debian's docker-registry with our token realm: no secret is stored anywhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keyless.demo.children import Finished
from keyless.oidc.issuer import ReplayMode
from keyless.trust.publisher import Operation
from tests.journeys.registries import Registries, program

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """A running registry."""
    with Registries(tmp_path_factory.mktemp("oci"), ["oci"]) as running:
        yield running


def make_image(folder: Path) -> Path:
    """Write a small image in the OCI layout, of one layer of random bytes."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    data = os.urandom(4096)
    layer = add(gzip.compress(data), "layer.v1.tar+gzip")
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]}
    config = add(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode(), "config.v1+json")
    body = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest = add(json.dumps({**body, "config": config, "layers": [layer]}).encode(), "manifest.v1+json")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return folder


def blobs_of(folder: Path) -> dict[str, bytes]:
    """Return every blob of an image's layout."""
    return {path.name: path.read_bytes() for path in (folder / "blobs" / "sha256").iterdir()}


def host(registries: Registries) -> str:
    """Return the registry's host and port."""
    return registries.urls["oci"].removeprefix("https://")


def skopeo(registries: Registries, *words: object, password: str | None = None, **variables: str) -> Finished:
    """Run skopeo outside any CI; `password` is all that it is given."""
    credentials = (
        [] if password is None else ["--dest-creds" if words[0] == "push" else "--src-creds", f"ci:{password}"]
    )
    verb, image, target = words
    there = f"docker://{host(registries)}/{target}"
    pair = [f"oci:{image}", there] if verb == "push" else [there, f"oci:{image}"]
    options = ["--insecure-policy", "copy", *credentials, *pair]
    return registries.run(registries.environment(**variables), ["/usr/bin/skopeo", *options])


def id_token(registries: Registries, platform: str = "github", **claims: Any) -> str:
    """Return what the CI platform hands to the job for the realm's audience."""
    audience = f"oci:{host(registries)}"
    lifetime_seconds = claims.pop("lifetime_seconds", 300)
    if platform == "gitlab":
        return registries.gitlab_job(audience, "OCI_ID_TOKEN", **claims)["OCI_ID_TOKEN"]
    job = registries.ci.job(**claims)
    job.lifetime_seconds = lifetime_seconds
    command = ["id-token", "--audience", audience]
    done = registries.run(registries.environment(**job.environ()), [program("pypi-tools", "bin/keyless"), *command])
    assert done.status == 0, done.output
    return done.stdout.strip()


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_skopeo_pushes_and_pulls_with_the_id_token(registries: Registries, tmp_path: Path, platform: str) -> None:
    """S10, S11: the password is the id token itself; nothing in between, and the same bytes come back."""
    target = f"acme/from-{platform}"
    registries.trust(f"oci/{target}", platform=platform)
    image = make_image(tmp_path / "image")
    password = id_token(registries, platform)

    done = skopeo(registries, "push", image, f"{target}:1.0", password=password)
    assert done.status == 0, done.output
    done = skopeo(registries, "pull", tmp_path / "got", f"{target}:1.0", password=password)
    assert done.status == 0, done.output
    assert blobs_of(tmp_path / "got") == blobs_of(image)
    assert (f"oci/{target}", None) in registries.audit("token.granted")


def test_skopeo_under_exec(registries: Registries, tmp_path: Path) -> None:
    """D23: `exec` writes the login; the command has no means to mint."""
    registries.trust("oci/acme/app")
    image = make_image(tmp_path / "image")
    there = f"docker://{host(registries)}/acme/app:2.0"
    options = ["--for", "oci", "--endpoint", registries.urls["oci"], "--resource", "acme/app"]
    copy = ["/usr/bin/skopeo", "--insecure-policy", "copy"]
    for pair in ([f"oci:{image}", there], [there, f"oci:{tmp_path / 'got'}"]):
        command = [program("pypi-tools", "bin/keyless"), "exec", *options, "--", *copy, *pair]
        done = registries.run(registries.github_job(), command)
        assert done.status == 0, done.output

    assert blobs_of(tmp_path / "got") == blobs_of(image)


# --- refusals ---


def refused(registries: Registries, done: Finished, target: str, *told: str) -> None:
    """Check that skopeo failed, said why, and that nothing was uploaded."""
    assert done.status != 0
    for text in told:
        assert text in done.output, done.output
    assert not list((registries.folder / "oci" / "packages").rglob(f"repositories/{target}/_manifests"))


@pytest.mark.parametrize(
    ("target", "claims", "told"),
    [
        ("acme/branch", {"ref": "refs/heads/dev"}, "no trusted publisher of 'oci/acme/branch'"),
        ("acme/owner", {"repository_owner_id": "1"}, "no trusted publisher of 'oci/acme/owner'"),
        ("acme/late", {"lifetime_seconds": -3600}, "expired"),
    ],
)
def test_wrong_id_token(registries: Registries, tmp_path: Path, target: str, claims: dict[str, Any], told: str) -> None:
    """S10, V11: skopeo shows the realm's own words."""
    registries.trust(f"oci/{target}")
    image = make_image(tmp_path / "image")

    done = skopeo(registries, "push", image, f"{target}:1.0", password=id_token(registries, **claims))
    refused(registries, done, target, "unauthorized", told)


def test_wrong_repository(registries: Registries, tmp_path: Path) -> None:
    """T90: a job that is trusted with another image."""
    registries.trust("oci/acme/mine")
    image = make_image(tmp_path / "image")

    done = skopeo(registries, "push", image, "acme/theirs:1.0", password=id_token(registries))
    refused(registries, done, "acme/theirs", "no trusted publisher of 'oci/acme/theirs'")


def test_reader_may_not_push(registries: Registries, tmp_path: Path) -> None:
    """S10: pull and push are read and write; the registry itself refuses what the token does not say."""
    registries.trust("oci/acme/read-only", operations=[Operation.READ])
    image = make_image(tmp_path / "image")

    done = skopeo(registries, "push", image, "acme/read-only:1.0", password=id_token(registries))
    refused(registries, done, "acme/read-only", "denied")


def test_replayed_id_token(registries: Registries, tmp_path: Path) -> None:
    """V17: where the publisher says that an id token counts once, a second push needs a new one."""
    registries.trust("oci/acme/once", replay=ReplayMode.ONCE)
    image = make_image(tmp_path / "image")
    password = id_token(registries)

    assert skopeo(registries, "push", image, "acme/once:1.0", password=password).status == 0
    done = skopeo(registries, "push", image, "acme/once:2.0", password=password)
    assert done.status != 0
    assert "already exchanged" in done.output


def test_revoked_token_and_tokens_of_other_doors(registries: Registries, tmp_path: Path) -> None:
    """V20, T106: an access token that was revoked, and the hub's, are no passwords."""
    registries.trust("oci/acme/revoked")
    image = make_image(tmp_path / "image")
    command = ["token", "--for", "oci", "--endpoint", registries.urls["oci"], "--resource", "acme/revoked"]
    done = registries.run(registries.github_job(), [program("pypi-tools", "bin/keyless"), *command])
    assert done.status == 0, done.output
    token = done.stdout.strip()
    revoke = ["curl", "-sf", "--data-urlencode", f"token={token}", f"{registries.service.url}/oauth/revoke"]
    assert registries.run(registries.environment(), revoke).status == 0

    done = skopeo(registries, "push", image, "acme/revoked:1.0", password=token)
    refused(registries, done, "acme/revoked", "unauthorized")
    hub_token = str(registries.service.exchange()[1]["access_token"])
    done = skopeo(registries, "push", image, "acme/revoked:1.0", password=hub_token)
    refused(registries, done, "acme/revoked", "unauthorized")
