"""HTTP answers: the headers ClickHouse's clients look at, errors, and bodies that stream."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from analyzer_service.endpoint import handshake
from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.endpoint.output import BrokenAnswerError, Output
from analyzer_service.endpoint.service import Reply

BINARY: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=UTF-8"
CONTENT_TYPES: Final = {
    "Native": BINARY,
    "RowBinary": BINARY,
    "RowBinaryWithNames": BINARY,
    "RowBinaryWithNamesAndTypes": BINARY,
    "Arrow": BINARY,
    "ArrowStream": BINARY,
    "Parquet": BINARY,
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
}
"""As ClickHouse labels its formats; the others are plain text."""


def headers_of(reply: Reply, *, query_id: str, encoding: str, tag: str) -> dict[str, str]:
    """Return the headers of an answer.

    The summary counts what was written. What a query reads is not known when its headers go out.
    """
    summary = {
        "read_rows": "0",
        "read_bytes": "0",
        "written_rows": str(reply.written_rows),
        "written_bytes": "0",
        "total_rows_to_read": "0",
        "result_rows": str(reply.written_rows),
        "result_bytes": "0",
    }
    headers = {
        **_common(query_id),
        "X-ClickHouse-Exception-Tag": tag,
        "X-ClickHouse-Summary": json.dumps(summary),
        "Content-Type": CONTENT_TYPES.get(reply.data_format, TEXT),
    }
    if reply.data_format:
        headers["X-ClickHouse-Format"] = reply.data_format
    if encoding:
        headers["Content-Encoding"] = encoding
    return headers


def failed(error: EndpointError, query_id: str) -> Response:
    """Return the answer to a request that is not carried out."""
    headers = {**_common(query_id), "X-ClickHouse-Exception-Code": str(error.code)}
    return PlainTextResponse(error.text, status_code=error.status, headers=headers)


class StreamedResponse(Response):
    """An answer whose rest is still to be read.

    An answer that fails in the middle ends with the error's text and without the end that HTTP
    wants, so that no client takes it for a whole one.

    Args:
        head: what has been read.
        output: where the rest comes from.
        more: reads the next bytes of the output somewhere they may block.
        headers: of the answer.
    """

    def __init__(
        self,
        head: bytes,
        output: Output,
        *,
        more: Callable[[], Awaitable[bytes]],
        headers: dict[str, str],
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._head = head
        self._output = output
        self._more = more

    def close(self) -> None:
        """Give up what was not read."""
        self._output.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        request = Request(scope, receive)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._head, "more_body": True})
        try:
            while not self._output.finished and not await request.is_disconnected():
                chunk = await self._more()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except BrokenAnswerError as error:
            await send({"type": "http.response.body", "body": error.last, "more_body": True})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _common(query_id: str) -> dict[str, str]:
    return {
        "X-ClickHouse-Server-Display-Name": handshake.SERVER_NAME,
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
    }
