"""`keyless serve`: run the token service."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyless.cli.output import EXIT_OK, json_data, report
from keyless.errors import Error
from keyless.server.cli.parser import PageParser

if TYPE_CHECKING:
    from keyless.server.metrics import Metrics
    from keyless.server.settings import Settings

MAX_WORKERS: Final = 64


def _parser() -> argparse.ArgumentParser:
    parser = PageParser(
        prog="keyless serve",
        description="Run the token service: one public listener, one inside listener.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML); KEYLESS_… variables win")
    parser.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes that answer; default 1")
    parser.add_argument("--check", action="store_true", help="check the settings, the store and the keys, then stop")
    parser.add_argument("--json", action="store_true", help="with --check: print what was found as JSON")
    return parser


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"must be 1-{MAX_WORKERS}")
    if int(text) > 1 and not hasattr(os, "fork"):
        raise argparse.ArgumentTypeError("this system has one worker only: it cannot fork")
    return int(text)


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.json and not options.check:
        parser.error("--json goes with --check; the log is JSON with the setting log_format")
    try:
        return _run(options.config, check=options.check, workers=options.workers, as_json=options.json)
    except Error as error:
        return report(error)


def _run(config: Path | None, *, check: bool, workers: int, as_json: bool) -> int:
    from keyless.server.listeners import bind, url_of
    from keyless.server.log import configure_logging
    from keyless.server.metrics import Metrics
    from keyless.server.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log_level, settings.log_format)
    for warning in settings.warnings:
        logging.getLogger("keyless.server").warning("%s", warning)
    # Listening comes before the service, so that a hub mounted in it can be told where to ask.
    public = bind(settings.listen, setting="listen", name="public")
    inside = bind(settings.inside_listen, setting="inside_listen", name="inside")
    with public, inside:
        print(f"keyless: {settings.public_url} on {url_of(public)}, inside on {url_of(inside)}", file=sys.stderr)
        if workers == 1 or check:
            code = _serve(settings, public, inside, Metrics(), ready=_say_ready, check=check)
            if as_json and code == EXIT_OK:
                listeners = {"listen": url_of(public), "inside_listen": url_of(inside)}
                json_data({"ok": True, "public_url": settings.public_url, **listeners, "warnings": settings.warnings})
            return code
        from keyless.server.workers import Supervisor

        metrics = Metrics(workers)  # before the fork: its memory is shared

        def work(number: int, ready: Callable[[], None]) -> int:
            metrics.cells.become(number)
            return _serve(load_settings(config), public, inside, metrics, ready=ready)

        import keyless.server.app  # noqa: F401 - loaded once, before the fork, for all workers

        return Supervisor(workers, work, ready=_say_ready).run()


def _serve(
    settings: Settings,
    public: socket.socket,
    inside: socket.socket,
    metrics: Metrics,
    *,
    ready: Callable[[], None],
    check: bool = False,
) -> int:
    from keyless.server.app import TokenService
    from keyless.server.listeners import Listener, serve, url_of

    try:
        service = TokenService(settings, inside_url=url_of(inside), metrics=metrics)
    except Error as error:
        return report(error)
    try:
        if check:
            print("keyless: settings, store and keys are good", file=sys.stderr)
            return 0
        if settings.policy_directory is not None:
            service.reload()
        # What was loaded until now stays; the collector need not look at it again, nor after every 700 objects.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        serve(
            [Listener(service.public, public, service.public_front), Listener(service.inside, inside)],
            ready=ready,
            reload=service.reload,
            drain=service.drain,
            drain_seconds=settings.drain_seconds,
        )
    finally:
        service.close()
    return 0


def _say_ready() -> None:
    print("keyless: ready", file=sys.stderr, flush=True)
