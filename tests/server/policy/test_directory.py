"""A mounted policy: applied at the start and on SIGHUP; what is wrong with it is loud and changes nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.server.policy.directory import PolicyDirectory
from keyless.testing import FakeIssuer
from tests.server.service import Service
from tests.server.store.world import World
from tests.support.asgi import ask
from tests.support.running import RunningService

GOOD = """
version = 1
[[publisher]]
resource = "acme/mounted"
provider = "github"
claims = { repository = "acme/train", branch = "main" }
pins = { repository_id = "11", repository_owner_id = "22" }
"""
BROKEN = GOOD.replace("pins =", "# pins =")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "keyless.db")
    yield world
    world.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    return directory


def mounted(world: World) -> list[str]:
    return sorted(str(p.resource) for p in world.admin.publishers() if p.created_by == "policy")


def test_the_files_of_the_directory_are_one_policy(world: World, files: Path) -> None:
    """D13: all of them together, and neither hidden ones nor others; the audit names who it was."""
    (files / "a.toml").write_text(GOOD)
    (files / "b.json").write_text(json.dumps({"version": 1}))
    (files / ".hidden.toml").write_text("broken")
    (files / "README.md").write_text("broken")
    (files / "..data").mkdir()
    directory = PolicyDirectory(files, world.admin, prune=False)

    assert directory.load() is None
    assert mounted(world) == ["models/acme/mounted"]
    assert world.rows("SELECT actor FROM audit_event WHERE kind = 'policy.applied'") == [("policy",)]


@pytest.mark.parametrize("what", ["cannot be applied", "no TOML", "empty", "gone"])
def test_what_is_wrong_keeps_the_trust_of_before(
    world: World, files: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """D13: the old state stays, and the log and the audit say so."""
    directory = PolicyDirectory(files, world.admin, prune=True)
    (files / "a.toml").write_text(GOOD)
    assert directory.load() is None
    match what:
        case "cannot be applied":
            (files / "b.toml").write_text(BROKEN.replace("mounted", "broken"))
        case "no TOML":
            (files / "a.toml").write_text("[[")
        case "empty":
            (files / "a.toml").unlink()
        case _:
            (files / "a.toml").unlink()
            files.rmdir()
    caplog.clear()

    problem = directory.load()

    assert problem is not None
    assert mounted(world) == ["models/acme/mounted"]
    assert world.rows("SELECT count(*) FROM audit_event WHERE kind = 'policy.refused'") == [(1,)]


def test_pruning_is_a_setting(world: World, files: Path) -> None:
    """D13: nothing that somebody added by hand goes without it."""
    (files / "a.toml").write_text(GOOD + '[[publisher]]\nresource = "acme/second"\n' + GOOD.split("\n", 4)[4])
    PolicyDirectory(files, world.admin, prune=False).load()
    assert mounted(world) == ["models/acme/mounted", "models/acme/second"]
    (files / "a.toml").write_text(GOOD.replace("version = 1", 'version = 1\nnamespaces = ["acme"]'))

    PolicyDirectory(files, world.admin, prune=False).load()
    assert mounted(world) == ["models/acme/mounted", "models/acme/second"]
    PolicyDirectory(files, world.admin, prune=True).load()
    assert mounted(world) == ["models/acme/mounted"]


def test_readiness_tells_of_a_policy_that_is_not_applied(tmp_path: Path, first_start: Path, issuer: FakeIssuer) -> None:
    """D13: loud, and no reason to take a service that exchanges tokens out of service."""
    import shutil

    shutil.copytree(first_start, tmp_path / "service")
    files = tmp_path / "policy"
    files.mkdir()
    (files / "a.toml").write_text(BROKEN)
    service = Service(tmp_path / "service", issuer, policy_directory=files)
    service.app.reload()
    answer = ask(service.app.inside, "GET", "/readyz")
    assert answer.status == 200
    assert "publisher 1 (acme/mounted)" in answer.json["warnings"]["policy"]

    (files / "a.toml").write_text(GOOD)
    service.app.reload()
    assert ask(service.app.inside, "GET", "/readyz").json == {"status": "ok"}
    service.administration.close()
    service.app.close()


def test_a_running_service_applies_its_policy_at_the_start_and_on_sighup(tmp_path: Path) -> None:
    """D13: through the real program and the real signal."""
    with FakeIssuer() as issuer:
        _start_and_reload(tmp_path, issuer)


def _start_and_reload(tmp_path: Path, issuer: FakeIssuer) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "a.toml").write_text(GOOD)
    service = RunningService(tmp_path, issuer)
    with (tmp_path / "keyless.toml").open("a") as settings:
        settings.write('policy_directory = "policy"\n')
    service.start()
    administration = service.administration()

    def publishers() -> set[str]:
        return {p.resource.short for p in administration.publishers()}

    assert publishers() == {"acme/model", "acme/mounted"}
    (tmp_path / "policy" / "b.toml").write_text(GOOD.replace("mounted", "second"))
    assert service._process is not None
    os.kill(service._process.pid, signal.SIGHUP)
    ends_at = time.monotonic() + 20
    while "acme/second" not in publishers() and time.monotonic() < ends_at:
        time.sleep(0.05)
    administration.close()

    assert service.exchange()[0] == 200
    assert service.stop() == 0
    assert "acme/second" in publishers_of(service)


def publishers_of(service: RunningService) -> set[str]:
    with service.administration() as administration:
        return {p.resource.short for p in administration.publishers()}
