from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer_service.cli.demo import _free, _settings, compared
from analyzer_service.cli.serve import reachable
from analyzer_service.cli.signals import INTERRUPTED_EXIT

CHALLENGE = {
    "kind": "education_training",
    "stage": "model_training",
    "component": "trainer",
    "signal": "TimeLimitExceeded",
    "rule": 2,
}
STARTS_WITHIN_SECONDS = 120.0


def test_the_comparison_counts_found_and_others() -> None:
    other = {**CHALLENGE, "rule": "1"}
    line = compared(
        {"challenges": [{**CHALLENGE, "rule": "2", "id": "x"}, other]},
        {"challenges": [CHALLENGE, {**CHALLENGE, "stage": "data_collection"}]},
    )
    assert "1 of 2 challenges found" in line
    assert line.endswith("1 others.")


def test_taken_ports_give_way_to_free_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not _free("127.0.0.1", port)
        monkeypatch.setenv("MLP_ANALYZER_GRPC_PORT", str(port))
        settings = _settings(tmp_path, store=None, leave=False)
    assert settings.grpc_port == 0
    assert f"Port {port} is taken" in capsys.readouterr().err
    assert settings.interval_ms == 0


def test_a_demo_that_ends_uses_nothing_of_the_accounts(tmp_path: Path) -> None:
    settings = _settings(tmp_path, store=None, leave=True)
    assert settings.state_folder == tmp_path
    assert settings.store == f"chdb://{tmp_path}/store"
    assert {settings.grpc_port, settings.otlp_grpc_port, settings.otlp_http_port} == {0}


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")],  # noqa: S104
)
def test_a_wildcard_is_reached_over_loopback(host: str, expected: str) -> None:
    assert reachable(host) == expected


@pytest.mark.slow
def test_a_simulation_that_fails_ends_the_demo_with_its_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "analyzer_service.cli", "demo", "--exit", "--scenario", "nope"],
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN_SECONDS,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "nope" in done.stderr
    assert "error: The simulation failed." in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("mlp-analyzer-demo-*")) == []


@pytest.mark.slow
def test_a_demo_stopped_half_way_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer_service.cli", "demo", "--exit", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Simulating" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=STARTS_WITHIN_SECONDS)
    assert (process.returncode, out) == (INTERRUPTED_EXIT, "")
    assert err.rstrip().endswith("Stopped.")
    assert list(tmp_path.glob("mlp-analyzer-demo-*")) == []


def test_json_of_the_docs_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from analyzer_service.cli.output import emit_json

    emit_json({"b": 1, "a": {"d": (1, 2), "c": None}})
    out = capsys.readouterr().out
    assert out == '{"a":{"c":null,"d":[1,2]},"b":1}\n'
    assert json.loads(out)["b"] == 1
