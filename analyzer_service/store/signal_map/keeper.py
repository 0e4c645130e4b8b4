"""Keeping the map: shipped rules installed, an operator's own added, removed and put back.

A change is proved first, written as one block, loaded, and asked of the dictionaries the views use;
if that does not come out as proved, the rows before it are written again. Rules are rows of
``signal_map`` by number: a removed one keeps its number and loses its pattern. ``origin`` says
whose the newest row of a number is, so an upgrade replaces only what is still as it shipped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from analyzer_service.errors import (
    AnalyzerError,
    InvalidInputError,
    NotFoundError,
    SignalMapError,
    StoreError,
)
from analyzer_service.signal_map import (
    LONGEST_NAME,
    SHIPPED_RULES_END,
    MapChange,
    MapListing,
    MapRule,
    MapVerdict,
    RuleOrigin,
    SignalName,
)
from analyzer_service.store.connect import Store
from analyzer_service.store.signal_map.files import shipped_rules
from analyzer_service.store.signal_map.proof import matching, prove, shadows
from analyzer_service.store.statements import queries

LOGGER = logging.getLogger(__name__)

MOST_IN_FORCE: Final = 2_000
"""Rules in force at once: proving one more still takes seconds, and no platform has more tools."""

MOST_NAMES: Final = 100
"""Names tested by one call."""

LAST_VERSION: Final = 2**22 - 1
"""Version and arrival share the 64 bits of a signal's precedence: 22 and 42."""

COLUMNS: Final = (
    "rule_id", "priority", "pattern", "stage", "component", "action", "action_kind", "source",
    "example", "counter_example", "origin",
)  # fmt: skip

DICTIONARIES: Final = ("signal_map_rule", "signal_map_match")
"""In the order they are loaded: a number that matches must be known already. Removed rules stay in
the first, so one that still matches for a moment is known as well."""


