"""Secrets that a first start makes and later ones find: files only their owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from analyzer_service.errors import SettingsError

OWNER_ONLY: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Return the file's text; if there is no such file, write what ``make`` returns first.

    Two processes that start at once end up with the same secret.

    Raises:
        SettingsError: The file cannot be made or read, or others than its owner can read it.
    """
    try:
        if not path.exists():
            _create(path, make())
        if os.name == "posix" and path.stat().st_mode & _OTHERS:
            raise SettingsError(
                f"{path} can be read by other accounts.",
                hint=f"chmod 600 {path}, or delete it: the next start makes new secrets.",
                field="state_folder",
            )
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be used: {error.strerror}.",
            hint="Set MLP_ANALYZER_STATE_FOLDER to a folder this account can write.",
            field="state_folder",
        ) from error


def _create(path: Path, text: str) -> None:
    """Write the whole file under another name, then give it its own unless one is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
