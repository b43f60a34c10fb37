"""The CI file of each platform: what makes its id token reach the service, and nothing a secret could be in."""

from __future__ import annotations

import subprocess

import pytest

from keyless.ci_files import HUB, PLATFORMS, WHEEL, Job
from keyless.ci_files.job import command, scalar
from keyless.providers.order import NAMES
from keyless.resource import parse_resource
from keyless.server.doors.package import find_door

SERVICE = "https://hub.example.org"
MODEL = parse_resource("acme/awesome-model")
DATA = parse_resource("datasets/acme/awesome-data")
OURS = Job((MODEL, DATA), endpoint=SERVICE)
# What has to stand in the file for an id token to be had at all, or to be for the right audience.
MAKES_THE_TOKEN = {
    "github": "id-token: write",
    "gitlab": f"id_tokens:\n    KEYLESS_ID_TOKEN:\n      aud: {SERVICE}",
    "forgejo": "enable-openid-connect: true",
    "circleci": "keyless exec",
    "bitbucket": f"oidc:\n            audiences:\n              - {SERVICE}",
    "buildkite": "keyless exec",
    "azure-devops": "SYSTEM_ACCESSTOKEN: $(System.AccessToken)",
    "jenkins": "string(credentialsId: 'keyless', variable: 'KEYLESS_ID_TOKEN')",
    "google-cloud": "KEYLESS_PROVIDER=google-cloud",
    "aws": "keyless exec",
    "kubernetes": f"audience: {SERVICE}",
    "spiffe": "SPIFFE_ENDPOINT_SOCKET",
    "other": "KEYLESS_ID_TOKEN",
}


def test_every_platform_that_mints_has_a_file() -> None:
    """S11: each of them, with an example; the others hand a token over."""
    ready_made = {"handed-over", "file", "command"}
    rows_of_the_table = set(NAMES) - set(PLATFORMS) - ready_made

    assert set(PLATFORMS) - {"other"} <= set(NAMES)
    assert not {name for name in rows_of_the_table if name in MAKES_THE_TOKEN}
    assert set(MAKES_THE_TOKEN) == set(PLATFORMS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_file_has_what_makes_the_token(platform: str) -> None:
    """S3, S11: the one thing that each platform wants, and each resource by itself (S9)."""
    file = PLATFORMS[platform](OURS)

    assert MAKES_THE_TOKEN[platform] in file.text
    assert SERVICE in file.text
    for resource in (MODEL, DATA):
        assert resource.short in file.text
    assert "hf upload acme/awesome-data ./data --repo-type dataset" in file.text


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_hub_needs_no_endpoint(platform: str) -> None:
    """Where clients go by default need not be said, unless it is the audience."""
    text = PLATFORMS[platform](Job((MODEL,))).text

    assert "HF_ENDPOINT" not in text
    assert (HUB in text) == (platform in {"gitlab", "bitbucket", "kubernetes"})


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_file_names_a_stored_secret(platform: str) -> None:
    """The whole point: nothing to store, nothing to leak."""
    text = PLATFORMS[platform](OURS).text

    assert "HF_TOKEN" not in text
    assert "secrets." not in text


def test_github_needs_no_keyless() -> None:
    """The real `hf` mints there by itself, so the job installs nothing of ours."""
    assert "keyless" not in PLATFORMS["github"](OURS).text


def test_what_is_installed_can_be_chosen() -> None:
    """A wheel in the repository is only the default; no package of ours is taken from a public index by name."""
    assert WHEEL in PLATFORMS["gitlab"](OURS).text
    assert "./wheels/k.whl" in PLATFORMS["gitlab"](Job((MODEL,), install="./wheels/k.whl")).text
    assert "'a b.whl'" in PLATFORMS["gitlab"](Job((MODEL,), install="a b.whl")).text


@pytest.mark.parametrize("platform", ["spiffe", "other"])
def test_a_script_is_one(platform: str) -> None:
    """A shell reads it without complaint, and `other` stops at once where there is no token."""
    text = PLATFORMS[platform](OURS).text
    checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
    if platform == "other":
        run = subprocess.run(
            ["/bin/sh"], input=text, text=True, capture_output=True, check=False, env={"PATH": "/nowhere"}
        )
        assert run.returncode != 0
        assert "KEYLESS_ID_TOKEN" in run.stderr


@pytest.mark.parametrize(
    ("value", "written"),
    [("main", "main"), ("true", '"true"'), ("1.0", '"1.0"'), ("a: b", '"a: b"'), ("", '""'), (SERVICE, SERVICE)],
)
def test_a_scalar_is_read_as_what_it_was(value: str, written: str) -> None:
    """YAML has opinions about words and numbers."""
    assert scalar(value) == written


def test_a_command_that_yaml_would_misread_is_quoted() -> None:
    """A colon and a space begin a mapping, a number sign a comment."""
    assert command("hf upload a/b ./x") == "hf upload a/b ./x"
    assert command("echo a: b") == '"echo a: b"'
    assert command("echo a #b") == '"echo a #b"'


PACKAGES = {
    "pypi/acme-wheel": ("twine upload dist/*", "pypi-example-org-8443"),
    "npm/@acme/widgets": ("npm publish", "npm:pypi.example.org"),
    "oci/acme/image": (
        "skopeo copy oci-archive:image.tar docker://pypi.example.org:8443/acme/image:latest",
        "oci:pypi.example.org:8443",
    ),
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_published_by_its_own_tool(platform: str, package: str) -> None:
    """S11: to the registry's URL, with the audience that its tools ask for, and no variable of the Hub."""
    tool, audience = PACKAGES[package]
    text = PLATFORMS[platform](Job((parse_resource(package),), endpoint="https://pypi.example.org:8443")).text

    assert f"keyless exec --for {package.partition('/')[0]} --endpoint https://pypi.example.org:8443" in text
    assert tool in text
    assert "HF_" not in text
    if platform in {"gitlab", "bitbucket", "kubernetes"}:
        assert audience in text


@pytest.mark.parametrize(("kind", "package"), [(p.partition("/")[0], p) for p in PACKAGES])
def test_the_usual_audience_is_the_doors_own(kind: str, package: str) -> None:
    """T43: what is written into the file is what the service expects."""
    url = "https://pypi.example.org:8443/simple"

    assert Job((parse_resource(package),), endpoint=url).audience in find_door(kind).audiences(url)
