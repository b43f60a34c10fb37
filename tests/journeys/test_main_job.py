"""The main job with the unmodified client: upload, nothing changed, delete, download, who am I."""

from __future__ import annotations

import os

import pytest

from keyless.demo.artifacts import differences
from keyless.demo.stage import Stage
from keyless.testing import unverified_claims
from tests.journeys.job import folder, grants, head, step, stranger, trust

pytestmark = pytest.mark.journey

FILES = {"README.md": b"---\nlicense: mit\n---\n# A model\n", "config.json": b"{}", "old.txt": b"to be deleted\n"}


def test_upload_again_delete_and_download(stage: Stage) -> None:
    """S9: a job's whole life with one repository; one exchange per process, never a stored token."""
    trust(stage, "acme/whole-life")
    local = folder(stage, "whole-life", {**FILES, "weights.bin": os.urandom(11_000_000)})

    first = step(stage, "acme/whole-life", ["upload", "acme/whole-life", str(local), "."])
    assert first.status == 0, first.output
    uploaded = head(stage, "models", "acme/whole-life")["sha"]

    unchanged = step(stage, "acme/whole-life", ["upload", "acme/whole-life", str(local), "."])
    assert unchanged.status == 0, unchanged.output
    assert head(stage, "models", "acme/whole-life")["sha"] == uploaded

    deleted = step(stage, "acme/whole-life", ["repos", "delete-files", "acme/whole-life", "old.txt"])
    assert deleted.status == 0, deleted.output
    after = head(stage, "models", "acme/whole-life")
    assert after["sha"] != uploaded
    assert "old.txt" not in [sibling["rfilename"] for sibling in after["siblings"]]

    (local / "old.txt").unlink()
    copy = stage.folder / "copy-of-whole-life"
    downloaded = step(stage, "acme/whole-life", ["download", "acme/whole-life", "--local-dir", str(copy)])
    assert downloaded.status == 0, downloaded.output
    assert differences(local, copy) == []

    assert len(grants(stage, "models/acme/whole-life")) == 4
    assert all(request.authorized and len(request.audiences) == 1 for request in stage.github.first.requests)


def test_a_dataset_from_the_same_job(stage: Stage) -> None:
    """S9: one training run publishes a model and a dataset; the resource is a step's, not the job's."""
    trust(stage, "datasets/acme/rows")
    local = folder(stage, "rows", {"README.md": b"# Rows\n", "data/train.jsonl": b'{"a": 1}\n' * 1000})
    done = step(stage, "datasets/acme/rows", ["upload", "acme/rows", str(local), ".", "--repo-type", "dataset"])
    assert done.status == 0, done.output

    copy = stage.folder / "copy-of-rows"
    fetched = stranger(stage, ["download", "acme/rows", "--repo-type", "dataset", "--local-dir", str(copy)])
    assert fetched.status == 0, fetched.output

    assert differences(local, copy) == []


def test_auth_token_prints_the_token_alone(stage: Stage) -> None:
    """D6: the Hub's prefix, on stdout, and nothing else there."""
    trust(stage, "acme/token")
    done = step(stage, "acme/token", ["auth", "token"])
    assert done.status == 0, done.output

    (token,) = done.stdout.split()
    claims = unverified_claims(token.removeprefix("hf_jwt_"))
    assert token.startswith("hf_jwt_")
    assert (claims["resource"], claims["iss"]) == ("models/acme/token", stage.url)


def test_auth_whoami_names_the_account(stage: Stage) -> None:
    """S10: the job acts in the repository's namespace."""
    trust(stage, "acme/whoami")
    done = step(stage, "acme/whoami", ["auth", "whoami"])

    assert done.status == 0, done.output
    assert "acme" in done.stdout


def test_a_removed_publisher_ends_its_tokens_and_the_next_exchange(stage: Stage) -> None:
    """D4, D16: `trust remove` in another process counts at once, for tokens that are already out, too."""
    publisher = trust(stage, "acme/removed")
    local = folder(stage, "removed", {"a.txt": b"a"})
    token = step(stage, "acme/removed", ["auth", "token"]).stdout.strip()
    with_token = ["upload", "acme/removed", str(local), ".", "--token", token]
    before = stranger(stage, with_token)
    assert before.status == 0, before.output

    stage.administer("trust", "remove", publisher)
    (local / "a.txt").write_bytes(b"b")
    after = stranger(stage, with_token)
    exchange = step(stage, "acme/removed", ["auth", "token"])

    assert after.status == 1
    assert "Invalid credentials in Authorization header" in after.output
    assert exchange.status == 1
    assert "invalid_grant: no trusted publisher of 'acme/removed'" in exchange.output
