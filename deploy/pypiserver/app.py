"""pypiserver behind nginx and keyless: a file is taken and given only if the caller's token is for its project.

    waitress-serve --listen 127.0.0.1:8091 app:application

nginx has checked the token and says in `X-Keyless-Resource` and `X-Keyless-Also` what it is for (docs/how-to/pypi.md).
Which project a file belongs to stands in the upload's body, and in file names, where no proxy looks: so it is compared
here, by the very function with which pypiserver finds a file's project. Nobody but nginx may reach this server.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import pypiserver
from pypiserver.backend import SimpleFileBackend
from pypiserver.bottle_wrapper import HTTPError, request
from pypiserver.pkg_helpers import guess_pkgname_and_version, normalize_pkgname_for_url

FOLDER = os.environ.get("PYPISERVER_PACKAGES", "/var/lib/pypiserver")
PACKAGES = "/packages/"


def require_project(filename: str) -> None:
    """Refuse a file of a project that the token is not for."""
    headers = request.headers
    allowed = f"{headers.get('X-Keyless-Resource', '')} {headers.get('X-Keyless-Also', '')}".split()
    guessed = guess_pkgname_and_version(filename)
    project = normalize_pkgname_for_url(guessed[0]) if guessed else "?"
    if f"pypi/{project}" not in allowed:
        raise HTTPError(403, f"the token is for {' '.join(allowed) or 'nothing'}, and not for pypi/{project}")


class Backend(SimpleFileBackend):
    """The folder of packages, with one more question before a file is added."""

    def add_package(self, filename: str, stream: BinaryIO) -> None:
        """Store an uploaded file, or the signature that came with it."""
        require_project(filename.removesuffix(".asc"))
        super().add_package(filename, stream)

    def remove_package(self, _pkg: object) -> None:
        """Refuse: nothing that was published is taken back by a CI job."""
        raise HTTPError(403, "packages are removed on the server, not by a job")


pypiserver.config.get_file_backend = Backend
application = pypiserver.app(
    roots=[FOLDER],
    backend_arg="auto",
    authenticate=[],
    password_file=".",
    disable_fallback=True,
    overwrite=False,
)


@application.hook("before_request")
def require_project_of_download() -> None:
    """Refuse a download of another project; its page was a matter of nginx's rules."""
    if request.path.startswith(PACKAGES) and request.path != PACKAGES:
        require_project(request.path.rpartition("/")[2])
