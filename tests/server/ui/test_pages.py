"""What the pages tell and do, one person's errand after the other."""

from __future__ import annotations

import json
import re

import pytest

from keyless.server.people.principal import PrincipalKind, Role, RoleGrant
from keyless.server.store.admin import People
from keyless.server.ui.charts import HEIGHT, Series, bars
from keyless.server.ui.listing import PAGE_ROWS
from keyless.server.ui.pages.prefill import from_url
from keyless.server.ui.run_link import GITHUB, commit_url, run_url
from tests.server.service import Service
from tests.server.ui.browser import Browser, text_of
from tests.server.ui.conftest import signed_in

WORKFLOW = "https://github.com/acme/widgets/blob/main/.github/workflows/train.yml"


FILE = "acme/widgets/.github/workflows/train.yml@refs/heads/dev"
DEV = {"ref": "refs/heads/dev", "workflow_ref": FILE, "job_workflow_ref": FILE}


def refused(service: Service, browser: Browser, **claims: object) -> str:
    """Let a job be refused, and return the page of that exchange."""
    assert service.exchange(service.mint(**claims)).status == 400
    page = browser.get("/resources/models/acme/model").body.decode()
    return f"/exchanges/{re.findall(r'/ui/exchanges/([0-9]+)', page)[0]}"


# --- why was it refused? ---------------------------------------------------------------------------------------------


def test_a_refusal_shows_the_one_claim_that_differs(service: Service, owner: Browser) -> None:
    """D12: expected against received, for the owner alone."""
    answer = owner.get(refused(service, owner, **DEV))
    rows = re.findall(r'<tr class="differs">(.*?)</tr>', answer.body.decode(), re.DOTALL)

    assert len(rows) == 1
    assert " ".join(re.sub(r"<[^>]*>", " ", rows[0]).replace("&#39;", "'").split()) == "branch 'main' dev differs"
    assert "differs in branch" in text_of(answer)


def test_a_refused_job_becomes_a_publisher(service: Service, owner: Browser) -> None:
    """From the refusal over the form to an exchange that is granted, with the claims of that very job."""
    page = owner.get(refused(service, owner, **DEV))
    link = re.findall(r'href="/ui(/publishers/new\?[^"]*)"', page.body.decode())[0].replace("&amp;", "&")
    path, _, query = link.partition("?")
    fields = dict(pair.split("=", 1) for pair in query.split("&"))
    from urllib.parse import unquote_plus

    filled = {unquote_plus(name): unquote_plus(value) for name, value in fields.items()}
    warned = owner.get(path, **filled)
    preview = owner.get(path, **filled, preview="1")
    made = owner.post("/publishers/new", **filled)

    assert "Whoever can start that job would publish from then on" in text_of(warned)
    assert "branch 'dev'" in text_of(preview)
    assert made.status == 303
    assert service.exchange(service.mint(**DEV)).status == 200


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run", "issue_comment"])
def test_nobody_is_led_to_trust_a_strangers_run(service: Service, owner: Browser, event: str) -> None:
    """V15: an event that runs a stranger's input is shown as what differs, and no button offers to let it in."""
    page = owner.get(refused(service, owner, event_name=event))

    assert "event_name" in text_of(page)
    assert "/publishers/new?" not in page.body.decode()


def test_a_viewer_sees_why_and_is_offered_nothing(service: Service, viewer: Browser) -> None:
    """Who may look sees the verdict; the button is for those who may change something."""
    page = viewer.get(refused(service, viewer, **DEV))

    assert "differs in branch" in text_of(page)
    assert "/publishers/new?" not in page.body.decode()


def test_a_token_that_was_used_is_not_offered_either(service: Service, owner: Browser) -> None:
    """A replay is no matter of trust."""
    token = service.mint()
    assert [service.exchange(token).status for _ in range(2)] == [200, 400]
    page = owner.get("/resources/models/acme/model").body.decode()
    shown = owner.get(f"/exchanges/{re.findall(r'/ui/exchanges/([0-9]+)', page)[0]}")

    assert "token_replayed" in text_of(shown)
    assert "/publishers/new?" not in shown.body.decode()


