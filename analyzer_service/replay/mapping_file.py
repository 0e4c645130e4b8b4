"""Reads mapping files; every complaint names the line, the field and the cure."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from analyzer_service.errors import MappingError, NotFoundError
from analyzer_service.located_yaml import LocatedYaml, Location, dotted
from analyzer_service.replay.mapping import Mapping
from analyzer_service.resources import data_folder

MAX_FILE_BYTES: Final = 256 * 1024
"""A mapping has some 40 lines; a job log given by mistake is larger and is not read."""

FIELDS_HINT: Final = "docs/replay.md lists the fields."


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
    document = LocatedYaml(text, origin, refusal=MappingError, hint=FIELDS_HINT, texts_only=True)
    try:
        return Mapping.model_validate(document.value)
    except ValidationError as error:
        raise _validation_error(error, document) from None


def _validation_error(error: ValidationError, document: LocatedYaml) -> MappingError:
    complaints = [_complaint(details) for details in error.errors(include_url=False)]
    said = (f"{document.source}, line {document.line(path)}, {text}" for path, text in complaints)
    return MappingError(
        "; ".join(said) + ".",
        hint=FIELDS_HINT,
        field=dotted(complaints[0][0]) or "the mapping",
    )


def _complaint(details: ErrorDetails) -> tuple[Location, str]:
    path = details["loc"]
    field = dotted(path) or "the mapping"
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
    return path, text


def _nearest(path: Location) -> str:
    """Suggest the field that was probably meant."""
    names = _fields_at(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    if near:
        return f", perhaps {near[0]} is meant"
    return f", known are {', '.join(names)}" if names else ""


def _fields_at(path: Location) -> list[str]:
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
