"""Files of rules: those that ship, and mistakes in an operator's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from signal_map_rules import as_yaml, rule

from analyzer_service.errors import SignalMapError
from analyzer_service.signal_map import SHIPPED_RULES_END, RuleOrigin
from analyzer_service.store.signal_map.derivation import SLICE_RECORDS, cut_points
from analyzer_service.store.signal_map.files import parse_rules, shipped_rules
from otel_instrumentation import semconv


def test_the_shipped_map_covers_every_stage_and_many_tools() -> None:
    rules = shipped_rules()
    tools = {re.split(r"[ ,]", one.source)[0] for one in rules}
    assert len(rules) >= 40
    assert len(tools) >= 10
    assert {one.stage for one in rules} == set(semconv.STAGES)


def test_every_shipped_rule_says_where_its_name_was_read() -> None:
    for one in shipped_rules():
        assert re.search(r"https://\S+$", one.source), one.rule_id
        assert one.rule_id < SHIPPED_RULES_END
        assert 1000 <= one.priority < 10_000


def test_a_file_comes_back_as_it_was_written() -> None:
    rules = [rule(100_000), rule(499_999, action="", action_kind="", pattern="a\\nb'\"é")]
    assert parse_rules(as_yaml(rules), "mine.yaml", origin=RuleOrigin.OPERATOR) == tuple(rules)


GOOD = as_yaml([rule(100_000), rule(100_001)])


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("id: 100001", "id: 100000", "rows.1.id", 12),
        ("id: 100001", "id: 500000", "rows.1.id", 12),
        ("id: 100001", "id: many", "rows.1.id", 12),
        ("id: 100001", "id: 0", "rows.1.id", 12),
        ("priority: 501", "priority: 4294967295", "rows.1.priority", 13),
        ("priority: 501", "priority: -1", "rows.1.priority", 13),
        ("priority: 501", "priority: true", "rows.1.priority", 13),
        ("priority: 501", "priorty: 501", "rows.1.priority", 12),
        ('action_kind: "key"', "action_kind: press", "rows.0.action_kind", 8),
        ('stage: "model_deployment"', "stage: ''", "rows.0.stage", 5),
        ('source: "registry 2.1, docs/api.md"', "source: ''", "rows.0.source", 9),
    ],
)
def test_a_mistake_is_named_by_file_line_and_field(
    old: str, new: str, field: str, line: int
) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(SignalMapError) as raised:
        parse_rules(text, "mine.yaml", origin=RuleOrigin.OPERATOR)
    assert raised.value.field == field
    assert f"mine.yaml, line {line}:" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rows: []",
        "rules: []",
        "rows:\n  - just text",
        "[1, 2]",
        "rows: &a [*a]",
        "rows: [",
        "rows: {}",
        "\x00",
        as_yaml([rule(example="one line")]),
        as_yaml([rule(counter_example="a\nb\nc\nd")]),
        as_yaml([rule(pattern="x" * 1001)]),
        as_yaml([rule(pattern="")]),
        as_yaml([rule(pattern="a{101}")]),
        as_yaml([rule(pattern="a{1,1000}")]),
        as_yaml([rule(pattern="a{101,}")]),
        as_yaml([rule(100_000 + number) for number in range(1001)]),
        "#" * (1 << 20) + GOOD,
    ],
)
def test_what_is_no_file_of_rules_is_refused(text: str) -> None:
    with pytest.raises(SignalMapError) as raised:
        parse_rules(text, "mine.yaml", origin=RuleOrigin.OPERATOR)
    assert "mine.yaml" in raised.value.message
    assert raised.value.hint


def test_a_pattern_may_repeat_within_reason() -> None:
    text = as_yaml([rule(pattern="a{100}b{1,100}c{3,}/{1000x}")])
    assert parse_rules(text, "mine.yaml", origin=RuleOrigin.OPERATOR)


def test_a_day_is_cut_where_a_piece_would_grow_too_large() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    seconds = [(start + timedelta(seconds=n), SLICE_RECORDS // 2) for n in range(5)]
    assert cut_points(seconds) == [seconds[2][0], seconds[4][0]]
    assert cut_points([(start, 10 * SLICE_RECORDS)]) == []
    assert cut_points([(start, 1), (start + timedelta(seconds=1), SLICE_RECORDS)]) == [
        start + timedelta(seconds=1)
    ]
    assert cut_points([]) == []
