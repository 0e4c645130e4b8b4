"""``mlp-analyzer serve``: the whole service in one process."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analyzer_service.cli.output import say
from analyzer_service.cli.signals import stop_on_signals, wait_for_signal

if TYPE_CHECKING:
    from analyzer_service.app import Service
    from analyzer_service.settings import Settings

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def command(
    *,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the data are. [default: in the state folder]"),
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Listen here. [default: 127.0.0.1]")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="gRPC API; 0: any. [default: 50051]")
    ] = None,
    otlp_grpc_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="OTLP over gRPC. [default: 4317]")
    ] = None,
    otlp_http_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="OTLP over HTTP. [default: 4318]")
    ] = None,
    clickhouse_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="ClickHouse's HTTP; 0: any. [default: 8123]")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Reserved for the dashboard.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write the real ports here, as JSON, once up."),
    ] = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM."""
    from analyzer_service.settings import Settings  # noqa: PLC0415

    log_to_stderr(logging.INFO)
    settings = Settings.load(
        {
            "store": store,
            "host": host,
            "grpc_port": grpc_port,
            "otlp_grpc_port": otlp_grpc_port,
            "otlp_http_port": otlp_http_port,
            "clickhouse_port": clickhouse_port,
            "web_port": web_port,
        }
    )
    # After the settings: wrong ones are said before the engine is loaded.
    from analyzer_service.app import Service  # noqa: PLC0415

    with stop_on_signals(), Service(settings) as service:
        say_where(settings, service)
        say("Ctrl-C stops.")
        if ready_file is not None:
            write_ready_file(ready_file, ports_of(service))
        wait_for_signal()
    say("Stopped.")


def log_to_stderr(level: int) -> None:
    """Send the log of this process to stderr."""
    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr, force=True)


def ports_of(service: Service) -> dict[str, int]:
    """Return the real port of everything that listens."""
    return {
        "grpc_port": service.grpc_port,
        "otlp_grpc_port": service.otlp_grpc_port,
        "otlp_http_port": service.otlp_http_port,
        "clickhouse_port": service.clickhouse_port,
    }


def say_where(settings: Settings, service: Service) -> None:
    """Say on stderr where everything listens and where the data are."""
    from analyzer_service.settings import without_password  # noqa: PLC0415

    host = bracketed(settings.host)
    say(f"gRPC API   {host}:{service.grpc_port}")
    say(f"OTLP/gRPC  {host}:{service.otlp_grpc_port}")
    say(f"OTLP/HTTP  http://{host}:{service.otlp_http_port}")
    if service.clickhouse_port:
        say(f"ClickHouse http://{host}:{service.clickhouse_port}")
    say(f"Store      {without_password(settings.store)}")
    if settings.authenticated:
        from analyzer_service.server.tokens import tokens_file  # noqa: PLC0415

        say(f"Tokens     {tokens_file(settings.state_folder)}")


def bracketed(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def reachable(host: str) -> str:
    """Return how a program on this machine reaches what listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, bracketed(host))  # noqa: S104


def write_ready_file(path: Path, ports: Mapping[str, int]) -> None:
    """Write the ports, whole or not at all: who waits for the file may read it at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({**ports, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(path)
