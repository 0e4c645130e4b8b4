"""What can be asked about the signal map, in this process or behind gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from analyzer_service.signal_map import (
    Derivation,
    MapChange,
    MapListing,
    MapVerdict,
    SignalName,
    UnmappedName,
)


class SignalMapInterface(Protocol):
    """Look at the map, try names, change it, derive signals again."""

    def listing(self) -> MapListing:
        """Return the map in force."""
        ...

    def judge(self, names: Sequence[SignalName]) -> tuple[MapVerdict, ...]:
        """Return what the map makes of some names; InvalidInputError."""
        ...

    def add(self, rules_yaml: str, *, source: str = "", dry_run: bool = False) -> MapChange:
        """Put rules in force, all or none; SignalMapError."""
        ...

    def remove(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Take a rule out of force; NotFoundError."""
        ...

    def restore(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Put a shipped rule back that was removed or replaced; NotFoundError."""
        ...

    def derive(
        self, *, window_start: datetime | None = None, window_end: datetime | None = None
    ) -> Iterator[Derivation]:
        """Derive signals of a window of arrival again and yield how far it is, last when done."""
        ...

    def unmapped(
        self,
        *,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        limit: int = 50,
        inner_spans: bool = False,
    ) -> tuple[UnmappedName, ...]:
        """Return the most frequent names without a stage, of what arrived in a window."""
        ...
