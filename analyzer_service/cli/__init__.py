"""The command line: ``mlp-analyzer``, one module per command."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    from analyzer_service.cli.application import run  # noqa: PLC0415 - importing the package is free

    raise SystemExit(run(arguments))