class MapKeeper:
    """The one writer of the map in this process."""

    def __init__(self, store: Store) -> None:
        """Keep the map of an open, migrated store."""
        self._store = store
        self._changing = threading.Lock()

    def version(self) -> int:
        """Return the version of the map in force."""
        return int(self._store.query(queries["signal_map_version"])[0][0])

    def listing(self) -> MapListing:
        """Return the map in force, by priority."""
        rows = _read(self._store)
        rules = [rule for rule in rows if rule.pattern]
        return MapListing(
            version=self.version(),
            rules=tuple(rules),
            removed=tuple(
                rule.rule_id
                for rule in rows
                if not rule.pattern and rule.rule_id in _shipped_numbers()
            ),
            shadows=shadows(self._store, rules),
        )

    def judge(self, names: Sequence[SignalName]) -> tuple[MapVerdict, ...]:
        """Return what the map in force makes of some names.

        Raises:
            InvalidInputError: there are too many, or one is too long or has lines of its own.
        """
        _check_names(names)
        texts = [name.text for name in names]
        rules = [rule for rule in _read(self._store) if rule.pattern]
        matches = matching(self._store, rules, texts)
        won = self._store.query(queries["signal_map_winner"], {"texts": texts})
        return tuple(
            _verdict(name, row[1:], found)
            for name, row, found in zip(names, won, matches, strict=True)
        )

    def add(self, rules: Sequence[MapRule], *, dry_run: bool = False) -> MapChange:
        """Put an operator's rules in force, all or none; one of a number in use replaces it.

        Raises:
            SignalMapError: one cannot be used; names rule, field and cure.
        """
        with self._changing:
            before = {rule.rule_id: rule for rule in _read(self._store)}
            wanted = [rule for rule in rules if before.get(rule.rule_id) != rule]
            _check_numbers(wanted)
            others = _in_force(before, without=wanted)
            if len(others) + len(wanted) > MOST_IN_FORCE:
                raise SignalMapError(
                    f"The map would have more than {MOST_IN_FORCE} rules.",
                    hint="Remove some, or let one pattern do the work of several.",
                    field="rows",
                )
            prove(self._store, wanted, others)
            known = {number for number, rule in before.items() if rule.pattern}
            numbers = [rule.rule_id for rule in wanted]
            change = MapChange(
                version=self.version(),
                applied=False,
                added=tuple(number for number in numbers if number not in known),
                replaced=tuple(number for number in numbers if number in known),
                shadows=shadows(self._store, [*others, *wanted]),
            )
            return self._apply(change, wanted, before, dry_run=dry_run)

    def remove(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Take a rule out of force; a shipped one stays out whatever later versions ship.

        Raises:
            NotFoundError: no such rule is in force.
        """
        with self._changing:
            before = {rule.rule_id: rule for rule in _read(self._store)}
            rule = before.get(rule_id)
            if rule is None or not rule.pattern:
                raise _no_rule(rule_id)
            gone = replace(rule, pattern="", origin=RuleOrigin.OPERATOR)
            rest = _in_force(before, without=[rule])
            change = MapChange(
                version=self.version(),
                applied=False,
                removed=(rule_id,),
                shadows=shadows(self._store, rest),
            )
            return self._apply(change, [gone], before, dry_run=dry_run)

    def restore(self, rule_id: int, *, dry_run: bool = False) -> MapChange:
        """Put a shipped rule back that an operator removed or replaced.

        Raises:
            NotFoundError: this version ships no such rule, or it is in force as shipped.
        """
        with self._changing:
            before = {rule.rule_id: rule for rule in _read(self._store)}
            shipped = next((rule for rule in shipped_rules() if rule.rule_id == rule_id), None)
            if shipped is None:
                raise _no_rule(rule_id)
            if before.get(rule_id) == shipped:
                raise NotFoundError(
                    f"Rule {rule_id} is in force as it ships.", field="rule_id", hint="Leave it."
                )
            others = _in_force(before, without=[shipped])
            change = MapChange(
                version=self.version(),
                applied=False,
                replaced=(rule_id,),
                shadows=shadows(self._store, [*others, shipped]),
            )
            return self._apply(change, [shipped], before, dry_run=dry_run)

    def _apply(
        self,
        change: MapChange,
        rules: Sequence[MapRule],
        before: dict[int, MapRule],
        *,
        dry_run: bool,
    ) -> MapChange:
        if dry_run or not rules:
            return change
        version = _write(self._store, rules, change.version + 1)
        try:
            _load(self._store, version)
            _check_winners(self._store, [rule for rule in rules if rule.pattern], change)
        except AnalyzerError:
            self._revert(rules, before, version + 1)
            raise
        return replace(change, version=version, applied=True)

    def _revert(self, rules: Iterable[MapRule], before: dict[int, MapRule], version: int) -> None:
        """Write what was there before a change that could not be loaded."""
        old = [before.get(rule.rule_id, replace(rule, pattern="")) for rule in rules]
        _write(self._store, old, version)
        try:
            _load(self._store, version)
        except StoreError as error:
            # The dictionaries keep what they loaded last, which is the map before the change.
            LOGGER.warning("the signal map could not be loaded again: %s", error)


def install_signal_map(store: Store) -> bool:
    """Bring the shipped rules of a store to this version's; returns whether that changed it.

    What an operator added, replaced or removed stays. The dictionaries are loaded anew in any case:
    another process may have changed the map since, or a migration their source.
    """
    stored = {rule.rule_id: rule for rule in _read(store)}
    own = {number for number, rule in stored.items() if rule.origin is RuleOrigin.OPERATOR}
    wanted = [
        rule
        for rule in shipped_rules()
        if rule.rule_id not in own and stored.get(rule.rule_id) != rule
    ]
    prove(store, wanted, [rule for rule in shipped_rules() if rule not in wanted])
    gone = [
        replace(rule, pattern="")
        for number, rule in stored.items()
        if number not in own and rule.pattern and number not in _shipped_numbers()
    ]
    version = int(store.query(queries["signal_map_version"])[0][0])
    if wanted or gone:
        version = _write(store, [*wanted, *gone], version + 1)
    _load(store, version)
    return bool(wanted or gone)


def _read(store: Store) -> list[MapRule]:
    """Return the newest row of every number, removed ones included, by priority."""
    return [
        MapRule(
            rule_id=int(row[0]),
            priority=int(row[1]),
            pattern=row[2],
            stage=row[3],
            component=row[4],
            action=row[5],
            action_kind=row[6],
            source=row[7],
            example=row[8],
            counter_example=row[9],
            origin=RuleOrigin(row[10]),
        )
        for row in store.query(queries["signal_map_rows"])
    ]


def _write(store: Store, rules: Sequence[MapRule], version: int) -> int:
    """Write rules as one block, which is in the table whole or not at all; returns the version."""
    if version > LAST_VERSION:
        raise SignalMapError("The map has been changed too often.", hint="Start a new store.")
    rows = [[*(getattr(rule, name) for name in COLUMNS), version] for rule in rules]
    store.insert_rows("signal_map", [*COLUMNS, "map_version"], rows)
    return version


def _load(store: Store, version: int) -> None:
    for dictionary in DICTIONARIES:
        store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")
    loaded = int(store.query(queries["signal_map_loaded_version"])[0][0])
    if loaded < version:
        raise StoreError(f"The signal map is loaded as version {loaded}, not {version}.")


def _check_winners(store: Store, rules: Sequence[MapRule], change: MapChange) -> None:
    """Ask the dictionaries themselves whether rules win what they were proved to win."""
    shadowed = {shadow.rule_id for shadow in change.shadows}
    asked = [rule for rule in rules if rule.rule_id not in shadowed]
    if not asked:
        return
    won = store.query(queries["signal_map_winner"], {"texts": [rule.example for rule in asked]})
    lost = [rule.rule_id for rule, row in zip(asked, won, strict=True) if row[1] != rule.rule_id]
    if lost:
        raise StoreError(f"The loaded signal map gives rules {lost} not even their own examples.")


def _in_force(rules: dict[int, MapRule], *, without: Iterable[MapRule]) -> list[MapRule]:
    left_out = {rule.rule_id for rule in without}
    return [rule for number, rule in rules.items() if rule.pattern and number not in left_out]


def _shipped_numbers() -> frozenset[int]:
    return frozenset(rule.rule_id for rule in shipped_rules())


def _check_numbers(rules: Iterable[MapRule]) -> None:
    for rule in rules:
        if rule.rule_id < SHIPPED_RULES_END and rule.rule_id not in _shipped_numbers():
            raise SignalMapError(
                f"Rule {rule.rule_id}: numbers below {SHIPPED_RULES_END} are for shipped rules.",
                field=f"rows.{rule.rule_id}.id",
                hint=f"Take {SHIPPED_RULES_END} or above; or the number of the rule to replace.",
            )


def _check_names(names: Sequence[SignalName]) -> None:
    if not 1 <= len(names) <= MOST_NAMES:
        raise InvalidInputError(
            f"{len(names)} names cannot be tested at once.",
            field="names",
            hint=f"Give 1 to {MOST_NAMES}.",
        )
    for name in names:
        if len(name.text) > LONGEST_NAME or "\n" in name.service + name.name + name.route:
            raise InvalidInputError(
                "A name to test has a service, a span or event name and a route of one line each.",
                field="names",
                hint=f"Together they have at most {LONGEST_NAME} characters.",
            )


def _verdict(name: SignalName, won: Sequence[object], found: tuple[int, ...]) -> MapVerdict:
    winner, stage, component, action, action_kind = won
    return MapVerdict(
        name=name,
        winner=int(str(winner)),
        others=tuple(number for number in found if number != winner),
        stage=str(stage),
        component=str(component) or name.service,
        action=str(action) or name.name,
        action_kind=str(action_kind),
    )


def _no_rule(rule_id: int) -> NotFoundError:
    return NotFoundError(
        f"There is no rule {rule_id}.",
        field="rule_id",
        hint="`mlp-analyzer signal-map list` shows them.",
    )
