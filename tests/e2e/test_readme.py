"""The README's blocks do what they say."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from programs import Program, Service

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.M)


def test_ci_runs_the_readmes_test_command() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "make test"


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block(block: str, tmp_path: Path) -> None:
    program = Program(tmp_path)
    with Service(program) as service:
        environment = {
            **program.environment,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{service.otlp}",
        }
        subprocess.run([sys.executable, "-c", block], check=True, env=environment)
        assert service.count("SELECT count() AS n FROM signals WHERE action = 'open_notebook'") == 1


@pytest.mark.parametrize("block", blocks("bash"))
def test_bash_block(block: str, tmp_path: Path) -> None:
    """Each line as a reader types it; only where the service listens and stores is ours."""
    program = Program(tmp_path)
    write_log(tmp_path / "jobs.csv")
    (tmp_path / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
    lines = [line for line in block.splitlines() if line.strip()]
    assert lines[0].startswith("mlp-analyzer serve --store chdb:///")
    with Service(program) as service:
        for line in lines[1:]:
            words = shlex.split(line.replace("jobs.csv.gz", "jobs.csv"))
            assert words[0] == "mlp-analyzer"
            if words[1] == "replay":
                words = [service.otlp if w == "localhost:4317" else w for w in words]
            else:
                words += ["--server", service.server]
            assert program.run(*words[1:]) or words[1] == "replay"


def write_log(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "submitted", "seconds", "status"])
        for number in range(60):
            when = 1767600000 + number * 7200
            status = "Failed" if number % 5 == 0 else "Pass"
            writer.writerow([f"user{number % 3}", when, 60 + number, status])


MAPPING = """
name: readme
stage: model_training
component: cluster
action: submit_job
user: {column: user}
time: {column: submitted, marks: start, unit: s}
duration: {column: seconds}
outcome:
  column: status
  values: {Pass: ok, Failed: error}
"""
