"""One row of a job log as one span."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Final, TypeAlias

from analyzer_service.errors import MappingError
from analyzer_service.otlp import encode
from analyzer_service.replay.log import JobLog, Row
from analyzer_service.replay.mapping import (
    Bound,
    Condition,
    FailureRule,
    Mapping,
    SpanColumn,
    Value,
)
from analyzer_service.replay.values import (
    BrokenRowError,
    nanoseconds,
    number,
    shown,
    time_reader,
)
from otel_instrumentation import semconv
from otel_instrumentation.privacy import digest

RESOURCE_ATTRIBUTES: Final = {
    "gpu": semconv.GPU_REQUESTED,
    "cpu": semconv.CPU_REQUESTED,
    "memory": semconv.MEMORY_REQUESTED,
    "nodes": semconv.NODES_REQUESTED,
    "class": semconv.RESOURCE_CLASS,
    "gpu_used": semconv.GPU_USED,
    "cpu_used": semconv.CPU_USED,
    "memory_used": semconv.MEMORY_USED,
}
"""Attribute of each resource a mapping may name; all but ``class`` are numbers."""

KEPT_DIGESTS: Final = 65_536
"""Digests kept for reuse: jobs ask for the same resources again and again."""

_COMPARISONS: Final = {"at_least": ge, "more_than": gt, "at_most": le, "less_than": lt}

Cells: TypeAlias = list[str]
Reader: TypeAlias = Callable[[Cells], str]
Pairs: TypeAlias = list[tuple[str, encode.AttributeValue]]

_EXACT: Final = 2**53  # up to which decimal numbers and their receivers agree on whole numbers


class Translator:
    """Makes spans of the rows of one log.

    Args:
        mapping: What the columns mean.
        log: The log, for its columns.

    Raises:
        MappingError: The log lacks columns the mapping reads.
    """

    def __init__(self, mapping: Mapping, log: JobLog) -> None:
        self._mapping = mapping
        self._positions = _positions(mapping, log)
        self._time_of = _time_reader(mapping, log)
        self._action = self._reader(mapping.action, "action")
        other = Value(constant=semconv.ERROR_TYPE_OTHER)
        self._error_type = self._reader(mapping.error_type or other, "error_type")
        self._resources = [
            (name, self._reader(value, f"resources.{name}"))
            for name, value in mapping.resources.items()
        ]
        texts = _texts(mapping)
        self._fixed = encode.span_attributes(
            [(semconv.ACTION_KIND, semconv.ACTION_KIND_KEY)]
            + [(name, value.constant) for name, _, value in texts if value.constant is not None]
        )
        self._texts = [
            (name, self._reader(value, field))
            for name, field, value in texts
            if value.constant is None
        ]
        self._digested = [self._positions[column] for column in mapping.digest]
        self._digest = lru_cache(KEPT_DIGESTS)(lambda cells: digest(cells, key=mapping.name))
        self._key = hashlib.blake2b(mapping.name.encode(), digest_size=32).digest()

    def span(self, row: Row) -> bytes:
        """Return the span of a row.

        Raises:
            BrokenRowError: The row cannot become one.
        """
        if row.broken:
            raise row.broken
        cells = row.cells
        action = self._action(cells)
        if not action:
            cure = "Complete the cell, or write otherwise in the mapping."
            raise BrokenRowError("action", "the cell is empty", cure)
        start_ns, pairs = self._start(cells)
        end_ns = start_ns + self._span_of_time(cells, self._mapping.duration, "duration")
        outcome, error_type, limit = self._outcome(cells)
        pairs += (
            (semconv.OUTCOME, outcome),
            (semconv.ERROR_TYPE, error_type),
            (semconv.LIMIT_HIT, limit),
        )
        pairs += [(name, read(cells)) for name, read in self._texts]
        pairs += self._amounts(cells)
        if self._digested:
            digested = tuple([cells[position].strip() for position in self._digested])
            pairs.append((semconv.ACTION_DIGEST, self._digest(digested)))
        trace_id, span_id = self._identity(row)
        return encode.span(
            trace_id=trace_id,
            span_id=span_id,
            name=action,
            start_ns=start_ns,
            end_ns=end_ns,
            # What a row does not say is left out rather than sent empty.
            attributes=self._fixed + encode.span_attributes([p for p in pairs if p[1] != ""]),
            status=encode.StatusCode.ERROR if error_type else encode.StatusCode.UNSET,
        )

    def _identity(self, row: Row) -> tuple[bytes, bytes]:
        """Derive ids from a row's content and place: the same row is always the same event.

        The file's path and the mapping's other fields stay out, so that a log that was moved,
        zipped or has grown, and a mapping that was edited, count nothing twice.
        """
        content = "\x1f".join((str(row.number), *row.cells)).encode()
        hashed = hashlib.blake2b(content, digest_size=24, key=self._key).digest()
        return hashed[:16], hashed[16:]

    def _cell(self, cells: Cells, column: str) -> str:
        return cells[self._positions[column]].strip()

    def _reader(self, value: Value, field: str) -> Reader:
        """Return what reads a value from a row."""
        constant, names, otherwise = value.constant, value.values, value.otherwise
        if value.column is None:
            return lambda _: constant or ""
        position = self._positions[value.column]
        if not names:
            return lambda cells: cells[position].strip() or otherwise or ""

        def named(cells: Cells) -> str:
            cell = cells[position].strip()
            name = names.get(cell, otherwise)
            if name is None:
                raise _unlisted(cell, field)
            return name

        return named

    def _start(self, cells: Cells) -> tuple[int, Pairs]:
        time, wait = self._mapping.time, self._mapping.wait
        moment = self._time_of(self._cell(cells, time.column))
        if wait is None or not self._cell(cells, wait.column):
            return moment, []
        wait_ns = self._span_of_time(cells, wait, "wait")
        start_ns = moment + wait_ns if time.marks == "submit" else moment
        return start_ns, [(semconv.WAIT_SECONDS, wait_ns / 1e9)]

    def _span_of_time(self, cells: Cells, span: SpanColumn, field: str) -> int:
        return nanoseconds(self._cell(cells, span.column), span.unit, field)

    def _outcome(self, cells: Cells) -> tuple[str, str, str]:
        """Return outcome, type of the error and limit that was hit."""
        for rule in self._mapping.failures:
            if self._applies(rule, cells):
                return semconv.OUTCOME_ERROR, rule.error_type, rule.limit or ""
        said = self._mapping.outcome
        if said is None:
            return semconv.OUTCOME_UNKNOWN, "", ""
        cell = self._cell(cells, said.column)
        outcome = said.values.get(cell, said.otherwise)
        if outcome is None:
            raise _unlisted(cell, "outcome")
        if outcome != semconv.OUTCOME_ERROR:
            return outcome, "", ""
        return outcome, self._error_type(cells) or semconv.ERROR_TYPE_OTHER, ""

    def _applies(self, rule: FailureRule, cells: Cells) -> bool:
        return all(self._holds(condition, cells) for condition in rule.when)

    def _holds(self, condition: Condition, cells: Cells) -> bool:
        cell = self._cell(cells, condition.column)
        if condition.equals is not None:
            return cell == condition.equals
        name, compare = next(
            (name, compare)
            for name, compare in _COMPARISONS.items()
            if getattr(condition, name) is not None
        )
        bound = self._bound(getattr(condition, name), cells)
        # An empty cell says nothing, so nothing follows from it.
        return bound is not None and bool(cell) and compare(number(cell, "failures"), bound)

    def _bound(self, bound: Bound, cells: Cells) -> Decimal | None:
        if bound.column is None:
            return bound.number
        cell = self._cell(cells, bound.column)
        return number(cell, "failures") if cell else None

    def _amounts(self, cells: Cells) -> Pairs:
        pairs: Pairs = []
        for name, read in self._resources:
            text = read(cells)
            if text and name != "class":
                pairs.append((RESOURCE_ATTRIBUTES[name], _amount(text, f"resources.{name}")))
            else:
                pairs.append((RESOURCE_ATTRIBUTES[name], text))
        return pairs


def _texts(mapping: Mapping) -> list[tuple[str, str, Value]]:
    """Return the attributes that are texts: attribute, field of the mapping, value."""
    texts = [
        (semconv.USER_ID, "user", Value(column=mapping.user.column)),
        (semconv.STAGE, "stage", mapping.stage),
        (semconv.COMPONENT, "component", mapping.component),
        (semconv.ACTION, "action", mapping.action),
    ]
    if mapping.session is not None:
        texts.append((semconv.SESSION_ID, "session", mapping.session))
    texts += [(name, f"attributes.{name}", value) for name, value in mapping.attributes.items()]
    return texts


def _time_reader(mapping: Mapping, log: JobLog) -> Callable[[str], int]:
    time = mapping.time
    instants = time.column in log.instants
    if not instants and time.unit is None and time.format is None:
        raise MappingError(
            f"The mapping says neither unit nor format of the time column {time.column!r}.",
            hint="Write unit: s for seconds since 1970, or format and zone for texts.",
            field="time",
        )
    return time_reader(time, instants=instants)


def _positions(mapping: Mapping, log: JobLog) -> dict[str, int]:
    """Return where each column the mapping reads stands.

    Raises:
        MappingError: One is missing, or stands there twice.
    """
    positions = {}
    complaints = {}
    for column, field in mapping.columns().items():
        found = log.columns.count(column)
        if found == 1:
            positions[column] = log.columns.index(column)
            continue
        near = difflib.get_close_matches(column, log.columns, n=1) if not found else []
        complaints[field] = (
            f"{field} reads the column {column!r}, which the log has {'twice' if found else 'not'}"
            + (f" (perhaps {near[0]!r} is meant)" if near else "")
        )
    if complaints:
        raise MappingError(
            f"{'; '.join(complaints.values())}.",
            hint=f"Change the mapping; the log's columns are: {', '.join(map(repr, log.columns))}.",
            field=next(iter(complaints)),
        )
    return positions


def _amount(text: str, field: str) -> int | float:
    value = number(text, field)
    return (
        int(value) if value == value.to_integral_value() and abs(value) < _EXACT else float(value)
    )


def _unlisted(cell: str, field: str) -> BrokenRowError:
    return BrokenRowError(
        field,
        f"{shown(cell)} is not among the values the mapping lists",
        f"Add it to {field}.values in the mapping, or write otherwise.",
    )
