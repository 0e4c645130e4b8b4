"""A whole export request: down through resources and scopes, to the rows of its records."""

from __future__ import annotations

from typing import Final

import orjson

from analyzer_service.ingest import wire
from analyzer_service.ingest.findings import Findings, RejectedRecordError
from analyzer_service.ingest.frames import Tools, read_resource, read_scope
from analyzer_service.ingest.records import RecordRows, repeated

# Requests of traces and of logs are laid out alike: ResourceX, ScopeX and X by the same numbers.
RESOURCES: Final = wire.tag(1, wire.LENGTH_DELIMITED)
HEAD: Final = wire.tag(1, wire.LENGTH_DELIMITED)
MEMBERS: Final = wire.tag(2, wire.LENGTH_DELIMITED)
SCHEMA_URL: Final = wire.tag(3, wire.LENGTH_DELIMITED)

MALFORMED: Final = "malformed"


class UndecodableError(ValueError):
    """Nothing in the request can be read."""


class PayloadReader:
    """Reads one request and keeps what can be kept of it."""

    def __init__(self, rows: RecordRows, tools: Tools) -> None:
        self._rows = rows
        self._tools = tools
        self._findings: Findings = tools.findings
        self._broken = False
        self._service = ""
        self.rows: list[bytes] = []
        self.received = 0

    def read(self, payload: bytes) -> list[bytes]:
        """Return the rows of all records that can be stored.

        Raises:
            UndecodableError: There is nothing in it that could be kept.
        """
        fields = self._fields(payload)
        resources = repeated(fields, RESOURCES)
        if payload and not resources:
            raise UndecodableError(
                "the body is not an OTLP export request: check that Content-Type says how it is "
                "encoded, and that its path fits the kind of data"
            )
        for resource in resources:
            self._resource(resource)
        if self._broken and not self.rows:
            raise UndecodableError(
                "the body is a truncated or damaged OTLP export request without one whole record: "
                "send it again whole"
            )
        if self._broken and not self._findings.rejections:
            self._reject(
                RejectedRecordError(
                    MALFORMED,
                    "the request ends too early or is damaged: records after the fault are lost; "
                    "send it again whole",
                ),
                b"",
            )
        return self.rows

    def _resource(self, message: bytes) -> None:
        fields = self._fields(message)
        # Parts of a message given twice merge, and on the wire merging is joining.
        head = b"".join(repeated(fields, HEAD))
        resource = read_resource(head, _last(fields, SCHEMA_URL), self._tools)
        self._service = resource.service
        for member in repeated(fields, MEMBERS):
            inner = self._fields(member)
            scope_head = b"".join(repeated(inner, HEAD))
            scope = read_scope(scope_head, _last(inner, SCHEMA_URL), self._tools)
            self._rows.enter(resource, scope)
            self._records(repeated(inner, MEMBERS))

    def _records(self, messages: list[bytes]) -> None:
        self.received += len(messages)
        row, append = self._rows.row, self.rows.append
        for message in messages:
            try:
                append(row(message))
            except RejectedRecordError as refused:
                self._reject(refused, message)
            except wire.WireError as broken:
                detail = f"a record cannot be decoded: {broken}; the sender's encoder is at fault"
                self._reject(RejectedRecordError(MALFORMED, detail), message)

    def _reject(self, error: RejectedRecordError, message: bytes) -> None:
        # Only what identifies the record is kept: what could not be read cannot be freed of names.
        described = {**self._rows.describe(message), "bytes": len(message)}
        self._findings.reject(error, orjson.dumps(described).decode(), self._service)

    def _fields(self, message: bytes) -> list[wire.Field]:
        """Return a container's fields; of one that is cut short, the last as far as it goes."""
        try:
            return wire.split(message)
        except wire.WireError as broken:
            self._broken = True
            return broken.fields if broken.cut is None else [*broken.fields, broken.cut]


def _last(fields: list[wire.Field], key: int) -> bytes:
    found = repeated(fields, key)
    return found[-1] if found else b""
