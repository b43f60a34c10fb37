"""GitHub Actions around a job: the environment it sees and the endpoint that mints its id tokens."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Final
from urllib.parse import parse_qs, urlsplit

from keyless.testing.claims import github_claims, merge
from keyless.testing.faults import Fault, fail
from keyless.testing.issuer import FakeIssuer
from keyless.testing.loopback import LoopbackServer, send_json

API_VERSION: Final = "2.0"  # the query that GitHub's URL carries, which a client must keep when it adds `audience`


@dataclass(frozen=True, slots=True)
class MintRequest:
    """One request for an id token, as it arrived."""

    path: str
    audiences: tuple[str, ...]
    query_kept: bool
    authorized: bool
    headers: Mapping[str, str]

    @property
    def well_formed(self) -> bool:
        """Tell whether it is what GitHub documents: authorised, one audience, the URL's own query untouched."""
        return self.authorized and len(self.audiences) == 1 and self.query_kept


class GitHubJob:
    """One job: its claims, its credentials and what it asked for.

    Made by `FakeGitHub.job`. Change `claims` to change what the next token says.
    """

    def __init__(self, origin: str, claims: Mapping[str, object], *, id_token_permission: bool) -> None:
        self.claims: dict[str, object] = dict(claims)
        self.id_token_permission: Final = id_token_permission
        self.lifetime_seconds = 300
        self.requests: Final[list[MintRequest]] = []
        # The state is in the path and the bearer, never in the query: the real hf replaces the query.
        self.path: Final = f"/{secrets.token_hex(8)}/idtoken"
        self._request_token: Final = secrets.token_urlsafe(48)
        self._origin: Final = origin

    @property
    def mints(self) -> int:
        """Return how often an id token was asked for."""
        return len(self.requests)

    def authorizes(self, authorization: str) -> bool:
        """Check a request's `Authorization` header; the scheme's case does not matter (RFC 9110 section 11.1)."""
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(token, self._request_token)

    def environ(self) -> dict[str, str]:
        """Return the variables that GitHub's runner sets ("Default environment variables").

        The two that mint are there only with the permission: a job without `id-token: write` and a fork's pull request
        do not get them.
        """
        ref = self._text("ref")
        environment = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": self._text("actor"),
            "GITHUB_ACTOR_ID": self._text("actor_id"),
            "GITHUB_API_URL": "https://api.github.com",
            "GITHUB_EVENT_NAME": self._text("event_name"),
            "GITHUB_JOB": "train",
            "GITHUB_REF": ref,
            "GITHUB_REF_NAME": ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
            "GITHUB_REF_PROTECTED": self._text("ref_protected"),
            "GITHUB_REF_TYPE": self._text("ref_type"),
            "GITHUB_REPOSITORY": self._text("repository"),
            "GITHUB_REPOSITORY_ID": self._text("repository_id"),
            "GITHUB_REPOSITORY_OWNER": self._text("repository_owner"),
            "GITHUB_REPOSITORY_OWNER_ID": self._text("repository_owner_id"),
            "GITHUB_RUN_ATTEMPT": self._text("run_attempt"),
            "GITHUB_RUN_ID": self._text("run_id"),
            "GITHUB_RUN_NUMBER": self._text("run_number"),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_SHA": self._text("sha"),
            "GITHUB_WORKFLOW": self._text("workflow"),
            "GITHUB_WORKFLOW_REF": self._text("workflow_ref"),
            "RUNNER_ENVIRONMENT": self._text("runner_environment"),
            "RUNNER_OS": "Linux",
        }
        if self.id_token_permission:
            environment["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{self._origin}{self.path}?api-version={API_VERSION}"
            environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = self._request_token
        return environment

    def _text(self, claim: str) -> str:
        return str(self.claims.get(claim, ""))


class FakeGitHub(LoopbackServer):
    """Serve the id-token request URL of any number of jobs; the first one exists from the start.

    `claims`, `environ`, `requests` and `mints` are those of the first job; `job` adds others.
    """

    def __init__(self, issuer: FakeIssuer, claims: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self.issuer: Final = issuer
        self._jobs: Final[dict[str, GitHubJob]] = {}
        self._lock: Final = Lock()
        self._fault: Fault | None = None
        self._claims: Final = dict(claims or {})
        self.first: Final = self.job()

    def job(self, *, id_token_permission: bool = True, **claims: object) -> GitHubJob:
        """Add a job.

        Args:
            id_token_permission: False for a job without `id-token: write`, or a fork's pull request.
            claims: What differs from the first job as it was made; `DROP` leaves a claim out.
        """
        merged = github_claims(**{**self._claims, **claims})
        job = GitHubJob(self.origin, merged, id_token_permission=id_token_permission)
        with self._lock:
            self._jobs[job.path] = job
        return job

    @property
    def claims(self) -> dict[str, object]:
        """Return the first job's claims, to read and to change."""
        return self.first.claims

    @property
    def requests(self) -> list[MintRequest]:
        """Return what the first job asked for."""
        return self.first.requests

    @property
    def mints(self) -> int:
        """Return how often the first job asked for an id token."""
        return self.first.mints

    def environ(self) -> dict[str, str]:
        """Return the first job's environment."""
        return self.first.environ()

    def misbehave(self, mode: Fault | str) -> None:
        """Fail at every mint from now on."""
        self._fault = Fault(mode)

    def behave(self) -> None:
        """Mint again."""
        self._fault = None

    def mint(self, audience: str, job: GitHubJob | None = None, **overrides: object) -> str:
        """Mint without HTTP, for a test that starts with a token."""
        return self.issuer.mint(merge((job or self.first).claims, {"aud": audience, **overrides}))

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve the request for an id token ("OpenID Connect reference", methods for requesting the token)."""
        url = urlsplit(handler.path)
        with self._lock:
            job = self._jobs.get(url.path)
        if job is None:
            send_json(handler, 404, {"message": "no such job"})
            return
        query = parse_qs(url.query, keep_blank_values=True)
        audiences = tuple(query.get("audience", ()))
        request = MintRequest(
            path=handler.path,
            audiences=audiences,
            query_kept=query.get("api-version") == [API_VERSION],
            authorized=job.authorizes(handler.headers.get("Authorization", "")),
            headers={name: value for name, value in handler.headers.items() if name.lower() != "authorization"},
        )
        with self._lock:
            job.requests.append(request)
        if self._fault is not None:
            fail(handler, self._fault, self.closing)
        elif not request.authorized or not job.id_token_permission:
            send_json(handler, 401, {"message": "the request token is not valid for this job"})
        elif len(audiences) > 1:
            send_json(handler, 400, {"message": "one audience at most"})
        else:
            # Without an audience GitHub names the repository's owner; relying parties refuse that.
            audience = audiences[0] if audiences else f"https://github.com/{job.claims.get('repository_owner')}"
            token = self.issuer.mint(job.claims, lifetime_seconds=job.lifetime_seconds, aud=audience)
            send_json(handler, 200, {"count": len(token), "value": token})
