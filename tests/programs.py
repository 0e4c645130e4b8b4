"""Whole programs for the end-to-end tests: the service as a process, the command line beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

START_SECONDS = 60
COMMAND_SECONDS = 600


@dataclass
class Program:
    """One account's view of the Analyzer: a state folder, a store, and the commands."""

    folder: Path
    command: tuple[str, ...] = (sys.executable, "-m", "analyzer_service.cli")
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> str:
        return f"chdb://{self.folder / 'store'}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_ANALYZER_"))}
        state = {"MLP_ANALYZER_STATE_FOLDER": str(self.folder), "XDG_STATE_HOME": str(self.folder)}
        return {**kept, **state, **self.variables}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *arguments],
            env=self.environment,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            cwd=self.folder,
            text=True,
            capture_output=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def run(self, *arguments: str) -> str:
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stderr[-3000:]}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))


class Service:
    """``mlp-analyzer serve`` on free ports, from start to stop."""

    def __init__(self, program: Program, *, interval_ms: int = 0) -> None:
        self.program = program
        self.interval_ms = interval_ms
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        ready = self.program.folder / "ready.json"
        ready.unlink(missing_ok=True)
        log = (self.program.folder / "serve.log").open("a", encoding="utf-8")
        environment = {
            **self.program.environment,
            "MLP_ANALYZER_INTERVAL_MS": str(self.interval_ms),
        }
        ports = ("grpc", "otlp-grpc", "otlp-http", "clickhouse", "web")
        self.process = subprocess.Popen(
            [
                *self.program.command,
                "serve",
                *("--store", self.program.store, "--ready-file", str(ready)),
                *(part for port in ports for part in (f"--{port}-port", "0")),
            ],
            env=environment,
            cwd=self.program.folder,
            stdout=log,
            stderr=log,
            text=True,
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.ports = json.loads(ready.read_text(encoding="utf-8"))
        return self

    def log(self) -> str:
        return (self.program.folder / "serve.log").read_text(encoding="utf-8")[-4000:]

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.ports['grpc_port']}"

    @property
    def otlp(self) -> str:
        return f"127.0.0.1:{self.ports['otlp_grpc_port']}"

    @property
    def otlp_http(self) -> str:
        return f"http://127.0.0.1:{self.ports['otlp_http_port']}"

    def json(self, *arguments: str) -> Any:
        return self.program.json(*arguments, "--server", self.server)

    def count(self, query: str) -> int:
        rows = self.json("sql", query)
        return int(next(iter(rows[0].values())))

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=60) == 0, self.log()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