# --- the guided form -------------------------------------------------------------------------------------------------


def test_a_pasted_address_fills_the_form(owner: Browser) -> None:
    """Repository, branch, file and platform out of one line."""
    body = owner.get("/publishers/new", url=WORKFLOW, resource="acme/new").body.decode()

    for field in ('name="repository" value="acme/widgets"', 'name="branch" value="main"', 'value="train.yml"'):
        assert field in body
    assert '<option value="github" selected>' in body


def test_an_address_that_says_nothing_is_named(owner: Browser) -> None:
    """What is wrong, and what it could look like."""
    answer = owner.get("/publishers/new", url="https://example.org/whatever")

    assert answer.status == 422
    assert "no address of a repository" in text_of(answer)


def test_the_form_shows_everything_before_it_counts(service: Service, owner: Browser) -> None:
    """M00, lint and the file to commit; looking writes nothing."""
    fields = {
        "resource": "acme/new",
        "provider": "github",
        "repository": "acme/widgets",
        "branch": "main",
        "pin.repository_id": "456789",
        "pin.repository_owner_id": "123456",
    }
    events = len(service.audit())
    page = owner.get("/publishers/new", **fields, preview="1")

    assert "iss https://token.actions.githubusercontent.com" in text_of(page)
    assert "no-workflow" in text_of(page)
    assert "id-token: write" in page.body.decode()
    assert len(service.audit()) == events
    assert [p for p in service.administration.publishers() if p.resource.name == "new"] == []
    made = owner.post("/publishers/new", **fields)
    shown = owner.get(made.headers["location"].removeprefix("/ui").partition("?")[0], made="1")
    assert "Added." in text_of(shown)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"provider": "github", "resource": "acme/x"}, "pin"),
        ({"provider": "github", "resource": "not a resource"}, "not a resource"),
        ({"resource": "acme/x"}, "Choose a CI platform"),
        ({"provider": "github", "resource": "acme/x", "ttl": "soon"}, "no number of seconds"),
        ({"provider": "github", "resource": "acme/x", "pin.repository_id": "x"}, "repository_id"),
    ],
)
def test_what_cannot_be_is_said_on_the_form(owner: Browser, fields: dict[str, str], told: str) -> None:
    """The service's own words, above what was typed, which is still there."""
    answer = owner.get("/publishers/new", **fields, preview="1")

    assert answer.status == 422
    assert told in text_of(answer)
    assert 'name="resource" required value="' in answer.body.decode()


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        (WORKFLOW, {"provider": "github", "repository": "acme/widgets", "branch": "main", "workflow": "train.yml"}),
        ("github.com/acme/widgets", {"provider": "github", "repository": "acme/widgets"}),
        ("https://github.com/acme/widgets.git", {"provider": "github", "repository": "acme/widgets"}),
        (
            "https://github.com/acme/widgets/actions/workflows/release.yml",
            {"provider": "github", "repository": "acme/widgets", "workflow": "release.yml"},
        ),
        (
            "https://github.com/acme/widgets/blob/feat/x/.github/workflows/a.yml",
            {"provider": "github", "repository": "acme/widgets", "branch": "feat/x", "workflow": "a.yml"},
        ),
        ("https://gitlab.com/group/sub/widgets", {"provider": "gitlab", "repository": "group/sub/widgets"}),
        (
            "https://gitlab.com/group/widgets/-/blob/main/.gitlab-ci.yml",
            {"provider": "gitlab", "repository": "group/widgets", "branch": "main"},
        ),
        ("https://github.com/acme", {}),
        ("https://evil.example/acme/widgets", {}),
        ("https://github.com.evil.example/acme/widgets", {}),
        ("javascript://github.com/acme/widgets", {}),
        ("https://github.com/acme/<script>", {}),
        ("https://[", {}),
        ("x" * 3000, {}),
    ],
)
def test_what_an_address_tells(url: str, fields: dict[str, str]) -> None:
    """A text from anywhere: what it says, or nothing."""
    assert from_url(url) == fields


