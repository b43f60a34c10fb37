"""Write the lock files from the dependency groups of `pyproject.toml`, and that of the benchmarks' peers (`make lock`).

The result holds names, versions, markers and hashes and no address, so it works with any index that serves the same
files.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COOL_DOWN = timedelta(days=7)  # malicious releases are mostly found and withdrawn within days
SERVER = ("pyproject.toml", "--extra", "server")
LOCKS = {
    # lock file: what goes in; the later ones agree with the earlier ones they name
    "requirements/demo.txt": (*SERVER, "--group", "build"),
    "requirements/dev.txt": (
        *(*SERVER, "--extra", "postgres", "--extra", "login", "--extra", "otel", "--group", "dev"),
        *("--constraint", "requirements/demo.txt"),
    ),
    "requirements/schemathesis.txt": ("--group", "schemathesis"),
    "requirements/hf-2.4.0.txt": ("--group", "hf-2.4.0"),
    "requirements/hf-1.19.0.txt": ("--group", "hf-1.19.0"),
    "requirements/minters.txt": ("--group", "minters"),
    "requirements/pypiserver.txt": ("--group", "pypiserver"),
    "requirements/pypi-tools.txt": ("--group", "pypi-tools"),
    "requirements/clients.txt": ("--group", "clients"),
    "requirements/node.txt": ("--group", "node"),
    "requirements/dist.txt": ("--group", "dist"),
    "requirements/ci-files.txt": ("--group", "ci-files"),
    "requirements/docs.txt": ("--group", "docs"),
    "bench/requirements.txt": ("bench/requirements.in", "--constraint", "requirements/demo.txt"),
}
ADDRESS = re.compile(r"://|--(?:extra-)?index-url|--find-links")


def main() -> int:
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    until = (datetime.now(UTC) - COOL_DOWN).strftime("%Y-%m-%dT00:00:00Z")
    for lock, inputs in LOCKS.items():
        target = ROOT / lock
        command = [str(uv), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--exclude-newer", until]
        command += ["--output-file", str(target), *inputs, *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, check=True)
        if ADDRESS.search(target.read_text()):
            print(f"{lock}: a lock must not name an address", file=sys.stderr)
            return 1
        print(f"wrote {lock}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
