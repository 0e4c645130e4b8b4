"""Which rule wins: the dictionary against "the first by priority that matches", over random maps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from analyzer_service.signal_map import MapRule
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.signal_map.proof import matching

MAPS = 200
SEED = 20260321

PIECES = (
    "a", "b", "c", "/", "/api", "POST", "GET", " ", r"\n", ".", ".*", "[^\\n]*", "(?:a|b)", "(?i)B",
    "[ab]+", "c?", "^", "$", "(?m)^", "(?m)$", r"\b", r"\d", "x{2}", "(a)", r"\.", "é", r"\pL", "_",
    "%", "'", '"', "(?s).", "|", r"\z", r"\A", r"\s",
)  # fmt: skip
LETTERS = ("a", "b", "c", "B", "/", "/api", "POST", "GET", " ", "1", "xx", ".", "é", "_", "%", "'")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store("chdb://memory") as opened:
        migrate(opened)
        yield opened


def random_pattern(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randint(1, 5)))


def random_text(chance: random.Random) -> str:
    lines = ("".join(chance.choices(LETTERS, k=chance.randint(0, 6))) for _ in range(3))
    return "\n".join(lines)


def install(store: Store, rules: list[tuple[int, int, str]]) -> None:
    """Write rules (number, priority, pattern) and nothing else, and load them."""
    store.execute("TRUNCATE TABLE signal_map")
    store.insert_rows(
        "signal_map",
        ["rule_id", "priority", "pattern", "stage", "map_version"],
        [[number, priority, pattern, f"stage-{number}", 1] for number, priority, pattern in rules],
        token=repr(rules),
    )
    for dictionary in ("signal_map_rule", "signal_map_match"):
        store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")


def reference(store: Store, rules: list[tuple[int, int, str]], texts: list[str]) -> list[int]:
    """Try the rules one after the other in the order of priority, as the documentation says."""
    ordered = sorted(rules, key=lambda rule: (rule[1], rule[0]))
    rows = store.query(
        "SELECT arrayMap(text -> arrayMap(pattern -> match(text, concat('(?-s)', pattern)),"
        " {patterns:Array(String)}), {texts:Array(String)})",
        {"patterns": [pattern for _, _, pattern in ordered], "texts": texts},
    )
    return [
        next((rule[0] for rule, matches in zip(ordered, found, strict=True) if matches), 0)
        for found in rows[0][0]
    ]


def test_the_first_rule_by_priority_wins_whole(store: Store) -> None:
    chance = random.Random(SEED)
    several = 0
    for _ in range(MAPS):
        patterns = [random_pattern(chance) for _ in range(chance.randint(1, 9))]
        numbers = chance.sample(range(1, 499_999), len(patterns))
        priorities = [chance.randint(0, 5) for _ in patterns]
        rules = list(zip(numbers, priorities, patterns, strict=True))
        texts = [random_text(chance) for _ in range(40)]
        install(store, rules)
        rows = store.query(
            "SELECT arrayMap(text -> dictGet('signal_map_match', 'rule_id', text), {texts:Array(String)})",
            {"texts": texts},
        )
        expected = reference(store, rules, texts)
        assert list(rows[0][0]) == expected, rules
        proved = matching(
            store,
            [
                MapRule(number, priority, pattern, "", "", "", "", "", "", "")
                for number, priority, pattern in rules
            ],
            texts,
        )
        assert [found[0] if found else 0 for found in proved] == expected, rules
        several += sum(len(found) > 1 for found in proved)
    assert several > MAPS, "the maps must have rules that compete"


def test_the_winner_is_whole_and_what_the_views_write(store: Store) -> None:
    rules = [(7, 5, "(?m)^b$"), (3, 5, "b"), (9, 1, r"^a\nb\nc$")]
    install(store, rules)
    store.execute("TRUNCATE TABLE signals")
    names = [("a", "b", "c"), ("x", "b", ""), ("x", "y", ""), ("x", "bb", "")]
    store.insert_rows(
        "otel_traces",
        ["Timestamp", "TraceId", "SpanId", "SpanName", "ServiceName", "SpanAttributes"],
        [
            [1_790_000_000_000_000_000, "t", str(n), name, service, {"http.route": route}]
            for n, (service, name, route) in enumerate(names)
        ],
    )
    assert store.query("SELECT span_id, map_rule, stage FROM signals ORDER BY span_id") == [
        ("0", 9, "stage-9"),
        ("1", 3, "stage-3"),
        ("2", 0, ""),
        ("3", 3, "stage-3"),
    ]
