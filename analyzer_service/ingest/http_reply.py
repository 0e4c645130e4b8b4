"""HTTP answers in the encoding of the request, as OTLP asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.responses import Response

from analyzer_service.ingest import answers

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


@dataclass(frozen=True)
class Reply:
    """Answers one request in its own encoding."""

    content_type: str

    def success(self, response: Message) -> Response:
        """Answer 200 with an export response."""
        return self._response(200, response)

    def status(self, code: int, status: Message) -> Response:
        """Answer with an HTTP status code and a google.rpc.Status."""
        response = self._response(code, status)
        if code in (429, 503):
            response.headers["Retry-After"] = str(answers.RETRY_SECONDS)
        return response

    def too_large(self, message: str) -> Response:
        """Answer 413."""
        return self.status(413, answers.too_large(message))

    def unsupported(self, message: str) -> Response:
        """Answer 415."""
        return self.status(415, answers.undecodable(message))

    def _response(self, code: int, message: Message) -> Response:
        if self.content_type == JSON:
            content = json_format.MessageToJson(message, indent=None).encode()
        else:
            content = message.SerializeToString()
        return Response(content, status_code=code, media_type=self.content_type)
