"""From a YAML file to a :class:`Scenario`, or to an error that names line, field and cure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from analyzer_service import resources
from analyzer_service.errors import ScenarioError
from analyzer_service.simulate.consistency import Location, problems
from analyzer_service.simulate.scenario import Scenario

SHOWN_PROBLEMS: Final = 5
"""More than a screenful of complaints helps nobody; the rest is counted."""

_EXTENDS: Final = "extends"


def scenario_names() -> list[str]:
    """Return the names of the scenarios that ship with the program."""
    return sorted(path.stem for path in resources.data_folder("scenarios").glob("*.yaml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario.

    Args:
        name_or_path: A shipped scenario's name, or the path of a YAML file.

    Raises:
        ScenarioError: The file is missing or wrong; the message names line, field and cure.
    """
    path = _find(name_or_path)
    document, lines = _read(path)
    base = document.pop(_EXTENDS, None)
    if base is not None:
        parent = _parent(path, str(base), lines)
        document = {**parent, **document}
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as refused:
        wrong = [
            (tuple(e["loc"]), _in_words(e["type"], e["msg"], e["input"])) for e in refused.errors()
        ]
        raise _refusal(path, lines, wrong) from None
    if wrong := list(problems(scenario)):
        raise _refusal(path, lines, wrong)
    return scenario


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = resources.data_folder("scenarios") / f"{name_or_path}.yaml"
    if str(name_or_path) in scenario_names():
        return shipped
    raise ScenarioError(
        f"There is no scenario {name_or_path}.",
        hint=f"Name a YAML file or one of: {', '.join(scenario_names())}.",
        field="scenario",
    )


def _parent(path: Path, base: str, lines: dict[Location, int]) -> dict[str, Any]:
    beside = path.with_name(f"{base}.yaml")
    try:
        parent, _ = _read(beside if beside.is_file() else _find(base))
    except ScenarioError as error:
        raise _refusal(path, lines, [((_EXTENDS,), error.message)]) from None
    if _EXTENDS in parent:
        raise _refusal(path, lines, [((_EXTENDS,), f"{base} itself extends another; name that")])
    return parent


def _read(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ScenarioError(
            f"{path.name} cannot be read: {' '.join(str(error).split())}.",
            hint="Write it as YAML in UTF-8.",
        ) from None
    if not isinstance(document, dict):
        raise ScenarioError(
            f"{path.name}, line 1: a scenario is a mapping of fields.",
            hint="Start from a copy of paper-2020.",
        )
    lines: dict[Location, int] = {}
    _note_lines(node, (), lines)
    return document, lines


def _note_lines(node: yaml.Node | None, where: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            number = str(key.tag).endswith(":int")
            inner = (*where, int(key.value) if number else str(key.value))
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*where, index] = value.start_mark.line + 1
            _note_lines(value, (*where, index), lines)


def _in_words(kind: str, message: str, given: object) -> str:
    match kind:
        case "extra_forbidden":
            return "is not a field of a scenario; remove it or correct its spelling"
        case "missing":
            return "is missing; add it"
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            cure = message[:1].lower() + message[1:]
            scalar = isinstance(given, str | int | float | bool | None)
            return f"is {given!r}, but {cure}" if scalar else cure


def _refusal(
    path: Path, lines: dict[Location, int], wrong: Iterable[tuple[Location, str]]
) -> ScenarioError:
    complaints = [_complaint(lines, where, what) for where, what in wrong]
    first = next(iter(complaints))[0]
    shown = "; ".join(text for _, text in complaints[:SHOWN_PROBLEMS])
    more = len(complaints) - SHOWN_PROBLEMS
    return ScenarioError(
        f"{path.name}, {shown}" + (f"; and {more} more" if more > 0 else "") + ".",
        hint="Correct the named fields; docs/simulate.md describes each.",
        field=first,
    )


def _complaint(lines: dict[Location, int], where: Location, what: str) -> tuple[str, str]:
    # pydantic names a dictionary's key by one more step; the place is its longest known prefix.
    parts = tuple(part for part in where if part != "[key]")
    field = ".".join(str(part) for part in parts) or "scenario"
    known = parts
    while known and known not in lines:
        known = known[:-1]
    return field, f"line {lines.get(known, 1)}, {field}: {what}"
