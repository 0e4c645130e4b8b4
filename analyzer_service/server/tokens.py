"""Bearer tokens with roles.

Loopback is no authentication: notebook hosts share it, and any web page can post to it. So the
first start writes three random tokens to a file only its owner can read, and the commands of the
same account find them there by themselves.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from analyzer_service.errors import SettingsError
from analyzer_service.secret_files import read_or_create

FILE_NAME: Final = "tokens.json"
TOKEN_BYTES: Final = 32
"""256 random bits: out of reach of guessing, whatever the rate."""


class Role(StrEnum):
    """What a token may do."""

    READER = "reader"
    """Read aggregates."""
    WRITER = "writer"
    """Write telemetry rows; nothing of the gRPC API."""
    OPERATOR = "operator"
    """Everything a reader may, rows about one person, SQL, and start analyses."""


GRANTS: Final = {
    Role.READER: frozenset({Role.READER}),
    Role.WRITER: frozenset({Role.WRITER}),
    Role.OPERATOR: frozenset({Role.READER, Role.OPERATOR}),
}
"""Role of a token → roles it may act in."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One token for each role."""

    reader: str = field(repr=False)
    writer: str = field(repr=False)
    operator: str = field(repr=False)

    def role_of(self, token: str) -> Role | None:
        """Return the role of a token, None for a foreign one; takes the same time either way."""
        found = None
        for role in Role:
            if hmac.compare_digest(getattr(self, role).encode(), token.encode()):
                found = role
        return found


def tokens_file(state_folder: Path) -> Path:
    """Return where the tokens of a state folder are."""
    return state_folder / FILE_NAME


def load_tokens(state_folder: Path) -> Tokens:
    """Return the tokens of a state folder; the first call makes them.

    Raises:
        SettingsError: The file is damaged, cannot be written, or others can read it.
    """
    path = tokens_file(state_folder)
    text = read_or_create(
        path, lambda: json.dumps({role: secrets.token_urlsafe(TOKEN_BYTES) for role in Role})
    )
    try:
        found = json.loads(text)
        tokens = {str(role): str(found[role]) for role in Role}
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} does not hold the tokens.",
            hint="Delete it: the next start makes new ones.",
            field="state_folder",
        ) from error
    if not all(tokens.values()):
        raise SettingsError(f"{path} has an empty token.", hint="Delete it.", field="state_folder")
    return Tokens(**tokens)
