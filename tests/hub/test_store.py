from __future__ import annotations

import hashlib
import subprocess
import threading
from pathlib import Path

import pytest

from keyless.hub import HubError, HubStore
from keyless.hub.store.commits import Author, Folder, list_entries
from keyless.hub.store.repository import Changes, Repository
from keyless.resource import Resource, ResourceType, parse_resource

MODEL = parse_resource("acme/model")
AUTHOR = Author("[OIDC] job", "pub-1", "https://ci.example.org")


@pytest.fixture
def store(tmp_path: Path) -> HubStore:
    return HubStore(tmp_path / "hub", clock=lambda: 1_800_000_000.5)


def changes(store: HubStore, **files: bytes) -> Changes:
    """Return changes that add files; a double underscore in a name is a slash, `_dot_` a dot."""
    drafted = Changes()
    for name, content in files.items():
        blob = store.stage()
        blob.write(content)
        drafted.added[name.replace("__", "/").replace("_dot_", ".")] = (blob.finish(), blob.path)
    return drafted


def commit(repository: Repository, drafted: Changes, **overrides: str) -> str:
    made = repository.commit("main", drafted, title="change", message="", author=AUTHOR, **overrides)
    return made.id


def test_everything_is_there_after_a_restart(store: HubStore) -> None:
    """D25: bytes, commits, authors, branches, visibility."""
    repository = store.create(MODEL, private=True)
    commit_id = commit(repository, changes(store, a=b"one", sub__b=b"two"))
    repository.create_branch("dev", None)
    store.set_visibility(MODEL, gated=True)

    again = HubStore(store.directory).find(MODEL)

    assert again is not None
    head = again.resolve("dev")
    assert (head.id, head.author, head.created_at) == (commit_id, AUTHOR, 1_800_000_000.5)
    assert again.blob_path(head.files["sub/b"]).read_bytes() == b"two"
    assert (again.info().private, again.info().gated) == (True, True)
    assert [entry.title for entry in again.history(head, 10)] == ["change", "initial commit"]


def test_contents_carry_the_ids_git_gives_them(store: HubStore, tmp_path: Path) -> None:
    """D25: the client compares its own git ids to decide what to send; real git says the same, trees included."""
    repository = store.create(MODEL)
    files = {
        "a.txt": b"hello\n",
        "empty": b"",
        "sub/deep/c.bin": bytes(range(256)) * 100,
        "sub-x": b"order",
        "sub.y": b"o",
    }
    drafted = Changes()
    work = tmp_path / "work"
    for path, content in files.items():
        blob = store.stage()
        blob.write(content)
        drafted.added[path] = (blob.finish(), blob.path)
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
    commit(repository, drafted)
    head = repository.resolve("main")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.autocrlf=false", "-C", str(work), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()

    git("init", "-q")
    git("add", "-A")
    listed = {
        line.split("\t")[1]: line.split()[2] for line in git("ls-tree", "-r", "-t", git("write-tree")).splitlines()
    }
    ours = {path: entry.git_sha1 for path, entry in list_entries(head, "", recursive=True)}

    assert ours == listed
    assert {path: hashlib.sha256(content).hexdigest() for path, content in files.items()} == {
        path: blob.sha256 for path, blob in head.files.items()
    }


def test_listing_of_a_folder_shows_one_level_or_all(store: HubStore) -> None:
    """D25."""
    repository = store.create(MODEL)
    commit(repository, changes(store, a=b"1", sub__b=b"2", sub__deep__c=b"3"))
    head = repository.resolve("main")

    assert [path for path, _ in list_entries(head, "", recursive=False)] == ["a", "sub"]
    assert [path for path, _ in list_entries(head, "sub", recursive=False)] == ["sub/b", "sub/deep"]
    assert [path for path, _ in list_entries(head, "", recursive=True)] == [
        "a",
        "sub",
        "sub/b",
        "sub/deep",
        "sub/deep/c",
    ]
    assert isinstance(dict(list_entries(head, "", recursive=False))["sub"], Folder)
    assert list(list_entries(head, "su", recursive=True)) == []


def test_change_that_changes_nothing_makes_no_commit(store: HubStore) -> None:
    """D25: an unchanged second upload adds nothing to the history."""
    repository = store.create(MODEL)
    first = commit(repository, changes(store, a=b"one"))

    assert commit(repository, changes(store, a=b"one")) == first
    assert commit(repository, changes(store, a=b"two")) != first


def test_commit_from_an_old_head_is_refused(store: HubStore) -> None:
    """D25: 412, and nothing is written."""
    repository = store.create(MODEL)
    start = repository.resolve("main").id
    now = commit(repository, changes(store, a=b"one"), parent_commit=start)

    with pytest.raises(HubError) as caught:
        commit(repository, changes(store, a=b"two"), parent_commit=start)

    assert caught.value.status == 412
    assert repository.resolve("main").id == now


