"""The Collector's files agree with each other, with the semantic conventions and with the docs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from collector_program import CONFIGURATIONS, OVERLAYS

from analyzer_service.ingest.attributes import LONGEST_TEXT, ROUTE_ATTRIBUTES
from analyzer_service.ingest.settings import DEFAULT_MAX_BODY_BYTES
from otel_instrumentation import semconv

PROVIDERS_SINCE = 94
"""Modules of version 1.N belong to those of 0.(N + 94)."""

FROM_ATTRIBUTE = re.compile(
    r'set\(cache\["\w+"\], (?:String|ExtractPatterns)\(attributes\["([^"]+)"\]'
)

DOCS = CONFIGURATIONS.parent / "docs" / "collector.md"
FILES = ("base", *OVERLAYS)


def loaded(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(text(name))
    return read


def text(name: str) -> str:
    return (CONFIGURATIONS / f"{name}.yaml").read_text(encoding="utf-8")


def transformed(kind: str, context: str) -> list[str]:
    groups = loaded("base")["processors"]["transform/identity"][kind]
    (found,) = [group["statements"] for group in groups if group["context"] == context]
    return list(found)


def modules() -> list[tuple[str, str]]:
    manifest = loaded("builder")
    return [
        tuple(entry["gomod"].split(" "))
        for kind, entries in manifest.items()
        if kind != "dist"
        for entry in entries
    ]


def test_one_version() -> None:
    version = loaded("builder")["dist"]["version"]
    minor = int(version.split(".")[1])
    for module, pinned in modules():
        expected = f"v1.{minor - PROVIDERS_SINCE}.0" if "/provider/" in module else f"v{version}"
        assert pinned == expected, module
    assert version not in (CONFIGURATIONS / "build").read_text(encoding="utf-8")


def test_the_distribution_has_what_is_configured() -> None:
    named = {module.rsplit("/", 1)[1] for module, _ in modules()}
    ends = {
        "receivers": "receiver",
        "processors": "processor",
        "exporters": "exporter",
        "extensions": "extension",
    }
    odd = {
        "file_storage": "filestorage",
        "otlp_grpc": "otlpexporter",
        "health_check": "healthcheckextension",
    }
    for name in FILES:
        for kind, end in ends.items():
            for component in loaded(name).get(kind, {}):
                base = component.split("/")[0]
                assert odd.get(base, base.replace("_", "") + end) in named, component


def test_names_come_from_the_semantic_conventions() -> None:
    removal, bounded = transformed("trace_statements", "scope")
    assert bounded == f"truncate_all(attributes, {LONGEST_TEXT})"
    pattern = re.search(r'"(.*)"', removal)
    assert pattern is not None
    removed = re.compile(pattern[1].replace("\\\\", "\\").replace("$$", "$"))
    for name in semconv.RAW_IDENTITY_ATTRIBUTES:
        assert removed.search(name), name
    for header in semconv.IDENTITY_HEADERS:
        assert removed.search(f"http.request.header.{header}")
        assert removed.search(f"http.request.header.{header.replace('-', '_')}")
    for kept in (semconv.USER_HASH, "user.roles", "http.request.header.accept", "xuser.id"):
        assert not removed.search(kept), kept


def test_a_user_is_looked_for_where_the_receiver_looks_and_in_its_order() -> None:
    headers = [
        f"http.request.header.{form}"
        for header in semconv.IDENTITY_HEADERS
        for form in (header, header.replace("-", "_"))
    ]
    expected = [semconv.USER_ID, semconv.ENDUSER_ID, *headers, *ROUTE_ATTRIBUTES]
    for kind, context in (
        ("trace_statements", "resource"),
        ("trace_statements", "span"),
        ("log_statements", "resource"),
        ("log_statements", "log"),
    ):
        found = [
            match[1]
            for statement in transformed(kind, context)
            if (match := re.match(FROM_ATTRIBUTE, statement))
        ]
        assert found == expected, (kind, context)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pipelines_guard_identify_and_redact_and_nothing_samples_or_batches(overlay: str) -> None:
    pipelines = loaded(overlay)["service"]["pipelines"]
    assert set(pipelines) == {"traces", "logs", "metrics"}
    for kind, pipeline in pipelines.items():
        first = ["memory_limiter", "transform/identity", "redaction"]
        if kind == "metrics":
            first = ["memory_limiter", "filter/accounting", "transform/accounting"]
        assert pipeline["processors"][:3] == first
        for name in pipeline["processors"]:
            assert "sampl" not in name
            assert not name.startswith("batch")


def test_of_metrics_only_those_of_the_accounting_pass() -> None:
    processors = loaded("base")["processors"]
    (condition,) = processors["filter/accounting"]["metric_conditions"]
    assert tuple(re.findall(r'"([^"]+)"', condition)) == semconv.ACCOUNTING_METRICS
    kept = {
        group["context"]: re.findall(r'"([^"]+)"', group["statements"][0])
        for group in processors["transform/accounting"]["metric_statements"]
    }
    assert kept == {
        "resource": [semconv.SERVICE_NAME, semconv.SERVICE_INSTANCE_ID],
        "scope": [],
        "datapoint": list(semconv.ACCOUNTING_ATTRIBUTES),
    }
    view = (
        CONFIGURATIONS.parent / "clickhouse" / "schema" / "otel_metrics_sum_to_path_metrics.sql"
    ).read_text(encoding="utf-8")
    for listed in (semconv.ACCOUNTING_METRICS, semconv.ACCOUNTING_ATTRIBUTES):
        assert ", ".join(f"'{name}'" for name in listed) in re.sub(r"\s+", " ", view)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_collector_tells_its_own_counters_to_the_next_hop_and_to_prometheus(overlay: str) -> None:
    assert loaded("base")["service"]["telemetry"]["metrics"]["level"] == "normal"
    pull, periodic = loaded(overlay)["service"]["telemetry"]["metrics"]["readers"]
    assert [pull] == [
        {"pull": reader["pull"]}
        for reader in loaded("base")["service"]["telemetry"]["metrics"]["readers"]
    ]
    hop = {"agent": "MLP_COLLECTOR_GATEWAY"}.get(overlay, "MLP_COLLECTOR_SERVICE")
    told = periodic["periodic"]["exporter"]["otlp"]["endpoint"]
    assert told.startswith(f"${{env:{hop}:-")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_dropped_under_pressure_or_lost_in_a_crash(overlay: str) -> None:
    assert loaded("base")["extensions"]["file_storage/queue"]["fsync"] is True
    ((_, exporter),) = loaded(overlay)["exporters"].items()
    queue, retry = exporter["sending_queue"], exporter["retry_on_failure"]
    assert queue["storage"] == "file_storage/queue"
    assert queue["block_on_overflow"] is True
    assert retry["enabled"] is True
    assert retry["max_elapsed_time"] == "0s"


def received_bytes(name: str, protocol: str, limit: str, unit: int) -> int:
    return int(loaded(name)["receivers"]["otlp"]["protocols"][protocol][limit]) * unit


def test_one_record_always_fits_a_batch_and_a_batch_always_fits_the_next_receiver() -> None:
    """A record above a batch's limit is dropped with all that came with it."""
    taken = max(
        received_bytes("base", "grpc", "max_recv_msg_size_mib", 2**20),
        received_bytes("base", "http", "max_request_body_size", 1),
    )
    gateway = received_bytes("gateway", "grpc", "max_recv_msg_size_mib", 2**20)
    for overlay, next_takes in (("agent", gateway), ("embedded", DEFAULT_MAX_BODY_BYTES)):
        batch = loaded(overlay)["exporters"]["otlp_grpc"]["sending_queue"]["batch"]
        assert batch["sizer"] == "bytes"
        assert taken * 1.2 < batch["max_size"] < next_takes / 1.2
    # By number: whatever size its records have, nothing is dropped.
    gathered = loaded("gateway")["exporters"]["clickhouse"]["sending_queue"]["batch"]
    assert gathered["sizer"] == "items"


