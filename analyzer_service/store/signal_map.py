"""The signal map: which services, spans and routes mean which stage, component and action.

Rows are data (YAML). Loading them compiles every pattern with the engine that will use it, because
the dictionary leaves out a pattern it cannot compile without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyzer_service.errors import InvalidInputError, StoreError
from analyzer_service.resources import data_folder
from analyzer_service.store.connect import Store

COLUMNS: Final = (
    "rule_id", "priority", "pattern", "stage", "component", "action", "action_kind",
    "map_version", "source", "example", "counter_example",
)  # fmt: skip


class SignalMapRow(BaseModel):
    """One row of the map."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(gt=0, lt=2**32)
    priority: int = Field(ge=0, lt=2**32 - 1)
    source: str
    pattern: str = Field(min_length=1)
    stage: str = Field(min_length=1)
    component: str = Field(min_length=1)
    action: str
    action_kind: Literal["key", "click", "view", ""]
    example: str
    counter_example: str


class SignalMap(BaseModel):
    """A versioned list of rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(gt=0, lt=2**21)
    rows: tuple[SignalMapRow, ...]


def load_signal_map(path: Path | None = None) -> SignalMap:
    """Read a map; without a path, the one that ships.

    Raises:
        InvalidInputError: The file is not such a map; names the field.
    """
    source = path or data_folder("signal_map") / "common.yaml"
    try:
        content: Any = yaml.safe_load(source.read_text(encoding="utf-8"))
        return SignalMap.model_validate(content)
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{source.name} cannot be read: {error}.", field="file") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InvalidInputError(
            f"{source.name}: {field}: {first['msg']}.", field=field, hint="See docs/concepts.md."
        ) from error


def install_signal_map(store: Store, signal_map: SignalMap) -> bool:
    """Prove every row, write the map, reload the dictionaries; returns whether it changed.

    Raises:
        InvalidInputError: A pattern does not compile, or its examples contradict it.
    """
    if _installed_version(store) >= signal_map.version:
        return False
    for row in signal_map.rows:
        _prove(store, row)
    store.insert_rows(
        "signal_map",
        list(COLUMNS),
        [
            [
                row.id, row.priority, row.pattern, row.stage, row.component, row.action,
                row.action_kind, signal_map.version, row.source, row.example, row.counter_example,
            ]
            for row in signal_map.rows
        ],
    )  # fmt: skip
    for dictionary in ("signal_map_match", "signal_map_rule"):
        store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")
    return True


def _installed_version(store: Store) -> int:
    return int(store.query("SELECT max(map_version) FROM signal_map")[0][0])


def _prove(store: Store, row: SignalMapRow) -> None:
    try:
        matches = store.query(
            "SELECT match({example:String}, {pattern:String}), "
            "match({other:String}, {pattern:String})",
            {"example": row.example, "other": row.counter_example, "pattern": row.pattern},
        )[0]
    except StoreError as error:
        raise InvalidInputError(
            f"Row {row.id} of the signal map has a pattern that does not compile: {row.pattern!r}.",
            field=f"rows.{row.id}.pattern",
            hint="Patterns are RE2 regular expressions.",
        ) from error
    if tuple(matches) != (1, 0):
        raise InvalidInputError(
            f"Row {row.id} of the signal map does not do what its examples say.",
            field=f"rows.{row.id}",
            hint="`example` must match `pattern`, `counter_example` must not.",
        )
