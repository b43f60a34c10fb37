"""`keyless id-token`: print the CI job's own id token, for a service that keyless does not exchange with."""

from __future__ import annotations

from keyless.cli.options import HelpRequested, parse_options
from keyless.cli.output import data, help_page, json_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless id-token [--audience A] [--provider NAME] [--json]

Print this CI job's raw id token. It is a credential: do not put it into a log or a file that is kept.

  --audience A       the aud to ask for (default: HF_ENDPOINT, else https://huggingface.co)
  --provider NAME    insist on one of those that `keyless providers` lists (default: detected)
  --json             print an object with id_token and audience

examples:
  keyless id-token --audience https://hub.example.org
  HF_OIDC_ID_TOKEN=$(keyless id-token) hf upload acme/model .

exit codes: 0 printed, 2 usage, configuration or another audience, 3 no CI platform or no permission to mint,
5 outage (worth another try), 1 anything else."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    try:
        options = parse_options("id-token", argv, valued=("--audience", "--provider"), flags=("--json",))
    except HelpRequested:
        help_page(HELP)
        return 0
    import os

    from keyless.client.environment import read_endpoint
    from keyless.client.oidc import get_oidc_token

    audience = options.one("--audience") or read_endpoint(os.environ)
    token = get_oidc_token(provider=options.one("--provider"), audience=audience)
    if "--json" in options.flags:
        json_data({"id_token": token, "audience": audience})
    else:
        data(token)
    return 0
