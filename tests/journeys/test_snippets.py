"""Every block of every page works as it stands: commands are run, files are read by whoever reads them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyless.testing import FakeCI
from keyless.testing.platforms import platform_claims
from keyless.testing.variables import fixed_audience
from scripts.docs.ci import TABLE
from tests.journeys.conftest import find_hf
from tests.journeys.page_stage import Needs, PageStage
from tests.support.pages import PAGES, ROOT, Block, blocks_of, name_of

pytestmark = pytest.mark.journey
RUN = ("console", "sh")
REASONS = {
    "the-suite": "it is what runs this test",
    "needs-a-registry": "tests/journeys/test_pypi_registry.py and its neighbours run the registry and the tool",
    "needs-a-git-hub": "tests/cli/test_git_credential.py clones from a git server",
}
"""Why a block is not run here, each with who does it instead."""
_UUID = "0a0b0c0d-0000-4000-8000-00000000000"
_PLACES = {
    **dict.fromkeys(("ORGANIZATION_UUID", "ORGANIZATION_GUID", "UUID", "UID"), f"{_UUID}1"),
    **dict.fromkeys(("PROJECT_UUID", "PIPELINE_UUID", "PROJECT_GUID"), f"{_UUID}2"),
    "WORKSPACE_UUID": f"{{{_UUID}3}}",
    "REPOSITORY_UUID": f"{{{_UUID}4}}",
    "SERVICE_ACCOUNT_ID": "112233445566778899001",
    "DEFINITION_ID": "12",
    "NAMESPACE/NAME": "ci/publisher",
    "JOB_URL": "https://jenkins.example.org/job/publish/",
    "ROLE_ARN": "arn:aws:iam::123456789012:role/publish",
    "SPIFFE_ID": "spiffe://example.org/ci/publish",
    "WORKSPACE": "acme",
    "ACME": "acme",
    "ACCOUNT": "account",
    **{
        name: f"{name.lower().replace('_', '-')}.example.org"
        for name in (
            "FORGEJO_HOST", "JENKINS_HOST", "ISSUER_OF_THE_CLUSTER", "DISCOVERY_PROVIDER_OF_THE_TRUST_DOMAIN", "ISSUER"
        )
    },
}  # fmt: skip
_IDS = "--repository-id 123456 --repository-owner-id 7890"
_OURS = "--repository-id 456789 --repository-owner-id 123456"
_ADD = "keyless trust add acme/model --provider github --repository"
_CLEAR = "for id in $(keyless trust list --json | grep -o 'pub_[a-z2-7]*' | sort -u); do keyless trust remove $id; done"
NEEDS = {
    # Its own settings are for PostgreSQL, which tests/server/test_readme.py starts; the keys are made there, too.
    "README.md": Needs(before=(_CLEAR,), service=False),
    "docs/database.md": Needs(postgres=True),
    "docs/audit.md": Needs(before=("keyless token --resource acme/model", "keyless audit seal")),
    "docs/doctor.md": Needs(permission=False),
    "docs/explain.md": Needs(
        before=(
            _CLEAR,
            f"{_ADD} acme/widgets --branch main --workflow train.yml {_OURS}",
        )
    ),
    "docs/how-to/npm.md": Needs(settings='doors.npm.url = "https://npm.example.org"\n'),
    "docs/how-to/oci.md": Needs(settings='doors.oci.url = "https://oci.example.org"\n'),
    "docs/how-to/pypi.md": Needs(settings='doors.pypi.url = "https://pypi.example.org"\n'),
    "docs/issuer-keys.md": Needs(issuer="https://ci.example.org"),
    "docs/secure.md": Needs(service=False),
    "docs/policy.md": Needs(
        before=(
            _CLEAR,
            f"{_ADD} acme/train --branch main --workflow release.yml {_IDS} --expires 2099-12-31",
        ),
        learnt={"0123456789abcdef": r"--expect (\w+)"},
    ),
}


def runs(block: Block) -> bool:
    """Tell whether a block is run here."""
    return block.language in RUN and not {"norun", "file"} & block.options.keys()


WITH_COMMANDS = [page for page in PAGES if any(runs(block) for block in blocks_of(page))]
WITH_COMMANDS.remove(ROOT / "docs/tutorial.md")  # tests/journeys/test_tutorial.py runs it where nothing is installed


def needs_of(page: Path) -> Needs:
    """Return what a page takes for granted."""
    if page.parent.name != "ci":
        return NEEDS.get(name_of(page), Needs())
    name = page.stem
    if name == "spiffe":
        issuer = "https://DISCOVERY_PROVIDER_OF_THE_TRUST_DOMAIN"
        names = {"SPIFFE_ID": str(platform_claims(name)["sub"])}
        return Needs(names=names, issuer=issuer, job=lambda asked, _: FakeCI.spiffe(asked))
    if name not in TABLE:
        return Needs(names=_PLACES, service=False)
    claims, fixed, audience = platform_claims(name), TABLE[name], fixed_audience(name)
    pins = {claim.upper(): claims[claim] for claim in fixed.immutable} or {fixed.subject: claims["sub"]}
    return Needs(
        names={what: shlex.quote(str(value)) for what, value in pins.items()},
        settings=f'fixed_audiences = {{"ISSUER" = "{audience}"}}\n' if audience else "",
        issuer=fixed.issuer,
        job=lambda asked, url: FakeCI.variable(asked, name, audience=url),
    )


@pytest.fixture
def stage(page: Path, tmp_path: Path) -> Iterator[PageStage]:
    """The page's machine."""
    with PageStage(tmp_path, find_hf("2.4.0"), needs_of(page)) as stage:
        yield stage


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, stage: PageStage) -> None:
    """From top to bottom, on a machine of the page's own, with the output that the page shows."""
    blocks = list(blocks_of(page))
    for block in blocks:
        if "file" in block.options:
            stage.write(block)
    # A how-to shows the job before the publisher that lets it in; they are done the other way round.
    for block in sorted(filter(runs, blocks), key=lambda block: page.parent.name == "ci" and block.language == "sh"):
        check(stage, block)


def check(stage: PageStage, block: Block) -> None:
    """Run a block; each command ends with 0, the last with the status that its fence names."""
    expected = int(block.options.get("status", 0))
    ran = stage.run(block)
    for number, (command, status, printed) in enumerate(ran):
        wanted = expected if number == len(ran) - 1 else 0
        assert status == wanted, f"{block.place}: {command.text}\nended with {status}: {printed}"
        if not stage.shown(command.output, printed):
            pytest.fail(f"{block.place}: {command.text}\nis shown with\n{command.output}\nand printed\n{printed}")