def test_the_gateway_leaves_the_tables_alone() -> None:
    assert loaded("gateway")["exporters"]["clickhouse"]["create_schema"] is False


def test_the_docs_list_every_variable_with_its_defaults_and_no_other() -> None:
    used: dict[str, set[str]] = {}
    for name in FILES:
        lines = (line for line in text(name).splitlines() if not line.lstrip().startswith("#"))
        for line in lines:
            for variable, default in re.findall(r"\$\{env:(\w+)(?::-([^}]*))?\}", line):
                used.setdefault(variable, set()).add(default)
    documented = dict(
        re.findall(r"^\| `(\w+)` \| ([^|]*) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(documented) == set(used)
    for variable, defaults in used.items():
        written = set(re.findall(r"`([^`]+)`", documented[variable]))
        assert written == {default for default in defaults if default}, variable


def test_without_go_the_script_says_what_to_install(tmp_path: Path) -> None:
    copied = tmp_path / "checkout" / "collector-config"
    copied.mkdir(parents=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    for file in ("build", "builder.yaml"):
        shutil.copy(CONFIGURATIONS / file, copied)
    for tool in ("sh", "sed", "cksum", "cut", "dirname"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    done = subprocess.run(
        [copied / "build"],
        env={"PATH": str(tools), "HOME": os.environ.get("HOME", str(tmp_path))},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "install Go 1." in done.stderr
