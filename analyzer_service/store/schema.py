"""The schema the migrations add up to, one object per file, for people to read.

``python -m analyzer_service.store.schema`` writes ``clickhouse/schema``; a contract test holds the
files equal to what a fresh migration makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from analyzer_service import resources
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate

LISTING = """
SELECT name, engine, database
FROM system.tables
WHERE database = currentDatabase() AND NOT startsWith(name, '.inner')
ORDER BY name
"""

_UUID = re.compile(r" UUID '[0-9a-f-]{36}'")
_DEFINER = re.compile(r" DEFINER = \S+ SQL SECURITY DEFINER")


def schema_of(store: Store) -> dict[str, str]:
    """Return the statement that makes each object of a store, by file name."""
    found = {}
    for name, engine, database in store.query(LISTING):
        kind = "DICTIONARY" if engine == "Dictionary" else "TABLE"
        [(text,)] = store.query(f"SHOW CREATE {kind} `{name}`")
        found[f"{name}.sql"] = normalised(text, database=database)
    return found


def normalised(text: str, *, database: str) -> str:
    """Return a CREATE statement without what differs between stores of the same schema."""
    text = _UUID.sub("", text)
    text = _DEFINER.sub("", text)
    name = rf"`?{re.escape(database)}`?\."
    # Before a name, and in the names of dictionaries, which are strings.
    text = re.sub(rf"(?<![\w.'`]){name}(?=[A-Za-z_`])|(?<=\bdictGet\('){name}", "", text)
    # The engine's default, which some versions write out.
    text = text.replace(", index_granularity = 8192", "")
    text = text.replace("\nSETTINGS index_granularity = 8192", "")
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + ";\n"


def write_schema(schema: Mapping[str, str], folder: Path) -> None:
    """Make a folder hold exactly these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.sql"):
        if path.name not in schema:
            path.unlink()
    for name, text in schema.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> None:
    """Write the schema of a fresh store."""
    with open_store("chdb://memory") as store:
        migrate(store)
        write_schema(schema_of(store), resources.sql_folder() / "schema")


if __name__ == "__main__":
    main()
