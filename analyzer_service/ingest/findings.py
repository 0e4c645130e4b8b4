"""What a request had wrong: rejected records, warnings, repaired strings, and how to say it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

PROBLEMS_TOLD: Final = 5
"""Distinct problems an answer names: enough to act on, short enough for a sender's log line."""

PROBLEMS_KEPT: Final = 100
"""Distinct problems counted one by one; a request full of different ones must not cost memory."""

MESSAGE_CHARACTERS: Final = 1500
"""Senders log the message whole; this is about what a terminal shows without scrolling."""

VALUE_CHARACTERS: Final = 60
"""How much of an offending value a message quotes."""

OTHER_PROBLEMS: Final = "further problems"


class RejectedRecordError(ValueError):
    """A record cannot be stored; ``reason`` is a stable word, the message names field and cure."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason, under which rejections are counted, beside the text for people."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Rejection:
    """One record that is not stored, as it goes to the table ``rejected``."""

    reason: str
    detail: str
    record: str
    service: str = ""
    """Whose it was; empty where that cannot be read."""


@dataclass
class Findings:
    """Collects, for one request, everything its sender should hear."""

    rejections: list[Rejection] = field(default_factory=list)
    repaired: int = 0
    noted: int = 0
    """Grows with everything noted, so that a reader sees whether a piece was clean."""
    warned: int = 0
    """Warnings about records that are stored all the same."""
    problems: Counter[str] = field(default_factory=Counter)

    def reject(self, error: RejectedRecordError, record: str, service: str = "") -> None:
        """Note a record that is not stored."""
        self.rejections.append(Rejection(error.reason, error.detail, record, service))
        self._note(error.detail)

    def warn(self, problem: str) -> None:
        """Note something that the sender should mend though the record is stored."""
        self.warned += 1
        self._note(problem)

    def _note(self, problem: str) -> None:
        self.noted += 1
        known = problem in self.problems or len(self.problems) < PROBLEMS_KEPT
        self.problems[problem if known else OTHER_PROBLEMS] += 1

    def text(self, value: bytes) -> bytes:
        """Return a string as valid UTF-8, with U+FFFD for what was not, which is counted."""
        if value.isascii():
            return value
        try:
            value.decode()
        except UnicodeDecodeError:
            self.repaired += 1
            self.noted += 1
            return value.decode("utf-8", "replace").encode()
        return value

    def message(self) -> str:
        """Return the first few problems in one bounded text; empty if there was none."""
        told = [
            f"{problem} ({count} times)" if count > 1 else problem
            for problem, count in list(self.problems.items())[:PROBLEMS_TOLD]
        ]
        if self.repaired:
            told.append(
                f"{self.repaired} string(s) were not valid UTF-8: U+FFFD stands for the bad bytes; "
                "send text as UTF-8"
            )
        untold = len(self.problems) - PROBLEMS_TOLD
        if untold > 0:
            told.append(f"and {untold} more kinds of problem")
        return shortened("; ".join(told), MESSAGE_CHARACTERS)


def shortened(text: str, characters: int) -> str:
    """Return a text of at most so many characters, an ellipsis showing the cut."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def quoted(value: bytes) -> str:
    """Return a value as a message may show it: printable, quoted and short."""
    return repr(shortened(value.decode("utf-8", "replace"), VALUE_CHARACTERS))
