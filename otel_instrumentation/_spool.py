"""Telemetry that waits on disk: bounded files, each of which is one OTLP request.

``<folder>/<signal>-<destination>/<process>/<number>.otlp``

A protobuf message is the same whether its repeated fields came at once or one after the other,
so batches are appended to a file and the whole file is still one request: any OTLP/HTTP
receiver takes it (``curl --data-binary @00000001.otlp``). A process writes into a folder of its
own, whose ``owner.lock`` it holds while it lives; what a process left behind is adopted by the
next one with the same destination. Files are closed before they are sent, sent in their order,
and deleted when they were accepted.

``.open`` is written to, ``.otlp`` waits, ``.sending`` is with a receiver. A file that a kill
left ``.open`` or ``.sending`` is sent by whoever adopts it: at least once, and records carry
their identity.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_instrumentation import _identifiers

try:
    import fcntl
except ImportError:  # pragma: no cover - not on this platform
    fcntl = None  # type: ignore[assignment]

SEGMENT_BYTES: Final = 1024 * 1024
"""A file is closed at this size: a quarter of what a gRPC receiver takes at most."""

SEGMENTS_IN_SPOOL: Final = 8
"""A spool smaller than eight whole files has smaller files: dropping the oldest keeps the rest."""

RECOUNT_SECONDS: Final = 1.0
"""How often the files of all processes are counted: by what others write in this time, the
folder may grow beyond its limit."""

_OPEN: Final = ".open"
_WAITING: Final = ".otlp"
_SENDING: Final = ".sending"
_DROPPING: Final = ".dropping"
_LOCK: Final = "owner.lock"

FULL: Final = "full"
EXPIRED: Final = "expired"

Drop = Callable[[str, bytes, str], None]
"""Called with the signal, the payload that is dropped, and why (``FULL`` or ``EXPIRED``)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how long.

    Attributes:
        total_bytes: Of the whole folder, all processes together.
        age_seconds: Since the file was last written to.
    """

    total_bytes: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A file that is being sent.

    Attributes:
        path: Where it is.
        payload: One OTLP request.
    """

    path: Path
    payload: bytes


def is_supported() -> bool:
    """Says whether this platform has what a spool needs (file locks)."""
    return fcntl is not None


