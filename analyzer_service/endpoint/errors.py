"""Errors as a ClickHouse server answers them: a code, a name, a status, one line of text."""

from __future__ import annotations

import re
from typing import Final

from analyzer_service.errors import (
    AnalyzerError,
    QueryFailedError,
    QueryLimitError,
    QueryRefusedError,
)
from analyzer_service.store.faults import engine_code, engine_name

CODES: Final = {
    "NO_SUCH_COLUMN_IN_TABLE": 16,
    "BAD_ARGUMENTS": 36,
    "NOT_IMPLEMENTED": 48,
    "UNKNOWN_TABLE": 60,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_FORMAT": 73,
    "UNKNOWN_DATABASE": 81,
    "UNKNOWN_COMPRESSION_METHOD": 89,
    "UNKNOWN_SETTING": 115,
    "READONLY": 164,
    "CHECKSUM_DOESNT_MATCH": 40,
    "CANNOT_DECOMPRESS": 271,
    "LIMIT_EXCEEDED": 290,
    "ACCESS_DENIED": 497,
    "AUTHENTICATION_FAILED": 516,
    "UNKNOWN_EXCEPTION": 1002,
}
"""ClickHouse's numbers for the names used here."""

STATUSES: Final = {
    "NOT_IMPLEMENTED": 501,
    "UNKNOWN_TABLE": 404,
    "UNKNOWN_DATABASE": 404,
    "LIMIT_EXCEEDED": 413,
    "READONLY": 403,
    "ACCESS_DENIED": 403,
    "AUTHENTICATION_FAILED": 403,
}
"""HTTP status of a name; the caller's other mistakes are 400, the store's failures 500."""

_NAMED = re.compile(r" ?\(([A-Z][A-Z0-9_]{3,})\)")


class EndpointError(Exception):
    """A request that is answered with an error.

    Args:
        name: ClickHouse's word for it, a key of ``CODES`` unless a code is given.
        message: the sentence.
        code: ClickHouse's number, where the engine said one.
        status: the HTTP status, where the name does not decide it.
    """

    def __init__(self, name: str, message: str, *, code: int = 0, status: int = 0) -> None:
        self.name = name
        self.code = code or CODES.get(name, CODES["UNKNOWN_EXCEPTION"])
        self.status = status or STATUSES.get(name, 400)
        self.message = message.strip().rstrip(".")
        super().__init__(self.text)

    @property
    def text(self) -> str:
        """The body of the answer."""
        return f"Code: {self.code}. DB::Exception: {self.message}. ({self.name})\n"


class TooLargeError(EndpointError):
    """A body above a limit on bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "LIMIT_EXCEEDED",
            f"The body is larger than {limit} bytes after decompression: send smaller batches",
        )


def as_endpoint_error(error: AnalyzerError) -> EndpointError:
    """Return what a client is told about one of our errors."""
    message = str(error)
    named = _NAMED.search(message)
    code = engine_code(error.__cause__)
    if code:
        name = engine_name(error.__cause__).upper()
        name = named.group(1) if name == "REFUSED" and named else name
    elif isinstance(error, QueryRefusedError):
        name = "ACCESS_DENIED"
    elif named and named.group(1) in CODES:
        name = named.group(1)
    elif isinstance(error, QueryLimitError):
        name = "LIMIT_EXCEEDED"
    else:
        name = "UNKNOWN_EXCEPTION"
    users = isinstance(error, QueryRefusedError | QueryFailedError | QueryLimitError)
    status = STATUSES.get(name, 400) if users else 500
    return EndpointError(name, _NAMED.sub("", message, count=1), code=code, status=status)
