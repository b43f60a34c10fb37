"""Two listeners in one process and one event loop: the public one and the inside one (D19)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn

from keyless.errors import ConfigurationError
from keyless.server.doors.http import Door
from keyless.server.front import Front

GRACEFUL_SECONDS: Final = 10  # what runs when the stop comes may finish; an exchange takes milliseconds
_BACKLOG: Final = 2048
_FIRST_INHERITED: Final = 3  # SD_LISTEN_FDS_START


@dataclass(frozen=True, slots=True)
class Listener:
    """An application, the socket it is served on, and what makes its connections."""

    app: Door
    sock: socket.socket
    front: Front = field(default_factory=Front)


class _Listener(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self._front = front

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what has begun or is on its way, close."""
        self._front.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`: two servers cannot both own them."""
        yield


def bind(address: str, *, setting: str, name: str = "") -> socket.socket:
    """Bind a listening socket to `host:port`; port 0 takes a free one.

    Where the system hands over a socket of this name, that one is taken: whoever connects during a restart waits in its
    queue instead of being refused (systemd, `FileDescriptorName=`; sd_listen_fds(3)).

    Raises:
        ConfigurationError: The address is not free or not ours; the message names the setting.
    """
    if (inherited := _inherited(name)) is not None:
        return inherited
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"{setting} = {address!r}: cannot listen there: {error.strerror or error}") from None
    sock.set_inheritable(False)
    return sock


def _inherited(name: str) -> socket.socket | None:
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if not name or os.environ.get("LISTEN_PID") != str(os.getpid()) or name not in names:
        return None
    return socket.socket(fileno=_FIRST_INHERITED + names.index(name))


def url_of(sock: socket.socket) -> str:
    """Return the address of a bound socket as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(listener: Listener) -> _Listener:
    return _Listener(
        uvicorn.Config(
            listener.app,
            http=listener.front,  # type: ignore[arg-type]  # it is called as a protocol class would be
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,  # nobody's forwarding header is believed until an operator lists the proxy (T105)
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        ),
        listener.front,
    )


def serve(
    listeners: Sequence[Listener],
    *,
    ready: Callable[[], None],
    reload: Callable[[], None],
    drain: Callable[[], None] = lambda: None,
    drain_seconds: float = 0,
) -> None:
    """Serve each application on its socket until SIGTERM or SIGINT, then finish what runs.

    Args:
        listeners: Applications and bound sockets.
        ready: Called once when all of them accept connections.
        reload: Called on SIGHUP, in a thread of its own.
        drain: Called when the stop comes.
        drain_seconds: How long to go on serving after that, so that who looks at readiness sends no more.
    """
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(listeners, ready, reload, drain, drain_seconds))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:  # there is no uvloop on Windows; the service is the same, slower
        return asyncio.new_event_loop()
    loop: Any = uvloop.new_event_loop()
    return loop  # type: ignore[no-any-return]


async def _serve(
    listeners: Sequence[Listener],
    ready: Callable[[], None],
    reload: Callable[[], None],
    drain: Callable[[], None],
    drain_seconds: float,
) -> None:
    servers = [_server(listener) for listener in listeners]

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        drain()
        loop.call_later(drain_seconds, stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_to_stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, reload))
    async with asyncio.TaskGroup() as group:
        for server, listener in zip(servers, listeners, strict=True):
            group.create_task(server.serve(sockets=[listener.sock]))
        while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        ready()