# --- what is out there -----------------------------------------------------------------------------------------------


def test_a_live_token_can_be_taken_back(service: Service, owner: Browser) -> None:
    """T91: with the audit row that says who did it."""
    assert service.exchange().status == 200
    page = owner.get("/tokens").body.decode()
    revoke = re.findall(r'action="/ui(/tokens/[^"]*/revoke)"', page)[0]

    assert owner.post(revoke).status == 303
    assert "None is out" in text_of(owner.get("/tokens"))
    assert service.audit()[-1] == ("token.revoked", "revoked_by_owner")
    assert "person:olga" in text_of(owner.get("/audit", group=""))


def test_a_resource_can_be_locked(service: Service, owner: Browser) -> None:
    """T109: nothing is granted there until it is unlocked."""
    assert owner.post("/resources/models/acme/model/lock", to="locked").status == 303
    assert service.exchange().status == 400
    assert "locked" in text_of(owner.get("/resources/models/acme/model"))
    assert owner.post("/resources/models/acme/model/lock", to="active").status == 303
    assert service.exchange().status == 200


def test_the_first_page_counts_and_shows(service: Service, admin: Browser) -> None:
    """Exchanges by verdict with a picture that says itself in words, and why they were refused."""
    service.exchange()
    service.exchange(service.mint(**DEV))
    page = admin.get("/")

    assert "1 granted 1 refused" in text_of(page)
    assert "no_matching_publisher 1" in text_of(page)
    assert 'aria-label="exchanges an hour: 1 granted, 1 refused; at most 2 together"' in page.body.decode()


def test_the_audit_can_be_filtered_and_exported(service: Service, admin: Browser) -> None:
    """D15: by group, resource, publisher and who did it; a JSON object a line."""
    service.exchange()
    service.exchange(service.mint(**DEV))
    publisher = service.administration.publishers()[0]

    assert "token.granted" not in admin.get("/audit", group="refusals").body.decode()
    assert "refused" in text_of(admin.get("/audit", group="refusals", resource="acme/model"))
    assert "granted" in text_of(admin.get("/audit", publisher=publisher.id))
    assert "Nothing of that kind" in text_of(admin.get("/audit", actor="person:nobody"))
    assert admin.get("/audit", resource="no such thing!").status == 422
    lines = admin.get("/audit/export", group="exchanges").body.decode().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["exchange.refused", "token.granted"]
    assert "Whole:" in text_of(admin.get("/audit/verify"))


def test_an_issuer_is_switched_off_at_once(service: Service, admin: Browser) -> None:
    """T109: at the next exchange."""
    assert admin.post("/issuers/switch", issuer=service.issuer.url, to="off").status == 303
    assert service.exchange().status == 400
    assert admin.post("/issuers/switch", issuer="https://nobody.example", to="off").status == 422


def test_an_admin_lets_a_colleague_in(service: Service, admin: Browser) -> None:
    """D13: a person, a role, and a code that is shown once."""
    assert admin.post("/people", name="nora", role="viewer", namespace="acme").status == 303
    page = admin.post("/people/code", name="nora")
    code = re.findall(r"klc-[a-z2-7-]+", page.body.decode())[0]
    colleague = Browser(service)

    assert colleague.sign_in(code).status == 303
    assert colleague.get("/resources/models/acme/model").status == 200
    assert code not in admin.get("/people").body.decode()
    assert admin.post("/people/switch", name="alex", to="off").status == 422
    assert admin.post("/people/switch", name="nora", to="off").status == 303
    assert colleague.get("/").status == 401


