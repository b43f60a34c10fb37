"""Run the command line interface: `python -m keyless`."""

from __future__ import annotations

import sys

from keyless.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
