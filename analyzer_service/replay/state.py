"""Remembers how far an interrupted replay came.

Forgetting would do no harm, because rows have the same ids each time; it saves the time.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Final

from analyzer_service.replay.mapping import Mapping

_VERSION: Final = 1


def state_folder() -> Path:
    """Return where the states of interrupted replays lie, by the XDG base directories."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # The specification says to ignore relative paths.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "mlp-analyzer" / "replay"


class ReplayState:
    """How many rows of one log the receiver has acknowledged, without a gap, on disk.

    Args:
        path: The state file.

    Attributes:
        rows_done: Rows, broken ones included, that need not be sent again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows_done = _read(path)
        self._ends: dict[int, int] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls, log: Path, mapping: Mapping, endpoint: str, *, folder: Path | None = None
    ) -> ReplayState:
        """Return the state of replaying this content, so mapped, to this receiver.

        Args:
            log: The job log; its content counts, not its name. It is read whole, once.
            mapping: What the columns mean.
            endpoint: The receiver.
            folder: Where states lie; without it, the user's state folder.
        """
        with log.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        identity = "\n".join((content, mapping.model_dump_json(), endpoint)).encode()
        name = hashlib.sha256(identity).hexdigest()[:32]
        return cls((folder or state_folder()) / f"{name}.json")

    def acknowledge(self, first_row: int, end_row: int) -> None:
        """Note that rows from ``first_row`` up to before ``end_row`` (from 0) have arrived.

        Requests are answered in any order; what counts is the run without a gap.
        """
        with self._lock:
            self._ends[first_row] = end_row
            done = self.rows_done
            while done in self._ends:
                done = self._ends.pop(done)
            if done > self.rows_done:
                self.rows_done = done
                self._write()

    def forget(self) -> None:
        """Remove the state: the replay is complete, or shall start over."""
        with self._lock:
            self.rows_done = 0
            self._ends.clear()
            self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written beside and moved over: an interruption leaves the old state or the new one.
        fresh = self.path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps({"version": _VERSION, "rows_done": self.rows_done}))
        fresh.replace(self.path)


def _read(path: Path) -> int:
    """Return the rows done; nothing, where the file is absent or of another making."""
    try:
        state = json.loads(path.read_text())
        done = state["rows_done"] if state["version"] == _VERSION else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return done if isinstance(done, int) and done > 0 else 0
