"""The servers of one run of `exchange.py`: how each is started, and what its form needs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from harness.children import ROOT, Missing, beside_python, environment, free_port, run, serving
from harness.exchange_figures import (
    FASTAPI,
    FASTAPI_POSTGRES,
    FLOOR,
    OIDC_PROVIDER,
    SERVICE,
    SERVICE_POSTGRES,
    SERVICE_UNDURABLE,
)
from harness.filling import Size, fill_postgres, fill_sqlite
from harness.id_tokens import LIFETIME_SECONDS
from harness.postgres import Postgres

PEERS: Final = ROOT / "bench" / "peers"
ENVIRONMENTS: Final = ROOT / ".venvs"
RESOURCE: Final = "acme/model"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, and how to talk to it."""

    name: str
    pid: int
    port: int
    log: Path
    form_tail: str
    single_use: bool
    """Whether it refuses an id token that it has seen."""
    durable: bool = True
    inside_port: int = 0
    config: Path = Path()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """What all servers of a run have in common."""

    directory: Path
    issuer: str
    jwks_uri: str
    audience: str
    service_port: int
    claims: Mapping[str, object]
    core: int
    postgres: Postgres | None = None

    def peer_config(self, name: str, port: int) -> dict[str, str]:
        """Write what a peer has to know into a file and return the environment that names it."""
        path = self.directory / f"{name}.json"
        config = {
            "port": port,
            "own_url": f"http://127.0.0.1:{port}",
            "issuer": self.issuer,
            "jwks_uri": self.jwks_uri,
            "audience": self.audience,
            "resource": RESOURCE,
            "resource_uri": f"{self.audience}/{RESOURCE}",
            "claims": self.claims,
            "database": str(self.directory / f"{name}.db"),
        }
        path.write_text(json.dumps(config))
        return environment(PEER_CONFIG=str(path))

    def uvicorn(self, python: Path, folder: str, port: int) -> list[str | Path]:
        """Return the command of an ASGI application, with the event loop and parser that the service uses."""
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        return [python, "-m", "uvicorn", "app:app", "--app-dir", PEERS / folder, "--port", str(port), *options]


@contextmanager
def bare_asgi(scene: Scene) -> Iterator[Server]:
    """Run the floor: the same server software with nothing behind it."""
    port = free_port()
    command = scene.uvicorn(Path(sys.executable), "bare_asgi", port)
    log = scene.directory / "bare_asgi.log"
    with serving(command, port=port, log=log, core=scene.core, env=environment()) as child:
        yield Server(FLOOR, child.pid, port, log, _form(RESOURCE), single_use=False)


@contextmanager
def keyless(scene: Scene) -> Iterator[Server]:
    """Run our service as an operator does: settings in a file, trust given on the command line, SQLite."""
    with _keyless(scene, SERVICE, "keyless", scene.service_port) as server:
        yield server


@contextmanager
def keyless_postgres(scene: Scene) -> Iterator[Server]:
    """The same on PostgreSQL."""
    if scene.postgres is None:
        raise Missing(f"{SERVICE_POSTGRES}: no PostgreSQL")
    scene.postgres.ask("CREATE DATABASE keyless")
    key = base64.b64encode(os.urandom(32)).decode()
    env = {"KEYLESS_DATABASE": scene.postgres.url("keyless"), "KEYLESS_KEY_ENCRYPTION_KEY": key}
    with _keyless(scene, SERVICE_POSTGRES, "keyless-postgres", free_port(), env=env) as server:
        yield server


@contextmanager
def keyless_undurable(scene: Scene) -> Iterator[Server]:
    """The same with a store that writes nothing: what durability costs."""
    with _keyless(scene, SERVICE_UNDURABLE, "keyless-undurable", free_port(), undurable=True) as server:
        yield server


@contextmanager
def _keyless(
    scene: Scene,
    name: str,
    place: str,
    port: int,
    *,
    env: Mapping[str, str] = MappingProxyType({}),
    undurable: bool = False,
    fill: Callable[[], object] = lambda: None,
) -> Iterator[Server]:
    inside_port = free_port()
    config = scene.directory / f"{place}.toml"
    config.write_text(
        f'public_url = "{scene.audience}"\n'
        f'database = "{place}.db"\n'
        f'listen = "127.0.0.1:{port}"\n'
        f'inside_listen = "127.0.0.1:{inside_port}"\n'
        "max_live_tokens = 10000000\n"  # counted as ever; one publisher gets all the tokens of a run
        # The limits are on, and so high that one address and one repository may ask as fast as they can.
        "exchanges_per_minute_by_address = 100000000\n"
        "exchanges_per_minute_by_identity = 100000000\n"
    )
    program = beside_python("keyless")
    if not program.exists():
        raise Missing(f"{name}: {program} is not there (make env-dev)")
    chosen: list[str | Path] = ["--config", config]
    variables = environment(**env)
    trust: list[str | Path] = [program, "trust"]
    issuer = ["issuer", "add", scene.issuer, "--kind", "github", "--network", "loopback"]
    run([*trust, *issuer, "--max-lifetime", str(LIFETIME_SECONDS), *chosen], env=variables)
    which = ["--repository", str(scene.claims["repository"]), "--repository-id", str(scene.claims["repository_id"])]
    which += ["--repository-owner-id", str(scene.claims["repository_owner_id"]), "--branch", "main"]
    run([*trust, "add", RESOURCE, "--issuer", scene.issuer, *which, *chosen], env=variables)
    fill()
    start: list[str | Path] = [program]
    if undurable:
        start = [sys.executable, Path(__file__).parent / "undurable.py"]
    log = scene.directory / f"{place}.log"
    command = [*start, "serve", *chosen]
    with serving(command, port=port, log=log, core=scene.core, env=variables, path="/healthz") as child:
        yield Server(
            name,
            child.pid,
            port,
            log,
            _form(RESOURCE),
            single_use=True,
            durable=not undurable,
            inside_port=inside_port,
            config=config,
            env=variables,
        )


