"""How a command reaches an Analyzer: over gRPC, or by opening a store in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from analyzer_service.domain import Page
from analyzer_service.errors import InvalidInputError

if TYPE_CHECKING:
    from analyzer_service.server.interface import AnalyzerInterface
    from analyzer_service.settings import Settings

PAGE_SIZE: Final = 1000
"""The most a list gives at once."""

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

T = TypeVar("T")


@contextmanager
def connected(*, server: str | None, store: str | None) -> Iterator[AnalyzerInterface]:
    """Give the Analyzer the options ask for, and close it after.

    Raises:
        InvalidInputError: Both a service and a store are named.
    """
    from analyzer_service.settings import Settings  # noqa: PLC0415

    if server and store:
        raise InvalidInputError(
            "--server and --store exclude each other.",
            hint="Ask a running service with --server, or open a store yourself with --store.",
            field="store",
        )
    settings = Settings.load({"server": server, "store": store})
    if store:
        from analyzer_service.app import open_analyzer  # noqa: PLC0415

        with open_analyzer(settings) as local:
            yield local
        return
    from analyzer_service.server.client import RemoteAnalyzer  # noqa: PLC0415

    with RemoteAnalyzer(
        settings.server,
        token=find_token(settings),
        ca_file=settings.server_ca_file,
        certificate_file=settings.tls_certificate_file,
        key_file=settings.tls_key_file,
    ) as remote:
        yield remote


def find_token(settings: Settings) -> str:
    """Return the configured token, else the operator's of the state folder, else nothing.

    The state folder's token is for this machine's service: no other is shown it.
    """
    if settings.token:
        return settings.token
    host = settings.server.rpartition(":")[0]
    if host not in {*LOOPBACK, settings.host, f"[{settings.host}]"}:
        return ""
    from analyzer_service.server.tokens import tokens_file  # noqa: PLC0415

    try:
        found = json.loads(tokens_file(settings.state_folder).read_text(encoding="utf-8"))
        return str(found["operator"])
    except (OSError, ValueError, KeyError, TypeError):
        # The service then says what is missing, and where tokens come from.
        return ""


def collect(fetch: Callable[[int, str], Page[T]], limit: int) -> tuple[list[T], int]:
    """Return the first ``limit`` items of a list (0: all) and how many there are.

    Args:
        fetch: Gives a page by page size and page token.
        limit: Most items wanted; 0 for all.
    """
    items: list[T] = []
    token = ""
    while True:
        wanted = min(limit - len(items), PAGE_SIZE) if limit else PAGE_SIZE
        page = fetch(wanted, token)
        items.extend(page.items)
        token = page.next_token
        if not token or (limit and len(items) >= limit):
            return items, page.total
