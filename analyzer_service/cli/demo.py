"""``mlp-analyzer demo``: the paper's platform from simulation to Table 1, in one command."""

from __future__ import annotations

import json as jsonlib
import logging
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from analyzer_service.cli import options
from analyzer_service.cli.analyze import watch
from analyzer_service.cli.connection import collect
from analyzer_service.cli.output import emit_json, say
from analyzer_service.cli.report_view import emit_report
from analyzer_service.cli.serve import log_to_stderr, say_where
from analyzer_service.cli.signals import stop_on_signals, wait_for_signal
from analyzer_service.domain import AnalysisRequest
from analyzer_service.errors import AnalyzerError

if TYPE_CHECKING:
    from analyzer_service.app import Service
    from analyzer_service.server.interface import AnalyzerInterface
    from analyzer_service.settings import Settings

PORTS: Final = ("grpc_port", "otlp_grpc_port", "otlp_http_port", "clickhouse_port", "web_port")
CHILD_SECONDS: Final = 10.0
"""How long the simulator may take to end when it is told to."""


def command(
    *,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the report; free ports, nothing kept.")
    ] = False,
    scenario: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Scenario to simulate.")
    ] = "paper-2020",
    seed: options.Seed = None,
    rules: Annotated[str, typer.Option(metavar="NAME|FILE", help="Rule set.")] = "paper",
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Keep the data here. [default: nowhere]")
    ] = None,
    json: options.Json = False,
) -> None:
    """Simulate the paper's platform and print its Table 1.

    Starts a service, simulates through OTLP, analyses, compares with what was planted, and stays
    up to look around. Ctrl-C stops and forgets everything.
    """
    from analyzer_service.app import Service  # noqa: PLC0415

    log_to_stderr(logging.WARNING)
    with (
        stop_on_signals(),
        tempfile.TemporaryDirectory(
            prefix="mlp-analyzer-demo-", ignore_cleanup_errors=True
        ) as name,
    ):
        folder = Path(name)
        settings = _settings(folder, store=store, leave=leave)
        with Service(settings) as service, _connected(settings, service) as analyzer:
            truth = _simulate(service, folder / "truth.json", scenario=scenario, seed=seed)
            say("Analysing …")
            rule_set, text = options.rule_set(rules)
            request = AnalysisRequest(rule_set=rule_set, rule_set_yaml=text, preset="")
            analysis = watch(analyzer, analyzer.start(request))
            report = analyzer.report(analysis_id=analysis.analysis_id)
            if json:
                emit_json(report)
                sys.stdout.flush()
            else:
                emit_report(report)
                typer.echo(f"\n{compared(report, truth)}")
                typer.echo(_segments_compared(analyzer, truth))
            if not leave:
                _look_around(settings, service)
                wait_for_signal()
            say("Stopping.")


def _settings(folder: Path, *, store: str | None, leave: bool) -> Settings:
    from analyzer_service.settings import Settings  # noqa: PLC0415

    overrides: dict[str, object] = {
        "store": store or f"chdb://{folder / 'store'}",
        # The demo runs the one analysis it shows.
        "interval_ms": 0,
    }
    if leave:
        return Settings.load({**overrides, "state_folder": folder, **dict.fromkeys(PORTS, 0)})
    wanted = Settings.load(overrides)
    taken = [name for name in PORTS if not _free(wanted.host, getattr(wanted, name))]
    for name in taken:
        say(f"Port {getattr(wanted, name)} is taken; {name} will be a free one.")
    return Settings.load({**overrides, **dict.fromkeys(taken, 0)})


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def _connected(settings: Settings, service: Service) -> Iterator[AnalyzerInterface]:
    """Ask the service as any program would: over gRPC."""
    from analyzer_service.cli.connection import find_token  # noqa: PLC0415
    from analyzer_service.server.client import RemoteAnalyzer  # noqa: PLC0415

    server = f"{settings.host}:{service.grpc_port}"
    with RemoteAnalyzer(
        server, token=find_token(settings), ca_file=settings.server_ca_file
    ) as remote:
        yield remote


def _simulate(
    service: Service, truth: Path, *, scenario: str, seed: int | None
) -> Mapping[str, Any]:
    """Run the simulator in a process of its own, so that both have a core to themselves."""
    arguments = [
        *(sys.executable, "-m", "analyzer_service.cli", "simulate"),
        *("--scenario", scenario),
        *("--endpoint", f"127.0.0.1:{service.otlp_grpc_port}", "--truth", str(truth)),
        *(("--seed", str(seed)) if seed is not None else ()),
    ]
    say(f"Simulating {scenario} through OTLP …")
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as child:  # noqa: S603 - our own
        try:
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(CHILD_SECONDS)
    if code:
        raise AnalyzerError("The simulation failed.", hint="Its own message stands above this one.")
    document: Mapping[str, Any] = jsonlib.loads(truth.read_text(encoding="utf-8"))
    return document


def compared(report: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    """Return one line: how many planted challenges were found, and what else."""
    planted = {_identity(item) for item in truth["challenges"]}
    found = {_identity(item) for item in report["challenges"]}
    return (
        f"Against the planted truth: {len(planted & found)} of {len(planted)} challenges found "
        f"with their kind, stage and rule, {len(found - planted)} others."
    )


def _identity(item: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("kind", "stage", "component", "signal", "rule")
    return tuple(str(item[name]) for name in names)


def _segments_compared(analyzer: AnalyzerInterface, truth: Mapping[str, Any]) -> str:
    users, _ = collect(
        lambda size, token: analyzer.list_users(segment=None, page_size=size, page_token=token), 0
    )
    segments = {item.segment.user: str(item.segment.segment) for item in users}
    planted: Mapping[str, str] = truth["users"]
    same = sum(segments.get(user) == segment for user, segment in planted.items())
    return f"{same} of {len(planted)} users are in their planted segment."


def _look_around(settings: Settings, service: Service) -> None:
    from analyzer_service.server.tokens import tokens_file  # noqa: PLC0415

    at = f"{settings.host}:{service.grpc_port}"
    option = "" if at == settings.server else f" --server {at}"
    typer.echo(
        f"""
Look further, from another terminal:
  mlp-analyzer challenges{option}
  mlp-analyzer users --segment beginner --limit 5{option}
  mlp-analyzer sql "SELECT stage, count() FROM signals GROUP BY stage"{option}
  mlp-analyzer status{option}
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" {at} \\
    analyzer_service.api.v1.AnalyzerService/ListSegments
    (TOKEN: one of {tokens_file(settings.state_folder)})
Send your own telemetry:
  OTEL_EXPORTER_OTLP_ENDPOINT=http://{settings.host}:{service.otlp_grpc_port}"""
    )
    say("")
    say_where(settings, service)
    typer.echo("\nCtrl-C stops and forgets everything.")
