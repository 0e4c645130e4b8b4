"""``mlp-analyzer simulate``: a platform's telemetry with planted truth, sent through OTLP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_facts, emit_json, facts_of
from analyzer_service.cli.progress import progress_bar
from analyzer_service.errors import InvalidInputError


def command(
    *,
    scenario: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Shipped scenario or a YAML file.")
    ] = "paper-2020",
    seed: options.Seed = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="First instant. [default: the scenario's]")
    ] = None,
    endpoint: options.Endpoint = "127.0.0.1:4317",
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was planted here, as JSON.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Simulate a platform and send its telemetry."""
    from analyzer_service.otlp.sender import OtlpSender  # noqa: PLC0415
    from analyzer_service.simulate import World, load_scenario, simulate  # noqa: PLC0415

    world = World(load_scenario(scenario), seed, options.instant(start, "--start"))
    if truth is not None:
        write_json(truth, world.truth())
    with progress_bar("Simulating", shown=not json) as advance, OtlpSender(endpoint) as sender:
        summary = simulate(world, sender, advance)
    if json:
        emit_json(summary)
    else:
        emit_facts(facts_of(summary))


def write_json(path: Path, document: Any) -> None:
    """Write a document to a file.

    Raises:
        InvalidInputError: The file cannot be written.
    """
    import orjson  # noqa: PLC0415

    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Name a file in a folder that exists.",
            field="truth",
        ) from error
