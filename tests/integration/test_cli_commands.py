from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_service import Served, served
from memory_analyzer import BEGINNER, EXPERT, MemoryAnalyzer

from analyzer_service.cli.application import app, run
from analyzer_service.cli.connection import find_token
from analyzer_service.server.tokens import load_tokens
from analyzer_service.settings import Settings

READING = {
    "report": ["report"],
    "challenges": ["challenges"],
    "challenge": ["challenges", "ch-1"],
    "lives": ["lives"],
    "life": ["lives", "ch-1"],
    "review": ["review", "ch-1", "confirm"],
    "signals": ["challenges", "ch-1", "--signals"],
    "users": ["users"],
    "user": ["users", EXPERT],
    "segments": ["segments"],
    "analyses": ["analyses"],
    "sql": ["sql", "SELECT 1"],
    "status": ["status"],
    "analyze": ["analyze", "--rules", "paper"],
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("state")) as found:
        yield found


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    service: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command against the service; the token is found in the state folder."""
    vars(service.analyzer).update(vars(MemoryAnalyzer()))
    monkeypatch.setenv("MLP_ANALYZER_SERVER", service.address)
    monkeypatch.setenv("MLP_ANALYZER_STATE_FOLDER", str(service.state_folder))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize("name", list(READING))
def test_results_fit_80_columns(command: Command, name: str) -> None:
    code, out, err = command(*READING[name])
    assert code == 0, err
    assert out
    assert max(map(len, out.splitlines())) <= 80
    assert "Traceback" not in err


@pytest.mark.parametrize("name", list(READING))
def test_json_is_one_document_alone_on_stdout(command: Command, name: str) -> None:
    code, out, _ = command(*READING[name], "--json")
    assert code == 0
    assert json.loads(out)


def document(command: Command, *arguments: str) -> Any:
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_report_is_the_analyzers(command: Command) -> None:
    assert document(command, "report") == MemoryAnalyzer().report()


def test_the_report_shows_the_papers_table(command: Command) -> None:
    _, out, _ = command("report")
    assert "Segments  expert 1, intermediate 1, beginner 1" in out
    assert "Model training" in out
    row = next(line for line in out.splitlines() if "TimeLimitExceeded" in line)
    assert row.split() == ["ET", "2", "trainer:", "TimeLimitExceeded", "0/1", "-", "1/1"]


def test_filters_and_limits_select(command: Command) -> None:
    found = document(command, "challenges", "--kind", "simplicity_of_platform")
    assert [item["id"] for item in found["challenges"]] == ["ch-2"]
    found = document(command, "challenges", "--stage", "model_training")
    assert [item["id"] for item in found["challenges"]] == ["ch-1"]
    found = document(command, "challenges", "--limit", "1")
    assert (len(found["challenges"]), found["total"]) == (1, 2)
    assert len(document(command, "challenges", "--limit", "0")["challenges"]) == 2
    found = document(command, "users", "--segment", "beginner")
    assert [item["user"] for item in found["users"]] == [BEGINNER]


def test_sql_gives_objects_and_numbers_repeated_names(command: Command) -> None:
    rows = document(command, "sql", "SELECT 1")
    assert len(rows) == 1234
    assert rows[0] == {"stage": "s0", "n": 0}
    assert document(command, "sql", "empty") == []
    assert document(command, "sql", "twice") == [{"a": 1, "a_2": 2}]


def test_a_query_that_breaks_half_way_prints_no_half_document(command: Command) -> None:
    code, out, err = command("sql", "half", "--json")
    assert (code, out) == (2, "")
    assert err == "error: It broke half-way.\n"


def test_sql_reads_stdin(
    command: Command, service: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "query").write_text("empty")
    with (tmp_path / "query").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert document(command, "sql", "-", "--max-rows", "5") == []
    assert service.analyzer.sqls == [("empty", 5)]


def test_analyze_says_what_it_is_doing_on_stderr(command: Command, service: Served) -> None:
    code, out, err = command("analyze", "--window-start", "2026-01-05", "--json")
    assert (code, err) == (0, "settling …\nrules …\n")
    assert json.loads(out)["status"] == "succeeded"
    start = service.analyzer.requests[0].window_start
    assert start is not None
    assert start.isoformat() == "2026-01-05T00:00:00+00:00"


def test_analyze_need_not_wait(command: Command) -> None:
    assert document(command, "analyze", "--no-wait")["status"] == "pending"


def test_a_failed_analysis_is_an_error(command: Command, service: Served) -> None:
    service.analyzer.fails = True
    code, out, err = command("analyze", "--json")
    assert (code, out) == (1, "")
    assert "error: The analysis failed: Nothing is settled." in err


def test_a_rule_set_of_ones_own_travels_as_text(
    command: Command, service: Served, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    document(command, "analyze", "--rules", str(tmp_path / "mine.yaml"))
    assert service.analyzer.requests[0].rule_set_yaml == "name: mine\n"
    code, _, err = command("analyze", "--rules", str(tmp_path / "other.yaml"))
    assert code == 2
    assert "other.yaml cannot be read" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["challenges", "nope"], 4, "There is no challenge nope."),
        (["users", "nope"], 4, "There is no user nope."),
        (["report", "--analysis", "nope"], 4, "There is no analysis nope."),
        (["report", "--server", "a:1", "--store", "chdb://memory"], 2, "exclude each other"),
        (["analyze", "--window-end", "soon"], 2, "--window-end soon is not a time."),
        (["analyze", "--store", "chdb://memory", "--no-wait"], 2, "--no-wait needs a service"),
        (["challenges", "--signals"], 2, "--signals needs a challenge"),
        (["challenges", "--kind", "odd"], 2, "'odd' is not one of"),
        (["migrate", "--dry-run", "--status"], 2, "exclude each other"),
        (["nope"], 2, "No such command 'nope'."),
        (["sql"], 2, "Missing argument"),
    ],
)
def test_errors_are_one_line_with_a_code(
    command: Command, arguments: list[str], code: int, said: str
) -> None:
    found, out, err = command(*arguments)
    assert (found, out) == (code, "")
    assert said in err.splitlines()[0]
    assert err.startswith("error: ")
    assert all(line.startswith(("error: ", "hint: ")) for line in err.splitlines())


def test_a_busy_service_is_exit_6(command: Command, service: Served) -> None:
    service.analyzer.busy = True
    assert command("analyze") == (6, "", "error: One is running.\nhint: Wait for it.\n")


def test_nobody_answering_is_exit_8(command: Command) -> None:
    code, _, err = command("status", "--server", "127.0.0.1:1")
    assert code == 8
    assert "mlp-analyzer serve" in err


def test_the_token_comes_from_the_environment_first(
    command: Command, service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_TOKEN", service.tokens.reader)
    assert command("status")[0] == 0
    code, _, err = command("users")
    assert code == 9
    assert "needs the operator role" in err


@pytest.mark.parametrize("server", ["10.1.2.3:50051", "analyzer.example:50051"])
def test_another_machine_is_never_shown_the_token(tmp_path: Path, server: str) -> None:
    operator = load_tokens(tmp_path).operator
    local = Settings.load({"state_folder": tmp_path})
    assert find_token(local) == operator
    assert find_token(Settings.load({"state_folder": tmp_path, "server": server})) == ""
    given = {"state_folder": tmp_path, "server": server, "token": "given"}
    assert find_token(Settings.load(given)) == "given"


def test_another_account_has_no_token(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_STATE_FOLDER", str(tmp_path / "empty"))
    code, _, err = command("status")
    assert code == 9
    assert "No valid token" in err
    assert not (tmp_path / "empty").exists()


def test_config_shows_values_sources_and_no_secrets(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_USER_SALT", "very-secret-salt")
    settings = {item["name"]: item for item in document(command, "config")["settings"]}
    assert settings["user_salt"]["value"] == "(hidden)"
    assert settings["user_salt"]["source"] == "environment"
    assert settings["grpc_port"]["value"] == 50051
    code, out, _ = command("config")
    assert code == 0
    assert "very-secret" not in out
    assert command("config", "check") == (0, "", "The settings can be used.\n")
    monkeypatch.setenv("MLP_ANALYZER_GRPC_PORT", "abc")
    code, _, err = command("config", "check")
    assert code == 2
    assert "MLP_ANALYZER_GRPC_PORT=abc: give a whole number" in err


def test_debug_shows_where_an_error_came_from(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_ANALYZER_DEBUG", "true")
    assert "Traceback" in command("challenges", "nope")[2]


def test_every_command_has_help_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for info in app.registered_commands:
        assert run([str(info.name), "--help"]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_loads_no_engine() -> None:
    program = (
        "import sys; from analyzer_service.cli.application import run; run(['--help']);"
        "heavy = {'grpc', 'chdb', 'pydantic', 'numpy', 'rich', 'clickhouse_connect'};"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "challenges" in done.stdout
