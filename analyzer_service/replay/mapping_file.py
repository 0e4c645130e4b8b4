"""Reads mapping files; every complaint names the line, the field and the cure."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final, TypeAlias

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from analyzer_service.errors import MappingError, NotFoundError
from analyzer_service.replay.mapping import Mapping
from analyzer_service.resources import data_folder

MAX_FILE_BYTES: Final = 256 * 1024
"""A mapping has some 40 lines; a job log given by mistake is larger and is not read."""

_Path: TypeAlias = tuple[str | int, ...]


def shipped_mappings() -> tuple[str, ...]:
    """Return the names of the mappings that ship with the package."""
    return tuple(sorted(path.stem for path in data_folder("mappings").glob("*.yaml")))


def load_mapping(path_or_name: str | Path) -> Mapping:
    """Read a mapping from a file, or one that ships by its name.

    Raises:
        NotFoundError: There is neither such a file nor such a name.
        MappingError: The file cannot be used; says where and what to do.
    """
    path = Path(path_or_name)
    if not path.is_file():
        shipped = data_folder("mappings") / f"{path_or_name}.yaml"
        if str(path_or_name) not in shipped_mappings():
            raise NotFoundError(
                f"There is no mapping {str(path_or_name)!r}.",
                hint=f"Give a YAML file, or one of: {', '.join(shipped_mappings())}.",
                field="mapping",
            )
        path = shipped
    if path.stat().st_size > MAX_FILE_BYTES:
        raise MappingError(
            f"{path} is too large for a mapping.", hint="Is it the job log?", field="mapping"
        )
    return parse_mapping(path.read_bytes(), origin=path.name)


def parse_mapping(text: str | bytes, *, origin: str) -> Mapping:
    """Read a mapping from YAML.

    Args:
        text: The YAML.
        origin: What complaints call it, such as its file name.

    Raises:
        MappingError: It cannot be used; says where and what to do.
    """
    try:
        # Scalars stay text: no `No` becomes False, no exit code 007 a seven.
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise _yaml_error(error, origin) from None
    except UnicodeDecodeError:
        raise MappingError(f"{origin} is not UTF-8.", hint="Save it as UTF-8.") from None
    lines: dict[_Path, int] = {}
    document = _plain(node, (), lines, origin)
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        raise _validation_error(error, lines, origin) from None


def _plain(node: yaml.Node | None, path: _Path, lines: dict[_Path, int], origin: str) -> object:
    """Return a YAML node as dictionaries, lists and texts, and note the line of each."""
    if node is None:
        return {}
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, i), lines, origin) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = key_node.start_mark.line + 1
        if key in found:
            raise MappingError(
                f"{origin}, line {line}: {_dotted((*path, key))} stands there twice.",
                hint="Remove one.",
                field=_dotted((*path, key)),
            )
        lines[(*path, key)] = line
        found[key] = _plain(value_node, (*path, key), lines, origin)
    return found


def _yaml_error(error: yaml.YAMLError, origin: str) -> MappingError:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error)
    return MappingError(
        f"{origin}{where} is not YAML: {problem}.", hint="Check indentation, quotes and brackets."
    )


def _validation_error(error: ValidationError, lines: dict[_Path, int], origin: str) -> MappingError:
    complaints = [_complaint(details, lines) for details in error.errors(include_url=False)]
    return MappingError(
        "; ".join(f"{origin}, line {line}, {text}" for line, _, text in complaints) + ".",
        hint="docs/replay.md lists the fields.",
        field=complaints[0][1],
    )


def _complaint(details: ErrorDetails, lines: dict[_Path, int]) -> tuple[int, str, str]:
    path = details["loc"]
    known = path
    while known not in lines and known:
        known = known[:-1]
    field = _dotted(path) or "the mapping"
    match details["type"]:
        case "extra_forbidden":
            text = f"unknown field {field}{_nearest(path)}"
        case "missing":
            text = f"{field} is missing"
        case "model_type":
            text = f"{field}: write {{column: NAME}}"
        case _:
            message = details["msg"].removeprefix("Value error, ")
            text = f"{field}: {message[:1].lower()}{message[1:]}"
    return lines.get(known, 1), field, text


def _nearest(path: _Path) -> str:
    """Suggest the field that was probably meant."""
    names = _fields_at(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    if near:
        return f", perhaps {near[0]} is meant"
    return f", known are {', '.join(names)}" if names else ""


def _fields_at(path: _Path) -> list[str]:
    """Return the fields of the part of a mapping at a path."""
    models: list[type[BaseModel]] = [Mapping]
    for step in path:
        if isinstance(step, int):
            continue
        for model in models:
            if step in model.model_fields:
                models = _models_in(model.model_fields[step].annotation)
                break
    return sorted({name for model in models for name in model.model_fields} - {"constant"})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def _dotted(path: _Path) -> str:
    return ".".join(str(step) for step in path)
