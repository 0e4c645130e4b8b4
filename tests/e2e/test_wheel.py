"""The built wheel in a clean environment and an empty folder: demo, migrate, serve."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from programs import Program, Service

from tests.integration.otlp_capture import plain_attributes, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_environment_with(f"{wheel}[all]", tmp_path_factory.mktemp("clean"))


def clean_environment_with(package: str, home: Path) -> Path:
    """Make an environment with a package and the locked packages it asks for."""
    venv.create(home, with_pip=True)
    lock = home / "constraints.txt"
    # As constraints, the lock's lines may carry neither hashes nor extras.
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?(==[^\\\n]+)", locked, re.M)
    lock.write_text("".join(f"{name}{version}\n" for name, version in pins))
    pip = [
        str(home / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(lock),
    ]
    subprocess.run([*pip, package], check=True, capture_output=True)
    return home


@pytest.fixture
def program(installed: Path, tmp_path: Path) -> Program:
    return Program(tmp_path, command=(str(installed / "bin" / "mlp-analyzer"),))


def test_the_wheel_carries_sql_and_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "clickhouse" / "migrations").glob("*.sql"):
        assert f"analyzer_service/_sql/migrations/{path.name}" in names
    for path in (ROOT / "clickhouse" / "queries").glob("*.sql"):
        assert f"analyzer_service/_sql/queries/{path.name}" in names
    for path in (ROOT / "analyzer_service" / "data").rglob("*.yaml"):
        assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_base_install_is_thin(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read(
        next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA"))
    )
    base = [line.split(": ")[1] for line in metadata.decode().splitlines()
            if line.startswith("Requires-Dist: ") and "extra ==" not in line]  # fmt: skip
    assert {name.split(">")[0] for name in base} == {
        "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp",
        "opentelemetry-instrumentation",
    }  # fmt: skip


def test_the_base_install_alone_instruments_a_program(wheel: Path, tmp_path: Path) -> None:
    environment = clean_environment_with(str(wheel), tmp_path / "clean")
    program = "with __import__('otel_instrumentation').operation('work'): pass"
    with receiving() as capture:
        variables = {
            "PATH": f"{environment / 'bin'}:/usr/bin:/bin",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{capture.endpoint}",
            "OTEL_MLP_COMPONENT": "jobs",
        }
        command = [
            environment / "bin" / "opentelemetry-instrument",
            "--mlp_stage",
            "model_training",
        ]
        ran = subprocess.run(
            [*command, "python", "-c", program],
            env=variables, check=True, capture_output=True, text=True,
        )  # fmt: skip
        (span,) = capture.spans()
    said = plain_attributes(span.attributes)
    assert said.items() >= {"mlp.stage": "model_training", "mlp.component": "jobs"}.items()
    assert ran.stderr == ""


def test_demo(program: Program) -> None:
    report = program.json("demo", "--exit")
    assert report["users"] == {"rated": 393, "unrated": 998}
    assert report["segments"] == {"expert": 85, "intermediate": 118, "beginner": 190}
    assert len(report["challenges"]) == 23
    assert list(program.folder.iterdir()) == []


def test_migrate_then_serve(program: Program) -> None:
    program.run("migrate", "--store", program.store)
    assert program.json("migrate", "--store", program.store, "--status")
    with Service(program) as service:
        assert service.json("status")["schema_version"] >= 1
        assert service.count("SELECT count() AS n FROM signals") == 0
