"""One HTTP request as what it means: a statement, perhaps data, and options."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from analyzer_service.endpoint.encodings import decode
from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.endpoint.frames import decompress_frames
from analyzer_service.endpoint.options import Options, sort_options

STATEMENT_BYTES: Final = 256 * 1024
"""How much of a body is looked at for the statement at its head. Longer than any that is run."""

COMMENT_BYTES: Final = 4096
"""How far into a body its first word is looked for, past comments."""

MAX_FIELDS: Final = 2_000
"""Parameters of one request; an honest one has a few dozen."""

HEADERS: Final = {
    "x-clickhouse-database": "database",
    "x-clickhouse-format": "default_format",
    "x-clickhouse-query-id": "query_id",
}
"""Headers that stand for parameters; ClickHouse's Java clients use them."""

_WORD = re.compile(r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(\w*)", re.S)
_INSERT_HEAD = re.compile(
    # The comments are one atomic group: trying to read them in other ways would take for ever.
    rb"(?>(?:\s*(?:--[^\n]*\n|/\*.*?\*/))*)\s*INSERT\s.*?"
    rb"(?:\bFORMAT\s+\w+|\bVALUES\b)[ \t]*;?\r?\n?",
    re.I | re.S,
)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a client wants."""

    statement: str
    data: bytes
    """What an INSERT brings."""
    options: Options
    readonly: bool
    """A GET changes nothing, as with ClickHouse."""

    @property
    def first_word(self) -> str:
        """The statement's kind, in upper case."""
        return first_word(self.statement)


def first_word(statement: str) -> str:
    """Return the first word of a statement, past comments, in upper case."""
    match = _WORD.match(statement)
    return match.group(1).upper() if match else ""


def url_parameters(query_string: str) -> dict[str, str]:
    """Return a URL's parameters; of one named twice the last counts.

    Raises:
        EndpointError: there are too many.
    """
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise EndpointError("BAD_ARGUMENTS", "The URL has too many parameters") from None
    return dict(pairs)


def told_in_headers(parameters: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with those that a client may give as headers; the URL's go first."""
    found = {name: headers[header] for header, name in HEADERS.items() if headers.get(header)}
    return {**found, **parameters}


def read_request(
    method: str,
    parameters: Mapping[str, str],
    body: bytes,
    *,
    content_type: str,
    content_encoding: str,
    limit: int,
) -> ClientRequest:
    """Make sense of a request.

    ClickHouse's rule: the parameter ``query`` and the body make up the statement together; with an
    INSERT in the parameter the body is its data, with one at the body's head what follows is.

    Raises:
        EndpointError: it makes none.
    """
    body = decode(body, content_encoding, limit)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        parameters = {**parameters, **_form(body, content_type)}
        body = b""
    options = sort_options(parameters)
    if options.flag("decompress"):
        body = decompress_frames(body, limit)
    query = options.transport.get("query", "")
    if first_word(query) == "INSERT":
        statement, data = query, body
        head = _INSERT_HEAD.match(query.encode())
        if head is not None and head.end() < len(query.encode()):
            statement, data = _split(query.encode() + b"\n" + body)
    elif not query and first_word(body[:COMMENT_BYTES].decode("utf-8", "replace")) == "INSERT":
        statement, data = _split(body)
    else:
        statement, data = _text(query, body), b""
    return ClientRequest(statement, data, options, readonly=method in ("GET", "HEAD"))


def _split(body: bytes) -> tuple[str, bytes]:
    head = _INSERT_HEAD.match(body[:STATEMENT_BYTES])
    if head is None:
        return _text("", body), b""
    return head.group().decode("utf-8", "replace"), body[head.end() :]


def _text(query: str, body: bytes) -> str:
    if len(body) > STATEMENT_BYTES:
        raise EndpointError("BAD_ARGUMENTS", "The statement is too long", status=413)
    text = body.decode("utf-8", "replace")
    return f"{query}\n{text}" if query and text else query or text


def _form(body: bytes, content_type: str) -> dict[str, str]:
    """Return the fields of a form, which clients use for parameters that are long."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("utf-8", "replace")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or len(fields) >= MAX_FIELDS:
            raise EndpointError("BAD_ARGUMENTS", "The form cannot be read")
        if part.get_filename() is not None:
            raise EndpointError("NOT_IMPLEMENTED", "External data (files in a form) is not taken")
        payload = part.get_payload(decode=True)
        fields[name] = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return fields
