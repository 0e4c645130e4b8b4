"""The built Collector accepts every configuration, and refuses to run without its secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from collector_program import OVERLAYS, Collector, built

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_validates(overlay: str, tmp_path: Path) -> None:
    done = Collector(tmp_path, overlay).run("validate")
    assert done.returncode == 0, done.stderr
    assert "deprecat" not in done.stderr.lower()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_without_a_salt_it_does_not_start(overlay: str, tmp_path: Path) -> None:
    done = Collector(tmp_path, overlay, {"OTEL_MLP_USER_SALT": ""}).run("validate")
    assert done.returncode != 0
    assert "transform/identity" in done.stderr


def test_the_gateway_starts_while_its_clickhouse_is_away(tmp_path: Path) -> None:
    away = {"MLP_COLLECTOR_CLICKHOUSE": "http://127.0.0.1:9"}
    with Collector(tmp_path, "gateway", away) as collector:
        assert "otelcol_process_uptime" in collector.metrics()


def test_a_second_build_does_nothing() -> None:
    first = built()
    made = first.stat().st_mtime_ns
    built.cache_clear()
    assert built() == first
    assert first.stat().st_mtime_ns == made
