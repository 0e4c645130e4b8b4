"""Rule sets are data: read, validated, refused with file, line, field and cure."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from analyzer_service.analysis.rules import (
    Denominator,
    Limits,
    RuleSetKind,
    load_rule_set,
    shipped_rule_sets,
)
from analyzer_service.domain import ChallengeKind, Period, Segment, SignalKind
from analyzer_service.errors import RuleSetError
from analyzer_service.resources import data_folder

SHIPPED = {
    name: (data_folder("rules") / f"{name}.yaml").read_text() for name in ("paper", "calibrated")
}
ET, SOP = ChallengeKind.EDUCATION_TRAINING, ChallengeKind.SIMPLICITY_OF_PLATFORM


def refused(tmp_path: Path, text: str) -> RuleSetError:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RuleSetError) as raised:
        load_rule_set(path)
    return raised.value


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_paper_s_thresholds_stand_verbatim() -> None:
    paper = load_rule_set("paper")
    assert paper.kind is RuleSetKind.LITERAL
    assert paper.denominator is Denominator.RATED
    assert paper.repeats_more_than == 5
    window, weekly = (Period.WINDOW,), (Period.WEEK, Period.MONTH)
    assert [(r.rule, r.signal, r.kind, r.periods, r.thresholds) for r in paper.rules] == [
        (
            "1",
            SignalKind.ERROR,
            SOP,
            window,
            {
                "expert_more_than_percent": 50,
                "intermediate_more_than_percent": 65,
                "beginner_more_than_percent": 80,
            },
        ),
        (
            "2",
            SignalKind.ERROR,
            ET,
            window,
            {
                "expert_less_than_percent": 10,
                "intermediate_more_than_percent": 65,
                "beginner_more_than_percent": 80,
            },
        ),
        ("3", SignalKind.REDUNDANCY, SOP, weekly, {"expert_more_than_percent": 50}),
        (
            "4",
            SignalKind.REDUNDANCY,
            ET,
            weekly,
            {
                "expert_less_than_percent": 10,
                "intermediate_more_than_percent": 50,
                "beginner_more_than_percent": 75,
            },
        ),
    ]


def test_the_calibrated_kinds_share_the_experts_between_them() -> None:
    calibrated = load_rule_set("calibrated")
    assert calibrated.denominator is Denominator.EXPOSED
    for signal in SignalKind:
        limits = [r.clauses[Segment.EXPERT] for r in calibrated.rules_for(signal)]
        edges = sorted((max(limit.low, 0), min(limit.high, 1)) for limit in limits)
        assert edges == [
            (0, Fraction(1, 10)),
            (Fraction(1, 10), Fraction(1, 2)),
            (Fraction(1, 2), 1),
        ]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rule_sets_are_named_after_their_file(name: str) -> None:
    assert name in shipped_rule_sets()
    assert load_rule_set(name).name == name


def test_a_path_is_read_like_a_name(tmp_path: Path) -> None:
    path = tmp_path / "copy.yml"
    path.write_text(SHIPPED["paper"])
    assert load_rule_set(path) == load_rule_set(str(path)) == load_rule_set("paper")


def test_decimals_are_meant_as_written() -> None:
    assert Limits(more_than=12.5).low == Fraction(1, 8)
    assert Limits(less_than=0.1).high == Fraction(1, 1000)


def test_a_rule_set_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_rule_set("paper").name = "other"


MISTAKES = {
    "missing": (
        ("paper", "    kind: education_training", "    knd: education_training"),
        ("rules.1.kind", "Field required", "Add 'kind'"),
    ),
    "unknown": (
        ("paper", "denominator: rated", "denominator: rated\ncolour: red"),
        ("colour", "Extra inputs", "Remove 'colour'"),
    ),
    "misspelt": (
        ("paper", "intermediate: {more_than: 50}", "intermediate: {more_then: 50}"),
        ("rules.3.clauses.intermediate.more_then", "Extra inputs", "Remove 'more_then'"),
    ),
    "over 100%": (
        ("paper", "{more_than: 65}", "{more_than: 650}"),
        ("rules.0.clauses.intermediate.more_than", "less than or equal to 100", "shipped"),
    ),
    "not a number": (
        ("paper", "{more_than: 65}", "{more_than: .nan}"),
        ("rules.0.clauses.intermediate.more_than", "finite", "shipped"),
    ),
    "no limit": (
        ("paper", "{more_than: 65}", "{}"),
        ("rules.0.clauses.intermediate", "needs more_than", "shipped"),
    ),
    "no room": (
        ("paper", "{more_than: 65}", "{more_than: 65, less_than: 65}"),
        ("rules.0.clauses.intermediate", "leaves no share", "shipped"),
    ),
    "unrated": (
        ("paper", "      beginner: {more_than: 80}", "      unrated: {more_than: 80}"),
        ("rules.0", "unrated", "shipped"),
    ),
    "twice": (
        ("paper", "denominator: rated", "denominator: rated\ndenominator: exposed"),
        ("denominator", "twice", "Keep one"),
    ),
    "no judgement": (
        ("paper", "kind: literal", "kind: calibrated"),
        ("", "has a judgement", "shipped"),
    ),
    "overlap": (
        ("calibrated", "{less_than: 10}", "{less_than: 20}"),
        ("", "overlap", "shipped"),
    ),
    "grades": (
        ("calibrated", "probable: 0.8", "probable: 0.3"),
        ("judgement.grades", "rise", "shipped"),
    ),
    "minimum": (
        ("calibrated", "minimum_exposed: 3", "minimum_exposed: 0"),
        ("judgement.minimum_exposed", "greater than or equal", "shipped"),
    ),
}


@pytest.mark.parametrize(("swap", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_name_file_line_field_and_cure(
    tmp_path: Path, swap: tuple[str, str, str], expected: tuple[str, str, str]
) -> None:
    name, old, new = swap
    field, says, cure = expected
    text = SHIPPED[name].replace(old, new, 1)
    assert text != SHIPPED[name]
    error = refused(tmp_path, text)
    assert error.message.startswith("mine.yaml, line ")
    assert says in error.message
    assert error.field == field
    assert cure in error.hint


def test_the_line_is_the_mistake_s_own(tmp_path: Path) -> None:
    text = SHIPPED["paper"].replace("{less_than: 10}", "{less_than: -1}", 1)
    error = refused(tmp_path, text)
    assert f"line {line_of(text, '{less_than: -1}')}:" in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "is not YAML"),
        ("name: !!python/object:os.system x", "is not YAML"),
        ("- paper", "is not a mapping"),
        ("", "is not a mapping"),
        ("? [1, 2]\n: x", "is not YAML"),
        ("name: \x00", "is not YAML"),
        ("name: &a\n  rules: *a", "alias"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_what_is_no_rule_set_is_refused(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text).message


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(RuleSetError, match="calibrated, paper"):
        load_rule_set("papre")


@pytest.mark.parametrize("name", ["../paper", "/etc/hostname", "paper.yaml/..", "paper/"])
def test_a_name_is_never_taken_for_another_file(name: str) -> None:
    with pytest.raises(RuleSetError, match="no rule set"):
        load_rule_set(name)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleSetError, match=r"missing\.yaml.*No such file"):
        load_rule_set(tmp_path / "missing.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: größe".encode("latin-1"))
    with pytest.raises(RuleSetError, match="UTF-8"):
        load_rule_set(latin)
    large = tmp_path / "large.yaml"
    large.write_text("# " + "x" * 300_000)
    with pytest.raises(RuleSetError, match="larger"):
        load_rule_set(large)