class Spool:
    """The files of one signal to one destination, as one process sees them.

    Args:
        folder: The folder of all spools.
        signal: ``traces`` or ``logs``.
        destination: Tells receivers apart: only telemetry for the same one is adopted.
        limits: How much may wait, and how long.
        drop: Told of everything that is dropped.
    """

    def __init__(
        self, folder: Path, signal: str, destination: str, limits: Limits, drop: Drop
    ) -> None:
        self._folder = folder
        self._mine = folder / f"{signal}-{destination}"
        self._limits = limits
        self._drop = drop
        self._segment_bytes = min(SEGMENT_BYTES, limits.total_bytes // SEGMENTS_IN_SPOOL)
        self._locks: dict[Path, int] = {}
        self._home: Path | None = None
        self._open: tuple[int, Path, int] | None = None
        self.renew()

    def renew(self) -> None:
        """Begins a folder of its own: the process was forked, or has just started."""
        # The parent's; closing a copy of its descriptor does not unlock.
        for inherited in (*self._locks.values(), *(self._open[:1] if self._open else ())):
            os.close(inherited)
        self._locks = {}
        self._lock = threading.RLock()
        self._home = None
        self._open = None
        self._number = 0
        self._total = 0
        self._counted_at = -math.inf

    # --- writing -------------------------------------------------------------------------

    def append(self, payload: bytes) -> None:
        """Writes a payload, making room by dropping the oldest files where there is none.

        Raises:
            OSError: The disk does not take it.
            OverflowError: It is larger than the whole spool.
        """
        with self._lock:
            self._make_room(len(payload))
            file, path, size = self._open or self._begin()
            _write(file, payload)
            self._total += len(payload)
            self._open = (file, path, size + len(payload))
            if size + len(payload) >= self._segment_bytes:
                self._close_open()

    def _begin(self) -> tuple[int, Path, int]:
        home = self._home or self._claim_home()
        self._number += 1
        path = home / f"{self._number:08d}{_OPEN}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return file, path, 0

    def _claim_home(self) -> Path:
        # Names sort by the time of claiming, so that what is adopted is sent oldest first.
        name = f"{time.time_ns():020d}-{os.getpid()}-{_identifiers.hex_id()[:8]}"
        home = self._mine / name
        for folder in (self._folder, self._mine, home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._lock_folder(home):
            message = f"{home} belongs to another process"
            raise OSError(message)
        self._home = home
        return home

    def _close_open(self) -> None:
        if self._open is None:
            return
        file, path, _ = self._open
        self._open = None
        os.close(file)
        with contextlib.suppress(FileNotFoundError):  # somebody emptied the folder
            path.rename(path.with_suffix(_WAITING))

    def _make_room(self, needed: int) -> None:
        if needed > self._limits.total_bytes:
            raise OverflowError
        fits = self._total + needed <= self._limits.total_bytes
        if fits and time.monotonic() - self._counted_at < RECOUNT_SECONDS:
            return
        self._counted_at = time.monotonic()
        waiting = sorted(self._everybodys(), key=lambda each: each[1].st_mtime_ns)
        self._total = sum(stat.st_size for _, stat in waiting)
        for path, stat in waiting:
            if self._total + needed <= self._limits.total_bytes:
                return
            if path.suffix == _WAITING and self._discard(path, FULL):
                self._total -= stat.st_size
        if self._total + needed > self._limits.total_bytes and self._open is not None:
            path, size = self._open[1:]
            self._close_open()
            if self._discard(path.with_suffix(_WAITING), FULL):
                self._total -= size
        if self._total + needed > self._limits.total_bytes:
            raise OverflowError

    def _everybodys(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._folder.glob("*/*/*"):
            if path.suffix in {_OPEN, _WAITING, _SENDING}:
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.stat()

    def _discard(self, path: Path, why: str) -> bool:
        doomed = path.with_suffix(_DROPPING)
        try:
            path.rename(doomed)  # only one process succeeds, and only while nobody sends it
        except FileNotFoundError:
            return False
        signal = path.parent.parent.name.partition("-")[0]
        self._drop(signal, _whole_part_of(doomed.read_bytes()), why)
        doomed.unlink(missing_ok=True)
        return True

    # --- sending -------------------------------------------------------------------------

    def take(self) -> Segment | None:
        """Takes the oldest file to send; None where nothing waits."""
        with self._lock:
            homes = sorted(self._locks)
            for home in homes:
                for path in sorted(home.glob(f"*{_WAITING}")):
                    if (segment := self._take(path)) is not None:
                        return segment
            if self._open is None or self._open[2] == 0:
                return None
            path = self._open[1].with_suffix(_WAITING)
            self._close_open()
            return self._take(path)

    def _take(self, path: Path) -> Segment | None:
        try:
            if time.time() - path.stat().st_mtime > self._limits.age_seconds:
                self._discard(path, EXPIRED)
                return None
            taken = path.rename(path.with_suffix(_SENDING))
            payload = _whole_part_of(taken.read_bytes())
        except FileNotFoundError:
            return None  # dropped meanwhile
        if not payload:
            taken.unlink(missing_ok=True)
            return None
        return Segment(taken, payload)

    def done(self, segment: Segment) -> None:
        """Deletes what was accepted, or will never be."""
        with self._lock:
            segment.path.unlink(missing_ok=True)
            self._total = max(0, self._total - len(segment.payload))
            home = segment.path.parent
            if home != self._home and home in self._locks and not _has_files(home):
                self._release(home)

    def put_back(self, segment: Segment) -> None:
        """Lets a file wait on: it could not be sent now."""
        with contextlib.suppress(FileNotFoundError):
            segment.path.rename(segment.path.with_suffix(_WAITING))

    def adopt(self) -> int:
        """Takes over what processes that are no more left behind.

        Returns:
            How many folders it took over.
        """
        adopted = 0
        with self._lock:
            for home in sorted(self._mine.glob("*-*-*")):
                if home in self._locks or not self._lock_folder(home):
                    continue
                adopted += 1
                for path in sorted(home.iterdir()):
                    if path.suffix in {_OPEN, _SENDING, _DROPPING}:
                        path.rename(path.with_suffix(_WAITING))
                if not any(home.glob(f"*{_WAITING}")):
                    self._release(home)
        return adopted

    def close(self) -> None:
        """Leaves the folder: what waits in it is for the next process."""
        with self._lock:
            with contextlib.suppress(OSError):
                self._close_open()
            for home in tuple(self._locks):
                self._release(home)
            self._home = None

    def is_empty(self) -> bool:
        """Says whether nothing of this process, or that it adopted, waits."""
        with self._lock:
            return not any(_has_files(home) for home in self._locks)

    def _lock_folder(self, home: Path) -> bool:
        try:
            lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            return False  # released meanwhile
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever released it may have deleted the file that is locked now.
            held = os.path.samestat(os.fstat(lock), (home / _LOCK).stat())
        except OSError:
            held = False
        if not held:
            os.close(lock)
            return False
        self._locks[home] = lock
        return True

    def _release(self, home: Path) -> None:
        lock = self._locks.pop(home)
        # Somebody else may look into the folder at this moment: then it stays for them.
        with contextlib.suppress(OSError):
            if not _has_files(home):
                (home / _LOCK).unlink(missing_ok=True)
                home.rmdir()
        os.close(lock)


def _has_files(home: Path) -> bool:
    try:
        return any(path.name != _LOCK for path in home.iterdir())
    except FileNotFoundError:
        return False


def _write(file: int, payload: bytes) -> None:
    """Writes all of it, or takes back what was written."""
    before = os.fstat(file).st_size
    try:
        rest = memoryview(payload)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, before)
        raise


def _whole_part_of(payload: bytes) -> bytes:
    """Cuts off a last field that a power cut left unfinished.

    Every field of a request is a tag, a length as a varint, and that many bytes.
    """
    position = whole = 0
    while position < len(payload):
        length = shift = 0
        position += 1
        while position < len(payload):
            byte = payload[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
                break
        else:
            break
        position += length
        if position > len(payload):
            break
        whole = position
    return payload[:whole]
