"""What every test starts from: an environment without our or OpenTelemetry's variables."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "MLP_ANALYZER_")) and not name.startswith(
            "MLP_ANALYZER_TEST_"
        ):
            monkeypatch.delenv(name)
