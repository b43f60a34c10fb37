"""`keyless serve`: run the token service."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from keyless.cli.output import report
from keyless.errors import Error

EPILOG = """\
examples:
  keyless serve --config keyless.toml
  KEYLESS_PUBLIC_URL=https://hub.example.org keyless serve
  keyless serve --config keyless.toml --check

exit status: 0 stopped by a signal or --check passed, 2 a setting cannot work, 1 anything else
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keyless serve",
        description="Run the token service: one public listener, one inside listener.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML); KEYLESS_… variables win")
    parser.add_argument("--check", action="store_true", help="check the settings, the store and the keys, then stop")
    return parser


def run(argv: list[str]) -> int:
    """Run the verb and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        return _run(options.config, check=options.check)
    except Error as error:
        return report(error)


def _run(config: Path | None, *, check: bool) -> int:
    from keyless.server.app import TokenService
    from keyless.server.listeners import Listener, bind, serve, url_of
    from keyless.server.log import configure_logging
    from keyless.server.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log_level, settings.log_format)
    for warning in settings.warnings:
        logging.getLogger("keyless.server").warning("%s", warning)
    # Listening comes before the service, so that a hub mounted in it can be told where to ask.
    public = bind(settings.listen, setting="listen")
    inside = bind(settings.inside_listen, setting="inside_listen")
    with public, inside:
        service = TokenService(settings, inside_url=url_of(inside))
        try:
            print(f"keyless: {settings.public_url} on {url_of(public)}, inside on {url_of(inside)}", file=sys.stderr)
            if check:
                print("keyless: settings, store and keys are good", file=sys.stderr)
                return 0
            if settings.policy_directory is not None:
                service.reload()
            serve(
                [Listener(service.public, public, service.public_protocol), Listener(service.inside, inside)],
                ready=lambda: print("keyless: ready", file=sys.stderr, flush=True),
                reload=service.reload,
            )
        finally:
            service.close()
    return 0
