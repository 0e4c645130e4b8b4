"""Proving rules with the engine that will use them, before they are in force.

A regular-expression tree leaves out a pattern it cannot compile without a word, and a rule that
another one always beats is as dead. So every new rule has to compile, to match its example, to
leave its counter-example alone, and to win its example under the whole map.

The dictionary matches with RE2 where ``.`` stops at the end of a line; the function ``match`` is
RE2 too, but its ``.`` does not, hence the ``(?-s)``. That both then agree is what
``tests/integration/test_signal_map_winner.py`` holds over random maps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from analyzer_service.errors import SignalMapError, StoreError
from analyzer_service.signal_map import MapRule, Shadow
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries

COMPARED_AT_ONCE: Final = 100
"""Examples matched against all patterns by one query."""

_WHY = re.compile(r"error: (.+?): ")


def prove(store: Store, rules: Sequence[MapRule], others: Sequence[MapRule]) -> None:
    """Make sure new rules do what they say, each alone and among all.

    Args:
        store: whose engine judges.
        rules: the new ones.
        others: the rest of the map they will be part of.

    Raises:
        SignalMapError: names the rule, the field and the cure.
    """
    check_patterns(store, rules)
    whole = [*others, *rules]
    _refuse_equal_priority(rules, whole)
    matches = matching(store, whole, [rule.example for rule in rules])
    contrary = matching(store, rules, [rule.counter_example for rule in rules])
    by_number = {rule.rule_id: rule for rule in whole}
    for rule, found, against in zip(rules, matches, contrary, strict=True):
        _judge(rule, found, against, by_number)


def shadows(store: Store, rules: Sequence[MapRule]) -> tuple[Shadow, ...]:
    """Return the rules of a map whose own example another rule takes."""
    found = matching(store, rules, [rule.example for rule in rules])
    return tuple(
        Shadow(rule.rule_id, winners[0])
        for rule, winners in zip(rules, found, strict=True)
        if winners and winners[0] != rule.rule_id
    )


def matching(store: Store, rules: Sequence[MapRule], texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return for each text the numbers of the rules that match it, the winner first."""
    ordered = sorted(rules, key=lambda rule: rule.order)
    found: list[tuple[int, ...]] = []
    for start in range(0, len(texts), COMPARED_AT_ONCE):
        rows = store.query(
            queries["signal_map_matching"],
            {
                "texts": list(texts[start : start + COMPARED_AT_ONCE]),
                "numbers": [rule.rule_id for rule in ordered],
                "patterns": [rule.pattern for rule in ordered],
            },
        )
        found += [tuple(row[1]) for row in rows]
    return found


def check_patterns(store: Store, rules: Sequence[MapRule]) -> None:
    """Compile the patterns of some rules.

    Raises:
        SignalMapError: one does not; names it.
    """
    try:
        store.query(queries["signal_map_compiles"], {"patterns": [rule.pattern for rule in rules]})
    except StoreError as error:
        if len(rules) > 1:
            for rule in rules:
                check_patterns(store, [rule])
            raise
        why = _WHY.search(error.message)
        raise SignalMapError(
            f"Rule {rules[0].rule_id}: pattern {rules[0].pattern!r} does not compile"
            f"{f': {why.group(1)}' if why else ''}.",
            field=f"rows.{rules[0].rule_id}.pattern",
            hint="Patterns are RE2 regular expressions: no look-around, no back-references.",
        ) from error


def _refuse_equal_priority(rules: Iterable[MapRule], whole: Iterable[MapRule]) -> None:
    taken: dict[int, int] = {}
    for rule in whole:
        taken.setdefault(rule.priority, rule.rule_id)
    for rule in rules:
        if taken[rule.priority] != rule.rule_id:
            raise SignalMapError(
                f"Rule {rule.rule_id}: priority {rule.priority} is that of rule"
                f" {taken[rule.priority]}.",
                field=f"rows.{rule.rule_id}.priority",
                hint="Give it a priority of its own; the lower one wins.",
            )


def _judge(
    rule: MapRule,
    found: tuple[int, ...],
    against: tuple[int, ...],
    by_number: dict[int, MapRule],
) -> None:
    if rule.rule_id not in found:
        raise SignalMapError(
            f"Rule {rule.rule_id}: its pattern does not match its example.",
            field=f"rows.{rule.rule_id}.example",
            hint="The three lines are matched as one text; `.` stops at the end of a line.",
        )
    if rule.rule_id in against:
        raise SignalMapError(
            f"Rule {rule.rule_id}: its pattern matches its counter-example too.",
            field=f"rows.{rule.rule_id}.counter_example",
            hint="Make the pattern narrower, or give a name it must leave alone.",
        )
    if found[0] != rule.rule_id:
        winner = by_number[found[0]]
        raise SignalMapError(
            f"Rule {rule.rule_id}: rule {winner.rule_id} ({winner.component}: {winner.action})"
            f" takes its example first, with priority {winner.priority}.",
            field=f"rows.{rule.rule_id}.priority",
            hint=f"Give it a priority below {winner.priority}, or an example only it matches.",
        )
