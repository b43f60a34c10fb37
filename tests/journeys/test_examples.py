"""The example repositories: they are what `keyless setup` writes, and what the platforms' own schemas accept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.ci_runner import ROOT, load_documents, tool

pytestmark = pytest.mark.journey

EXAMPLES = ROOT / "examples"
SCHEMAS = {
    "github": ("github-workflows", ".github/workflows/publish.yml"),
    "gitlab": ("gitlab-ci", ".gitlab-ci.yml"),
    "circleci": ("circle-ci", ".circleci/config.yml"),
    "buildkite": ("buildkite", ".buildkite/pipeline.yml"),
    "azure-devops": ("azure-pipelines", "azure-pipelines.yml"),
    "google-cloud": ("cloudbuild", "cloudbuild.yaml"),
    "bitbucket": ("bitbucket-pipelines", "bitbucket-pipelines.yml"),
}


def test_they_are_what_setup_writes() -> None:
    """S11: one example for each platform, and none that nobody keeps."""
    checked = subprocess.run(
        [sys.executable, "scripts/examples.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("platform", SCHEMAS)
def test_the_platforms_schema_accepts_it(platform: str, tmp_path: Path) -> None:
    """Whoever copies it gets a file that the platform reads."""
    schema, name = SCHEMAS[platform]
    path = EXAMPLES / platform / name
    if platform == "bitbucket":
        # The published schema knows `oidc: true` only; audiences came later ("Integrate Pipelines with resource
        # servers using OIDC"). Everything else of the file is checked as it is.
        text = path.read_text()
        audiences = text[text.index("oidc:\n") : text.index("          script:")]
        path = tmp_path / name
        path.write_text(text.replace(audiences, "oidc: true\n"))
    checked = tool("check-jsonschema", "--regex-variant", "python", "--builtin-schema", f"vendor.{schema}", path)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_mistake_in_an_example_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail."""
    path = tmp_path / "publish.yml"
    text = (EXAMPLES / "github/.github/workflows/publish.yml").read_text()
    path.write_text(text.replace("runs-on:", "run-on:"))

    assert tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path).returncode == 1


def test_forgejos_is_githubs_but_for_the_switch() -> None:
    """Forgejo reads GitHub's language; there is no schema of its own."""
    (workflow,) = load_documents(EXAMPLES / "forgejo/.forgejo/workflows/publish.yml")

    assert workflow["jobs"]["publish"]["enable-openid-connect"] is True
    assert "permissions" not in workflow
    assert len(workflow["jobs"]["publish"]["steps"]) == 4


def test_kubernetes_projects_a_token_for_the_service() -> None:
    """The pod gets our audience, and not the cluster's own token."""
    (job,) = load_documents(EXAMPLES / "kubernetes/publish-job.yaml")
    pod = job["spec"]["template"]["spec"]
    (volume,) = pod["volumes"]
    (mount,) = pod["containers"][0]["volumeMounts"]

    assert pod["automountServiceAccountToken"] is False
    assert volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "https://hub.example.org"
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/var/run/secrets/keyless")


def test_aws_runs_the_commands() -> None:
    """CodeBuild has no published schema here; the file has its four levels."""
    (build,) = load_documents(EXAMPLES / "aws/buildspec.yml")

    assert str(build["version"]) == "0.2"
    assert all(isinstance(line, str) for line in build["phases"]["build"]["commands"])


@pytest.mark.parametrize("platform", ["spiffe", "other"])
def test_the_scripts_are_clean(platform: str) -> None:
    """A shell script that people copy has nothing for shellcheck to say."""
    checked = tool("shellcheck", EXAMPLES / platform / "ci/publish.sh")

    assert checked.returncode == 0, checked.stdout
