"""The audit log: who looked at rows about one person, and was let or not."""

from __future__ import annotations

import logging
from typing import Final

LONGEST_SUBJECT: Final = 2000
"""Characters of a subject; a longer query keeps its start."""

_LOG = logging.getLogger("analyzer_service.audit")


def record(*, method: str, role: str, subject: str, granted: bool, peer: str) -> None:
    """Write one entry.

    Args:
        method: What was called.
        role: Whose token came with the call.
        subject: Whom or what it asks for: a user, a challenge, the text of a query.
        granted: Whether it was answered.
        peer: Where the call came from, such as ``ipv4:127.0.0.1:51234``.
    """
    subject = subject[:LONGEST_SUBJECT]
    _LOG.info(
        "%s",
        f"{method} by {role} about {subject!r}: {'granted' if granted else 'refused'}",
        extra={
            "role": role,
            "method": method,
            "subject": subject,
            "granted": granted,
            "peer": peer,
        },
    )
