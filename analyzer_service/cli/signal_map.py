"""``mlp-analyzer signal-map``: which names mean which stage, component and action."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analyzer_service.cli import options
from analyzer_service.cli.connection import connected
from analyzer_service.cli.output import emit_facts, emit_json, emit_table, say
from analyzer_service.cli.progress import progress_bar
from analyzer_service.errors import InvalidInputError, SignalMapError
from analyzer_service.signal_map import (
    Derivation,
    MapChange,
    MapRule,
    MapVerdict,
    SignalName,
    UnmappedName,
)

if TYPE_CHECKING:
    from analyzer_service.server.interface_map import SignalMapInterface

NAME_LINES: Final = 3

app = typer.Typer(
    help="Which names of services, spans and routes mean which stage, component and action.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Prove it, say what would change, change nothing.")
]
RuleId = Annotated[int, typer.Argument(metavar="ID", help="Number of the rule.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="First instant of arrival; unset: all there is."),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="First instant after; unset: now.")
]


@app.command("list")
def list_rules(
    *,
    stage: Annotated[str, typer.Option(help="Only this stage.")] = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List the rules in force, by priority."""
    with connected(server=server, store=store) as analyzer:
        found = analyzer.signal_map.listing()
    rules = [rule for rule in found.rules if stage in {"", rule.stage}]
    if json:
        emit_json(
            {
                "version": found.version,
                "total": len(rules),
                "rules": rules,
                "removed": found.removed,
                "shadows": found.shadows,
            }
        )
        return
    emit_table(
        ("#id", "#priority", "=whose", "=kind", "what it means, and its pattern"),
        (
            (rule.rule_id, rule.priority, rule.origin, rule.action_kind or None, _meaning(rule))
            for rule in rules
        ),
        title=f"{len(rules)} of {len(found.rules)} rules, version {found.version}",
    )
    if found.removed:
        say(f"removed: {', '.join(map(str, found.removed))} (back with signal-map restore ID)")
    for shadow in found.shadows:
        say(f"rule {shadow.rule_id} never wins: rule {shadow.taken_by} takes its example")


@app.command("test")
def try_names(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help=r"Service, span or event name and route, joined by \n; - reads three lines.",
        ),
    ] = None,
    *,
    service: Annotated[str, typer.Option(help="Service of one more name.")] = "",
    name: Annotated[str, typer.Option(help="Its span or event name.")] = "",
    route: Annotated[str, typer.Option(help="Its http.route, else its url.path.")] = "",
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Say which rule wins for a name, which others match, and what signal comes of it."""
    wanted = [_name(text) for text in names or ()]
    if service or name or route:
        wanted.append(SignalName(service, name, route))
    if not wanted:
        raise InvalidInputError(
            "There is nothing to test.",
            hint="Give --service, --name and --route, or the three as one argument.",
            field="names",
        )
    with connected(server=server, store=store) as analyzer:
        verdicts = analyzer.signal_map.judge(wanted)
        rules = {rule.rule_id: rule for rule in analyzer.signal_map.listing().rules}
    if json:
        emit_json({"total": len(verdicts), "verdicts": verdicts})
        return
    for verdict in verdicts:
        _emit_verdict(verdict, rules)


@app.command("add")
def add_rules(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rules as YAML; - reads stdin.")],
    *,
    dry_run: DryRun = False,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Put rules in force, all or none; a rule of a number in use replaces it."""
    text = _read(file)
    with connected(server=server, store=store) as analyzer:
        change = analyzer.signal_map.add(text, source=Path(file).name, dry_run=dry_run)
    _emit_change(change, json=json, dry_run=dry_run)


