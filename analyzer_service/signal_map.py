"""The signal map as values: its rules, what they make of a name, and deriving signals again.

A name is what a span or event shows of itself: its service, its own name, and its route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

SHIPPED_RULES_END: Final = 100_000
"""Rules below this number ship with the program; an operator's own have it or a higher one, so that
a new version of the program can never take the number of one."""

LAST_RULE: Final = 499_999
"""Rule numbers index a flat dictionary, which takes 500,000 entries (its ``max_array_size``)."""

LONGEST_PATTERN: Final = 1_000
"""Characters of a pattern. Real ones have up to 150; the engine's own limit is on compiled size."""

LONGEST_NAME: Final = 2_000
"""Characters of an example, or of a name to test: more than any real route has."""


class RuleOrigin(StrEnum):
    """Whose a rule is."""

    SHIPPED = "shipped"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class MapRule:
    """One rule of the map: the first by priority whose pattern matches a name wins, whole."""

    rule_id: int
    priority: int
    pattern: str
    """Empty: an operator removed the rule, and it stays removed."""
    stage: str
    component: str
    action: str
    """Empty: the span's or event's own name."""
    action_kind: str
    """``key``, ``click``, ``view`` or none of them."""
    source: str
    example: str
    counter_example: str
    origin: RuleOrigin = RuleOrigin.SHIPPED

    @property
    def order(self) -> tuple[int, int]:
        """What decides between two rules that match: the lower wins."""
        return self.priority, self.rule_id


@dataclass(frozen=True, slots=True)
class Shadow:
    """A rule whose own example another one takes."""

    rule_id: int
    taken_by: int


@dataclass(frozen=True, slots=True)
class MapListing:
    """The map as it is in force."""

    version: int
    """Grows with every change; each signal says under which version it was judged."""
    rules: tuple[MapRule, ...]
    """By priority."""
    removed: tuple[int, ...]
    """Shipped rules an operator removed."""
    shadows: tuple[Shadow, ...]


@dataclass(frozen=True, slots=True)
class SignalName:
    """What a span or event shows of itself."""

    service: str
    name: str
    route: str = ""

    @property
    def text(self) -> str:
        """The three lines that patterns are matched against."""
        return f"{self.service}\n{self.name}\n{self.route}"


@dataclass(frozen=True, slots=True)
class MapVerdict:
    """What the map makes of one name."""

    name: SignalName
    winner: int
    """Number of the rule that wins; 0 for none."""
    others: tuple[int, ...]
    """Rules that match too and come later, in their order."""
    stage: str
    component: str
    action: str
    action_kind: str


@dataclass(frozen=True, slots=True)
class MapChange:
    """What a change did to the map, or would do."""

    version: int
    """The version in force after it."""
    applied: bool
    """False: nothing was changed, this is what would be."""
    added: tuple[int, ...] = ()
    replaced: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    """Rules that no longer get even their own example."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """How far signals are derived again for a window of arrival."""

    window_start: datetime
    """First instant of arrival; with ``window_end``, a half-open window."""
    window_end: datetime
    version: int
    """The map they are derived under."""
    examined: int = 0
    """Raw rows looked at."""
    derived: int = 0
    """Signals that came out different and were written again."""
    changed: Mapping[str, int] = field(default_factory=dict)
    """How many of them differ in ``stage``, ``component``, ``action``, ``action_kind``; ``missing``
    counts raw rows that had no signal."""
    steps: int = 0
    """Pieces of the window that are done."""
    total_steps: int = 0
    days_settled: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class UnmappedName:
    """A name that no rule gives a stage, with what arrived under it."""

    name: SignalName
    """Numbers, ids and user names in its path are replaced by ``{id}`` and ``{name}``."""
    source: str
    """``traces`` or ``logs``."""
    records: int
    with_user: int
    """How many of them name their user: only those can ever be analysed."""
    first_time: datetime
    last_time: datetime
