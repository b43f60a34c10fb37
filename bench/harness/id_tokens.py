"""Id tokens as GitHub Actions signs them, by the ten thousand: distinct, RS256, some 2 kB each."""

from __future__ import annotations

import multiprocessing
import os
import time
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from json import dumps
from pathlib import Path
from types import TracebackType
from typing import Final

import cryptography
from cryptography.hazmat.backends.openssl.backend import backend as openssl
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

LIFETIME_SECONDS: Final = 3600  # longer than GitHub's five minutes: they are made at the start and sent until the end


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all tokens of a run have in common."""

    kid: str
    private_der: bytes
    claims: dict[str, object]


def sign_many(recipe: Recipe, count: int) -> list[str]:
    """Sign `count` tokens that differ in `jti` and run; runs in a worker process."""
    key = _private_key(recipe.private_der)
    header = _encode({"alg": "RS256", "kid": recipe.kid, "typ": "JWT", "x5t": recipe.kid[:27]})
    now = int(time.time())
    made = []
    for number in range(count):
        fresh = {"jti": str(uuid.uuid4()), "iat": now, "nbf": now - 600, "exp": now + LIFETIME_SECONDS}
        signed = f"{header}.{_encode({**recipe.claims, **fresh, 'run_id': str(16_411_000_000 + number)})}"
        signature = key.sign(signed.encode("ascii"), padding.PKCS1v15(), SHA256())
        made.append(f"{signed}.{urlsafe_b64encode(signature).decode('ascii').rstrip('=')}")
    return made


@lru_cache(maxsize=1)
def _private_key(der: bytes) -> rsa.RSAPrivateKey:
    """Load a key once in each process: to check it takes longer than to sign with it a hundred times."""
    key = load_der_private_key(der, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the issuer's key is not RSA")
    return key


def _encode(value: dict[str, object]) -> str:
    return urlsafe_b64encode(dumps(value, separators=(",", ":")).encode()).decode("ascii").rstrip("=")


@dataclass
class Pool(AbstractContextManager["Pool"]):
    """Give out tokens, each of them once; make more, on all cores, when a caller wants more than there are."""

    recipe: Recipe
    made: int = 0
    making_seconds: float = 0.0
    _waiting: list[str] = field(default_factory=list)
    _workers: ProcessPoolExecutor = field(
        # `spawn`: the process that calls us runs threads.
        default_factory=lambda: ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    )

    def fill(self, count: int) -> None:
        """Have at least `count` tokens ready."""
        start, batch = time.monotonic(), 500
        batches = -(-max(0, count - len(self._waiting)) // batch)
        for tokens in self._workers.map(sign_many, [self.recipe] * batches, [batch] * batches):
            self._waiting += tokens
            self.made += len(tokens)
        self.making_seconds += time.monotonic() - start

    def take(self, count: int, path: Path) -> None:
        """Write `count` tokens that nobody has had yet into a file, one a line."""
        self.fill(count)
        path.write_text("\n".join(self._waiting[:count]) + "\n")
        del self._waiting[:count]

    def give_back(self, path: Path, used: int) -> None:
        """Take back what is left in a file after its first `used` tokens."""
        self._waiting += path.read_text().split("\n")[used:-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.shutdown(cancel_futures=True)


def cryptography_version() -> str:
    """Return the versions of `cryptography` and of the OpenSSL inside it."""
    return f"{cryptography.__version__} ({openssl.openssl_version_text()})"