@app.command("remove")
def remove_rule(
    rule: RuleId,
    *,
    dry_run: DryRun = False,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Take a rule out of force; a shipped one stays out over upgrades."""
    with connected(server=server, store=store) as analyzer:
        change = analyzer.signal_map.remove(rule, dry_run=dry_run)
    _emit_change(change, json=json, dry_run=dry_run)


@app.command("restore")
def restore_rule(
    rule: RuleId,
    *,
    dry_run: DryRun = False,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Put a shipped rule back that was removed or replaced."""
    with connected(server=server, store=store) as analyzer:
        change = analyzer.signal_map.restore(rule, dry_run=dry_run)
    _emit_change(change, json=json, dry_run=dry_run)


@app.command("derive")
def derive_signals(
    *,
    start: From = None,
    end: To = None,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """Derive the signals that arrived in a window again, and settle the days that changed."""
    window_start, window_end = options.instant(start, "--from"), options.instant(end, "--to")
    with connected(server=server, store=store) as analyzer:
        final = _derive(analyzer.signal_map, window_start, window_end, shown=not json)
    if json:
        emit_json(final)
        return
    emit_facts(
        {
            "arrived": f"{final.window_start:%F %T}Z - {final.window_end:%F %T}Z",
            "map version": final.version,
            "raw rows": final.examined,
            "signals derived": final.derived,
            **{f"changed {name}".replace("_", " "): n for name, n in final.changed.items()},
            "days settled": final.days_settled,
        }
    )


@app.command("unmapped")
def list_unmapped(
    *,
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most so many.")] = 50,
    inner: Annotated[
        bool, typer.Option("--inner", help="Count spans inside a component too.")
    ] = False,
    server: options.Server = None,
    store: options.StoreUrl = None,
    json: options.Json = False,
) -> None:
    """List the most frequent names that no rule gives a stage (operator role)."""
    with connected(server=server, store=store) as analyzer:
        found = analyzer.signal_map.unmapped(
            window_start=options.instant(start, "--from"),
            window_end=options.instant(end, "--to"),
            limit=limit,
            inner_spans=inner,
        )
    if json:
        emit_json({"total": len(found), "names": found})
        return
    emit_table(
        ("#records", "#with user", "=source", "service, name, route", "=last seen"),
        (_unmapped_row(one) for one in found),
        title=f"{len(found)} names without a stage",
    )


def _derive(
    signal_map: SignalMapInterface, start: datetime | None, end: datetime | None, *, shown: bool
) -> Derivation:
    final: Derivation | None = None
    with progress_bar("deriving signals", shown=shown) as advance:
        for final in signal_map.derive(window_start=start, window_end=end):
            advance(final.steps, final.total_steps)
    if final is None or not final.done:
        raise InvalidInputError("The service broke off.", hint="Run the same command again.")
    return final


def _name(text: str) -> SignalName:
    """Return a name from its three lines, whether broken or written as in YAML."""
    said = sys.stdin.read().removesuffix("\n") if text == "-" else text.replace("\\n", "\n")
    parts = said.split("\n")
    if len(parts) > NAME_LINES:
        raise InvalidInputError(
            f"{text!r} has more than three lines.",
            hint=r"Write service\nname\nroute, as examples of rules are written.",
            field="names",
        )
    return SignalName(*parts, *[""] * (2 - len(parts)))


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SignalMapError(
            f"{file} cannot be read: {error}.", hint="Name a YAML file that exists.", field="file"
        ) from error


def _meaning(rule: MapRule) -> str:
    return f"{rule.stage}\n{rule.component}: {rule.action or '(its own name)'}\n{rule.pattern}"


def _emit_verdict(verdict: MapVerdict, rules: dict[int, MapRule]) -> None:
    winner = rules.get(verdict.winner)
    facts: dict[str, object] = {
        "service": verdict.name.service,
        "name": verdict.name.name,
        "route": verdict.name.route or None,
        "rule": f"{winner.rule_id} (priority {winner.priority}, {winner.origin})"
        if winner
        else "none",
        "also matching": ", ".join(map(str, verdict.others)) or None,
        "stage": verdict.stage or None,
        "component": verdict.component,
        "action": verdict.action,
        "kind": verdict.action_kind or None,
        "source": winner.source if winner else None,
    }
    emit_facts(facts)


def _emit_change(change: MapChange, *, json: bool, dry_run: bool) -> None:
    if json:
        emit_json(change)
        return
    said = {
        "added": change.added,
        "replaced": change.replaced,
        "removed": change.removed,
    }
    emit_facts(
        {
            "version": f"{change.version}{'' if change.applied else ' (nothing changed)'}",
            **{word: ", ".join(map(str, numbers)) for word, numbers in said.items() if numbers},
        }
    )
    for shadow in change.shadows:
        say(f"rule {shadow.rule_id} never wins: rule {shadow.taken_by} takes its example")
    if change.applied:
        say("Signals from before keep what they were; signal-map derive judges them again.")
    elif dry_run:
        say("This was a dry run.")


def _unmapped_row(one: UnmappedName) -> tuple[object, ...]:
    lines = "\n".join((one.name.service, one.name.name, one.name.route or "-"))
    return one.records, one.with_user, one.source, lines, one.last_time
