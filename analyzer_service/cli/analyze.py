"""``mlp-analyzer analyze``: run an analysis and watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_facts, emit_json, say
from analyzer_service.domain import Analysis, AnalysisRequest, AnalysisStatus
from analyzer_service.errors import InvalidInputError, error_for

if TYPE_CHECKING:
    from analyzer_service.server.interface import AnalyzerInterface


def command(
    *,
    rules: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Rule set, or a YAML file of your own. [default: the service's]",
        ),
    ] = "",
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Segment preset. [default: the service's]")
    ] = "",
    window_start: Annotated[
        str | None, typer.Option(metavar="TIME", help="First instant of the window.")
    ] = None,
    window_end: Annotated[
        str | None, typer.Option(metavar="TIME", help="First instant after the window.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Watch it to its end, or return at once.")
    ] = True,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Run an analysis and watch it."""
    if store and not wait:
        raise InvalidInputError(
            "--no-wait needs a service: with --store the analysis runs in this process.",
            hint="Leave out --no-wait, or ask a running service.",
            field="wait",
        )
    name, text = options.rule_set(rules)
    request = AnalysisRequest(
        rule_set=name,
        rule_set_yaml=text,
        preset=preset,
        window_start=options.instant(window_start, "--window-start"),
        window_end=options.instant(window_end, "--window-end"),
    )
    with connected(server=server, store=store) as analyzer:
        analysis = analyzer.start(_complete(request) if store else request)
        if wait:
            analysis = watch(analyzer, analysis)
    if json:
        emit_json(analysis)
    else:
        _emit(analysis)


def watch(analyzer: AnalyzerInterface, analysis: Analysis) -> Analysis:
    """Return the analysis when it has ended; says on stderr what it is doing.

    Raises:
        AnalyzerError: It failed.
    """
    newest = analysis
    phase = ""
    for state in analyzer.watch(analysis.analysis_id):
        newest = state
        if state.phase and state.phase != phase:
            phase = state.phase
            say(f"{phase} …")
    if newest.status is AnalysisStatus.FAILED:
        raise error_for(newest.reason)(
            f"The analysis failed: {newest.error}", hint=f"It is kept as {newest.analysis_id}."
        )
    return newest


def _complete(request: AnalysisRequest) -> AnalysisRequest:
    """Fill in the defaults a service would."""
    from dataclasses import replace  # noqa: PLC0415

    from analyzer_service.settings import Settings  # noqa: PLC0415

    settings = Settings.load()
    return replace(
        request,
        rule_set=request.rule_set or settings.rule_set,
        preset=request.preset or settings.preset,
    )


def _emit(analysis: Analysis) -> None:
    sizes = ", ".join(f"{name} {count}" for name, count in analysis.segment_sizes.items())
    emit_facts(
        {
            "analysis": analysis.analysis_id,
            "status": analysis.status,
            "rules": f"{analysis.rule_set} {analysis.rule_set_version}".strip(),
            "segments": sizes or None,
            "challenges": analysis.challenges,
        }
    )
    if analysis.status is AnalysisStatus.SUCCEEDED:
        say("mlp-analyzer report shows the whole result.")
