"""The signal map as the service offers it: look at it, try names, change it, derive again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime

from analyzer_service.clock import Clock
from analyzer_service.errors import DerivationRunningError
from analyzer_service.signal_map import (
    Derivation,
    MapChange,
    MapListing,
    MapVerdict,
    RuleOrigin,
    SignalName,
    UnmappedName,
)
from analyzer_service.store.connect import Store
from analyzer_service.store.signal_map.derivation import derive
from analyzer_service.store.signal_map.files import parse_rules
from analyzer_service.store.signal_map.keeper import MapKeeper
from analyzer_service.store.signal_map.unmapped import unmapped_names


class MapService:
    """Everything that can be done with the map of a store; safe to call from many threads."""

    def __init__(
        self, store: Store, clock: Clock, *, settle_again: Callable[[Sequence[date]], int]
    ) -> None:
        """Work on an open, migrated store with its map installed.

        Args:
            store: The store.
            clock: For the time written to signals derived again.
            settle_again: Settles some event days again and returns how many.
        """
        self._store = store
        self._clock = clock
        self._settle_again = settle_again
        self._keeper = MapKeeper(store)
        self._deriving = threading.Lock()

    def listing(self) -> MapListing:
        """Return the map in force."""
        return self._keeper.listing()

    def judge(self, names: Sequence[SignalName]) -> tuple[MapVerdict, ...]:
        """Return what the map makes of some names; InvalidInputError."""
        return self._keeper.judge(names)

    def add(self, rules_yaml: str, *, source: str = "", dry_run: bool = False) -> MapChange:
        """Put rules in force, all or none; SignalMapError names what is wrong with one.

        Args:
            rules_yaml: The rules as YAML.
            source: What to call that text in errors.
            dry_run: Prove them and change nothing.
        """
        rules = parse_rules(rules_yaml, source or "rules", origin=RuleOrigin.OPERATOR)
        return self._keeper.add(rules, dry_run=dry_run)

    def remove(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Take a rule out of force; NotFoundError."""
        return self._keeper.remove(rule_id, dry_run=dry_run)

    def restore(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Put a shipped rule back that was removed or replaced; NotFoundError."""
        return self._keeper.restore(rule_id, dry_run=dry_run)

    def derive(
        self, *, window_start: datetime | None = None, window_end: datetime | None = None
    ) -> Iterator[Derivation]:
        """Derive the signals that arrived in a window again and settle the days that changed.

        Yields how far it is, at last with ``done``. Whoever stops listening stops it after the
        piece it is at; what is derived by then is settled all the same.

        Raises:
            DerivationRunningError: One is at work already.
            InvalidInputError: The window ends before it starts.
        """
        if not self._deriving.acquire(blocking=False):
            raise DerivationRunningError(hint="Try again when it has ended.")
        touched: set[date] = set()
        state: Derivation | None = None
        settled = 0
        try:
            for state in derive(
                self._store,
                self._clock,
                window_start=window_start,
                window_end=window_end,
                touched=touched,
            ):
                yield state
        finally:
            try:
                settled = self._settle_again(sorted(touched))
            finally:
                self._deriving.release()
        if state is not None:
            yield replace(state, days_settled=settled, done=True)

    def unmapped(
        self,
        *,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        limit: int = 50,
        inner_spans: bool = False,
    ) -> tuple[UnmappedName, ...]:
        """Return the most frequent names without a stage, of what arrived in a window."""
        return unmapped_names(
            self._store,
            window_start=window_start,
            window_end=window_end or self._clock.now(),
            limit=limit,
            inner_spans=inner_spans,
        )
