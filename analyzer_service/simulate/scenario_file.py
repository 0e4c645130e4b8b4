"""From a YAML file to a :class:`Scenario`, or to an error that names line, field and cure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from analyzer_service import resources
from analyzer_service.errors import ScenarioError
from analyzer_service.located_yaml import LocatedYaml, Location, dotted
from analyzer_service.simulate.consistency import problems
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
    document = _read(path)
    fields = dict(document.value)
    base = fields.pop(_EXTENDS, None)
    if base is not None:
        fields = {**_parent(path, str(base), document), **fields}
    try:
        scenario = Scenario.model_validate(fields)
    except ValidationError as refused:
        wrong = [
            (tuple(e["loc"]), _in_words(e["type"], e["msg"], e["input"])) for e in refused.errors()
        ]
        raise _refusal(document, wrong) from None
    if wrong := list(problems(scenario)):
        raise _refusal(document, wrong)
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


def _parent(path: Path, base: str, document: LocatedYaml) -> dict[str, object]:
    beside = path.with_name(f"{base}.yaml")
    try:
        parent = _read(beside if beside.is_file() else _find(base)).value
    except ScenarioError as error:
        raise _refusal(document, [((_EXTENDS,), error.message)]) from None
    if _EXTENDS in parent:
        raise _refusal(document, [((_EXTENDS,), f"{base} itself extends another; name that")])
    return parent


def _read(path: Path) -> LocatedYaml:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ScenarioError(
            f"{path.name} cannot be read: {error.strerror}.",
            hint="Check the path.",
            field="scenario",
        ) from None
    return LocatedYaml(
        text, path.name, refusal=ScenarioError, hint="Start from a copy of paper-2020."
    )


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


def _refusal(document: LocatedYaml, wrong: Iterable[tuple[Location, str]]) -> ScenarioError:
    complaints = [_complaint(document, where, what) for where, what in wrong]
    first = next(iter(complaints))[0]
    shown = "; ".join(text for _, text in complaints[:SHOWN_PROBLEMS])
    more = len(complaints) - SHOWN_PROBLEMS
    return ScenarioError(
        f"{document.source}, {shown}" + (f"; and {more} more" if more > 0 else "") + ".",
        hint="Correct the named fields; docs/simulate.md describes each.",
        field=first,
    )


def _complaint(document: LocatedYaml, where: Location, what: str) -> tuple[str, str]:
    # pydantic names a dictionary's key by one more step; the place is its longest known prefix.
    parts = tuple(part for part in where if part != "[key]")
    field = dotted(parts) or "scenario"
    return field, f"line {document.line(parts)}, {field}: {what}"
