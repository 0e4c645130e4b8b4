from __future__ import annotations

from pathlib import Path

import pytest

from analyzer_service.errors import MappingError, NotFoundError
from analyzer_service.replay import load_mapping, shipped_mappings
from analyzer_service.replay.mapping_file import MAX_FILE_BYTES, parse_mapping
from tests.integration.replay_logs import PLAIN


@pytest.mark.parametrize("name", ["mira", "philly"])
def test_shipped_mappings_load_by_name(name: str) -> None:
    assert name in shipped_mappings()
    assert load_mapping(name).name == name


def test_a_mapping_loads_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PLAIN)
    assert load_mapping(tmp_path / "mine.yaml").name == "plain"


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(NotFoundError, match="mira, philly"):
        load_mapping("miro")


def test_values_stay_what_the_file_says() -> None:
    # Plain YAML would read No as false and 007 as seven.
    text = PLAIN.replace("good: ok, bad: error", "No: ok, 007: error")
    outcome = parse_mapping(text, origin="m").outcome
    assert outcome is not None
    assert set(outcome.values) == {"No", "007", "stopped"}


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        ("error_type:", "eror_type:", r"m.yaml, line 11, unknown field eror_type, perhaps error_t"),
        ("{column: waited}", "{colum: waited}", r"line 4, unknown field wait.colum, perhaps colum"),
        ("stage: model_training\n", "", r"line 1, stage is missing"),
        ("{column: who}", "who", r"line 2, user: write \{column: NAME\}"),
        ("unit: s}", "unit: s, format: '%Y'}", r"line 3, time: give unit \(numbers\) or format"),
        ("unit: s}", "format: '%Y-%m-%d'}", r"line 3, time: a format without %z needs the zone"),
        ("unit: s}", "format: iso, zone: Mars/Base}", r"line 3, time.zone: no such time zone"),
        ("unit: s}", "unit: weeks}", r"line 3, time.unit: input should be 's', 'ms'"),
        ("good: ok", "good: fine", r"line 10, outcome.values.good: input should be 'ok', 'err"),
        ("gpu: {", "tpu: {", r"line 12, resources.tpu"),
        ("stage: model_training", "stage: {values: {a: b}}", r"line 6, stage: write a plain value"),
        ("action: submit_job", "action: x\naction: y", r"line 9: field action stands there twice"),
        ("name: plain", "name: [plain", r"is not YAML"),
        ("name: plain", "name:", r"line 1, name: string should have at least 1"),
        ("name: plain", "name: plain\nencoding: klingon", r"line 2, encoding: no such encoding"),
    ],
)
def test_a_mistake_is_named_with_line_and_field(line: str, replacement: str, expected: str) -> None:
    assert line in PLAIN
    with pytest.raises(MappingError, match=expected):
        parse_mapping(PLAIN.replace(line, replacement), origin="m.yaml")


def test_all_mistakes_are_named_at_once() -> None:
    text = PLAIN.replace("stage:", "stagge:").replace("unit: s", "unit: x")
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, origin="m")
    for expected in ("stagge", "stage is missing", "time.unit"):
        assert expected in str(caught.value)


@pytest.mark.parametrize("when", ["{column: ran}", "{column: ran, at_least: 3, at_most: 4}"])
def test_a_condition_has_exactly_one_comparison(when: str) -> None:
    with pytest.raises(MappingError, match=r"line 14, failures.0.when.0: give exactly one of"):
        parse_mapping(f"{PLAIN}failures:\n  - when: {when}\n    error_type: X\n", origin="m")


@pytest.mark.parametrize("text", ["", "[]", "just text", "\x00", b"\xff\xfe\xff"])
def test_what_is_no_mapping_is_refused(text: str | bytes) -> None:
    with pytest.raises(MappingError):
        parse_mapping(text, origin="m")


def test_a_job_log_given_as_a_mapping_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    with pytest.raises(MappingError, match="Is it the job log"):
        load_mapping(tmp_path / "log.csv")


def test_columns_names_every_column_with_its_field() -> None:
    when = "{column: ran, at_least: {column: limit}}"
    text = f"{PLAIN}failures:\n- when: {when}\n  error_type: X\n"
    columns = parse_mapping(text, origin="m").columns()
    assert columns["who"] == "user"
    assert columns["limit"] == "failures.when.at_least"
    assert columns["why"] == "error_type"
    assert set(columns) == {"who", "at", "waited", "ran", "end", "why", "gpus", "limit"}
