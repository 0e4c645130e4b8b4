from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from analyzer_service import resources
from analyzer_service.errors import ScenarioError
from analyzer_service.simulate import Scenario, World, load_scenario, scenario_names

PAPER = (resources.data_folder("scenarios") / "paper-2020.yaml").read_text(encoding="utf-8")


def changed(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the shipped scenario with some of its text replaced."""
    text = PAPER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "changed.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path, text: str) -> int:
    return path.read_text(encoding="utf-8").split(text)[0].count("\n") + 1


def test_the_shipped_scenarios_are_valid_and_known_by_name():
    assert scenario_names() == ["paper-2020", "paper-2020-hard"]
    paper, hard = (load_scenario(name) for name in scenario_names())
    assert (paper.separation, hard.separation) == (2.5, 1.0)
    same = {"name": paper.name, "separation": paper.separation}
    assert hard.model_copy(update=same) == paper


def test_the_papers_three_cases_are_planted():
    planted = {(c.rule, c.action, c.error) for c in load_scenario("paper-2020").challenges}
    assert (2, "model_training/training-jobs/submit_job", "JobTimeLimitExceeded") in planted
    assert (4, "data_collection/connector-hub/create_connector", None) in planted
    assert (1, "feature_engineering/notebooks/resume_notebook", "NotebookInactive") in planted


@pytest.mark.parametrize(
    ("old", "new", "field", "cure"),
    [
        # one field alone
        ("teams: 14", "tems: 14", "population.tems", "remove it or correct its spelling"),
        ("[0.86, 0.97]}", "[0.86, 1.97]}", "affected.1.beginner.1", "less than or equal to 1"),
        (", beginner: [0.86, 0.97]}", "}", "affected.1.beginner", "is missing; add it"),
        (", beginner: 190}", "}", "population.rated.beginner", "is missing; add it"),
        ("beginner: 190", "beginner: -1", "rated.beginner", "greater than or equal to 1"),
        ("[0.56, 0.85]", "[0.85, 0.56]", "affected.1.expert", "swap them"),
        ("SchemaDrift: 0.005", "SchemaDrift: 0.5", "SchemaDrift", "less than or equal to 0.2"),
        ("days: 28", "days: 3", "days", "greater than or equal to 14"),
        ("separation: 2.5 ", "separation: much ", "separation", "valid number"),
        ("hours: [0.15, ", "hours: [", "rhythm", "24 weights"),
        ("weekdays: [1.0, ", "weekdays: [", "rhythm", "7 weights"),
        ("  model_training:\n", "  modelling:\n", "stages.modelling", "is no stage; known are"),
        ("rule: 4", "rule: 5", "challenges.0.rule", "1, 2, 3 or 4"),
        # fields against each other
        ("[0.012, 0.05]", "[0.012, 0.09]", "affected.2.expert", "not safely below 0.1"),
        ("[0.42, 0.46]", "[0.30, 0.46]", "near_misses.1.expert", "0.03 to 0.10"),
        ("calls: secret-vault", "calls: vault", "create_connector.calls", "declare it there"),
        ("create_connector: {core: true, ", "create_connector: {", "challenges.0.action", "core"),
        ("hub/create_connector", "hub/create_conector", "challenges.0.action", "declare it there"),
        ("at: secret-vault", "at: warehouse", "challenges.1.at", "set its `calls:`"),
        ("MissingDataOwner", "IndexStale", "challenges.2", "each signal occurs once"),
        (", error: MissingDataOwner", "", "challenges.2", "add `error:`"),
        ("create_connector, about", "create_connector, error: A, about", "0.error", "remove error"),
        ("start: 2026-01-05T00:00:00Z", "start: 2026-01-05T09:00:00Z", "start", "T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_line_and_the_cure(tmp_path, old, new, field, cure):
    path = changed(tmp_path, (old, new))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    message = caught.value.message
    assert f"{field}: " in message
    assert cure in message
    found = re.search(r"changed\.yaml, line (\d+), ", message)
    assert found
    assert caught.value.hint
    assert caught.value.field.endswith(field)


def test_the_line_is_the_fields_own(tmp_path):
    path = changed(tmp_path, ("teams: 14", "tems: 14"))
    with pytest.raises(ScenarioError, match=f"line {line_of(path, 'tems: 14')}, population.tems"):
        load_scenario(path)


def test_many_problems_are_shown_in_part_and_counted(tmp_path):
    path = changed(tmp_path, *[(f"rule: {n}", "rule: 9") for n in (1, 1, 1, 2, 2, 3, 4)])
    with pytest.raises(ScenarioError, match="; and 2 more"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: is not a mapping"),
        ("- a\n- b\n", "line 1: is not a mapping"),
        ("name: [unclosed\n", "line 2: is not YAML"),
        ("extends: nowhere\nname: x\n", "line 1, extends: There is no scenario nowhere"),
        ("extends: paper-2020-hard\nname: x\n", "line 1, extends: paper-2020-hard itself extends"),
        ("extends: paper-2020\nname: x\nseparation: 9\n", "line 3, separation: is 9, but"),
    ],
)
def test_a_file_that_is_no_scenario_says_so(tmp_path, text, said):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=said):
        load_scenario(path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ScenarioError) as caught:
        load_scenario("paper-1999")
    assert "paper-2020, paper-2020-hard" in caught.value.hint


@pytest.mark.parametrize(
    ("seed", "start", "said"),
    [
        (-1, None, "seed -1"),
        (2**63, None, "seed"),
        (1, datetime(2026, 1, 5), "time zone"),  # noqa: DTZ001
        (1, datetime(2026, 1, 5, 0, 30, tzinfo=UTC), "midnight"),
        (1, datetime(2026, 1, 5, tzinfo=timezone(timedelta(hours=9))), "midnight in UTC"),
        (1, datetime(1971, 1, 5, tzinfo=UTC), "outside 2000"),
    ],
)
def test_a_world_refuses_what_it_cannot_be_made_from(seed, start, said):
    with pytest.raises(ScenarioError, match=said):
        World(load_scenario("paper-2020"), seed, start)


def test_the_page_shows_what_works(tmp_path):
    page = (resources.PACKAGE.parent / "docs" / "simulate.md").read_text(encoding="utf-8")
    blocks = {k: re.findall(rf"```{k}\n(.*?)```", page, re.DOTALL) for k in ("python", "yaml")}
    for number, block in enumerate(blocks["yaml"]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        load_scenario(path)
    for block in blocks["python"]:
        exec(compile(block, "docs/simulate.md", "exec"), {})  # noqa: S102
    assert blocks["python"]
    assert blocks["yaml"]
    for field in Scenario.model_fields:
        assert f"`{field}`" in page or field == "name"
