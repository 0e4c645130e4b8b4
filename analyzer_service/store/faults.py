"""The engine's errors in our words: what they mean, whose fault they are, nothing that leaks.

Engine messages carry version trailers, the internal form of the query and file names of temporary
inserts; people get none of these.
"""

from __future__ import annotations

import re

from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from analyzer_service.errors import StoreError

MESSAGE_LENGTH = 600
"""Longer engine messages repeat the data or the query."""

NOT_THE_CONTENTS_FAULT = frozenset(
    {
        16,  # NO_SUCH_COLUMN_IN_TABLE: the schema is not ours
        47,  # UNKNOWN_IDENTIFIER
        48,  # NOT_IMPLEMENTED
        57,  # TABLE_ALREADY_EXISTS
        60,  # UNKNOWN_TABLE
        62,  # SYNTAX_ERROR: our statement
        73,  # UNKNOWN_FORMAT: the caller's choice
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        77,  # CANNOT_CLOSE_FILE
        81,  # UNKNOWN_DATABASE
        95,  # CANNOT_READ_FROM_SOCKET
        96,  # CANNOT_WRITE_TO_SOCKET
        107,  # FILE_DOESNT_EXIST
        115,  # UNKNOWN_SETTING
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        164,  # READONLY
        173,  # CANNOT_ALLOCATE_MEMORY
        192,  # UNKNOWN_USER
        193,  # WRONG_PASSWORD
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        218,  # TABLE_IS_DROPPED
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        244,  # UNEXPECTED_ZOOKEEPER_ERROR
        252,  # TOO_MANY_PARTS: back off and retry (partitions go by arrival, never by content)
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
        999,  # KEEPER_EXCEPTION
    }
)
"""Engine error codes that another attempt may not see. Every other refusal is the content's: rather
a rejected row with its reason and text than a batch that blocks all others for good."""

_SCOPE = re.compile(
    r":?\s*(In scope |While executing |while executing |\(in file/uri |\(at row ).*", re.S
)
_TRAILER = re.compile(r"\s*\(version [^)]*\)|Stack trace:.*", re.S)
_PREFIX = re.compile(r"^(?:Code: \d+\. )?(?:DB::Exception: )?", re.S)
_PATH = re.compile(r"(?<![\w:/])/(?:[\w.+-]+/)+[\w.+-]*")
_SIGNATURE = re.compile(r"\(([A-Z][A-Z0-9_]{3,})\)\s*$")


def engine_code(error: BaseException | None) -> int:
    """Return the engine's number for what went wrong, 0 where it gave none."""
    while error is not None:
        if isinstance(error, DatabaseError):
            return error.code or 0
        error = error.__cause__
    return 0


def engine_name(error: BaseException | None) -> str:
    """Return the engine's word for what went wrong in lower case, ``refused`` if it gave none."""
    while error is not None:
        if isinstance(error, DatabaseError) and error.name:
            return error.name.lower()
        error = error.__cause__
    return "refused"


def engine_message(error: BaseException) -> str:
    """Return what the engine says, in one line, without its internals or file names."""
    text = str(error)
    name = getattr(error, "name", None)
    signature = _SIGNATURE.search(text)
    if not name and signature:
        name = signature.group(1)
    text = _TRAILER.sub("", text)
    for _ in range(2):  # a failed insert repeats the prefix
        text = _PREFIX.sub("", text)
    text = _SCOPE.sub("", text)
    text = _SIGNATURE.sub("", text)
    text = _PATH.sub("<path>", text)
    text = re.sub(r"\s+", " ", text).strip(" .:")
    if len(text) > MESSAGE_LENGTH:
        text = text[:MESSAGE_LENGTH] + "…"
    return f"{text} ({name})" if name and name not in text else text


def store_error(what: str, error: ClickHouseError) -> StoreError:
    """Return the error to raise (from ``error``) where a trusted statement failed."""
    code = engine_code(error)
    if isinstance(error, DatabaseError) and code:
        hint = "" if code not in NOT_THE_CONTENTS_FAULT else "Look at the store and try again."
        return StoreError(f"The store could not {what}: {engine_message(error)}.", hint=hint)
    return StoreError(f"The store could not {what}: {engine_message(error)}.")


def content_at_fault(error: StoreError) -> bool:
    """Say whether another attempt with the same rows must fail again."""
    code = engine_code(error)
    return code != 0 and code not in NOT_THE_CONTENTS_FAULT
