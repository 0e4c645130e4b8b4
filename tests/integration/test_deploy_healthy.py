"""The image's health check against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from grpc_service import served

SCRIPT = Path(__file__).parents[2] / "deploy" / "healthy.py"


def check(address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, address], check=False, capture_output=True, text=True
    )


def test_it_needs_no_token_and_says_why_it_fails(tmp_path: Path) -> None:
    with served(tmp_path) as service:
        assert check(service.address).returncode == 0
    gone = check(service.address)
    assert gone.returncode == 1
    assert gone.stderr == "not serving: UNAVAILABLE\n"
