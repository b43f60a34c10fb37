"""Install the wheel where nothing else is and make one exchange with it (`make dist`).

    .venvs/dist/bin/python scripts/smoke.py dist .venvs/smoke

The client goes into an environment made for it that holds nothing else, not even pip; the service into one that holds
what `requirements/demo.txt` locks. Neither installation has an index to ask, so a package that is missing from the lock
is a failure. Then a job of a stand-in for GitHub gets a token from the service, and another job does not.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OFFLINE = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}
SECONDS = 120.0


def expect(what: str, good: object, found: object = "") -> None:
    """Say that something is as it should be, or end here."""
    if not good:
        sys.exit(f"  WRONG {what}: {found}")
    print(f"  ok     {what}", flush=True)


def run(*command: str | Path) -> str:
    """Run a program to its end, without an index, and return what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=OFFLINE, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def install(python: Path, *what: str | Path) -> None:
    """Install into another environment with our own pip."""
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--force-reinstall", *what)


def packages(python: Path) -> list[str]:
    """Return what is installed in an environment."""
    listed = run(sys.executable, "-m", "pip", "--python", python, "list", "--format", "json")
    return [package["name"] for package in json.loads(listed)]


def check(folder: Path, environment: Path) -> None:
    """Install both, then let the service's own interpreter play the exchange."""
    (wheel,) = folder.glob("*.whl")
    server = environment.absolute() / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="keyless-smoke-") as scratch:
        run(sys.executable, "-m", "venv", "--without-pip", Path(scratch) / "bare")
        bare = Path(scratch) / "bare" / "bin" / "python"
        install(bare, wheel)
        found = packages(bare)
        expect("the client alone: one package in an empty environment", found == ["keyless"], found)
        # First the wheel, then whether what its extra asks for is there: pip has nowhere to get more.
        install(server, "--no-deps", wheel)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", server]
        run(*pip, "install", "--quiet", f"keyless[server] @ {wheel.absolute().as_uri()}")
        expect("the service: its extra is met by requirements/demo.txt", run(*pip, "check"))
        played = subprocess.run(
            [server, "-I", __file__, "--play", bare.with_name("keyless")], cwd=scratch, timeout=SECONDS, check=False
        )
        if played.returncode:
            sys.exit(played.returncode)


def play(keyless: Path) -> None:
    """Make an exchange between a client and a service that both come from the wheel.

    Args:
        keyless: The command of the client's environment.
    """
    import keyless as package  # noqa: PLC0415  # of the environment that runs this, not of the source beside it
    from keyless.demo.children import run_child  # noqa: PLC0415
    from keyless.demo.stage import BRANCH, MODEL, OWNER_ID, REPOSITORY, REPOSITORY_ID, Stage  # noqa: PLC0415
    from keyless.demo.trail import GRANTED, REFUSED  # noqa: PLC0415

    expect("the service comes from the wheel", Path(package.__file__).is_relative_to(sys.prefix), package.__file__)
    with Stage(Path("hf"), keep=False) as stage:
        stage.administer("trust", "issuer", "add", stage.issuer.url, "--kind", "github", "--network", "loopback")
        stage.administer(
            "trust", "add", MODEL, "--issuer", stage.issuer.url, "--repository", REPOSITORY, "--branch", BRANCH,
            "--repository-id", REPOSITORY_ID, "--repository-owner-id", OWNER_ID,
        )  # fmt: skip
        stage.start_service()
        job = stage.github.first
        done = run_child([str(keyless), "token"], stage.step_environment(job, MODEL), stage.folder)
        token = done.stdout.strip()
        expect("a job gets a token", (done.status, token[:7]) == (0, "hf_jwt_"), done.output)
        status = fetch(stage.url, "/api/whoami-v2", token)[0]
        expect("the hub takes it", status == 200, status)
        other = stage.github.job(ref="refs/heads/dev")
        done = run_child([str(keyless), "token"], stage.step_environment(other, MODEL), stage.folder)
        expect("a job on another branch does not", (done.status, done.stdout) == (4, ""), done.output)
        events = [event["kind"] for event in stage.audit_events()]
        expect("both are in the audit", {GRANTED, REFUSED} <= set(events), events)
        stage.administer("audit", "verify")
        inside = re.findall(r"inside on (\S+)", stage.service.log_tail(1000))[0]
        status, page = fetch(inside, "/ui/sign-in")
        expect("the web pages are there", status == 200, status)
        for asset in ("css", "js"):
            for path in re.findall(rf'(?:href|src)="(/ui/[^"]+\.{asset})"', page) or ["(none)"]:
                status, content = fetch(inside, path)
                expect(f"and {path.rpartition('/')[2]}, which they load", status == 200 and len(content) > 1000, status)


def fetch(url: str, path: str, token: str = "") -> tuple[int, str]:
    """Get a page from loopback."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def main() -> None:
    """Read the arguments; `--play` is how this program starts itself in the service's environment."""
    parser = argparse.ArgumentParser(description="Install the wheel where nothing else is and make one exchange.")
    parser.add_argument("folder", type=Path, nargs="?", help="holds the wheel")
    parser.add_argument("environment", type=Path, nargs="?", help="with the packages that requirements/demo.txt locks")
    parser.add_argument("--play", type=Path, metavar="KEYLESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        play(options.play)
    elif options.folder and options.environment:
        check(options.folder, options.environment)
    else:
        parser.error("say where the wheel is, and which environment is the service's")


if __name__ == "__main__":
    main()
