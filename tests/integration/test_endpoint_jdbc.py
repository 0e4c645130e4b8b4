"""ClickHouse's JDBC driver against the endpoint."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.endpoint_support import running_endpoint

FOLDER = Path(__file__).parents[1] / "clickhouse_jdbc"
JAVA, MAVEN = shutil.which("java"), shutil.which("mvn")
RUN_SECONDS = 300


def run(*command: str, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=FOLDER,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    (JAVA is None or MAVEN is None) and os.environ.get("CI") != "true",
    reason="Java 17 or Maven is not installed; CI has both",
)
def test_the_real_driver_is_served(tmp_path: Path) -> None:
    assert JAVA is not None, "CI needs Java"
    assert MAVEN is not None, "CI needs Maven"
    jars = tmp_path / "jars"
    run(MAVEN, "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={jars}")
    with running_endpoint(tmp_path / "endpoint") as running:
        url = f"jdbc:clickhouse://127.0.0.1:{running.endpoint.port}/default"
        said = run(JAVA, "-cp", f"{jars}/*", "Endpoint.java", ENDPOINT_JDBC_URL=url)
    each = ["metadata", "values refused", "errors"]
    assert said.splitlines() == [
        *("queries compress=false", *each),
        *("queries compress=true", *each),
        "reader",
    ]


HEADERS = {
    "Content-Type": "text/plain",
    "X-ClickHouse-Format": "RowBinaryWithNamesAndTypes",
    "X-ClickHouse-Database": "default",
    "X-ClickHouse-Query-Id": "b8e13b0f",
}
"""What version 0.9.4 sends with each query, as it was seen."""


def test_its_requests(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as running:
        answer = running.ask(
            "SELECT 42 AS n, 'it\\'s' AS s",
            headers=HEADERS,
            async_insert="0",
            wait_end_of_query="0",
        )
        assert answer.headers["x-clickhouse-format"] == "RowBinaryWithNamesAndTypes"
        assert answer.headers["x-clickhouse-query-id"] == "b8e13b0f"
        assert answer.body == b"\x02\x01n\x01s\x05UInt8\x06String\x2a\x04it's"
        ping = running.ask("SELECT 1 FORMAT TabSeparated", headers=HEADERS)
        assert ping.text == "1\n"
        elsewhere = running.ask("SELECT 1", headers={**HEADERS, "X-ClickHouse-Database": "other"})
        assert (elsewhere.status, elsewhere.code) == (404, 81)
        # What the URL says goes before a header.
        assert running.ask("SELECT 1", headers=HEADERS, default_format="CSV").text == "1\n"
