"""``mlp-analyzer analyses``: the analyses there are."""

from __future__ import annotations

from analyzer_service.cli import options
from analyzer_service.cli.connection import collect, connected
from analyzer_service.cli.output import emit_json, emit_table


def command(
    *,
    limit: options.Limit = 20,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List analyses, newest first."""
    with connected(server=server, store=store) as analyzer:
        items, total = collect(
            lambda size, token: analyzer.list_analyses(page_size=size, page_token=token), limit
        )
    if json:
        emit_json({"total": total, "analyses": items})
        return
    emit_table(
        ("=id", "=created", "status", "rules", "#rated", "#found"),
        (
            (
                item.analysis_id,
                item.created_time,
                item.status,
                item.rule_set,
                item.rated,
                item.challenges,
            )
            for item in items
        ),
        title=f"{len(items)} of {total} analyses",
    )
