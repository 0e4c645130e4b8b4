"""YAML whose mistakes are named by file, line and field: rule sets, scenarios, mappings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from analyzer_service.errors import InvalidInputError

Location = tuple[str | int, ...]
"""The way to a field: keys of mappings and positions in lists."""


class LocatedYaml:
    """One YAML document and the line of each of its fields."""

    def __init__(
        self,
        text: str | bytes,
        source: str,
        *,
        refusal: type[InvalidInputError],
        hint: str,
        texts_only: bool = False,
    ) -> None:
        """Parse.

        Args:
            text: the document, UTF-8 where it is bytes.
            source: what to call it in errors.
            refusal: the class of those errors.
            hint: the cure where there is no better one.
            texts_only: leave every scalar as it is written: no ``No`` becomes False, no ``007`` 7.

        Raises:
            InvalidInputError: of the class ``refusal``, if it is not YAML, not a mapping, uses an
                alias or names a field twice.
        """
        self.source = source
        self._refusal = refusal
        self._hint = hint
        loader = yaml.BaseLoader if texts_only else yaml.SafeLoader
        try:
            written = text.decode() if isinstance(text, bytes) else text
            self._refuse_aliases(written)
            root = yaml.compose(written, Loader=loader)
            value = yaml.load(written, Loader=loader)  # noqa: S506 - one of the two safe ones
        except UnicodeDecodeError:
            raise self._error(None, "", "is not UTF-8.", "Save it as UTF-8.") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise self._error(
                mark.line + 1 if mark else 1, "", f"is not YAML: {error.problem}."
            ) from None
        except (yaml.YAMLError, RecursionError, ValueError, TypeError):
            raise self._error(1, "", "is not YAML this program can read.") from None
        if not isinstance(root, yaml.MappingNode) or not isinstance(value, dict):
            raise self._error(1, "", "is not a mapping of fields to values.")
        self.value: dict[str, object] = value
        self._lines: dict[Location, int] = {(): 1}
        for path, line in _walk(root, ()):
            if path in self._lines:
                raise self.error(path, "stands there twice.", f"Keep one {path[-1]!r}.", line=line)
            self._lines[path] = line

    def line(self, path: Sequence[object]) -> int:
        """Return the line of a field; a missing field has that of what it is missing from."""
        known = tuple(part for part in path if isinstance(part, str | int))
        while known not in self._lines:
            known = known[:-1]
        return self._lines[known]

    def error(
        self, path: Sequence[object], problem: str, hint: str = "", *, line: int | None = None
    ) -> InvalidInputError:
        """Return the error that names file, line and field."""
        return self._error(line or self.line(path), dotted(path), problem, hint)

    def _error(
        self, line: int | None, field: str, problem: str, hint: str = ""
    ) -> InvalidInputError:
        where = self.source if line is None else f"{self.source}, line {line}:"
        subject = f"field {field} " if field else ""
        return self._refusal(f"{where} {subject}{problem}", hint=hint or self._hint, field=field)

    def _refuse_aliases(self, text: str) -> None:
        """Refuse *aliases: nested ones can fill all memory, circular ones never end."""
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise self._error(line, "", f"uses the alias *{event.anchor}.", "Write it out.")


def dotted(path: Sequence[object]) -> str:
    """Return the way to a field as people write it."""
    return ".".join(str(part) for part in path)


def _walk(node: yaml.Node, path: Location) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            whole = str(key.tag).endswith(":int")
            here = (*path, int(key.value) if whole else str(key.value))
            yield here, key.start_mark.line + 1
            yield from _walk(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, index)
            yield here, value.start_mark.line + 1
            yield from _walk(value, here)
