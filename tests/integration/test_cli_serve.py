from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from analyzer_service.errors import InvalidInputError, PageTokenError, QueryRefusedError
from analyzer_service.server.client import RemoteAnalyzer

START_SECONDS = 60.0
STOP_SECONDS = 30.0
PORTS = (
    "--grpc-port",
    "--otlp-grpc-port",
    "--otlp-http-port",
    "--clickhouse-port",
    "--web-port",
)
MAPPING = """\
name: tiny
user: {column: who}
time: {column: at, marks: start, unit: s}
duration: {column: took, unit: s}
stage: model_training
component: cluster
action: submit_job
outcome: {column: result, values: {ok: ok, bad: error}}
error_type: {column: result, values: {bad: OutOfMemory}}
"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    ports: dict[str, int]
    environment: dict[str, str]
    folder: Path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "analyzer_service.cli", *arguments],
            check=False,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def serving(folder: Path) -> Iterator[Running]:
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    environment = {**os.environ, "MLP_ANALYZER_STATE_FOLDER": str(folder / "state")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "analyzer_service.cli", "serve"),
            *(argument for port in PORTS for argument in (port, "0")),
            *("--ready-file", str(ready)),
        ],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        environment["MLP_ANALYZER_SERVER"] = f"127.0.0.1:{found['grpc_port']}"
        yield Running(process, found, environment, folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(running: Running, number: signal.Signals) -> str:
    running.process.send_signal(number)
    out, err = running.process.communicate(timeout=STOP_SECONDS)
    assert running.process.returncode == 0, err
    assert out == ""
    return err


@pytest.mark.slow
def test_a_service_takes_telemetry_analyses_and_answers(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(MAPPING)
    lines = ["who,at,took,result"]
    for person in range(12):
        for day in range(6):
            at = 1_767_571_200 + day * 86_400 + person * 60
            lines.append(f"user-{person},{at},{30 + person},{'bad' if person % 2 else 'ok'}")
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    with serving(tmp_path) as running:
        sent = running.json(
            *("replay", "log.csv", "--mapping", "tiny.yaml"),
            *("--endpoint", f"127.0.0.1:{running.ports['otlp_grpc_port']}"),
        )
        assert (sent["rows_read"], sent["rows_accepted"], sent["rows_rejected"]) == (72, 72, 0)
        analysis = running.json("analyze", "--rules", "paper")
        assert analysis["status"] == "succeeded"
        assert analysis["rated"] == 12
        report = running.json("report")
        assert report["users"] == {"rated": 12, "unrated": 0}
        assert sum(report["segments"].values()) == 12
        rows = running.json("sql", "SELECT count() AS n FROM otel_traces")
        assert rows == [{"n": 72}]
        status = running.json("status")
        assert status["users"] == 12
        assert status["last_analysis"]["analysis_id"] == analysis["analysis_id"]
        assert running.json("users", "--limit", "0")["total"] == 12
        assert running.json("analyses")["total"] == 1
        with RemoteAnalyzer(
            running.environment["MLP_ANALYZER_SERVER"],
            token=json.loads((tmp_path / "state" / "tokens.json").read_text())["operator"],
        ) as client:
            first = client.list_users(segment=None, page_size=5, page_token="")
            second = client.list_users(segment=None, page_size=7, page_token=first.next_token)
            seen = [item.segment.user for item in first.items + second.items]
            assert (len(seen), seen, second.next_token) == (12, sorted(set(seen)), "")
            with pytest.raises(InvalidInputError, match="page_size is -1"):
                client.list_users(segment=None, page_size=-1, page_token="")
            with pytest.raises(PageTokenError):
                client.list_analyses(page_size=1, page_token=first.next_token)
            with pytest.raises(QueryRefusedError):
                client.query("SELECT 1; SELECT 2", max_rows=1)
        refused = running.command("sql", "DROP TABLE signals")
        assert (refused.returncode, refused.stdout) == (2, "")
        busy = running.command("report", "--store", f"chdb://{tmp_path}/state/store")
        assert busy.returncode == 7
        assert f"--server 127.0.0.1:{running.ports['grpc_port']}" in busy.stderr
        stop(running, signal.SIGTERM)
    # The store is free again: the same commands open it themselves, with the same answer.
    store = f"chdb://{tmp_path}/state/store"
    assert running.json("report", "--store", store) == report
    applied = running.json("migrate", "--status", "--store", store)["migrations"]
    assert applied
    assert all(item["applied_time"] and not item["changed"] for item in applied)
    assert running.json("migrate", "--store", store)["steps"] == []


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_where_it_listened_is_said(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        err = stop(running, signal.SIGINT)
        for name in ("grpc_port", "otlp_grpc_port", "otlp_http_port"):
            assert f"127.0.0.1:{running.ports[name]}" in err
        assert "Traceback" not in err
        assert err.rstrip().endswith("Stopped.")


def test_bad_settings_stop_the_start_all_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "analyzer_service.cli", "serve", "--grpc-port", "70000"],
        check=False,
        env={**os.environ, "MLP_ANALYZER_STORE": "ftp://x", "MLP_ANALYZER_INTERVAL_MS": "soon"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith("error: 3 settings cannot be used:")
    for name in (
        "--grpc-port=70000",
        "MLP_ANALYZER_STORE=ftp://x",
        "MLP_ANALYZER_INTERVAL_MS=soon",
    ):
        assert name in first


def test_migrate_dry_run_prints_the_sql_and_changes_nothing(tmp_path: Path) -> None:
    store = f"chdb://{tmp_path}/store"
    running = Running(None, {}, dict(os.environ), tmp_path)
    done = running.command("migrate", "--store", store, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "CREATE TABLE IF NOT EXISTS" in done.stdout
    found = running.json("migrate", "--store", store, "--status")["migrations"]
    assert [item["applied_time"] for item in found] == [None] * len(found)
