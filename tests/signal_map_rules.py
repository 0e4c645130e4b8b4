"""Rules of the signal map for tests, and a store with the shipped ones in force."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store_fixture import fresh_store

from analyzer_service.signal_map import MapRule, RuleOrigin
from analyzer_service.store.connect import Store
from analyzer_service.store.signal_map.keeper import install_signal_map

FIELDS = (
    "priority", "pattern", "stage", "component", "action", "action_kind", "source", "example",
    "counter_example",
)  # fmt: skip


@contextmanager
def mapped_store(folder: Path, *, name: str = "store") -> Iterator[Store]:
    """Open a migrated store with the shipped map in force."""
    with fresh_store(folder, name=name) as store:
        install_signal_map(store)
        yield store


def rule(number: int = 100_000, **changes: Any) -> MapRule:
    """Return an operator's rule that can be used as it is."""
    values: dict[str, Any] = {
        "priority": 500 + number % 1000,
        "pattern": r"^registry\nPOST /publish\n",
        "stage": "model_deployment",
        "component": "registry",
        "action": "publish_model",
        "action_kind": "key",
        "source": "registry 2.1, docs/api.md",
        "example": "registry\nPOST /publish\n/publish",
        "counter_example": "registry\nGET /publish\n/publish",
        "origin": RuleOrigin.OPERATOR,
    }
    return MapRule(rule_id=number, **{**values, **changes})


def as_yaml(rules: Iterable[MapRule]) -> str:
    """Return rules as the file an operator would write."""
    text = "rows:\n"
    for one in rules:
        text += f"  - id: {one.rule_id}\n"
        text += "".join(f"    {name}: {json.dumps(getattr(one, name))}\n" for name in FIELDS)
    return text
