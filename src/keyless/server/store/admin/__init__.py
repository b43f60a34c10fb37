"""Changing trust: what people do through the command line, and later through the API (D13).

SQLAlchemy Core, one transaction for each change, its audit row inside it, and `meta.trust_version` grown so that every
running server notices at its next exchange.
"""

from keyless.server.store.admin.administration import Administration
from keyless.server.store.admin.description import NewPublisher, description_of
from keyless.server.store.admin.issuers import NewIssuer
from keyless.server.store.admin.people import People
from keyless.server.store.admin.resources import Locks, ResourceState

__all__ = ["Administration", "Locks", "NewIssuer", "NewPublisher", "People", "ResourceState", "description_of"]
