"""Registries that nobody here wrote, behind Debian's nginx with our sites, and the CI jobs that publish to them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import socket
import sys
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from keyless.demo.children import Background, Finished, run_child
from keyless.oidc.issuer import Network, NetworkKind
from keyless.resource import parse_resource
from keyless.server.store import open_store
from keyless.server.store.admin import Administration, NewIssuer, NewPublisher
from keyless.testing import FakeCI, FakeIssuer
from tests.support.certificates import make_authority
from tests.support.nginx import ROOT, SHIPPED, run_nginx
from tests.support.running import RunningService, free_port

ENVIRONMENTS = ROOT / ".venvs"
INHERITED = ("LANG", "LC_ALL", "TMPDIR")
GITHUB: dict[str, dict[str, Any]] = {
    "claims": {"repository": ["acme/widgets"], "branch": ["main"]},
    "pins": {"repository_id": "456789", "repository_owner_id": "123456"},
}
GITLAB: dict[str, dict[str, Any]] = {
    "claims": {"project_path": ["acme/widgets"], "branch": ["main"]},
    "pins": {"project_id": "20", "namespace_id": "72"},
}


def program(environment: str, name: str) -> Path:
    """Return a program of an environment that `make journeys` makes; a missing one is a failure, not a skip."""
    found = ENVIRONMENTS / environment / name
    if not found.exists():
        pytest.fail(f"{found} is missing: run `make journeys`")
    return found


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a small wheel that can be installed (PyPA's binary distribution format)."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"VERSION = {version!r}\nSALT = {os.urandom(8).hex()!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A small thing\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{module}-{version}-py3-none-any.whl"
    target.write_bytes(content.getvalue())
    return target


def make_package(folder: Path, name: str, version: str) -> Path:
    """Write a small npm package and return its folder."""
    folder.mkdir(parents=True)
    manifest = {"name": name, "version": version, "main": "index.js", "license": "MIT", "files": ["index.js"]}
    (folder / "package.json").write_text(json.dumps(manifest))
    (folder / "index.js").write_text(f"module.exports = {json.dumps(os.urandom(16).hex())};\n")
    return folder


class Registries:
    """A token service, nginx with TLS, and the registries behind it, each a process of its own.

    `urls` are the registries' addresses as their users configure them, by name.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.authority = make_authority("127.0.0.1")[0]
        self._exits = ExitStack()
        self._homes = 0
        self._ports = {name: free_port() for name in names}
        self._upstreams = {name: free_port() for name in names}
        self.urls = {name: f"https://127.0.0.1:{port}" for name, port in self._ports.items()}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.github = stack.enter_context(FakeIssuer())
            self.gitlab = stack.enter_context(FakeIssuer())
            self.ci = stack.enter_context(FakeCI.github(self.github))
            self._start_service(stack)
            for name in self.names:
                start: Any = getattr(self, f"_start_{name}")
                start(stack, self._upstreams[name])
            self._start_nginx(stack)
            self._exits = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    # --- trust -------------------------------------------------------------------------------------------------------

    def trust(self, resource: str, *, platform: str = "github", **changes: Any) -> str:
        """Trust the good job of a platform with a package and return the publisher's id."""
        described = {"github": GITHUB, "gitlab": GITLAB}[platform]
        issuer = {"github": self.github, "gitlab": self.gitlab}[platform]
        new = NewPublisher(resource=parse_resource(resource), issuer_url=issuer.url, **{**described, **changes})
        return self.administration.add_publisher(new).id

    def distrust(self) -> None:
        """Remove every publisher."""
        for publisher in self.administration.publishers():
            self.administration.remove_publisher(publisher.id)

    # --- jobs --------------------------------------------------------------------------------------------------------

    def environment(self, **variables: str) -> dict[str, str]:
        """Return a clean environment with a home of its own, never the caller's."""
        self._homes += 1
        home = self.folder / "homes" / str(self._homes)
        home.mkdir(parents=True)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {
            **inherited,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "NO_COLOR": "1",
            "SSL_CERT_FILE": str(self.authority),
            **variables,
        }

    def github_job(self, *, permission: bool = True, **claims: object) -> dict[str, str]:
        """Return the environment of a GitHub job: of the good one, or with these claims."""
        return self.environment(**self.ci.job(id_token_permission=permission, **claims).environ())

    def gitlab_job(self, audience: str, variable: str, **claims: Any) -> dict[str, str]:
        """Return the environment of a GitLab job whose `id_tokens:` block has this audience and variable."""
        job = FakeCI.gitlab(self.gitlab, claims, audience=audience, variable=variable)
        return self.environment(**job.environ())

    def run(self, environment: Mapping[str, str], command: Sequence[object], *, folder: Path | None = None) -> Finished:
        """Run one command of a job."""
        return run_child([str(word) for word in command], environment, folder or self.folder)

    # --- what can be looked at afterwards ----------------------------------------------------------------------------

    def audit(self, kind: str) -> list[tuple[str | None, str | None]]:
        """Return resource and reason of the audit's rows of a kind, oldest first."""
        with open_store(self.service.database) as store:
            return [(e.resource, e.reason) for e in store.audit_events(limit=500) if e.kind == kind]

    def published(self) -> set[str]:
        """Return the names of all files of packages that the registries keep."""
        return {
            path.name for name in self.names for path in (self.folder / name / "packages").rglob("*") if path.is_file()
        }

    # --- processes ---------------------------------------------------------------------------------------------------

    def _start_service(self, stack: ExitStack) -> None:
        rules = self.folder / "rules.toml"
        shipped = [ROOT / "deploy" / "forward-auth" / f"{name}.toml" for name in self.names]
        rules.write_text("\n".join(path.read_text() for path in shipped if path.exists()))
        doors = "".join(f'[doors.{name}]\nurl = "{url}"\n' for name, url in self.urls.items())
        settings = (f'forward_auth = "{rules}"\n' if rules.read_text() else "") + doors
        directory = self.folder / "service"
        directory.mkdir()
        self.service = RunningService(directory, self.github, settings=settings)
        with open_store(self.service.database) as store:
            self.credentials = {}
            for name, url in self.urls.items():
                store.ensure_resource_server(url, name)
                credential = store.renew_resource_server_credential(name, actor="test")
                assert credential is not None
                self.credentials[name] = credential.reveal()
        self.administration = stack.enter_context(Administration(self.service.database, actor="cli:test"))
        self.administration.add_issuer(
            NewIssuer(url=self.gitlab.url, kind="gitlab", network=Network(NetworkKind.LOOPBACK))
        )
        self.service.start()
        stack.callback(self.service.stop)

    def _start_nginx(self, stack: ExitStack) -> None:
        directory = self.folder / "nginx"
        directory.mkdir()
        waited = free_port()  # a site without TLS, to know when nginx is there
        sites = [f"server {{ listen 127.0.0.1:{waited}; return 204; }}"]
        for name in self.names:
            (directory / f"{name}-credential.conf").write_text(
                f'proxy_set_header X-Keyless-Proxy "{name}:{self.credentials[name]}";\n'
            )
            sites.append(self._site(name, directory))
        stack.enter_context(run_nginx(directory, port=waited, site_text="\n".join(sites), credential="none:none"))

    def _site(self, name: str, directory: Path) -> str:
        """Return a shipped site with this machine's ports and certificate; everything else is as it is shipped."""
        leaf = make_authority("127.0.0.1")[1]
        text = (SHIPPED / f"{name}.conf").read_text()
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{self._ports[name]} ssl;")
        text = re.sub(r"(ssl_certificate(?:_key)?\s+)\S+;", rf"\g<1>{leaf};", text)
        text = text.replace("/etc/nginx/keyless/", f"{directory}/")
        ports = {"keyless": self.service.port, "inside": self.service.inside_port, "index": self._upstreams[name]}
        for upstream, port in ports.items():
            text, count = re.subn(rf"(upstream {name}_{upstream}\s+\{{ server 127\.0\.0\.1):\d+", rf"\1:{port}", text)
            assert count == 1 or (name, upstream) == ("oci", "inside"), upstream  # that registry checks tokens itself
        return text

    def _background(
        self, stack: ExitStack, name: str, command: Sequence[str | Path], port: int, **variables: str
    ) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words = [str(word) for word in command]
        process = Background(words, self.environment(**variables), folder, folder / "log")
        stack.callback(process.close)
        process.wait_until(lambda: _listens(port))

    def _start_pypi(self, stack: ExitStack, port: int) -> None:
        packages = self.folder / "pypi" / "packages"
        packages.mkdir(parents=True)
        serve = program("pypiserver", "bin/waitress-serve")
        command: list[str | Path] = [serve, "--listen", f"127.0.0.1:{port}", "app:application"]
        self._background(
            stack,
            "pypi",
            command,
            port,
            PYPISERVER_PACKAGES=str(packages),
            PYTHONPATH=str(ROOT / "deploy" / "pypiserver"),
        )

    def _start_npm(self, stack: ExitStack, port: int) -> None:
        (self.folder / "npm").mkdir()
        config = self.folder / "npm" / "config.yaml"
        shipped = (ROOT / "deploy" / "verdaccio" / "config.yaml").read_text()
        config.write_text(shipped.replace("127.0.0.1:4873", f"127.0.0.1:{port}"))
        command: list[str | Path] = [program("node", "bin/node"), program("npm-tools", "node_modules/.bin/verdaccio")]
        self._background(stack, "npm", [*command, "--config", config], port)

    def _start_oci(self, stack: ExitStack, port: int) -> None:
        folder = self.folder / "oci"
        (folder / "packages").mkdir(parents=True)
        bundle = folder / "keyless.pem"
        command = [sys.executable, "-m", "keyless", "keys", "certificates", "--config", "keyless.toml"]
        done = self.run(self.environment(), command, folder=self.service.directory)
        assert done.status == 0, done.output
        bundle.write_text(done.stdout)
        text = (ROOT / "deploy" / "distribution" / "config.yml").read_text()
        host = self.urls["oci"].removeprefix("https://")
        for shipped, here in {
            "/var/lib/docker-registry": str(folder / "packages"),
            "127.0.0.1:5000": f"127.0.0.1:{port}",
            "https://hub.example.org": self.service.url,
            "oci.example.org": host,
            "/etc/docker/registry/keyless.pem": str(bundle),
        }.items():
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        (folder / "config.yml").write_text(text)
        registry = shutil.which("docker-registry", path="/usr/local/bin:/usr/bin")
        if registry is None:
            pytest.fail("docker-registry is missing: apt-get install docker-registry")
        self._background(stack, "oci", [registry, "serve", folder / "config.yml"], port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
