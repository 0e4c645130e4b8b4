"""`mlp-analyzer migrate` for a cluster, as far as it goes without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analyzer_service.cli.application import app
from analyzer_service.errors import InvalidInputError, SettingsError
from analyzer_service.store.cluster import Cluster
from analyzer_service.store.migrations import latest_version, load_migrations, plan


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("MLP_ANALYZER_STATE_FOLDER", str(folder))
    return folder


def migrate(*options: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *options])


def test_a_dry_run_for_a_cluster_shows_everything_and_opens_nothing(state: Path) -> None:
    shown = migrate("--cluster", "mlp", "--dry-run")
    assert shown.exit_code == 0
    for step in plan(Cluster("mlp")):
        assert f"{step.statement};\n" in shown.stdout
    assert f"{latest_version()} migrations would be applied" in shown.stderr
    assert not state.exists()


def test_the_same_as_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_ANALYZER_CLUSTER", "mlp")
    document = json.loads(migrate("--dry-run", "--json").stdout)
    assert document["dry_run"] is True
    assert [step["statement"] for step in document["steps"]] == [
        step.statement for step in plan(Cluster("mlp"))
    ]


def test_without_a_cluster_nothing_is_rewritten() -> None:
    shown = migrate("--dry-run")
    assert shown.exit_code == 0
    for migration in load_migrations():
        for statement in migration.statements:
            assert f"{statement};\n" in shown.stdout
    assert "ON CLUSTER" not in shown.stdout


def test_an_embedded_store_is_no_cluster() -> None:
    refused = migrate("--cluster", "mlp")
    assert isinstance(refused.exception, InvalidInputError)
    assert "cannot be part of a cluster" in str(refused.exception)


def test_a_name_that_is_none() -> None:
    refused = migrate("--cluster", "a b", "--dry-run")
    assert isinstance(refused.exception, SettingsError)
    assert "--cluster=a b" in str(refused.exception)


def test_applied_migrations_are_sent_again_when_asked() -> None:
    assert f"{latest_version()} migrations applied" in migrate().stderr
    assert "0 migrations applied" in migrate().stderr
    assert f"{latest_version()} migrations applied" in migrate("--repeat").stderr
