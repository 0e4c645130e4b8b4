"""A signal map with its answers in memory, for tests of what stands in front of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from analyzer_service.signal_map import (
    Derivation,
    MapChange,
    MapListing,
    MapVerdict,
    SignalName,
    UnmappedName,
)

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class MemorySignalMap:
    """Satisfies SignalMapInterface: an empty map in its first version."""

    version: int = 1

    def listing(self) -> MapListing:
        return MapListing(self.version, (), (), ())

    def judge(self, names: Sequence[SignalName]) -> tuple[MapVerdict, ...]:
        return tuple(MapVerdict(name, 0, (), "", name.service, name.name, "") for name in names)

    def add(self, rules_yaml: str, *, source: str = "", dry_run: bool = False) -> MapChange:
        return MapChange(self.version, applied=bool(rules_yaml + source) and not dry_run)

    def remove(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        return MapChange(self.version, applied=not dry_run, removed=(rule_id,))

    def restore(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        return MapChange(self.version, applied=not dry_run, replaced=(rule_id,))

    def derive(
        self, *, window_start: datetime | None = None, window_end: datetime | None = None
    ) -> Iterator[Derivation]:
        yield Derivation(window_start or START, window_end or START, self.version, done=True)

    def unmapped(
        self,
        *,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        limit: int = 50,
        inner_spans: bool = False,
    ) -> tuple[UnmappedName, ...]:
        first, last = window_start or START, window_end or START
        name = SignalName("inner" if inner_spans else "outer", "GET /")
        return (UnmappedName(name, "traces", limit, 0, first, last),)
