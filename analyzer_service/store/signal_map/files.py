"""Rules of the signal map as YAML: those that ship, and an operator's own.

A mistake is named by file, line, field and cure. What only the engine can tell (whether a pattern
compiles, and what it matches) is ``proof``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from analyzer_service.errors import SignalMapError
from analyzer_service.located_yaml import LocatedYaml
from analyzer_service.resources import data_folder
from analyzer_service.signal_map import (
    LAST_RULE,
    LONGEST_NAME,
    LONGEST_PATTERN,
    SHIPPED_RULES_END,
    MapRule,
    RuleOrigin,
)

MOST_RULES: Final = 1_000
"""In one file: twenty times what ships. Each rule is matched against every other's example."""

LARGEST_FILE_BYTES: Final = 1 << 20
"""Room for that many rules of the usual length, and below what one gRPC message takes."""

LOWEST_PRIORITY: Final = 2**32 - 2
"""Priorities are 32-bit numbers, and the last is the never-matching row's that keeps an empty map
loadable."""

LARGEST_REPEAT: Final = 100
"""Repeats one ``{n,m}`` of a pattern may ask for: with ``{1,1000}`` sixty times over, compiling
takes 16 seconds [measured], with 100 under one. No part of a name is that long."""

HINT: Final = "docs/signal-map.md shows a whole file."

Word = Annotated[str, Field(min_length=1, max_length=200)]
Example = Annotated[str, Field(max_length=LONGEST_NAME)]
NAME_LINES: Final = 3

_COUNTS = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")
"""The counts of ``{n}``, ``{n,}`` and ``{n,m}``."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Row(_Strict):
    id: int = Field(gt=0, le=LAST_RULE)
    priority: int = Field(ge=0, le=LOWEST_PRIORITY)
    pattern: str = Field(min_length=1, max_length=LONGEST_PATTERN)
    stage: Word
    component: Word
    action: str = Field(default="", max_length=200)
    action_kind: Literal["key", "click", "view", ""] = ""
    source: str = Field(min_length=1, max_length=500)
    example: Example
    counter_example: Example

    @field_validator("pattern")
    @classmethod
    def _few_repeats(cls, text: str) -> str:
        counts = (count for pair in _COUNTS.findall(text) for count in pair if count)
        if any(int(count) > LARGEST_REPEAT for count in counts):
            raise ValueError(f"repeats something more than {LARGEST_REPEAT} times")
        return text

    @field_validator("example", "counter_example")
    @classmethod
    def _three_lines(cls, text: str) -> str:
        if text.count("\n") != NAME_LINES - 1:
            raise ValueError(
                "needs three lines: service, span or event name, route (the last may be empty)"
            )
        return text


class _File(_Strict):
    rows: tuple[_Row, ...] = Field(min_length=1, max_length=MOST_RULES, strict=False)


def parse_rules(text: str | bytes, source: str, *, origin: RuleOrigin) -> tuple[MapRule, ...]:
    """Read a file of rules.

    Args:
        text: the YAML.
        source: what to call the file in errors.
        origin: whose the rules are.

    Raises:
        SignalMapError: names file, line, field and cure.
    """
    if len(text) > LARGEST_FILE_BYTES:
        raise SignalMapError(
            f"{source} is larger than {LARGEST_FILE_BYTES} bytes.", hint="Split it.", field="file"
        )
    document = LocatedYaml(text, source, refusal=SignalMapError, hint=HINT)
    try:
        file = _File.model_validate(document.value)
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_context=False, include_input=False)[0]
        problem = f"cannot be used: {first['msg'].removeprefix('Value error, ')}."
        raise document.error(first["loc"], problem) from None
    seen: dict[int, int] = {}
    for index, row in enumerate(file.rows):
        if row.id in seen:
            raise document.error(
                ("rows", index, "id"),
                f"{row.id} stands there twice.",
                f"Give each row its own number, {SHIPPED_RULES_END} or above.",
            )
        seen[row.id] = index
    return tuple(_rule(row, origin) for row in file.rows)


@cache
def shipped_rules() -> tuple[MapRule, ...]:
    """Return the rules that ship, of all files together, by priority."""
    folder = data_folder("signal_map")
    rules: list[MapRule] = []
    for path in sorted(folder.glob("*.yaml")):
        rules += parse_rules(path.read_bytes(), path.name, origin=RuleOrigin.SHIPPED)
    _refuse_twins(rules)
    return tuple(sorted(rules, key=lambda rule: rule.order))


def _refuse_twins(rules: Iterable[MapRule]) -> None:
    numbers: set[int] = set()
    priorities: set[int] = set()
    for rule in rules:
        if rule.rule_id in numbers or rule.priority in priorities:
            raise SignalMapError(f"Number or priority of the shipped rule {rule.rule_id} is taken.")
        if rule.rule_id >= SHIPPED_RULES_END:
            raise SignalMapError(f"{rule.rule_id} is no number for a shipped rule.")
        numbers.add(rule.rule_id)
        priorities.add(rule.priority)


def _rule(row: _Row, origin: RuleOrigin) -> MapRule:
    return MapRule(
        rule_id=row.id,
        priority=row.priority,
        pattern=row.pattern,
        stage=row.stage,
        component=row.component,
        action=row.action,
        action_kind=row.action_kind,
        source=row.source,
        example=row.example,
        counter_example=row.counter_example,
        origin=origin,
    )
