"""Handles to the engine, lent to one thread at a time.

Two hazards of the embedded engine make this more than a list (both held by tests):

- a query that fails may leave rows to the next one on the same handle, so a handle that saw any
  error is closed, never lent again;
- settings changed for one call may stay, so settings belong to a handle for life, and handles with
  different settings are different kinds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from analyzer_service.errors import StoreError

IDLE_HANDLES = 16
"""Kept open for the next borrower: as many as the service has worker threads. A handle costs 10 ms
to open and next to nothing to keep."""

Settings = tuple[tuple[str, Any], ...]
"""Engine settings of a kind of handle, in the order in which they are set."""


class Handles:
    """A pool of handles of several kinds.

    Args:
        connect: opens a handle with the given settings.
    """

    def __init__(self, connect: Callable[[Mapping[str, Any]], Client]) -> None:
        self._connect = connect
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[tuple[Settings, Client]] = []
        self._lent: set[Client] = set()
        self._closed = False

    @contextlib.contextmanager
    def lend(self, settings: Settings) -> Iterator[Client]:
        """Lend a handle; an error inside the block closes it.

        Raises:
            StoreError: the pool is closed, or belongs to the process this one was forked from.
        """
        client = self.take(settings)
        try:
            yield client
        except BaseException:
            self.discard(client)
            raise
        self.give_back(settings, client)

    @property
    def lent(self) -> int:
        """How many are out."""
        with self._lock:
            return len(self._lent)

    def take(self, settings: Settings) -> Client:
        """Lend a handle until ``give_back`` or ``discard``."""
        self._check()
        with self._lock:
            for position in range(len(self._idle) - 1, -1, -1):
                if self._idle[position][0] == settings:
                    client = self._idle.pop(position)[1]
                    self._lent.add(client)
                    return client
        client = self._connect(dict(settings))
        with self._lock:
            if not self._closed:
                self._lent.add(client)
                return client
        client.close()
        raise StoreError("The store is closed.")

    def give_back(self, settings: Settings, client: Client) -> None:
        """Take a handle back that saw no error."""
        surplus: Client | None = client
        with self._lock:
            if client in self._lent:
                self._lent.discard(client)
                self._idle.append((settings, client))
                surplus = self._idle.pop(0)[1] if len(self._idle) > IDLE_HANDLES else None
        if surplus is not None:
            surplus.close()

    def discard(self, client: Client) -> None:
        """Close a handle that saw an error or was left in the middle of an answer."""
        with self._lock:
            self._lent.discard(client)
        if os.getpid() == self._process:
            client.close()

    def close(self) -> None:
        """Close every handle; calls still running end first, open answers are cut off."""
        with self._lock:
            self._closed = True
            clients = [client for _, client in self._idle] + list(self._lent)
            self._idle.clear()
            self._lent.clear()
        if os.getpid() == self._process:
            for client in clients:
                client.close()

    def _check(self) -> None:
        if os.getpid() != self._process:
            raise StoreError(
                "This process was forked from the one that opened the store, and the engine does "
                "not survive that.",
                hint="Open the store after the fork, or start processes with spawn.",
            )
        if self._closed:
            raise StoreError("The store is closed.")
