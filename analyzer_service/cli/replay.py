"""``mlp-analyzer replay``: a job log becomes telemetry with its own timestamps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_facts, emit_json, facts_of, say
from analyzer_service.cli.progress import progress_bar


def command(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Job log: CSV, CSV.gz or Parquet.")],
    mapping: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Shipped mapping or a YAML file.")
    ],
    endpoint: options.Endpoint = "127.0.0.1:4317",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget where an interrupted replay stopped.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Turn a job log into telemetry; resumes if interrupted."""
    from analyzer_service.otlp.sender import OtlpSender  # noqa: PLC0415
    from analyzer_service.replay import ReplayState, load_mapping, replay  # noqa: PLC0415
    from analyzer_service.settings import Settings  # noqa: PLC0415

    loaded = load_mapping(mapping)
    folder = Settings.load().state_folder / "replay"
    state = ReplayState.of(file, loaded, endpoint, folder=folder) if file.is_file() else None
    if state is not None and from_start:
        state.forget()
    if state is not None and state.rows_done:
        say(f"Goes on after row {state.rows_done}; --from-start would send all again.")
    with progress_bar("Replaying", shown=not json) as advance, OtlpSender(endpoint) as sender:
        summary = replay(file, loaded, sender, progress=advance, state=state)
    for problem in summary.problems:
        say(f"skipped {problem}")
    if json:
        emit_json(summary)
    else:
        emit_facts(facts_of(summary))
