"""Where the files that ship beside the code lie: SQL, rules, scenarios, mappings, signal map."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def sql_folder() -> Path:
    """Return the folder with ``migrations/`` and ``queries/``.

    A wheel carries it as ``_sql`` in the package; a checkout has it as ``clickhouse`` beside it.
    """
    shipped = PACKAGE / "_sql"
    return shipped if shipped.is_dir() else PACKAGE.parent / "clickhouse"


def data_folder(kind: str) -> Path:
    """Return the folder of shipped YAML files of one kind, such as ``rules`` or ``scenarios``."""
    return PACKAGE / "data" / kind
