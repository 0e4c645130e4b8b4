"""The bytes of an answer as they go out: framed, compressed, and with its error if it has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer_service.endpoint.encodings import encoder
from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.endpoint.frames import compress_frames
from analyzer_service.endpoint.service import Reply

HEAD_BYTES: Final = 1 << 20
"""How much of an answer is waited for before its status is sent."""

WAITED_BYTES: Final = 32 * 1024 * 1024
"""The same where the client asks to wait for the end: longer answers begin before it."""


class Output:
    """Reads a reply and prepares its bytes.

    Args:
        reply: what to send.
        encoding: the HTTP compression, empty for none.
        framed: whether ClickHouse's own compression was asked for.
        tag: marks an error in the middle of the answer, as the header has announced.
    """

    def __init__(self, reply: Reply, *, encoding: str, framed: bool, tag: str) -> None:
        self._reply = reply
        self._chunks: Iterator[bytes] = iter(reply.chunks)
        self._encoder = encoder(encoding) if encoding else None
        self._framed = framed
        self._tag = tag
        self.finished = False
        """Whether all has been read."""

    def head(self, wanted: int) -> bytes:
        """Return at least so much of the answer, or all of it where it is shorter.

        Raises:
            EndpointError: the query failed this early.
        """
        head = bytearray()
        while len(head) < wanted and not self.finished:
            head += self._next()
        return bytes(head)

    def more(self) -> bytes:
        """Return what comes next; a failure ends the answer with its text."""
        try:
            return self._next()
        except EndpointError as error:
            self.finished = True
            raise BrokenAnswerError(self._sent(self._marked(error)) + self._flushed()) from error

    def close(self) -> None:
        """Give up what was not read."""
        if self._reply.answer is not None:
            self._reply.answer.close()

    def _next(self) -> bytes:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.finished = True
            return self._flushed()
        return self._sent(chunk)

    def _sent(self, chunk: bytes) -> bytes:
        if self._framed:
            chunk = compress_frames(chunk)
        return self._encoder.compress(chunk) if self._encoder else chunk

    def _flushed(self) -> bytes:
        return self._encoder.flush() if self._encoder else b""

    def _marked(self, error: EndpointError) -> bytes:
        """Return the error as ClickHouse writes it into an answer that has begun."""
        text = error.text.strip()
        return (
            f"\r\n__exception__\r\n{self._tag}\r\n{text}\n{len(text) + 1} {self._tag}\r\n"
            "__exception__\r\n"
        ).encode()


class BrokenAnswerError(Exception):
    """An answer failed after it had begun; ``last`` is the last that is sent of it."""

    def __init__(self, last: bytes) -> None:
        self.last = last
        super().__init__("the answer broke off")
