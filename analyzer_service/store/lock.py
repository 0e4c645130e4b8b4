"""Who owns an embedded store: one process per path, one path per process, no forked heirs.

The engine enforces the first two itself but says neither who the owner is nor what to do, and after
a fork it hangs. So the owner is written into a locked file in the store's folder. The lock is the
kernel's (flock), hence gone with the process however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

from analyzer_service.errors import StoreBusyError, StoreError

LOCK_NAME = "mlp-analyzer.lock"

FOLDER_MODE = 0o700
"""The folder holds profiles of people: its owner's eyes only."""

_guard = threading.Lock()
_owned: dict[str, PathLock] = {}


class PathLock:
    """The ownership of one embedded store by this process, from construction to ``release``.

    Raises:
        StoreBusyError: another process owns the path.
        StoreError: this process owns a path already, or the folder cannot be used.
    """

    def __init__(self, url: str, path: Path | None) -> None:
        self._url = url
        self._descriptor: int | None = None
        with _guard:
            if _owned:
                raise StoreError(
                    f"This process already has the embedded store {next(iter(_owned))} open, and "
                    "the engine takes one per process.",
                    hint="Close it first.",
                )
            if path is not None:
                self._descriptor = _lock(path)
            _owned[url] = self
        self.announce("")

    def announce(self, address: str) -> None:
        """Write down where the service that owns the store can be reached (host:port)."""
        if self._descriptor is None:
            return
        content = json.dumps({"pid": os.getpid(), "address": address}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)

    def release(self) -> None:
        """Give the path up."""
        with _guard:
            if _owned.get(self._url) is self:
                del _owned[self._url]
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(path: Path) -> int:
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            f"The folder {path} of the embedded store cannot be used: {error.strerror}.",
            hint="Name a folder this account may create and write.",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner, address = _owner(descriptor)
        os.close(descriptor)
        raise StoreBusyError(
            f"Process {owner} owns the embedded store {path}, so go through its service instead: "
            f"--server {address or 'HOST:PORT'}"
        ) from None
    return descriptor


def _owner(descriptor: int) -> tuple[str, str]:
    try:
        content = json.loads(os.pread(descriptor, 1024, 0))
        return str(content["pid"]), str(content["address"])
    except (ValueError, KeyError, TypeError):
        # The owner is between locking and writing; which process it is can wait.
        return "unknown", ""


def _forget_after_fork() -> None:
    """Let go of the lock in a forked child: otherwise it would outlive the owner there."""
    global _guard  # noqa: PLW0603 - the parent may have held it at the fork
    _guard = threading.Lock()
    for lock in _owned.values():
        lock._close()
    _owned.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
