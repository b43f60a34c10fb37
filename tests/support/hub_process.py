"""The reference hub as a process of its own, as a platform team would run it behind its proxy.

python -m tests.support.hub_process DIRECTORY PUBLIC_URL INSIDE_URL PORT     (the credential is in HUB_CREDENTIAL)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvicorn

from keyless.hub import create_hub
from keyless.secret import Secret
from keyless.verifier import Introspection, Verifier


def main() -> None:
    """Serve until the process is ended."""
    directory, public_url, inside_url, port = sys.argv[1:]
    introspection = Introspection(f"{inside_url}/oauth/introspect", "hub", Secret(os.environ["HUB_CREDENTIAL"]))
    with Verifier(public_url, public_url, introspection=introspection) as verifier:
        hub = create_hub(Path(directory), verifier, public_url=public_url)
        uvicorn.run(hub, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
