"""A browser without a screen: it keeps cookies, sends forms as browsers do, and reads what comes back."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from tests.server.service import Service
from tests.support.asgi import Answer, ask

HOST = "127.0.0.1:8081"
SAME_ORIGIN = {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}


class Browser:
    """Visit the pages of a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.cookie = ""
        self.agent = "Mozilla/5.0"
        self.attempt = ""  # the cookie of a sign-in that is under way

    def get(self, path: str, /, **query: str) -> Answer:
        """Open a page."""
        return self.follow(path, {}, **query)

    def follow(self, path: str, headers: Mapping[str, str], /, **query: str) -> Answer:
        """Follow a link with the headers that tell where it was."""
        return self._send("GET", path, query=urlencode(query), headers={"Host": HOST, **headers})

    def post(self, path: str, /, **fields: str) -> Answer:
        """Send a form from a page of ours."""
        return self.forge(path, SAME_ORIGIN, **fields)

    def forge(self, path: str, headers: Mapping[str, str], /, **fields: str) -> Answer:
        """Send a form with the headers of another place."""
        body = urlencode(fields).encode()
        content = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", path, body=body, headers={**headers, **content})

    def sign_in(self, code: str, *, name: str = "", to: str = "/ui/") -> Answer:
        """Send the sign-in form."""
        return self.post("/sign-in", code=code, name=name, next=to)

    def _send(self, method: str, path: str, *, query: str = "", body: bytes = b"", headers: dict[str, str]) -> Answer:
        sent = {"keyless_session": self.cookie, "keyless_sign_in": self.attempt}
        if line := "; ".join(f"{name}={value}" for name, value in sent.items() if value):
            headers = {**headers, "Cookie": line}
        headers = {"User-Agent": self.agent, **headers}
        answer = ask(self.service.app.inside, method, f"/ui{path}", body=body, query=query, headers=headers)
        for line in answer.cookies:
            name, _, value = line.partition(";")[0].partition("=")
            if name == "keyless_session":
                self.cookie = value
            else:
                assert name == "keyless_sign_in"
                self.attempt = value
        return answer


def text_of(answer: Answer) -> str:
    """Return what a person reads of a page."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.body.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