@contextmanager
def keyless_filled(scene: Scene, engine: str, size: Size) -> Iterator[Server]:
    """The same on a database that holds so much already."""
    place = f"keyless-{engine}-{size.publishers}-{size.audit_rows}"
    name = f"{engine}, {size}"
    if engine == "sqlite":
        path = scene.directory / f"{place}.db"
        with _keyless(scene, name, place, free_port(), fill=lambda: fill_sqlite(path, size)) as server:
            yield server
        return
    if scene.postgres is None:
        raise Missing(f"{name}: no PostgreSQL")
    postgres, database = scene.postgres, place.replace("-", "_")
    postgres.ask(f"CREATE DATABASE {database}")
    key = base64.b64encode(os.urandom(32)).decode()
    env = {"KEYLESS_DATABASE": postgres.url(database), "KEYLESS_KEY_ENCRYPTION_KEY": key}
    with _keyless(
        scene, name, place, free_port(), env=env, fill=lambda: fill_postgres(postgres, database, size)
    ) as server:
        yield server


@contextmanager
def oidc_provider(scene: Scene) -> Iterator[Server]:
    """Run the peer from the npm world."""
    node, installed = shutil.which("node"), ENVIRONMENTS / "oidc-provider"
    if node is None or not (installed / "node_modules" / "oidc-provider").is_dir():
        raise Missing(f"{OIDC_PROVIDER}: no node, or not installed in {installed.relative_to(ROOT)} (make env-bench)")
    # An ECMAScript module finds its packages from where it lies itself.
    shutil.copy(PEERS / "oidc_provider" / "server.mjs", installed / "server.mjs")
    port = free_port()
    env = scene.peer_config("oidc_provider", port) | {"NODE_ENV": "production"}
    log = scene.directory / "oidc_provider.log"
    with serving(
        [node, installed / "server.mjs"],
        port=port,
        log=log,
        core=scene.core,
        env=env,
        path="/.well-known/openid-configuration",
    ) as child:
        tail = _form(f"{scene.audience}/{RESOURCE}") + "&client_id=bench"
        yield Server(OIDC_PROVIDER, child.pid, port, log, tail, single_use=False)


@contextmanager
def fastapi_pyjwt(scene: Scene) -> Iterator[Server]:
    """Run the reference peer on SQLite."""
    with _fastapi(scene, FASTAPI, "fastapi_pyjwt", {}) as server:
        yield server


@contextmanager
def fastapi_postgres(scene: Scene) -> Iterator[Server]:
    """The same on PostgreSQL."""
    if scene.postgres is None:
        raise Missing(f"{FASTAPI_POSTGRES}: no PostgreSQL")
    scene.postgres.ask("CREATE DATABASE peer")
    database = {"PEER_DATABASE": scene.postgres.url("peer", "postgresql+asyncpg")}
    with _fastapi(scene, FASTAPI_POSTGRES, "fastapi_postgres", database) as server:
        yield server


@contextmanager
def _fastapi(scene: Scene, name: str, place: str, variables: Mapping[str, str]) -> Iterator[Server]:
    python = peer_python()
    if python is None:
        raise Missing(f"{name}: .venvs/bench is not there (make env-bench)")
    port = free_port()
    env = scene.peer_config(place, port) | dict(variables)
    command = scene.uvicorn(python, "fastapi_pyjwt", port)
    log = scene.directory / f"{place}.log"
    with serving(command, port=port, log=log, core=scene.core, env=env) as child:
        yield Server(name, child.pid, port, log, _form(RESOURCE), single_use=False)


def peer_python() -> Path | None:
    """Return the interpreter of the Python peers' environment, or `None` when it is not there."""
    python = ENVIRONMENTS / "bench" / "bin" / "python"
    return python if python.exists() else None


def _form(resource: str) -> str:
    return f"&resource={quote(resource, safe='')}"


def rows(scene: Scene) -> dict[str, int]:
    """Count what our service has written: tokens, claims on id tokens, audit events."""
    connection = sqlite3.connect(scene.directory / "keyless.db")
    try:
        tables = ("token", "replay_use", "audit_event")
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
    finally:
        connection.close()
