"""RSA keys made by Infineon's library (ROCA, CVE-2017-15361): the public key is enough to find the private one.

The primes are k * M + (65537^a mod M) for a product M of small primes, so the modulus is a power of 65537 modulo each
of these. A good key passes for such a one with a chance below 2^-27. Reference: Nemec et al., "The Return of
Coppersmith's Attack" (2017), section 4. Pure.
"""

from __future__ import annotations

from typing import Final

_GENERATOR: Final = 65537
_PRIMES: Final = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109),
    *(113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)


def _powers(prime: int) -> frozenset[int]:
    found = {power := 1}
    while (power := power * _GENERATOR % prime) not in found:
        found.add(power)
    return frozenset(found)


_POWERS: Final = tuple((prime, _powers(prime)) for prime in _PRIMES)


def is_roca(modulus: int) -> bool:
    """Tell whether an RSA modulus has the fingerprint of that library."""
    return all(modulus % prime in powers for prime, powers in _POWERS)
