"""Spaces, revisions, private and gated repositories, and the token of an account."""

from __future__ import annotations

import pytest

from keyless.demo.stage import OWNER_ID, REPOSITORY, REPOSITORY_ID, Stage
from keyless.hub.store import HubStore
from keyless.resource import parse_resource
from tests.journeys.job import folder, head, step, stranger, trust

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def account(stage: Stage) -> str:
    """An account whose publisher trusts the good job: it reads what the account may read."""
    stage.administer(
        "trust", "add", "readers", "--issuer", stage.issuer.url, "--repository", REPOSITORY,
        "--repository-id", REPOSITORY_ID, "--repository-owner-id", OWNER_ID, "--branch", "main",
    )  # fmt: skip
    return "readers"


def test_a_space(stage: Stage) -> None:
    """S4: `spaces/…` is a resource of its own."""
    trust(stage, "spaces/acme/app")
    local = folder(stage, "app", {"README.md": b"---\nsdk: static\n---\n", "index.html": b"<h1>hi</h1>"})
    created = step(
        stage, "spaces/acme/app", ["repos", "create", "acme/app", "--repo-type", "space", "--space-sdk", "static"]
    )
    assert created.status == 0, created.output
    done = step(stage, "spaces/acme/app", ["upload", "acme/app", str(local), ".", "--repo-type", "space"])

    assert done.status == 0, done.output
    assert head(stage, "spaces", "acme/app")["sdk"] == "static"


def test_a_revision_is_made_and_read(stage: Stage) -> None:
    """An upload to a branch that does not exist yet makes it, and leaves `main` alone."""
    trust(stage, "acme/branches")
    first = folder(stage, "branches", {"a.txt": b"on main"})
    assert step(stage, "acme/branches", ["upload", "acme/branches", str(first), "."]).status == 0
    main = head(stage, "models", "acme/branches")["sha"]
    (first / "a.txt").write_bytes(b"on v1")
    done = step(stage, "acme/branches", ["upload", "acme/branches", str(first), ".", "--revision", "release/v1"])
    assert done.status == 0, done.output
    copy = stage.folder / "copy-of-branches"
    fetched = stranger(stage, ["download", "acme/branches", "--revision", "release/v1", "--local-dir", str(copy)])

    assert fetched.status == 0, fetched.output
    assert (copy / "a.txt").read_bytes() == b"on v1"
    assert head(stage, "models", "acme/branches")["sha"] == main


def test_a_private_repository_does_not_exist_for_strangers(stage: Stage, account: str) -> None:
    """T94: not found, for nobody's token and for somebody else's; the owner's job reads it."""
    trust(stage, "acme/private")
    local = folder(stage, "private", {"a.txt": b"private"})
    done = step(stage, "acme/private", ["upload", "acme/private", str(local), ".", "--private"])
    assert done.status == 0, done.output
    fetch = ["download", "acme/private", "a.txt", "--local-dir", str(stage.folder / "copy-of-private")]
    nobody, somebody, owner = stranger(stage, fetch), step(stage, account, fetch), step(stage, "acme/private", fetch)

    assert (nobody.status, somebody.status, owner.status) == (1, 1, 0), owner.output
    assert "not found" in nobody.output.lower()
    assert "not found" in somebody.output.lower()


def test_a_gated_repository_opens_for_an_account(stage: Stage, account: str) -> None:
    """S10: a user publisher's token reads gated repositories and writes nothing."""
    trust(stage, "acme/gated")
    local = folder(stage, "gated", {"a.txt": b"gated"})
    assert step(stage, "acme/gated", ["upload", "acme/gated", str(local), "."]).status == 0
    HubStore(stage.hub_folder).set_visibility(parse_resource("acme/gated"), gated=True)
    copy = stage.folder / "copy-of-gated"
    fetch = ["download", "acme/gated", "a.txt", "--local-dir", str(copy)]
    nobody, reader = stranger(stage, fetch), step(stage, account, fetch)
    write = step(stage, account, ["upload", "acme/gated", str(local), "."])

    assert nobody.status == 1
    assert "gated" in nobody.output.lower() or "requires approval" in nobody.output
    assert reader.status == 0, reader.output
    assert (copy / "a.txt").read_bytes() == b"gated"
    assert write.status == 1
    assert "This token stands for the user readers and can only read" in write.output


def test_an_accounts_token_has_its_own_prefix(stage: Stage, account: str) -> None:
    """D6: `hf_oauth_` for an account."""
    done = step(stage, account, ["auth", "token"])

    assert done.status == 0, done.output
    assert done.stdout.startswith("hf_oauth_")