def test_long_lists_come_in_pages(service: Service, admin: Browser, people: People) -> None:
    """By key: the second page goes on where the first one ended, and nothing is there twice."""
    del people
    for number in range(PAGE_ROWS + 5):
        service.add_publisher(f"acme/many-{number:03}")
    first = admin.get("/resources").body.decode()
    more = re.findall(r'rel="next" href="/ui/resources\?after=([^"]*)"', first)[0]
    from urllib.parse import unquote_plus

    second = admin.get("/resources", after=unquote_plus(more)).body.decode()
    names = re.findall(r'/ui/resources/(models/[^"]+)"', first), re.findall(r'/ui/resources/(models/[^"]+)"', second)
    assert (len(names[0]), len(names[1])) == (PAGE_ROWS, 6)
    assert not set(names[0]) & set(names[1])


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_the_highest_stack_fills_the_chart() -> None:
    """Heights are shares of the highest stack, and an empty chart has no bars."""
    chart = bars([Series("granted", (3, 0)), Series("refused", (1, 2))], label="x")

    assert [(bar.series, bar.height) for bar in chart.bars] == [
        ("granted", HEIGHT * 3 / 4),
        ("refused", HEIGHT / 4),
        ("refused", HEIGHT / 2),
    ]
    assert bars([Series("granted", (0, 0))], label="x").bars == ()


@pytest.mark.parametrize(
    ("issuer", "claims", "url"),
    [
        (GITHUB, {"repository": "acme/widgets", "run_id": "7"}, "https://github.com/acme/widgets/actions/runs/7"),
        (f"{GITHUB}/acme-inc", {"repository": "a/b", "run_id": "7"}, "https://github.com/a/b/actions/runs/7"),
        ("https://gitlab.com", {"project_path": "g/s/w", "pipeline_id": "9"}, "https://gitlab.com/g/s/w/-/pipelines/9"),
        (GITHUB, {"repository": "acme/../x", "run_id": "7"}, None),
        (GITHUB, {"repository": "acme/widgets", "run_id": "7/../../x"}, None),
        (GITHUB, {"repository": "acme/wid gets", "run_id": "7"}, None),
        ("https://user@host.example", {"repository": "a/b", "run_id": "7"}, None),
        (None, {"repository": "a/b", "run_id": "7"}, None),
        (GITHUB, {}, None),
    ],
)
def test_links_to_runs_are_made_of_plain_parts(issuer: str | None, claims: dict[str, str], url: str | None) -> None:
    """T18: a claim is a name or a number, or there is no link."""
    assert run_url(issuer, claims) == url


def test_a_commit_is_forty_letters() -> None:
    """As above."""
    assert commit_url(GITHUB, {"repository": "a/b", "sha": "a" * 40}) == f"https://github.com/a/b/commit/{'a' * 40}"
    assert commit_url(GITHUB, {"repository": "a/b", "sha": "a" * 39}) is None


# --- package registries ----------------------------------------------------------------------------------------------


def test_a_package_of_a_private_registry(registry_service: Service) -> None:
    """D22: the form offers it, with the registry's audience and its own tool in the file; explain knows it too."""
    people = People(registry_service.administration)
    people.add("alex", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.ADMIN)])
    people.add("wheel", kind=PrincipalKind.PERSON, roles=[RoleGrant(Role.OWNER, "acme-wheel")])
    admin = signed_in(registry_service, people, "alex")
    fields = {
        "resource": "pypi/acme-wheel",
        "issuer": registry_service.issuer.url,
        "repository": "acme/widgets",
        "branch": "main",
        "pin.repository_id": "456789",
        "pin.repository_owner_id": "123456",
    }
    preview = admin.get("/publishers/new", **fields, preview="1")

    assert "pypi/NAME" in text_of(preview)
    assert "aud pypi-example-org" in text_of(preview)
    assert "keyless exec --for pypi --endpoint https://pypi.example.org" in preview.body.decode()
    assert admin.post("/publishers/new", **fields).status == 303
    assert admin.get("/resources/pypi/acme-wheel").status == 200
    # The registry's word is the namespace: nobody owns a package by having its name as a namespace (T94).
    stranger = signed_in(registry_service, people, "wheel")
    assert stranger.get("/resources/pypi/acme-wheel").status == 404
    assert "acme-wheel" not in stranger.get("/audit").body.decode().replace("wheel</a>", "")