def test_concurrent_commits_all_survive(store: HubStore) -> None:
    """D25: one lock per repository; no update is lost."""
    repository = store.create(MODEL)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            found = store.find(MODEL)
            assert found is not None
            commit(found, changes(store, **{f"file{number}": b"%d" % number}))
        except BaseException as error:  # noqa: BLE001  # shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    head = repository.resolve("main")
    assert len(head.files) == 16
    assert len(repository.history(head, 100)) == 17


def test_second_of_two_creations_is_told(store: HubStore) -> None:
    """D25: 409, and the first stays as it is."""
    repository = store.create(MODEL)
    commit(repository, changes(store, a=b"one"))

    with pytest.raises(HubError) as caught:
        store.create(MODEL)

    assert caught.value.status == 409
    assert set(repository.resolve("main").files) == {"a"}
    assert list((store.directory / "incoming").iterdir()) == []


@pytest.mark.parametrize("resource", ["kernels/acme/k", "buckets/acme/b", "alice"])
def test_only_repositories_that_the_hub_serves_can_be_made(store: HubStore, resource: str) -> None:
    """D25."""
    with pytest.raises(HubError):
        store.create(parse_resource(resource))


def test_unfinished_uploads_are_removed_at_the_start(store: HubStore) -> None:
    """D25: a crash leaves nothing that grows."""
    crashed = store.stage()
    crashed.write(b"half")
    crashed.finish()

    assert list((HubStore(store.directory).directory / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "before, added, refused",
    [
        ({"a": b"1"}, {"a__b": b"2"}, True),
        ({"a__b": b"1"}, {"a": b"2"}, True),
        ({}, {"x": b"1", "x__y": b"2"}, True),
        ({"a": b"1"}, {"ab": b"2"}, False),
        ({"a-b": b"1"}, {"a": b"2"}, False),
    ],
)
def test_name_is_a_file_or_a_folder(
    store: HubStore, before: dict[str, bytes], added: dict[str, bytes], refused: bool
) -> None:
    """T18: a tree that no disk can hold is not accepted."""
    repository = store.create(MODEL)
    commit(repository, changes(store, **before))

    if not refused:
        commit(repository, changes(store, **added))
        return
    with pytest.raises(HubError) as caught:
        commit(repository, changes(store, **added))
    assert caught.value.status == 400


def test_deletions(store: HubStore) -> None:
    """D25: files, folders, and a clear no for what is not there."""
    repository = store.create(MODEL)
    commit(repository, changes(store, a=b"1", sub__b=b"2", sub__c=b"3", subx=b"4"))
    commit(repository, Changes(deleted_files=["a"], deleted_folders=["sub"]))

    assert set(repository.resolve("main").files) == {"subx"}
    for missing in (Changes(deleted_files=["a"]), Changes(deleted_folders=["sub"])):
        with pytest.raises(HubError):
            commit(repository, missing)


def test_copy_needs_a_content_the_repository_holds(store: HubStore) -> None:
    """D25: no LFS upload exists here, so an `lfsFile` line can only name what is already in this repository."""
    repository, other = store.create(MODEL), store.create(parse_resource("acme/other"))
    commit(repository, changes(store, a=b"one"))
    sha256 = hashlib.sha256(b"one").hexdigest()
    commit(repository, Changes(copied={"b": sha256}))

    assert repository.resolve("main").files["b"] == repository.resolve("main").files["a"]
    with pytest.raises(HubError):
        commit(other, Changes(copied={"b": sha256}))


def test_names_of_refs_are_unique_and_revisions_resolve(store: HubStore) -> None:
    """D25: a revision means one commit, by branch, tag, full name or id."""
    repository = store.create(MODEL)
    start = repository.resolve("main").id
    repository.create_tag("v1", "main")
    commit(repository, changes(store, a=b"one"))

    assert {repository.resolve(revision).id for revision in ("v1", "refs/tags/v1", start)} == {start}
    assert repository.resolve("refs/heads/main").id == repository.resolve("main").id
    with pytest.raises(HubError) as caught:
        repository.create_branch("v1", None)
    assert caught.value.status == 409
    for unknown in ("nope", "0" * 40, "refs/pr/1"):
        with pytest.raises(HubError) as caught:
            repository.resolve(unknown)
        assert caught.value.error_code == "RevisionNotFound"


def test_repository_under_another_case_is_another(store: HubStore) -> None:
    """T86: on a file system that ignores case the stored name decides."""
    repository = store.create(MODEL)
    twin = repository.directory.parent / "Model"
    if not twin.exists():
        twin.symlink_to(repository.directory)

    assert store.find(Resource(ResourceType.MODEL, "acme", "Model")) is None


def test_listing_by_type_and_namespace(store: HubStore) -> None:
    """D25."""
    for name in ("acme/b", "acme/a", "beta/c", "datasets/acme/d"):
        store.create(parse_resource(name))

    assert [str(found.resource) for found in store.repositories(ResourceType.MODEL)] == [
        "models/acme/a",
        "models/acme/b",
        "models/beta/c",
    ]
    assert [found.resource.name for found in store.repositories(ResourceType.DATASET, "acme")] == ["d"]
    assert list(store.repositories(ResourceType.SPACE)) == []
