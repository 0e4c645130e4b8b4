"""The page on instrumentation tells the truth: its blocks run, its names exist."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import otel_instrumentation
from otel_instrumentation import (
    _drain,
    _exit,
    _forks,
    _guard,
    _pipeline,
    _settings,
    _travel,
    environment_variables,
    semconv,
)

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "instrumentation.md").read_text("utf-8")


def test_blocks_run_in_one_process_without_a_receiver():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "MLP_ANALYZER_"))
    }
    # Nothing listens on port 1; a second of patience is the SDK's own setting.
    environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_MLP_USER_SALT": "a salt of sixteen or more",
        "OTEL_MLP_RAISE": "true",
    }
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "['A', 'B']\n"
    assert "Traceback" not in ran.stderr


def test_every_variable_of_ours_is_explained():
    variables = [_guard.ENV_RAISE, *_names(_settings, "ENV_")]
    assert len(variables) == 9
    for variable in variables:
        assert f"`{variable}`" in PAGE
        assert variable in (_settings.__doc__ or "")


def test_every_function_it_uses_exists():
    for name in set(re.findall(r"\bmlp\.([a-z_]+)\(", PAGE)):
        assert name in otel_instrumentation.__all__, name


def test_numbers_it_tells_are_those_in_force():
    flat = " ".join(PAGE.split())
    assert f"at most {_exit.EXIT_SECONDS:g} seconds" in flat
    assert f"within {_pipeline.SPOOLED_DELAY_MILLIS / 1000:g} seconds" in flat
    assert f"within {_drain.ADOPT_SECONDS:g} seconds" in flat
    assert f"takes more than {_forks.WAIT_SECONDS:g} seconds" in flat
    assert f"({_settings.SPOOL_MAX_BYTES})" in flat
    assert f"({_settings.SPOOL_MAX_AGE_MILLIS})" in flat
    for suffix in _travel.INSIDE_SUFFIXES:
        assert f"`{suffix}`" in flat


def test_every_reason_of_a_loss_is_explained():
    for reason in _names(semconv, "LOST_"):
        assert f"`{reason}`" in PAGE
    for name in (*semconv.SDK_PROCESSED.values(), *semconv.SDK_EXPORTED.values()):
        family, kind = name.rsplit(".", 2)[0], name.removeprefix(name.rsplit(".", 2)[0])
        assert f"`{name}`" in PAGE or (family in PAGE and f"`{kind}`" in PAGE), name


def test_options_of_the_command_are_our_variables_without_the_secret():
    options = {name for name in dir(environment_variables) if name.startswith("OTEL_")}
    secret_or_for_tests = {_settings.ENV_USER_SALT, _guard.ENV_RAISE}
    assert options == {_guard.ENV_RAISE, *_names(_settings, "ENV_")} - secret_or_for_tests


def _names(module, prefix):
    return [getattr(module, name) for name in dir(module) if name.startswith(prefix)]
