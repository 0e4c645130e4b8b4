from __future__ import annotations

import re
from pathlib import Path

from analyzer_service.replay import shipped_mappings
from analyzer_service.replay.mapping import Condition, Mapping, Value
from analyzer_service.replay.mapping_file import parse_mapping
from analyzer_service.replay.translate import RESOURCE_ATTRIBUTES

PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()


def test_the_example_is_a_mapping() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_mapping(example, origin="docs/replay.md").name == "nightly-cluster"


def test_every_field_is_told() -> None:
    names = {*Mapping.model_fields, *Condition.model_fields, *Value.model_fields}
    names |= {*RESOURCE_ATTRIBUTES, *shipped_mappings()}
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert names - {"constant"} <= told
