"""The signal map over gRPC and on the command line, with a real store behind both."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from grpc_service import DEFAULTS
from signal_map_rules import as_yaml, mapped_store, rule
from telemetry_rows import Span, add_spans

from analyzer_service.analyzer import Analyzer
from analyzer_service.cli.application import run
from analyzer_service.clock import SystemClock
from analyzer_service.errors import (
    DerivationRunningError,
    NotFoundError,
    RoleError,
    SignalMapError,
)
from analyzer_service.server.client import RemoteAnalyzer
from analyzer_service.server.grpc_server import GrpcServer
from analyzer_service.server.tokens import Tokens, load_tokens
from analyzer_service.signal_map import SignalName
from analyzer_service.store.signal_map.files import shipped_rules
from otel_instrumentation import semconv

NOW = datetime.now(UTC).replace(microsecond=0)
KERNELS = r"lab\nPOST /api/kernels\n/api/kernels"


@dataclass
class Served:
    """A service over a real store."""

    analyzer: Analyzer
    tokens: Tokens
    address: str
    folder: Path

    def client(self, token: str) -> RemoteAnalyzer:
        return RemoteAnalyzer(self.address, token=token)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    tokens = load_tokens(tmp_path)
    with mapped_store(tmp_path) as store:
        spans = [
            Span(
                f"t{n}", "POST /publish", user="ann", service="registry", kind="Server", stage="",
                component="", action="", extra={"http.route": "/publish"},
                when=NOW - timedelta(hours=2, minutes=n),
            )
            for n in range(5)
        ]  # fmt: skip
        add_spans(store, spans, arrived=NOW - timedelta(hours=1))
        analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
        analyzer.settle()
        server = GrpcServer(
            analyzer, port=0, tokens=tokens, tls=None, defaults=DEFAULTS, query_max_rows=1000
        )
        with server:
            yield Served(analyzer, tokens, f"127.0.0.1:{server.port}", tmp_path)


@pytest.fixture
def remote(service: Served) -> Iterator[RemoteAnalyzer]:
    with service.client(service.tokens.operator) as client:
        yield client


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    service: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("MLP_ANALYZER_SERVER", service.address)
    monkeypatch.setenv("MLP_ANALYZER_STATE_FOLDER", str(service.folder))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["signal-map", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def as_json(command: Command, *arguments: str) -> Any:
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_service_says_what_the_map_says(service: Served, remote: RemoteAnalyzer) -> None:
    here, there = service.analyzer.signal_map, remote.signal_map
    assert there.listing() == here.listing()
    names = [SignalName("lab", "POST /api/kernels", "/api/kernels"), SignalName("a", "b")]
    assert there.judge(names) == here.judge(names)
    assert there.unmapped() == here.unmapped()
    start = NOW - timedelta(days=1)
    assert there.unmapped(
        window_start=start, window_end=NOW, limit=1, inner_spans=True
    ) == here.unmapped(window_start=start, window_end=NOW, limit=1, inner_spans=True)


def test_a_rule_is_added_derived_removed_and_restored(
    service: Served, remote: RemoteAnalyzer
) -> None:
    text = as_yaml([rule()])
    assert remote.signal_map.add(text, source="mine.yaml", dry_run=True).applied is False
    assert remote.signal_map.add(text, source="mine.yaml").added == (100_000,)
    *steps, last = remote.signal_map.derive()
    assert steps
    assert (last.done, last.derived, last.days_settled) == (True, 5, len(days()))
    assert remote.signal_map.unmapped() == ()
    assert service.analyzer.status().unmapped == 0
    assert remote.signal_map.remove(3).removed == (3,)
    assert remote.signal_map.listing().removed == (3,)
    assert remote.signal_map.restore(3).applied
    assert remote.signal_map.listing() == service.analyzer.signal_map.listing()


def days() -> set[object]:
    return {(NOW - timedelta(hours=2, minutes=n)).date() for n in range(5)}


def test_errors_come_over_the_wire_with_field_and_cure(
    service: Served, remote: RemoteAnalyzer
) -> None:
    with pytest.raises(SignalMapError) as refused:
        remote.signal_map.add(as_yaml([rule(pattern="(")]), source="mine.yaml")
    assert refused.value.field == "rows.100000.pattern"
    assert "RE2" in refused.value.hint
    with pytest.raises(SignalMapError, match=r"mine\.yaml"):
        remote.signal_map.add("rows: 7", source="mine.yaml")
    with pytest.raises(NotFoundError):
        remote.signal_map.remove(100_000)
    running = service.analyzer.signal_map.derive()
    next(running)
    with pytest.raises(DerivationRunningError):
        list(remote.signal_map.derive())
    running.close()  # type: ignore[attr-defined]
    assert list(remote.signal_map.derive())[-1].done


CHANGES: dict[str, Callable[[RemoteAnalyzer], object]] = {
    "AddSignalMapRules": lambda client: client.signal_map.add(as_yaml([rule()])),
    "RemoveSignalMapRule": lambda client: client.signal_map.remove(3),
    "RestoreSignalMapRule": lambda client: client.signal_map.restore(3),
    "DeriveSignals": lambda client: list(client.signal_map.derive()),
    "ListUnmappedNames": lambda client: client.signal_map.unmapped(),
}


@pytest.mark.parametrize("method", CHANGES)
def test_what_changes_the_map_or_may_name_persons_is_the_operators_and_audited(
    service: Served, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    before = service.analyzer.signal_map.listing()
    caplog.set_level(logging.INFO, logger="analyzer_service.audit")
    with service.client(service.tokens.reader) as client:
        client.signal_map.listing()
        client.signal_map.judge([SignalName("a", "b")])
        with pytest.raises(RoleError):
            CHANGES[method](client)
    assert service.analyzer.signal_map.listing() == before
    lines = [record.getMessage() for record in caplog.records if method in record.getMessage()]
    assert len(lines) == 1
    assert "refused" in lines[0]


def test_the_commands_walk_through_a_change(
    command: Command, service: Served, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(as_yaml([rule()]), encoding="utf-8")
    [missing] = as_json(command, "unmapped")["names"]
    assert missing["name"] == {"name": "POST /publish", "route": "/publish", "service": "registry"}
    assert (missing["records"], missing["with_user"], missing["source"]) == (5, 5, "traces")

    dry = as_json(command, "add", str(file), "--dry-run")
    assert (dry["applied"], dry["added"]) == (False, [100_000])
    code, out, err = command("add", str(file))
    assert (code, out.splitlines()[1].split()) == (0, ["added", "100000"])
    assert "signal-map derive" in err

    asked = ["--service", "registry", "--name", "POST /publish", "--route", "/publish"]
    first, second = as_json(command, "test", KERNELS, *asked)["verdicts"]
    assert (first["winner"], first["action"], first["stage"]) == (
        1,
        "start_kernel",
        "feature_engineering",
    )
    assert (second["winner"], second["others"], second["action_kind"]) == (100_000, [], "key")
    code, out, _ = command("test", KERNELS)
    assert code == 0
    assert "rule           1 (priority 2000, shipped)" in out
    code, out, _ = command("test", "nobody\\nknows")
    assert (code, "rule           none" in out) == (0, True)

    start, end = (NOW - timedelta(days=1)).isoformat(), NOW.isoformat()
    done = as_json(command, "derive", "--from", start, "--to", end)
    assert (done["derived"], done["examined"], done["done"]) == (5, 5, True)
    code, out, _ = command("derive")
    assert code == 0
    assert "signals derived  0" in out
    assert as_json(command, "unmapped")["total"] == 0

    listed = as_json(command, "list", "--stage", "model_deployment")
    assert listed["rules"][0]["rule_id"] == 100_000
    assert {one["stage"] for one in listed["rules"]} == {"model_deployment"}
    code, out, err = command("list")
    assert (code, "registry: publish_model" in out, "restore" in err) == (0, True, False)
    assert as_json(command, "remove", "3")["removed"] == [3]
    assert "3 (back with signal-map restore ID)" in command("list")[2]
    assert as_json(command, "restore", "3")["replaced"] == [3]


def test_the_page_does_what_it_says(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "signal-map.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    (rules,) = (text for kind, text in blocks if kind == "yaml")
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for kind, text in blocks if kind == "bash" for line in text.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        program, group, *arguments = shlex.split(line)
        assert (program, group) == ("mlp-analyzer", "signal-map")
        code, _, err = command(*arguments)
        assert code == 0, (line, err)
    assert f"{len(shipped_rules())} rules ship" in page


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "nowhere.yaml"], 2, "nowhere.yaml cannot be read"),
        (["remove", "77"], 4, "There is no rule 77"),
        (["restore", "3"], 4, "Rule 3 is in force as it ships"),
        (["test"], 2, "There is nothing to test"),
        (["test", "a\\nb\\nc\\nd"], 2, "more than three lines"),
        (["derive", "--from", "yesterday"], 2, "is not a time"),
        (["derive", "--from", "2026-02-01", "--to", "2026-01-01"], 2, "ends before it starts"),
        (["remove", "three"], 2, "Invalid value for 'ID'"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_is_one_line_and_a_cure(
    command: Command, arguments: list[str], code: int, said: str
) -> None:
    found, out, err = command(*arguments)
    assert (found, out) == (code, "")
    assert said in err.splitlines()[0]
    assert err.startswith("error: ")
    assert "hint: " in err
