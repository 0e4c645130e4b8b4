"""``mlp-analyzer demo``: the paper's platform from simulation to Table 1, in one command."""

from __future__ import annotations

import json as jsonlib
import logging
import shutil
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
from analyzer_service.cli.serve import log_to_stderr, reachable
from analyzer_service.cli.signals import (
    INTERRUPTED_EXIT,
    signals_held,
    stop_on_signals,
    wait_for_signal,
)
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
    reported = False
    with (
        stop_on_signals(),
        tempfile.TemporaryDirectory(
            prefix="mlp-analyzer-demo-", ignore_cleanup_errors=True
        ) as name,
    ):
        folder = Path(name)
        settings = _settings(folder, store=store, leave=leave)
        with Service(settings) as service, _connected(settings, service) as analyzer:
            endpoint = f"{reachable(settings.host)}:{service.otlp_grpc_port}"
            truth = _simulate(endpoint, folder / "truth.json", scenario=scenario, seed=seed)
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
            # With --json stdout is the report alone.
            typer.echo(f"\n{compared(report, truth)}", err=json)
            typer.echo(_segments_compared(analyzer, truth), err=json)
            reported = True
            if not leave:
                typer.echo(_how_to_look_around(settings, service), err=json)
                wait_for_signal()
    say("Stopped.")
    if not reported:
        raise typer.Exit(INTERRUPTED_EXIT)


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

    server = f"{reachable(settings.host)}:{service.grpc_port}"
    token = find_token(settings.model_copy(update={"server": server}))
    with RemoteAnalyzer(server, token=token, ca_file=settings.server_ca_file) as remote:
        yield remote


def _simulate(endpoint: str, truth: Path, *, scenario: str, seed: int | None) -> Mapping[str, Any]:
    """Run the simulator in a process of its own, so that both have a core to themselves."""
    arguments = [
        *(sys.executable, "-m", "analyzer_service.cli", "simulate"),
        *("--scenario", scenario),
        *("--endpoint", endpoint, "--truth", str(truth)),
        *(("--seed", str(seed)) if seed is not None else ()),
    ]
    say(f"Simulating {scenario} through OTLP …")
    child: subprocess.Popen[bytes] | None = None
    try:
        with signals_held():
            child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
        code = child.wait()
    finally:
        if child is not None and child.poll() is None:
            _end(child)
    if code:
        raise AnalyzerError("The simulation failed.", hint="Its own message stands above this one.")
    document: Mapping[str, Any] = jsonlib.loads(truth.read_text(encoding="utf-8"))
    return document


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


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


def _how_to_look_around(settings: Settings, service: Service) -> str:
    from analyzer_service.server.tokens import tokens_file  # noqa: PLC0415
    from analyzer_service.settings import without_password  # noqa: PLC0415

    host = reachable(settings.host)
    at = f"{host}:{service.grpc_port}"
    option = "" if at == settings.server else f" --server {at}"
    tokens = tokens_file(settings.state_folder)
    program = _program()
    return f"""
Look further, from another terminal:
  {program} challenges{option}
  {program} users --segment beginner --limit 5{option}
  {program} sql "SELECT stage, count() FROM signals GROUP BY stage"{option}
  {program} status{option}
gRPC, with grpcurl (the API describes itself):
  TOKEN=$({sys.executable} -c "import json; print(json.load(open('{tokens}'))['operator'])")
  grpcurl -plaintext -H "authorization: Bearer $TOKEN" {at} \\
    analyzer_service.api.v1.AnalyzerService/ListSegments
Send your own telemetry:
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{host}:{service.otlp_grpc_port}
  (OTLP over HTTP: port {service.otlp_http_port})

The data are in {without_password(settings.store)}
Ctrl-C stops; without --store it forgets everything."""


def _program() -> str:
    """Return what to type to run this program again from the same folder."""
    if shutil.which("mlp-analyzer"):
        return "mlp-analyzer"
    started = Path(sys.argv[0])
    return str(started) if started.name == "mlp-analyzer" else f"{sys.executable} -m {__package__}"
