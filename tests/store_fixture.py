"""A migrated store on its own path, for tests that need the real engine.

One process may have one embedded store open at a time, so use it as a context and close it (or let
a fixture do so) before the next one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate


@contextmanager
def fresh_store(
    folder: Path, *, name: str = "store", engine_threads: int | None = None
) -> Iterator[Store]:
    """Open and migrate a store in a folder; the same folder and name again is the same store."""
    with open_store(f"chdb://{folder / name}", engine_threads=engine_threads) as store:
        migrate(store)
        yield store
