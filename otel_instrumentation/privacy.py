"""Pseudonyms of people and digests of arguments.

The pseudonym is so simple because it must come out the same here, in the Collector's
transform language and in the receiver: one person is one user wherever they were seen.
"""

from __future__ import annotations

import hashlib
from typing import Final

from otel_instrumentation import _canonical

PSEUDONYM_LENGTH: Final = 32
"""Hex digits of a pseudonym: 128 bits, so that no two people of a platform meet by chance."""

DIGEST_BYTES: Final = 8
"""64 bits: digests are compared within one user's actions, never across millions."""

_DIGEST_PURPOSE: Final = b"mlp.action"
"""Separates digests from anything else the same salt may key (at most 16 bytes)."""

_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def pseudonym(user_id: str, salt: str) -> str:
    """Derives the pseudonym under which a user's telemetry is stored.

    Args:
        user_id: The user's id as the platform knows it; case and spaces count.
        salt: The operator's secret.

    Returns:
        The first 32 hex digits of SHA-256 over ``salt + ":" + user_id`` in UTF-8.
    """
    hashed = hashlib.sha256(utf8(salt) + b":" + utf8(user_id))
    return hashed.hexdigest()[:PSEUDONYM_LENGTH]


def is_pseudonym(value: object) -> bool:
    """Says whether a value has the form of a pseudonym: 32 lower-case hex digits."""
    return (
        isinstance(value, str) and len(value) == PSEUDONYM_LENGTH and _HEX_DIGITS.issuperset(value)
    )


def digest(arguments: object, key: str) -> str:
    """Digests the arguments of an action, so that "the same again" can be seen.

    Equal arguments give equal digests in every process and Python version: the order of
    mappings and sets does not matter, tuples equal lists, and objects of unknown classes count
    by the name of their class alone, because their text may hold secrets or an address.

    Args:
        arguments: Anything; mappings, sequences and scalars are looked into.
        key: Secret of the operator. With an empty key, digests of guessable arguments can be
            guessed back.

    Returns:
        16 hex digits: BLAKE2b over the normalised arguments, keyed by the hash of ``key``.
    """
    # BLAKE2b takes at most 64 bytes of key; an operator's secret may be longer.
    secret = hashlib.sha256(utf8(key)).digest() if key else b""
    hashed = hashlib.blake2b(
        _canonical.encode(arguments),
        digest_size=DIGEST_BYTES,
        key=secret,
        person=_DIGEST_PURPOSE,
    )
    return hashed.hexdigest()


def utf8(text: str) -> bytes:
    """Encodes a text, giving back the original bytes of names that were not valid UTF-8.

    Python reads such names (of files, of logins) with the ``surrogateescape`` handler; other
    lone surrogates are encoded as they are. Nothing raises.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
