"""clickhouse-go, the driver of the Collector's exporter, against the endpoint."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.endpoint_support import running_endpoint

FOLDER = Path(__file__).parents[1] / "clickhouse_go"
GO = shutil.which("go")


@pytest.mark.slow
@pytest.mark.skipif(
    GO is None and os.environ.get("CI") != "true", reason="Go is not installed; CI has it"
)
def test_the_real_driver_is_served(tmp_path: Path) -> None:
    assert GO is not None, "CI needs Go"
    with running_endpoint(tmp_path) as running:
        environment = {
            **os.environ,
            "ENDPOINT_ADDRESS": f"127.0.0.1:{running.endpoint.port}",
            "ENDPOINT_WRITER": "writer-token",
            "ENDPOINT_OPERATOR": "operator-token",
        }
        done = subprocess.run(
            [GO, "test", "-count=1", "-v", "./..."],
            cwd=FOLDER,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("--- PASS: TestWriter/") == 5
        assert done.stdout.count("--- PASS: TestOperator/") == 5
        assert running.count("otel_logs") == 15_000
        # The bodies hold blank lines and a statement behind them: data stays data.
        bodies = running.store.query("SELECT DISTINCT Body FROM otel_logs")
        assert bodies == [("a\n\nDROP TABLE otel_logs\n\n",)]
