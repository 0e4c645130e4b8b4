"""YAML whose mistakes are named by file, line and field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from analyzer_service.errors import RuleSetError

Path = tuple[str | int, ...]


class LocatedYaml:
    """One YAML document and the line of each of its fields."""

    def __init__(self, text: str, source: str) -> None:
        """Parse.

        Args:
            text: the document.
            source: what to call it in errors.

        Raises:
            RuleSetError: if it is not YAML, not a mapping, or names a field twice.
        """
        self.source = source
        try:
            self._refuse_aliases(text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value: object = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark else 1
            raise self._error(line, "", f"is not YAML: {error.problem}.") from None
        except (yaml.YAMLError, RecursionError, ValueError, TypeError):
            raise self._error(1, "", "is not YAML this program can read.") from None
        if not isinstance(root, yaml.MappingNode):
            raise self._error(1, "", "is not a mapping of fields to values.")
        self._lines: dict[Path, int] = {(): 1}
        for path, line in self._walk(root, ()):
            if path in self._lines:
                raise self.error(path, "stands there twice.", f"Keep one {path[-1]!r}.", line=line)
            self._lines[path] = line

    def error(
        self, path: Sequence[object], problem: str, hint: str, *, line: int | None = None
    ) -> RuleSetError:
        """Return the error that names file, line and field; a missing field has its parent's."""
        known = [part for part in path if isinstance(part, str | int)]
        field = ".".join(str(part) for part in known)
        while line is None:
            line = self._lines.get(tuple(known))
            known = known[:-1]
        return self._error(line, field, problem, hint)

    def _refuse_aliases(self, text: str) -> None:
        """Refuse *aliases: nested ones can fill all memory, circular ones never end."""
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise self._error(line, "", f"uses the alias *{event.anchor}.", "Write it out.")

    def _error(self, line: int, field: str, problem: str, hint: str = "") -> RuleSetError:
        subject = f"field {field} " if field else ""
        hint = hint or "Compare it with the shipped rule sets."
        return RuleSetError(
            f"{self.source}, line {line}: {subject}{problem}", hint=hint, field=field
        )

    def _walk(self, node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                yield here, key.start_mark.line + 1
                yield from self._walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                here = (*path, index)
                yield here, value.start_mark.line + 1
                yield from self._walk(value, here)
