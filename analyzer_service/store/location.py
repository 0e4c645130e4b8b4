"""Where a store is: the URL a person writes, parsed once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from analyzer_service.errors import InvalidInputError

FORMS = (
    "chdb:///absolute/path, chdb://memory, clickhouse://user:password@host:8123/database "
    "or clickhouses://user:password@host:8443/database"
)

HTTP_PORT, HTTPS_PORT = 8123, 8443
"""ClickHouse's own ports for its HTTP interface."""

_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """A store's address; the password is in no representation of it."""

    url: str
    """The URL as it may be shown: without the password."""
    embedded: bool
    path: Path | None = None
    """Folder of an embedded store; None in memory and for servers."""
    host: str = ""
    port: int = 0
    secure: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = "default"

    def client_arguments(self, *, database: bool = True) -> Mapping[str, object]:
        """Return what names this store to ``clickhouse_connect.get_client``.

        Args:
            database: whether to select the database, which must then exist.
        """
        if self.embedded:
            return {"interface": "chdb", "path": str(self.path) if self.path else ":memory:"}
        return {
            "interface": "https" if self.secure else "http",
            "host": self.host,
            "port": self.port,
            "username": self.user or None,
            "password": self.password,
            "database": self.database if database else None,
            # One handle serves one thread at a time, so no session is needed; without one a
            # handle that was given up while its query still runs does not lock out the next.
            "autogenerate_session_id": False,
            "client_name": "mlp-analyzer",
        }


def parse_location(url: str) -> StoreLocation:
    """Read a store URL.

    Raises:
        InvalidInputError: it has none of the known forms; the message never repeats the URL,
            which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("it cannot be read as a URL") from None
    if parts.scheme == "chdb":
        return _embedded(parts)
    if parts.scheme in ("clickhouse", "clickhouses"):
        return _server(parts, port)
    raise _bad(f"its scheme is {parts.scheme or 'missing'!r}")


def _embedded(parts: SplitResult) -> StoreLocation:
    if parts.query or parts.fragment:
        raise _bad("an embedded store takes no options")
    if parts.netloc == "memory" and parts.path in ("", "/"):
        return StoreLocation(url="chdb://memory", embedded=True)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or not path.strip("/") or "\0" in path:
        raise _bad("an embedded store needs an absolute path (three slashes) or the word memory")
    folder = Path(path).resolve()
    return StoreLocation(url=f"chdb://{folder}", embedded=True, path=folder)


def _server(parts: SplitResult, port: int | None) -> StoreLocation:
    if not parts.hostname:
        raise _bad("it names no host")
    if parts.query or parts.fragment:
        raise _bad("it takes no options")
    database = unquote(parts.path.strip("/")) or "default"
    if not _DATABASE.fullmatch(database):
        raise _bad("its database is not a plain name of letters, digits and underscores")
    secure = parts.scheme == "clickhouses"
    port = port or (HTTPS_PORT if secure else HTTP_PORT)
    user = unquote(parts.username or "")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    account = f"{parts.username}@" if parts.username else ""
    return StoreLocation(
        url=f"{parts.scheme}://{account}{host}:{port}/{database}",
        embedded=False,
        host=parts.hostname,
        port=port,
        secure=secure,
        user=user,
        password=unquote(parts.password or ""),
        database=database,
    )


def _bad(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"The store URL cannot be used: {why}.",
        hint=f"It has one of the forms {FORMS}.",
        field="store",
    )
