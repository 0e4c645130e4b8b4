"""``mlp-analyzer migrate``: bring a store to this version's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from analyzer_service.cli import options
from analyzer_service.cli.output import emit_json, emit_table, say
from analyzer_service.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer_service.store.migrations import MigrationStatus, MigrationStep


def command(
    *,
    store: options.StoreUrl = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that would run; change nothing.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make replicated and distributed tables on this cluster of the server's.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[
        bool,
        typer.Option(
            "--repeat", help="Send applied migrations again: a new server of a cluster lacks them."
        ),
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show which migrations are applied.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Apply the migrations a store lacks."""
    from analyzer_service.settings import Settings  # noqa: PLC0415
    from analyzer_service.store import migrations  # noqa: PLC0415
    from analyzer_service.store.cluster import Cluster  # noqa: PLC0415
    from analyzer_service.store.connect import open_store  # noqa: PLC0415

    if dry_run and status:
        raise InvalidInputError(
            "--dry-run and --status exclude each other.", hint="Give one.", field="dry_run"
        )
    settings = Settings.load({"store": store, "cluster": cluster})
    if dry_run and settings.cluster and settings.store.startswith("chdb:"):
        # Nothing to look at yet: show the whole, for whoever plans a cluster.
        _emit_steps(migrations.plan(Cluster(settings.cluster)), dry_run=True, json=json)
        return
    if store is None:
        settings.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_store(
        settings.store, engine_threads=settings.engine_threads, cluster=settings.cluster
    ) as opened:
        if status:
            _emit_status(migrations.status(opened), json=json)
        else:
            steps = migrations.migrate(opened, dry_run=dry_run, repeat=repeat)
            _emit_steps(steps, dry_run=dry_run, json=json)


def _emit_status(found: Sequence[MigrationStatus], *, json: bool) -> None:
    if json:
        emit_json({"migrations": found})
        return
    emit_table(
        ("#version", "name", "applied", "file"),
        (
            (
                f"{item.version:04d}",
                item.name,
                item.applied_time or "not yet",
                "changed since" if item.changed else "same",
            )
            for item in found
        ),
    )


def _emit_steps(steps: Sequence[MigrationStep], *, dry_run: bool, json: bool) -> None:
    if json:
        emit_json({"dry_run": dry_run, "steps": steps})
        return
    if dry_run:
        for step in steps:
            typer.echo(f"-- {step.version:04d} {step.name}\n{step.statement};\n")
    versions = sorted({step.version for step in steps} - {0})
    verb = "would be applied" if dry_run else "applied"
    say(f"{len(versions)} migrations {verb}, {len(steps)} statements.")
