"""Showing a secret once: on a terminal, or in a private file; never into a pipe that may end in a log (D13)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from keyless.errors import ConfigurationError
from keyless.secret import Secret


def add_file_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--file`."""
    parser.add_argument(
        "--file", type=Path, metavar="PATH", help="write it into this new file, readable by its owner only"
    )


def check_place(options: argparse.Namespace) -> None:
    """Make sure, before the secret is made, that it can be shown.

    Raises:
        ConfigurationError: Standard output is no terminal and no file is named, or the file is there already.
    """
    if options.file is None:
        if not sys.stdout.isatty():
            raise ConfigurationError(
                "standard output is no terminal, and a secret does not belong into a log",
                hint="Name a new file: --file PATH",
            )
    elif options.file.exists():
        raise ConfigurationError(f"{options.file} is there already", hint="Name a new file.")


def show(options: argparse.Namespace, secret: Secret) -> None:
    """Write the secret where `check_place` said it can go.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if options.file is None:
        print(secret.reveal())
        return
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secret.reveal()}\n")
    except OSError as error:
        raise ConfigurationError(f"{options.file} cannot be written: {error.strerror}") from None
    print(f"written to {options.file}, readable by its owner only")
