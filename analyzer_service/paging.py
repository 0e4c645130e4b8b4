"""Pages of a list: sizes that hold, tokens that belong to one list."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from typing import Final, TypeVar

from analyzer_service.domain import Page
from analyzer_service.errors import InvalidInputError, PageTokenError

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 50
"""Items where the caller names no size: a screenful."""

MAX_PAGE_SIZE: Final = 1000
"""More is cut to this, as AIP-158 says; a thousand users with bottlenecks are below 1 MiB."""


def page_limit(page_size: int) -> int:
    """Return how many items a page of the asked size holds.

    Raises:
        InvalidInputError: The size is negative.
    """
    if page_size < 0:
        raise InvalidInputError(
            f"page_size is {page_size}, but a page cannot have fewer than no items.",
            field="page_size",
            hint=f"Give 1 to {MAX_PAGE_SIZE}, or 0 for the default of {DEFAULT_PAGE_SIZE}.",
        )
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def page_offset(page_token: str, *scope: str) -> int:
    """Return where the page begins; ``scope`` names the list and its filters.

    Raises:
        PageTokenError: The token is not one this list, with these filters, gave out.
    """
    if not page_token:
        return 0
    try:
        offset, seal = json.loads(base64.urlsafe_b64decode(page_token.encode()))
    except (ValueError, TypeError, binascii.Error):
        offset, seal = -1, -1
    if not isinstance(offset, int) or offset < 0 or seal != _seal(scope):
        raise PageTokenError(
            "page_token is not one this list gave out for these filters.",
            field="page_token",
            hint="Pass next_page_token of the previous answer, or leave it empty to start over.",
        )
    return offset


def page(items: Sequence[T], *, offset: int, total: int, scope: Sequence[str]) -> Page[T]:
    """Return the items as a page that knows how to go on."""
    after = offset + len(items)
    token = ""
    if items and after < total:
        text = json.dumps([after, _seal(tuple(scope))])
        token = base64.urlsafe_b64encode(text.encode()).decode()
    return Page(items=tuple(items), next_token=token, total=total)


def _seal(scope: Sequence[str]) -> int:
    return zlib.crc32("\n".join(scope).encode())
