"""Everything that can go wrong, as one tree.

AnalyzerError
├── InvalidInputError        a field of a request, file or setting is wrong
│   ├── SettingsError        a setting of the service
│   ├── ScenarioError        a scenario file
│   ├── RuleSetError         a rule set
│   ├── MappingError         a replay mapping
│   ├── SignalMapError       a rule of the signal map
│   └── PageTokenError       a page token that is not ours
├── QueryRefusedError        a user's SQL did not pass the gate
├── QueryLimitError          a user's SQL asked for too much
├── QueryFailedError         a user's SQL is wrong
├── NotFoundError            no such analysis, challenge, user, file
├── NothingToAnalyzeError    the store holds nothing for the window
├── BusyError                an analysis is already running
│   └── DerivationRunningError   signals are already being derived again
├── StoreError               the store did not do what it was told
│   ├── StoreBusyError       another process owns the embedded store
│   └── SchemaError          the store's schema is not this version's
├── UnavailableError         a service does not answer
├── AuthenticationError      no valid token
└── RoleError                the token's role may not do this

Each error has a stable ``reason`` for programs, a message for people and a ``hint``, the cure.
``OUTCOMES`` is the one table from errors to gRPC status names and exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class AnalyzerError(Exception):
    """Something went wrong in the Analyzer."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str = "", *, hint: str = "", field: str = "") -> None:
        """Say what went wrong; without a message the class's own first line says it."""
        doc = (type(self).__doc__ or "").strip().splitlines()[0]
        self.message = message or doc
        self.hint = hint
        self.field = field
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInputError(AnalyzerError):
    """A field has a value that cannot be used."""

    reason = "INVALID_INPUT"


class SettingsError(InvalidInputError):
    """A setting of the service cannot be used."""

    reason = "INVALID_SETTING"


class ScenarioError(InvalidInputError):
    """The scenario file cannot be used."""

    reason = "INVALID_SCENARIO"


class RuleSetError(InvalidInputError):
    """The rule set cannot be used."""

    reason = "INVALID_RULE_SET"


class MappingError(InvalidInputError):
    """The replay mapping cannot be used."""

    reason = "INVALID_MAPPING"


class SignalMapError(InvalidInputError):
    """A rule of the signal map cannot be used."""

    reason = "INVALID_SIGNAL_MAP"


class PageTokenError(InvalidInputError):
    """The page token is not one this list gave out."""

    reason = "INVALID_PAGE_TOKEN"


class QueryRefusedError(AnalyzerError):
    """The query is not one plain SELECT."""

    reason = "QUERY_REFUSED"


class QueryLimitError(AnalyzerError):
    """The query reached its limit of time, memory or rows."""

    reason = "QUERY_LIMIT"


class QueryFailedError(AnalyzerError):
    """The query is wrong."""

    reason = "QUERY_FAILED"


class NotFoundError(AnalyzerError):
    """There is no such thing."""

    reason = "NOT_FOUND"


class NothingToAnalyzeError(AnalyzerError):
    """The store holds no settled signals for the window."""

    reason = "NOTHING_TO_ANALYZE"


class BusyError(AnalyzerError):
    """An analysis is already running."""

    reason = "ANALYSIS_RUNNING"


class DerivationRunningError(BusyError):
    """Signals are already being derived again."""

    reason = "DERIVATION_RUNNING"


class StoreError(AnalyzerError):
    """The store did not do what it was told."""

    reason = "STORE"


class StoreBusyError(StoreError):
    """Another process owns the embedded store."""

    reason = "STORE_BUSY"


class SchemaError(StoreError):
    """The store's schema is not the one this version needs."""

    reason = "SCHEMA"


class UnavailableError(AnalyzerError):
    """The service does not answer."""

    reason = "UNAVAILABLE"


class AuthenticationError(AnalyzerError):
    """No valid token came with the request."""

    reason = "UNAUTHENTICATED"


class RoleError(AnalyzerError):
    """The token's role may not do this."""

    reason = "ROLE"


OUTCOMES: Mapping[type[AnalyzerError], tuple[str, int]] = {
    AnalyzerError: ("INTERNAL", 1),
    InvalidInputError: ("INVALID_ARGUMENT", 2),
    SettingsError: ("INVALID_ARGUMENT", 2),
    ScenarioError: ("INVALID_ARGUMENT", 2),
    RuleSetError: ("INVALID_ARGUMENT", 2),
    MappingError: ("INVALID_ARGUMENT", 2),
    SignalMapError: ("INVALID_ARGUMENT", 2),
    PageTokenError: ("INVALID_ARGUMENT", 2),
    QueryRefusedError: ("INVALID_ARGUMENT", 2),
    QueryFailedError: ("INVALID_ARGUMENT", 2),
    QueryLimitError: ("RESOURCE_EXHAUSTED", 3),
    NotFoundError: ("NOT_FOUND", 4),
    NothingToAnalyzeError: ("FAILED_PRECONDITION", 5),
    BusyError: ("ABORTED", 6),
    DerivationRunningError: ("ABORTED", 6),
    StoreError: ("INTERNAL", 7),
    StoreBusyError: ("FAILED_PRECONDITION", 7),
    SchemaError: ("FAILED_PRECONDITION", 7),
    UnavailableError: ("UNAVAILABLE", 8),
    AuthenticationError: ("UNAUTHENTICATED", 9),
    RoleError: ("PERMISSION_DENIED", 9),
}
"""gRPC status name and process exit code of every error class."""


def error_for(reason: str) -> type[AnalyzerError]:
    """Return the class with a reason; the root for one that no class has."""
    return next((kind for kind in OUTCOMES if kind.reason == reason), AnalyzerError)
