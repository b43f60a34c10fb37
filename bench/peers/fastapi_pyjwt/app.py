"""A token exchange as most teams would write it: FastAPI, PyJWT and SQLAlchemy, each as its documentation shows it.

It checks the id token, looks for a publisher, claims the id token, writes an audit row, and signs. It does less than
the service beside it: no clock leeway rules, one condition, no refusal worth reading. Two things are for the
comparison only: SQLite syncs at every commit, as the service's does; and the claimed `jti` gets a serial number, for
the peers share one set of id tokens that goes round, and every exchange is to be a real insert.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Form, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, event, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONFIG = json.loads(Path(os.environ["PEER_CONFIG"]).read_text())
KEY = ec.generate_private_key(ec.SECP256R1())
JWKS = jwt.PyJWKClient(CONFIG["jwks_uri"])
SERIAL = itertools.count()
LIFETIME = dt.timedelta(hours=1)

engine = create_async_engine(os.environ.get("PEER_DATABASE") or f"sqlite+aiosqlite:///{CONFIG['database']}")
session_factory = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def _pragmas(connection: Any, _record: object) -> None:
    if engine.dialect.name != "sqlite":
        return
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=30000")


class Base(DeclarativeBase):
    """Parent of the tables."""


class Publisher(Base):
    """Which repository may publish what."""

    __tablename__ = "publisher"
    id: Mapped[int] = mapped_column(primary_key=True)
    issuer: Mapped[str]
    resource: Mapped[str] = mapped_column(index=True)
    repository_id: Mapped[str]


class UsedToken(Base):
    """An id token that has been exchanged."""

    __tablename__ = "used_token"
    jti: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)


class AuditEvent(Base):
    """One exchange."""

    __tablename__ = "audit_event"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    jti: Mapped[str]
    issuer: Mapped[str]
    subject: Mapped[str]
    repository: Mapped[str]
    repository_id: Mapped[str]
    run_id: Mapped[str]
    ref: Mapped[str]
    resource: Mapped[str]
    publisher_id: Mapped[int]
    outcome: Mapped[str]


class TokenResponse(BaseModel):
    """RFC 8693 section 2.2.1."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int = int(LIFETIME.total_seconds())
    issued_token_type: str = "urn:ietf:params:oauth:token-type:access_token"


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with session_factory.begin() as session:
        session.add(
            Publisher(
                issuer=CONFIG["issuer"], resource=CONFIG["resource"], repository_id=CONFIG["claims"]["repository_id"]
            )
        )
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/oauth/token")
async def token(
    grant_type: Annotated[str, Form()], subject_token: Annotated[str, Form()], resource: Annotated[str, Form()]
) -> TokenResponse:
    """Exchange an id token."""
    if grant_type != "urn:ietf:params:oauth:grant-type:token-exchange":
        raise HTTPException(400, "unsupported_grant_type")
    try:
        claims = jwt.decode(
            subject_token,
            JWKS.get_signing_key_from_jwt(subject_token).key,
            algorithms=["RS256"],
            audience=CONFIG["audience"],
            issuer=CONFIG["issuer"],
            options={"require": ["exp", "iat", "nbf", "jti", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise HTTPException(400, "invalid_grant") from error
    async with session_factory.begin() as session:
        publisher = await session.scalar(
            select(Publisher).where(
                Publisher.issuer == claims["iss"],
                Publisher.resource == resource,
                Publisher.repository_id == claims["repository_id"],
            )
        )
        if publisher is None:
            raise HTTPException(400, "invalid_grant")
        now = dt.datetime.now(dt.UTC)
        token_id = str(uuid.uuid4())
        session.add(UsedToken(jti=f"{claims['jti']}.{next(SERIAL)}", expires_at=claims["exp"]))
        session.add(
            AuditEvent(
                at=now,
                jti=token_id,
                issuer=claims["iss"],
                subject=claims["sub"],
                repository=claims["repository"],
                repository_id=claims["repository_id"],
                run_id=claims["run_id"],
                ref=claims["ref"],
                resource=resource,
                publisher_id=publisher.id,
                outcome="granted",
            )
        )
    access_token = jwt.encode(
        {
            "iss": CONFIG["audience"],
            "aud": CONFIG["audience"],
            "sub": f"publisher:{publisher.id}",
            "client_id": str(publisher.id),
            "jti": token_id,
            "iat": now,
            "exp": now + LIFETIME,
            "resource": resource,
            "scope": "read write create",
        },
        KEY,
        algorithm="ES256",
        headers={"typ": "at+jwt", "kid": "peer"},
    )
    return TokenResponse(access_token=access_token)
