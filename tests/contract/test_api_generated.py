"""The committed gRPC code is what the .proto file gives, and the .proto file is lint clean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc

ROOT = Path(__file__).parents[2]
PROTO = "analyzer_service/api/v1/analyzer.proto"
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
BIN = Path(sys.executable).parent


def test_generated_code_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    outputs = [
        f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")
    ]
    well_known = Path(protoc.__file__).parent / "_proto"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT}",
            f"-I{well_known}",
            *outputs,
            PROTO,
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    stem = PROTO.removesuffix(".proto")
    for ending in GENERATED:
        fresh = (tmp_path / (stem + ending)).read_text(encoding="utf-8")
        committed = (ROOT / (stem + ending)).read_text(encoding="utf-8")
        assert committed == fresh, f"{stem}{ending} is stale: run make proto"


def test_the_proto_is_lint_clean() -> None:
    done = subprocess.run(
        [str(BIN / "buf"), "lint"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_both_analyzers_offer_what_the_interface_asks_for() -> None:
    import inspect

    from analyzer_service.analyzer import Analyzer
    from analyzer_service.server.client import RemoteAnalyzer
    from analyzer_service.server.interface import AnalyzerInterface

    wanted = {
        name: list(inspect.signature(method).parameters)
        for name, method in vars(AnalyzerInterface).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert wanted.keys() <= vars(RemoteAnalyzer).keys()
    assert "review_challenge" in wanted
    for kind in (Analyzer, RemoteAnalyzer):
        offered = {name: list(inspect.signature(getattr(kind, name)).parameters) for name in wanted}
        assert offered == wanted, kind
